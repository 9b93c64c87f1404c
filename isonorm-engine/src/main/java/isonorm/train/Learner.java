package isonorm.train;

import isonorm.architecture.Architecture;
import isonorm.architecture.NormKind;
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
import java.util.List;
import java.util.Optional;

/** A model with its optimizer: takes one step after the other. */
final class Learner implements AutoCloseable {

    private final Architecture architecture;
    private final Parameters parameters;
    private final Optional<Equivalent> equivalent;
    private final Network network;
    private final Optimizer optimizer;
    private final Team team;
    private double scale = 1;

    /** What a step saw. */
    record Seen(double loss, double gradientNorm) {

        boolean finite() {
            return Double.isFinite(loss) && Double.isFinite(gradientNorm);
        }
    }

    /**
     * @param type of the weights
     * @param compute what matrices are multiplied in
     */
    Learner(Architecture architecture, Strategy.Running running, Scales scales, OptimizerRule rule, Type type, Type compute, Team team) {
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
        this.optimizer = new Optimizer(rule, parameters);
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

    /** What the last step that measured saw of each block: what entered it, and the norm of the gradient of its weights. */
    List<Metrics.BlockLine> blocks() {
        Gradients gradients = Gradients.of(parameters.type());
        double[] squares = new double[architecture.blocks().size()];
        for (Parameters.Entry entry : parameters.all()) {
            if (entry.role().block() >= 0) {
                squares[entry.role().block()] += gradients.sumOfSquares(entry.gradient());
            }
        }
        List<Metrics.BlockLine> lines = new ArrayList<>();
        for (Network.Entered entered : network.entered()) {
            lines.add(new Metrics.BlockLine(entered.block(), entered.variance(), entered.largest(), Math.sqrt(squares[entered.block()]) / scale));
        }
        return lines;
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
            optimizer.step(rate, number, factor / scale, team);
            equivalent.ifPresent(equal -> equal.push(team));
        }
        return seen;
    }

    private Seen gradient(List<Examples> batches, Seed seed) {
        int targets = batches.stream().mapToInt(Examples::targets).sum();
        if (targets == 0) {
            throw new IllegalArgumentException("a step needs a target to learn from, got none in " + batches.size() + " batches");
        }
        parameters.forgetGradients();
        equivalent.ifPresent(equal -> equal.phi().forgetGradients());
        double loss = 0;
        for (int i = 0; i < batches.size(); i++) {
            loss += network.learn(batches.get(i), scale / targets, seed.at(i));
        }
        equivalent.ifPresent(equal -> {
            equal.phi().settleGradients();
            equal.pull(team);
        });
        parameters.settleGradients();
        double squares = parameters.sum(team, Gradients.of(parameters.type())::sumOfSquares);
        return new Seen(loss / targets, Math.sqrt(squares) / scale);
    }

    /**
     * Means over the targets of some batches.
     *
     * @param accuracy the share of images that were given their class; NaN for words
     */
    record Evaluation(double loss, double accuracy) {

        static final Evaluation NONE = new Evaluation(Double.NaN, Double.NaN);
    }

    /** Evaluates some batches, with nothing dropped. */
    Evaluation evaluate(List<Examples> batches) {
        double loss = 0;
        long right = 0;
        long targets = 0;
        for (Examples batch : batches) {
            HeadFunction.Scored scored = network.score(batch);
            loss += scored.loss();
            right += scored.right();
            targets += batch.targets();
        }
        boolean images = batches.stream().allMatch(Examples.Images.class::isInstance);
        return new Evaluation(loss / targets, images ? (double) right / targets : Double.NaN);
    }

    @Override
    public void close() {
        network.close();
        optimizer.close();
        equivalent.ifPresent(Equivalent::close);
        parameters.close();
    }
}
