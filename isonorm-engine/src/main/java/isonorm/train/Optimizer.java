package isonorm.train;

import static java.util.Objects.requireNonNull;

import isonorm.backpropagation.Parameters;
import isonorm.backpropagation.Parameters.Span;
import isonorm.kernel.Gradients;
import isonorm.kernel.Rows;
import isonorm.tensor.Team;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.TreeMap;

/**
 * Changes weights by their gradients, and what it remembers of former ones: as many moments a weight as its rule needs, of the weights that are
 * this process's to change.
 */
final class Optimizer implements AutoCloseable {

    private final Arena arena = Arena.ofShared();
    private final OptimizerRule rule;
    private final Parameters parameters;
    private final List<Span> own;
    private final NavigableMap<Long, Long> places = new TreeMap<>();
    private final List<MemorySegment> moments = new ArrayList<>();

    /**
     * @param own the weights that it changes
     */
    Optimizer(OptimizerRule rule, Parameters parameters, List<Span> own) {
        this.rule = rule;
        this.parameters = parameters;
        this.own = own;
        long count = 0;
        for (Span span : own) {
            places.put(span.first(), count);
            count += span.length();
        }
        for (int i = 0; i < rule.moments(); i++) {
            moments.add(arena.allocate(count * parameters.type().bytes(), 64));
        }
    }

    /** The weights that it changes, in the order in which they lie in memory. */
    List<Span> own() {
        return own;
    }

    int moments() {
        return moments.size();
    }

    /** The memory of a moment of some weights, which are part of one span of its own. */
    MemorySegment moment(int index, Span span) {
        long bytes = parameters.type().bytes();
        return moments.get(index).asSlice(place(span.first()) * bytes, span.length() * bytes);
    }

    private long place(long value) {
        Map.Entry<Long, Long> span = requireNonNull(places.floorEntry(value));
        return span.getValue() + value - span.getKey();
    }

    /**
     * One step. Values that kernels read of vectors are left as they are.
     *
     * @param rate the learning rate
     * @param number counts steps from 1
     * @param factor what gradients are multiplied with first
     * @param spans of its own, those that change
     */
    void step(double rate, long number, double factor, List<Span> spans, Team team) {
        Gradients gradients = Gradients.of(parameters.type());
        parameters.each(team, spans, (entry, first, length) -> {
            Rows weights = Parameters.flat(entry.weights(), first, length);
            Rows gradient = Parameters.flat(entry.gradient(), first, length);
            double decay = entry.shape().isVector() ? 0 : 1;
            switch (rule) {
                case OptimizerRule.AdamW(double beta1, double beta2, double epsilon, double share) ->
                        adam(weights, gradient, entry, first, length,
                                new Gradients.AdamW(rate, beta1, beta2, epsilon, decay * share, number, factor));
                case OptimizerRule.Adam(double beta1, double beta2, double epsilon) ->
                        adam(weights, gradient, entry, first, length, new Gradients.AdamW(rate, beta1, beta2, epsilon, 0, number, factor));
                case OptimizerRule.Sgd(double momentum, double share) ->
                        gradients.sgd(weights, gradient, flat(0, entry, first, length), rate, momentum, decay * share, factor);
            }
            parameters.refresh(entry, first, length);
        });
    }

    private void adam(Rows weights, Rows gradient, Parameters.Entry entry, long first, int length, Gradients.AdamW step) {
        Gradients.of(parameters.type()).adamW(weights, gradient, flat(0, entry, first, length), flat(1, entry, first, length), step);
    }

    private Rows flat(int index, Parameters.Entry entry, long first, int length) {
        return new Rows(moments.get(index), parameters.type(), place(entry.weights().offset() + first), 1, length, length);
    }

    @Override
    public void close() {
        arena.close();
    }
}
