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

    /** How weights follow their gradients. Weight decay is for matrices; vectors have none. */
    sealed interface Rule {

        /** How many moments a weight has. */
        int moments();

        /** AdamW (arXiv 1711.05101): decay is apart from the gradient. */
        record AdamW(double beta1, double beta2, double epsilon, double decay) implements Rule {
            @Override
            public int moments() {
                return 2;
            }
        }

        /** Stochastic gradient descent with momentum; decay is a part of the gradient. */
        record Sgd(double momentum, double decay) implements Rule {
            @Override
            public int moments() {
                return 1;
            }
        }
    }

    private final Arena arena = Arena.ofShared();
    private final Rule rule;
    private final Parameters parameters;
    private final List<MemorySegment> moments = new ArrayList<>();

    Optimizer(Rule rule, Parameters parameters) {
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
            Rows m = Parameters.flat(moment(0, entry), first, length);
            switch (rule) {
                case Rule.AdamW(double beta1, double beta2, double epsilon, double decay) ->
                        gradients.adamW(weights, gradient, m, Parameters.flat(moment(1, entry), first, length), new Gradients.AdamW(
                                rate, beta1, beta2, epsilon, entry.shape().isVector() ? 0 : decay, number, factor));
                case Rule.Sgd(double momentum, double decay) ->
                        gradients.sgd(weights, gradient, m, rate, momentum, entry.shape().isVector() ? 0 : decay, factor);
            }
            parameters.refresh(entry, first, length);
        });
        parameters.refreshValues();
    }

    @Override
    public void close() {
        arena.close();
    }
}
