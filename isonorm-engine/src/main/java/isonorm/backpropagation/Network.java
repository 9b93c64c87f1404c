package isonorm.backpropagation;

import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.tensor.Pad;
import isonorm.tensor.Team;
import isonorm.weights.Seed;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntConsumer;

/**
 * A model that can be learned: its loss on a batch, and the gradient of the loss with respect to each parameter.
 *
 * <p>Activations are in the type matrices are multiplied in; the residual stream and its gradient are in float32 at least.
 */
public final class Network implements AutoCloseable {

    private static final Pad.Mark START = new Pad.Mark(0, 0);

    private static final IntConsumer NOBODY = _ -> {};

    private final Arena arena = Arena.ofShared();
    private final Pad pad = new Pad();
    private final Architecture architecture;
    private final Parameters parameters;
    private final Team team;
    private final EmbeddingFunction embedding;
    private final List<BlockFunction> blocks = new ArrayList<>();
    private final HeadFunction head;
    private final boolean dual;
    private final List<Entered> entered = new ArrayList<>();
    private boolean watched;
    private boolean recomputed;
    private int rank;
    private int ranks = 1;

    /** The variance of what enters a block over its values, the mean over tokens, and the largest value. */
    public record Entered(int block, double variance, double largest, int tokens) {

        static Entered of(int block, Rows h, Team team) {
            int parts = Math.ceilDiv(h.rows(), 64);
            double[] variances = new double[parts];
            double[] largest = new double[parts];
            team.each(parts, part -> {
                for (int r = part * 64; r < Math.min(h.rows(), (part + 1) * 64); r++) {
                    double sum = 0;
                    double squares = 0;
                    for (int c = 0; c < h.columns(); c++) {
                        double value = h.get(r, c);
                        sum += value;
                        squares += value * value;
                        largest[part] = Math.max(largest[part], Math.abs(value));
                    }
                    double mean = sum / h.columns();
                    variances[part] += squares / h.columns() - mean * mean;
                }
            });
            return new Entered(block, Arrays.stream(variances).sum() / h.rows(), Arrays.stream(largest).max().orElse(0), h.rows());
        }
    }

    public Network(Architecture architecture, Parameters parameters, Scales scales, Team team) {
        if (architecture.companion().isPresent()) {
            throw new IllegalArgumentException("models of one stack are trained, this one has an " + architecture.companion().get().stack().label()
                    + " stack beside its main one");
        }
        this.architecture = architecture;
        this.parameters = parameters;
        this.team = team;
        this.embedding = new EmbeddingFunction(parameters, architecture, scales);
        for (int l = 0; l < architecture.blocks().size(); l++) {
            blocks.add(new BlockFunction(parameters, architecture, l, scales, arena));
        }
        this.head = new HeadFunction(parameters, architecture);
        this.dual = architecture.dual();
    }

    public Parameters parameters() {
        return parameters;
    }

    /** Whether {@link #learn} measures what enters the blocks. */
    public void watch(boolean measured) {
        watched = measured;
    }

    /** Whether what blocks compute is not kept for the backward pass but computed again: less memory, a third more work. */
    public void recompute(boolean again) {
        recomputed = again;
    }

    /**
     * Which examples it learns: of each {@code ranks} that follow each other the one with number {@code rank}, others having the rest. What is dropped by chance
     * is what one network would drop that has them all.
     */
    public void among(int rank, int ranks) {
        this.rank = rank;
        this.ranks = ranks;
    }

    /** The bytes that what a step computes has taken so far. */
    public long memory() {
        return pad.bytes();
    }

    /** What the last one that did saw. */
    public List<Entered> entered() {
        return List.copyOf(entered);
    }

    /** The seed of what is dropped by chance in a step of the run that a number is the seed of. */
    public static Seed chances(long run, long step) {
        return Seed.of(run).at("dropout").at(step);
    }

    /**
     * Adds the gradient of {@code factor} times the sum of the losses of all targets to the gradients.
     *
     * @param seed of what is dropped by chance
     * @return the sum of the losses
     */
    public double learn(Examples examples, double factor, Seed seed) {
        return learn(examples, factor, seed, NOBODY);
    }

    /**
     * The same.
     *
     * @param complete called on the way back with the number of each block, from the last, whose matrices nothing more is added to; those of the head are
     *     complete before
     */
    public double learn(Examples examples, double factor, Seed seed, IntConsumer complete) {
        Step step = step(examples, seed, true);
        HeadFunction.Scored scored = forward(examples, factor, step, complete);
        step.goBack();
        pad.release(START);
        return scored.loss();
    }

    /** What the model as it is gives. */
    public HeadFunction.Scored score(Examples examples) {
        HeadFunction.Scored scored = forward(examples, 1, step(examples, Seed.of(0), false), NOBODY);
        pad.release(START);
        return scored;
    }

    private HeadFunction.Scored forward(Examples examples, double factor, Step step, IntConsumer complete) {
        TracedResidual h = embedding.forward(examples, step);
        TracedResidual second = dual ? new TracedResidual(step, h.settled(), architecture.streamWidth()) : null;
        if (dual) {
            step.back(() -> step.add(second.gradient(), 1, h.gradient()));
        }
        if (watched && step.learning()) {
            entered.clear();
        }
        for (int l = 0; l < blocks.size(); l++) {
            if (watched && step.learning()) {
                entered.add(Entered.of(l, h.carried(h.settled()), team));
            }
            int block = l;
            step.back(() -> complete.accept(block)); // behind all that the block puts off
            if (recomputed && step.learning()) {
                twice(blocks.get(l), h, second, step);
            } else {
                blocks.get(l).forward(h, second, step);
            }
        }
        return head.forward(h, second, examples, factor, step);
    }

    /**
     * A block of which only the stream is kept that enters it: the backward pass computes the rest again, the same bits (activation
     * checkpointing, arXiv 1604.06174).
     */
    private static void twice(BlockFunction block, TracedResidual h, TracedResidual second, Step step) {
        TracedResidual.State entered = h.state();
        TracedResidual.State enteredSecond = second == null ? null : second.state();
        TracedResidual.State left = h.stateRoom();
        TracedResidual.State leftSecond = second == null ? null : second.stateRoom();
        Pad.Mark mark = step.pad().mark();
        step.forgetting(() -> block.forward(h, second, step));
        h.moveTo(left);
        if (second != null) {
            second.moveTo(leftSecond);
        }
        step.pad().release(mark);
        step.back(() -> {
            h.restore(entered);
            if (second != null) {
                second.restore(enteredSecond);
            }
            step.thereAndBack(() -> block.forward(h, second, step));
        });
    }

    private Step step(Examples examples, Seed seed, boolean learning) {
        int length = switch (examples) {
            case Examples.Tokens tokens -> tokens.length();
            case Examples.Images _ -> ((Embedding.Patches) architecture.embedding()).tokens();
        };
        Type wide = parameters.compute() == Type.F64 ? Type.F64 : Type.F32;
        return new Step(team, pad, parameters.compute(), wide, new Step.Sequences(examples.count(), length, rank, ranks), seed, learning);
    }

    @Override
    public void close() {
        pad.close();
        arena.close();
    }
}
