package isonorm.backpropagation;

import isonorm.architecture.Architecture;
import isonorm.architecture.Bases;
import isonorm.architecture.Embedding;
import isonorm.architecture.Stream;
import isonorm.kernel.Profile;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.tensor.Pad;
import isonorm.tensor.Team;
import isonorm.weights.Seed;
import java.lang.foreign.Arena;
import java.util.ArrayList;
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

    /**
     * The stream in front of a block, or behind the last: as {@link isonorm.depth.Depth} has it, over all tokens and dimensions, and of a compressed
     * stream with the value that it implies.
     *
     * @param block its number; the number of blocks for what is behind the last
     * @param mean over all values
     * @param largest the largest magnitude
     * @param beyond how many magnitudes are above the largest number of float16, 65504
     * @param values how many there are
     */
    public record Entered(int block, double mean, double variance, double largest, long beyond, long values) {

        private static final int TOGETHER = 64;

        private static Entered of(int block, Rows h, boolean implied, Team team) {
            Sums[] parts = new Sums[Math.ceilDiv(h.rows(), TOGETHER)];
            team.each(parts.length, part -> {
                parts[part] = new Sums();
                for (int r = part * TOGETHER; r < Math.min(h.rows(), (part + 1) * TOGETHER); r++) {
                    double sum = 0;
                    for (int c = 0; c < h.columns(); c++) {
                        sum += h.get(r, c);
                        parts[part].add(h.get(r, c));
                    }
                    if (implied) {
                        parts[part].add(-sum);
                    }
                }
            });
            Sums all = new Sums();
            for (Sums part : parts) {
                all.add(part);
            }
            double mean = all.sum / all.count;
            return new Entered(block, mean, Math.max(0, all.squares / all.count - mean * mean), all.largest, all.beyond, all.count);
        }

        /** What is added up of some values. */
        private static final class Sums {
            private long count;
            private double sum;
            private double squares;
            private double largest;
            private long beyond;

            void add(double value) {
                count++;
                sum += value;
                squares += value * value;
                largest = Math.max(largest, Math.abs(value));
                beyond += Math.abs(value) > Profile.Limit.FP16.largest() ? 1 : 0;
            }

            void add(Sums other) {
                count += other.count;
                sum += other.sum;
                squares += other.squares;
                largest = Math.max(largest, other.largest);
                beyond += other.beyond;
            }
        }
    }

    public Network(Architecture architecture, Parameters parameters, Scales scales, Team team) {
        if (architecture.companion().isPresent()) {
            throw new IllegalArgumentException("models of one stack are trained, this one has an " + architecture.companion().get().stack().label()
                    + " stack beside its main one");
        }
        if (!architecture.bases().equals(Bases.ONE)) {
            throw new IllegalArgumentException("a stream is trained in one basis, this one is led to others by matrices; take the model that it was rotated from");
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

    /** Whether {@link #learn} measures the stream in front of every block and behind the last. */
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

    /** What the last one that did saw, one more than there are blocks. */
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
        boolean measured = watched && step.learning();
        if (measured) {
            entered.clear();
        }
        for (int l = 0; l < blocks.size(); l++) {
            if (measured) {
                measure(l, h);
            }
            int block = l;
            step.back(() -> complete.accept(block)); // behind all that the block puts off
            if (recomputed && step.learning()) {
                twice(blocks.get(l), h, second, step);
            } else {
                blocks.get(l).forward(h, second, step);
            }
        }
        if (measured) {
            measure(blocks.size(), h);
        }
        return head.forward(h, second, examples, factor, step);
    }

    private void measure(int block, TracedResidual h) {
        entered.add(Entered.of(block, h.carried(h.settled()), architecture.stream() == Stream.COMPRESSED, team));
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
