package isonorm.compare;

import isonorm.train.Trainer;
import isonorm.train.TrainingRun;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;

/**
 * Trials that differ in their seed alone.
 *
 * @param place their value of every other key that the grid varies
 * @param outcomes of the trials, in their order
 */
public record Group(Map<String, String> place, List<Trial> trials, List<Outcome> outcomes) {

    /** What people call it. */
    public String name() {
        return place.isEmpty() ? trials.getFirst().configuration().text("strategy") : words(place.keySet());
    }

    /** A part of its place. */
    public String words(Collection<String> keys) {
        return Trial.words(place, keys);
    }

    /** The highest learning rate of its runs. */
    public double rate() {
        return trials.getFirst().run().learning().rate();
    }

    /** Whether a norm behind every block sets the stream's variance, which then says nothing of how it grows. */
    boolean normalizesStream() {
        return trials.getFirst().run().start() instanceof TrainingRun.Start.New model && model.strategy().normalizesStream(model.depth());
    }

    /** How many of its runs diverged. */
    public int diverged() {
        return (int) outcomes.stream().filter(outcome -> outcome.end() == Trainer.End.DIVERGED).count();
    }

    /** How many ended no better than the frequencies of tokens, {@code best} being the best loss of the grid. */
    public int stuck(double best) {
        return (int) outcomes.stream().filter(outcome -> outcome.stuck(best)).count();
    }

    /** The validation loss of those that did not diverge. */
    public Spread loss() {
        return spread(Outcome::validation);
    }

    /** The perplexity of those that did not diverge. */
    public Spread perplexity() {
        return spread(outcome -> Math.exp(outcome.validation()));
    }

    /** Seconds of those that did not diverge. */
    public Spread seconds() {
        return spread(Outcome::seconds);
    }

    /** The spike score of all its runs. */
    public Spread spikes(ToDoubleFunction<Spikes> which) {
        return Spread.of(outcomes.stream().mapToDouble(outcome -> which.applyAsDouble(outcome.spikes())).filter(Double::isFinite).toArray());
    }

    /** The norms of the gradients of blocks, the mean over seeds; empty where they were not measured. */
    public double[] gradientNorms() {
        List<double[]> all = outcomes.stream().map(Outcome::gradientNorms).filter(norms -> norms.length > 0).toList();
        return all.isEmpty() ? new double[0] : IntStream.range(0, all.getFirst().length)
                .mapToDouble(l -> all.stream().mapToDouble(norms -> norms[l]).average().orElseThrow()).toArray();
    }

    private Spread spread(ToDoubleFunction<Outcome> value) {
        return Spread.of(outcomes.stream().filter(Outcome::whole).mapToDouble(value).toArray());
    }

    /** The mean over seeds of the stream before the first step. */
    public Optional<Outcome.Stream> before() {
        return mean(outcomes, Outcome::before);
    }

    /** The mean over seeds of the stream at the end: of those that did not diverge, or of all if there are none. */
    public Optional<Outcome.Stream> after() {
        return mean(diverged() < outcomes.size() ? outcomes.stream().filter(Outcome::whole).toList() : outcomes, Outcome::after);
    }

    private static Optional<Outcome.Stream> mean(List<Outcome> outcomes, Function<Outcome, Optional<Outcome.Stream>> which) {
        List<Outcome.Stream> all = outcomes.stream().flatMap(outcome -> which.apply(outcome).stream()).toList();
        if (all.isEmpty()) {
            return Optional.empty();
        }
        Outcome.Stream first = all.getFirst();
        double[] variances = IntStream.range(0, first.variances().length)
                .mapToDouble(l -> all.stream().mapToDouble(stream -> stream.variances()[l]).average().orElseThrow()).toArray();
        double[][] angular = IntStream.range(0, first.angular().length).mapToObj(l -> IntStream.range(0, first.angular()[l].length)
                .mapToDouble(n -> all.stream().mapToDouble(stream -> stream.angular()[l][n]).average().orElseThrow()).toArray()).toArray(double[][]::new);
        return Optional.of(new Outcome.Stream(variances, angular));
    }
}
