package isonorm.train;

import static java.util.Objects.requireNonNull;

import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Part;
import isonorm.backpropagation.Parameters;
import isonorm.backpropagation.Parameters.Span;
import isonorm.kernel.Gradients;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
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
    private final Treatment treatment;
    private final Architecture architecture;
    private final Parameters parameters;
    private final List<Span> own;
    private final NavigableMap<Long, Long> places = new TreeMap<>();
    private final List<MemorySegment> moments = new ArrayList<>();
    /** What is made orthogonal; nothing but by Muon. */
    private final List<Orthogonal> orthogonal = new ArrayList<>();

    /** Rows of a parameter that are a matrix by themselves. */
    private record Orthogonal(Parameters.Entry entry, int first, int rows) {

        Rows of(Rows all) {
            return entry.stored(all).slice(first, rows);
        }
    }

    /**
     * @param own the weights that it changes; all of them with Muon, which takes whole matrices
     */
    Optimizer(OptimizerRule rule, Treatment treatment, Architecture architecture, Parameters parameters, List<Span> own) {
        this.rule = rule;
        this.treatment = treatment;
        this.architecture = architecture;
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
        parameters.all().stream().filter(entry -> turned(entry) && !frozen(entry)).forEach(this::addMatrices);
    }

    private boolean frozen(Parameters.Entry entry) {
        return treatment.frozen().test(entry.role());
    }

    /** Whether Muon makes the steps of a parameter orthogonal. */
    private boolean turned(Parameters.Entry entry) {
        return rule instanceof OptimizerRule.Muon && entry.role().block() >= 0 && !entry.shape().isVector();
    }

    private void addMatrices(Parameters.Entry entry) {
        int rows = entry.shape().rows();
        if (entry.role().part() != Part.QUERY_KEY_VALUE) {
            orthogonal.add(new Orthogonal(entry, 0, rows));
            return;
        }
        Attention.Heads heads = architecture.blocks().get(entry.role().block()).mixer().attention().heads();
        int queries = heads.count() * heads.width();
        int keys = heads.keyValue() * heads.width();
        orthogonal.add(new Orthogonal(entry, 0, queries));
        orthogonal.add(new Orthogonal(entry, queries, keys));
        orthogonal.add(new Orthogonal(entry, queries + keys, keys));
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
        if (rule instanceof OptimizerRule.Muon muon) {
            team.each(orthogonal.size(), i -> turn(orthogonal.get(i), muon, rate, factor));
        }
        parameters.each(team, spans, (entry, first, length) -> {
            if (frozen(entry)) {
                return;
            }
            if (!turned(entry)) {
                step(rule, entry, first, length, rate, number, factor);
            }
            parameters.refresh(entry, first, length);
        });
    }

    private void step(OptimizerRule of, Parameters.Entry entry, long first, int length, double rate, long number, double factor) {
        Treatment.Factors own = treatment.factors().apply(entry.role());
        double decay = entry.shape().isVector() ? 0 : own.decay();
        switch (of) {
            case OptimizerRule.AdamW(double beta1, double beta2, double epsilon, double share) -> adam(entry, first, length,
                    new Gradients.AdamW(own.rate() * rate, beta1, beta2, own.epsilon() * epsilon, decay * share, number, factor));
            case OptimizerRule.Adam(double beta1, double beta2, double epsilon) -> adam(entry, first, length,
                    new Gradients.AdamW(own.rate() * rate, beta1, beta2, own.epsilon() * epsilon, 0, number, factor));
            case OptimizerRule.Sgd(double momentum, double share) -> Gradients.of(parameters.type()).sgd(Parameters.flat(entry.weights(), first, length),
                    Parameters.flat(entry.gradient(), first, length), flat(0, entry, first, length), own.rate() * rate, momentum, decay * share, factor);
            case OptimizerRule.Muon muon -> step(muon.rest(), entry, first, length, muon.restRate() * rate, number, factor);
        }
    }

    private void adam(Parameters.Entry entry, long first, int length, Gradients.AdamW step) {
        Gradients.of(parameters.type()).adamW(Parameters.flat(entry.weights(), first, length), Parameters.flat(entry.gradient(), first, length),
                flat(0, entry, first, length), flat(1, entry, first, length), step);
    }

    private Rows flat(int index, Parameters.Entry entry, long first, int length) {
        return new Rows(moments.get(index), parameters.type(), place(entry.weights().offset() + first), 1, length, length);
    }

    /** {@code m = u m + (1 - u) g}, {@code w = (1 - rate decay) w - rate adjustment orthogonal((1 - u) g + u m)} with {@code g = factor * gradient}. */
    private void turn(Orthogonal matrix, OptimizerRule.Muon muon, double rate, double factor) {
        Rows weights = matrix.of(matrix.entry.weights());
        Rows gradient = matrix.of(matrix.entry.gradient());
        Rows all = matrix.entry.weights();
        Rows moment = matrix.of(new Rows(moments.getFirst(), all.type(), place(all.offset()), all.rows(), all.columns(), all.stride()));
        double u = muon.momentum();
        try (Arena scratch = Arena.ofConfined()) {
            Rows step = Rows.allocate(scratch, weights.type() == Type.F64 ? Type.F64 : Type.F32, weights.rows(), weights.columns(), weights.columns());
            for (int r = 0; r < weights.rows(); r++) {
                for (int c = 0; c < weights.columns(); c++) {
                    double g = factor * gradient.get(r, c);
                    double m = u * moment.get(r, c) + (1 - u) * g;
                    moment.set(r, c, m);
                    step.set(r, c, (1 - u) * g + u * m);
                }
            }
            NewtonSchulz.orthogonalize(step, scratch);
            double kept = 1 - rate * muon.decay();
            double moved = rate * muon.adjustment().of(weights.rows(), weights.columns());
            for (int r = 0; r < weights.rows(); r++) {
                for (int c = 0; c < weights.columns(); c++) {
                    weights.set(r, c, kept * weights.get(r, c) - moved * step.get(r, c));
                }
            }
        }
    }

    @Override
    public void close() {
        arena.close();
    }
}
