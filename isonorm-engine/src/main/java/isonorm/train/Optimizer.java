package isonorm.train;

import isonorm.backpropagation.Parameters;
import isonorm.kernel.Gradients;
import isonorm.kernel.Rows;
import isonorm.tensor.Team;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/** Changes weights by their gradients, and what it remembers of former ones: as many moments a weight as its rule needs. */
final class Optimizer implements AutoCloseable {

    private final Arena arena = Arena.ofShared();
    private final OptimizerRule rule;
    private final Parameters parameters;
    private final List<MemorySegment> moments = new ArrayList<>();

    Optimizer(OptimizerRule rule, Parameters parameters) {
        this.rule = rule;
        this.parameters = parameters;
        for (int i = 0; i < rule.moments(); i++) {
            moments.add(arena.allocate(parameters.count() * parameters.type().bytes(), 64));
        }
    }

    int moments() {
        return moments.size();
    }

    /** A moment of one parameter, in the shape and type of its weights. */
    Rows moment(int index, Parameters.Entry entry) {
        Rows weights = entry.weights();
        return new Rows(moments.get(index), weights.type(), weights.offset(), weights.rows(), weights.columns(), weights.stride());
    }

    /**
     * One step.
     *
     * @param rate the learning rate
     * @param number counts steps from 1
     * @param factor what gradients are multiplied with first
     */
    void step(double rate, long number, double factor, Team team) {
        Gradients gradients = Gradients.of(parameters.type());
        parameters.each(team, (entry, first, length) -> {
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
        parameters.refreshValues();
    }

    private void adam(Rows weights, Rows gradient, Parameters.Entry entry, long first, int length, Gradients.AdamW step) {
        Gradients.of(parameters.type()).adamW(weights, gradient, flat(0, entry, first, length), flat(1, entry, first, length), step);
    }

    private Rows flat(int index, Parameters.Entry entry, long first, int length) {
        return Parameters.flat(moment(index, entry), first, length);
    }

    @Override
    public void close() {
        arena.close();
    }
}
