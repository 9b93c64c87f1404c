package isonorm.train;

import isonorm.architecture.Activation;
import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.Rotary;
import isonorm.architecture.Wiring;
import isonorm.backpropagation.Examples;
import isonorm.backpropagation.Scales;
import isonorm.kernel.Type;
import isonorm.tensor.Team;
import isonorm.weights.Seed;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.function.IntConsumer;
import java.util.stream.IntStream;

/**
 * How long a step of training takes: forward, backward, clipping and AdamW, on random tokens.
 *
 * @param parameters how many values are trained
 * @param seconds of each step but the first ones, while which the JVM compiles
 * @param waited how many seconds of each it waited for other ranks; none where there are none
 * @param waitedForGradients how many of those for the sums of gradients, of which the backward pass hides a part
 */
public record StepTimes(long parameters, List<Double> seconds, List<Double> waited, List<Double> waitedForGradients) {

    /** What is trained: a GPT with learned positions and biases, or a Llama with rotary ones and a gated MLP; the head is not tied. */
    public enum Kind {
        GPT,
        LLAMA
    }

    /**
     * A decoder to measure.
     *
     * @param strategy its norms
     * @param steps how many are taken
     * @param warmup how many of them are not counted
     */
    public record Work(Kind kind, Strategy strategy, boolean bfloat16, int vocabulary, int length, int batch, int width, int blocks, int heads,
            int steps, int warmup, int threads) {

        private Architecture architecture() {
            Norm norm = Norm.of(NormKind.LAYER, 1e-5, Affine.GAIN_AND_BIAS);
            int each = width / heads;
            boolean gpt = kind == Kind.GPT;
            Attention attention = gpt ? Attention.of(heads, each)
                    : Attention.of(heads, each).withBiases(false, false).withRotary(Rotary.of(each, 10000, Rotary.Pairing.HALVES));
            Mlp mlp = gpt ? Mlp.plain(4 * width, Activation.GELU_TANH) : Mlp.gated((8 * width / 3 + 63) / 64 * 64, Activation.SILU);
            Embedding.Tokens embedding = Embedding.Tokens.of(vocabulary, width);
            Block block = Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, attention, mlp);
            return strategy.applied(Architecture.of("bench", width, length, gpt ? embedding.withPositions(length, 0, false) : embedding,
                    Collections.nCopies(blocks, block), Optional.of(norm), Output.Words.of(false)));
        }
    }

    /** Takes the steps. */
    public static StepTimes of(Work work, IntConsumer done) {
        return of(work, ProcessGroup.alone(), done);
    }

    /** The same of a group, each rank taking its rows of the batch. */
    public static StepTimes of(Work work, ProcessGroup group, IntConsumer done) {
        new Ranks(group).requireRows(work.batch);
        if (work.width % work.heads != 0) {
            throw new IllegalArgumentException("the width must be a multiple of the heads, got " + work.width + " and " + work.heads);
        }
        Architecture architecture = work.architecture();
        Type compute = work.bfloat16 ? Type.BF16 : Type.F32;
        Scales scales = work.strategy.scales(architecture);
        try (Team team = Team.of(work.threads);
                Learner learner = new Learner(architecture, work.strategy.running(), scales, new OptimizerRule.AdamW(0.9, 0.999, 1e-8, 0.01), Treatment.ALIKE,
                        Type.F32, compute, team, group)) {
            Beginning.of(work.strategy, architecture, 0.02, 0).fill(learner.parameters(), architecture, team);
            learner.begin();
            List<Examples> batch = List.of(random(work, group));
            List<Double> seconds = new ArrayList<>();
            List<Double> waited = new ArrayList<>();
            List<Double> waitedForGradients = new ArrayList<>();
            for (int step = 0; step < work.steps; step++) {
                learner.parallel().waited();
                learner.parallel().waitedForGradients();
                long begin = System.nanoTime();
                learner.step(batch, 1e-3, step + 1, 1, Seed.of(0));
                if (step >= work.warmup) {
                    seconds.add((System.nanoTime() - begin) / 1e9);
                    waited.add(learner.parallel().waited() / 1e9);
                    waitedForGradients.add(learner.parallel().waitedForGradients() / 1e9);
                }
                done.accept(step + 1);
            }
            boolean alone = group.size() == 1;
            return new StepTimes(learner.parameters().count(), seconds, alone ? List.of() : waited, alone ? List.of() : waitedForGradients);
        }
    }

    private static Examples random(Work work, ProcessGroup group) {
        SplittableRandom random = Seed.of(0).random();
        int[][] windows = new int[work.batch][work.length + 1];
        for (int[] window : windows) {
            Arrays.setAll(window, _ -> random.nextInt(work.vocabulary));
        }
        return Examples.Tokens.ofWindows(IntStream.iterate(group.rank(), row -> row < work.batch, row -> row + group.size()).mapToObj(row -> windows[row])
                .toArray(int[][]::new));
    }
}
