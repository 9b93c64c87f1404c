package isonorm.train;

import isonorm.architecture.Architecture;
import isonorm.architecture.NormKind;
import isonorm.architecture.Role;
import isonorm.backpropagation.Examples;
import isonorm.backpropagation.HeadFunction;
import isonorm.backpropagation.Network;
import isonorm.backpropagation.Parameters;
import isonorm.backpropagation.Scales;
import isonorm.kernel.Gradients;
import isonorm.kernel.Type;
import isonorm.tensor.Team;
import isonorm.weights.Seed;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.Predicate;
import java.util.stream.DoubleStream;

/** A model with its optimizer: takes one step after the other. */
final class Learner implements AutoCloseable {

    /** What ranks say of the stream in front of a block. */
    private static final int NUMBERS = 5;

    private final Architecture architecture;
    private final Parameters parameters;
    private final Optional<Equivalent> equivalent;
    private final Network network;
    private final DataParallel parallel;
    private final Optimizer optimizer;
    private final Team team;
    private final Predicate<Role> frozen;
    private double scale = 1;

    /**
     * What a step saw.
     *
     * @param targets how many all ranks learned from
     */
    record Seen(double loss, double gradientNorm, long targets) {

        boolean finite() {
            return Double.isFinite(loss) && Double.isFinite(gradientNorm);
        }
    }

    /**
     * @param type of the weights
     * @param compute what matrices are multiplied in
     */
    Learner(Architecture architecture, Strategy.Running running, Scales scales, OptimizerRule rule, Type type, Type compute, Team team) {
        this(architecture, running, scales, rule, Treatment.ALIKE, type, compute, team, ProcessGroup.alone());
    }

    /** The same with parameters that are treated otherwise. */
    Learner(Architecture architecture, Strategy.Running running, Scales scales, OptimizerRule rule, Treatment treatment, Type type, Type compute, Team team) {
        this(architecture, running, scales, rule, treatment, type, compute, team, ProcessGroup.alone());
    }

    /** The same that learns together with others; each has other rows of every batch. */
    Learner(Architecture architecture, Strategy.Running running, Scales scales, OptimizerRule rule, Treatment treatment, Type type, Type compute, Team team,
            ProcessGroup group) {
        this.architecture = architecture;
        this.team = team;
        this.parameters = Parameters.of(architecture, type, compute);
        this.equivalent = switch (running) {
            case PLAIN -> Optional.empty();
            case EQUIVALENT_RMS -> Optional.of(Equivalent.of(architecture, parameters, NormKind.RMS, scales.dropout()));
            case EQUIVALENT_CRMS -> Optional.of(Equivalent.of(architecture, parameters, NormKind.CRMS, scales.dropout()));
        };
        this.network = equivalent.isPresent()
                ? new Network(equivalent.get().architecture(), equivalent.get().phi(), scales, team)
                : new Network(architecture, parameters, scales, team);
        network.among(group.rank(), group.size());
        boolean plain = equivalent.isEmpty();
        this.parallel = new DataParallel(group, parameters, !plain, plain);
        this.frozen = treatment.frozen();
        this.optimizer = new Optimizer(rule, treatment, architecture, parameters, parallel.own());
    }

    Architecture architecture() {
        return architecture;
    }

    Parameters parameters() {
        return parameters;
    }

    Optimizer optimizer() {
        return optimizer;
    }

    /** Whether what blocks compute is computed again in the backward pass. */
    void recompute(boolean again) {
        network.recompute(again);
    }

    /** Whether the next step measures the blocks. */
    void watch(boolean measured) {
        network.watch(measured);
    }

    /** What the last step that measured saw of each block, the stream in front of it and the norm of its parameters' gradient, and of the stream behind the last. */
    List<Metrics.BlockLine> blocks() {
        Gradients gradients = Gradients.of(parameters.type());
        double[] squares = new double[architecture.blocks().size()];
        for (Parameters.Entry entry : parameters.all()) {
            if (entry.role().block() >= 0) {
                squares[entry.role().block()] += gradients.sumOfSquares(entry.gradient());
            }
        }
        List<Network.Entered> here = network.entered();
        double[][] all = parallel.all(ProcessGroup.Patience.STEP, here.stream().flatMapToDouble(Learner::numbers).toArray());
        List<Metrics.BlockLine> lines = new ArrayList<>();
        for (int i = 0; i < here.size(); i++) {
            Network.Entered entered = here.get(i);
            int first = i * NUMBERS;
            double[][] ofRanks = Arrays.stream(all).map(each -> Arrays.copyOfRange(each, first, first + NUMBERS)).toArray(double[][]::new);
            lines.add(ofAll(entered, ofRanks, entered.block() < squares.length ? Math.sqrt(squares[entered.block()]) / scale : Double.NaN));
        }
        return lines;
    }

    private static DoubleStream numbers(Network.Entered entered) {
        return DoubleStream.of(entered.values(), entered.mean(), entered.variance(), entered.largest(), entered.beyond());
    }

    /** Of the values of all ranks, of which one may have more than another. */
    private static Metrics.BlockLine ofAll(Network.Entered entered, double[][] all, double gradientNorm) {
        if (all.length == 1) {
            return new Metrics.BlockLine(entered.block(), entered.variance(), entered.largest(), entered.beyond(), gradientNorm);
        }
        double values = 0;
        double sum = 0;
        double squares = 0;
        double largest = 0;
        double beyond = 0;
        for (double[] each : all) {
            values += each[0];
            sum += each[0] * each[1];
            squares += each[0] * (each[2] + each[1] * each[1]);
            largest = Math.max(largest, each[3]);
            beyond += each[4];
        }
        double mean = sum / values;
        return new Metrics.BlockLine(entered.block(), Math.max(0, squares / values - mean * mean), largest, (long) beyond, gradientNorm);
    }

    /** What it does together with others. */
    DataParallel parallel() {
        return parallel;
    }

    /** Brings all weights here that others have changed; every rank of a group calls it. */
    void gather() {
        parallel.gatherWeights(team);
    }

    /** What is needed after weights were set from outside. */
    void begin() {
        parameters.refresh(team);
        equivalent.ifPresent(equal -> equal.push(team));
    }

    /**
     * One step on several batches, whose loss is the mean over all their targets. Nothing is learned where it is not finite.
     *
     * @param number counts steps that were learned from, from 1
     * @param clip the largest norm of the gradient; longer ones are made that long. 0 for none
     * @param seed of what is dropped by chance
     */
    Seen step(List<Examples> batches, double rate, long number, double clip, Seed seed) {
        return step(batches, rate, number, clip, seed, LossScale.NONE);
    }

    /** The same with a loss that is multiplied in the backward pass. */
    Seen step(List<Examples> batches, double rate, long number, double clip, Seed seed, LossScale scaled) {
        scale = scaled.factor();
        Seen seen = gradient(batches, seed);
        if (seen.finite()) {
            double factor = clip > 0 && seen.gradientNorm > clip ? clip / seen.gradientNorm : 1;
            double scaling = factor / scale;
            parallel.change(spans -> optimizer.step(rate, number, scaling, spans, team), team);
            equivalent.ifPresent(equal -> equal.push(team));
        }
        return seen;
    }

    private Seen gradient(List<Examples> batches, Seed seed) {
        long targets = (long) parallel.sums(batches.stream().mapToLong(Examples::targets).sum())[0];
        if (targets == 0) {
            throw new IllegalArgumentException("a step needs a target to learn from, got none in " + batches.size() + " batches");
        }
        parameters.forgetGradients();
        equivalent.ifPresent(equal -> equal.phi().forgetGradients());
        parallel.begin();
        double loss = 0;
        for (int i = 0; i < batches.size(); i++) {
            boolean last = i == batches.size() - 1; // others add to the gradient first
            loss += network.learn(batches.get(i), scale / targets, seed.at(i), last && equivalent.isEmpty() ? parallel::complete : _ -> {});
        }
        equivalent.ifPresent(equal -> {
            equal.phi().settleGradients();
            equal.pull(team);
        });
        parameters.settleGradients();
        parallel.reduce();
        parameters.all().stream().filter(entry -> frozen.test(entry.role())).forEach(entry -> Parameters.zero(entry.gradient()));
        double squares = parameters.sum(team, parallel.own(), Gradients.of(parameters.type())::sumOfSquares);
        double[] sums = parallel.sums(loss, squares);
        return new Seen(sums[0] / targets, Math.sqrt(sums[1]) / scale, targets);
    }

    /**
     * Means over the targets of some batches.
     *
     * @param accuracy the share of images that were given their class; NaN for words
     */
    record Evaluation(double loss, double accuracy) {

        static final Evaluation NONE = new Evaluation(Double.NaN, Double.NaN);
    }

    /** Evaluates some batches, with nothing dropped. Ranks share them out. */
    Evaluation evaluate(List<Examples> batches) {
        int ranks = parallel.group().size();
        int share = Math.ceilDiv(batches.size(), ranks);
        double[] scores = new double[2 * share];
        for (int i = 0; i < share; i++) {
            int number = i * ranks + parallel.group().rank();
            if (number < batches.size()) {
                HeadFunction.Scored scored = network.score(batches.get(number));
                scores[2 * i] = scored.loss();
                scores[2 * i + 1] = scored.right();
            }
        }
        double[][] all = parallel.all(ProcessGroup.Patience.LONG, scores);
        double loss = 0;
        long right = 0;
        long targets = 0;
        for (int number = 0; number < batches.size(); number++) { // in their order: the same sum whoever had them
            loss += all[number % ranks][2 * (number / ranks)];
            right += (long) all[number % ranks][2 * (number / ranks) + 1];
            targets += batches.get(number).targets();
        }
        boolean images = batches.stream().allMatch(Examples.Images.class::isInstance);
        return new Evaluation(loss / targets, images ? (double) right / targets : Double.NaN);
    }

    @Override
    public void close() {
        parallel.close(); // first: what is on its way reads and writes what is given back here
        network.close();
        optimizer.close();
        equivalent.ifPresent(Equivalent::close);
        parameters.close();
    }
}
