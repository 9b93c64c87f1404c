package isonorm.inference;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import isonorm.EveryProcessor;
import isonorm.Played;
import isonorm.architecture.Activation;
import isonorm.architecture.Affine;
import isonorm.architecture.Alibi;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
import isonorm.architecture.Experts;
import isonorm.architecture.LatentAttention;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.Rotary;
import isonorm.architecture.Routing;
import isonorm.architecture.Wiring;
import isonorm.convert.Strategies;
import isonorm.layer.Fixture;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.tensor.Products;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.SplittableRandom;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.UnaryOperator;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What a sequence gets depends on its own tokens alone: not on how they come, on what is computed beside them, nor on threads. */
class SameBitsTest {

    private static final int VOCABULARY = 31;
    private static final int THREADS = 6;
    private static final int[] PARTS = {20, 1, 1, 1, 7, 1, 1, 1, 7};
    private static final int WIDTH = 576;

    /** Attention on a model that is small, but larger than spans of sums, in inputs and in hidden values, and its head's width than a panel. */
    private static Model model(UnaryOperator<Attention> kind) {
        Attention attention = Attention.of(4, 96).withKeyValueHeads(2).withRotary(Rotary.of(96, 10_000, Rotary.Pairing.HALVES));
        Norm norm = Norm.of(NormKind.RMS, 1e-3, Affine.NONE);
        Block block = Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, kind.apply(attention.withBiases(false, true)), Mlp.gated(1100, Activation.GELU));
        Block other = Block.of(Placement.PERI, Wiring.SEQUENTIAL, Norm.of(NormKind.LAYER, 1e-3, Affine.GAIN_AND_BIAS), kind.apply(attention),
                Mlp.plain(80, Activation.GELU_TANH));
        return Strategies.random(Architecture.of("test", WIDTH, 640, Embedding.Tokens.of(VOCABULARY, WIDTH), List.of(block, other),
                Optional.of(norm), Output.Words.of(false)));
    }

    /** The same with experts, one MLP for all, latent attention and sinks. */
    private static Model experts() {
        Model model = model(UnaryOperator.identity());
        Routing grouped = Routing.softmax(3, true).withScores(new Routing.Scores.Sigmoid()).withGroups(new Routing.Groups(4, 2, 2)).withCorrection();
        List<Block> blocks = model.architecture().blocks();
        LatentAttention latent = new LatentAttention(3, OptionalInt.of(100), 70, 40, 64,
                new Attention.Scores(true, 0.1, OptionalInt.empty(), OptionalDouble.empty()), Rotary.of(16, 10_000, Rotary.Pairing.NEIGHBOURS),
                Norm.of(NormKind.RMS, 1e-3, Affine.GAIN), false, false);
        return Strategies.random(model.architecture().withBlocks(List.of(
                blocks.get(0).withMixer(((Attention) blocks.get(0).mixer()).withSinks()).withFeedForward(Experts.of(Mlp.gated(600, Activation.SILU), 6, Routing.softmax(2, true)).withShared(Mlp.gated(100, Activation.SILU), true)),
                blocks.get(1).withMixer(latent).withFeedForward(Experts.of(Mlp.plain(80, Activation.GELU_TANH), 8, grouped)))));
    }

    @ParameterizedTest
    @EnumSource(names = {"F32", "BF16", "F16"})
    void soAreThoseOfExpertsWhoeverIsBesideThemThere(Compute compute) throws IOException {
        assumeTrue(Products.keepsRows());
        try (Inference one = Inference.load(experts(), compute, 1); Inference two = Inference.load(experts(), compute, 2)) {
            int[] tokens = tokens(90, 1);
            float[] expected = inParts(one, tokens, 90);
            for (Inference inference : List.of(one, two)) {
                assertArrayEquals(expected, inParts(inference, tokens, 90), 0, compute + ", at once");
                assertArrayEquals(expected, inParts(inference, tokens, 1, 2, 5, 17, 64, 1), 0, compute + ", in parts");
                for (int others : new int[] {1, 4, 16}) {
                    assertArrayEquals(expected, beside(inference, tokens, others), 0, compute + ", beside " + others);
                }
            }
        }
    }

    /** Three kinds of attention in float32; of 16 bits, and on a processor that is played, each type takes another of them. */
    private static List<UnaryOperator<Attention>> kinds(Compute compute) {
        List<UnaryOperator<Attention>> all = List.of(UnaryOperator.identity(), attention -> attention.withWindow(70),
                attention -> attention.withAlibi(Alibi.AFTER_SCALE));
        List<UnaryOperator<Attention>> one = List.of(all.get(compute.ordinal() % all.size()));
        return compute == Compute.F32 ? Played.sample(all, one) : Played.sample(Boolean.getBoolean("isonorm.all") ? all : one, one);
    }

    private static int[] tokens(int length, long seed) {
        return new SplittableRandom(seed).ints(length, 0, VOCABULARY).toArray();
    }

    /** The logits behind tokens that come in parts. */
    private static float[] inParts(Inference inference, int[] tokens, int... parts) throws IOException {
        try (Sequence sequence = inference.start()) {
            float[] last = {};
            int at = 0;
            for (int part : parts) {
                int count = Math.min(part, tokens.length - at);
                last = inference.next(List.of(sequence), List.of(Arrays.copyOfRange(tokens, at, at + count))).getFirst().clone();
                at += count;
            }
            return last;
        }
    }

    @EveryProcessor
    @ParameterizedTest
    @EnumSource(names = {"F32", "BF16", "F16"})
    void logitsAreTheSameHoweverTokensComeAndWhateverIsBesideThem(Compute compute) throws IOException {
        assumeTrue(Products.keepsRows());
        for (UnaryOperator<Attention> kind : kinds(compute)) {
            Model model = model(kind);
            String what = compute + " " + model.architecture().blocks().getFirst().mixer();
            try (Inference one = Inference.load(model, compute, 1); Inference two = Inference.load(model, compute, 2)) {
                int[] tokens = tokens(90, 1);
                float[] expected = inParts(one, tokens, 90);
                for (Inference inference : List.of(one, two)) {
                    assertArrayEquals(expected, inParts(inference, tokens, 90), 0, what + ", at once");
                    assertArrayEquals(expected, inParts(inference, tokens, 1, 2, 5, 17, 64, 1), 0, what + ", in parts");
                    for (int others : new int[] {1, 4, 16}) {
                        assertArrayEquals(expected, beside(inference, tokens, others), 0, what + ", beside " + others);
                    }
                }
                int[] few = Arrays.copyOf(tokens, 20);
                assertArrayEquals(inParts(one, few, 20), inParts(two, few, IntStream.generate(() -> 1).limit(20).toArray()), 0, what + ", one by one");
            }
        }
    }

    @EveryProcessor
    @ParameterizedTest
    @EnumSource(names = {"F32", "BF16", "F16"})
    void soAreThoseOfLongTexts(Compute compute) throws IOException {
        assumeTrue(Products.keepsRows());
        for (UnaryOperator<Attention> kind : kinds(compute)) {
            try (Inference inference = Inference.load(model(kind), compute, 2)) {
                int[] tokens = tokens(600, 2);
                assertArrayEquals(inParts(inference, tokens, 600), inParts(inference, tokens, 500, 70, 1, 1, 3, 25), 0, compute.toString());
            }
        }
    }

    /** A prompt beside others, then the last token beside theirs. */
    private static float[] beside(Inference inference, int[] tokens, int others) throws IOException {
        List<Sequence> sequences = new ArrayList<>();
        List<int[]> prompts = new ArrayList<>();
        List<int[]> words = new ArrayList<>();
        try {
            for (int i = 0; i <= others; i++) {
                boolean own = i == others / 2;
                sequences.add(inference.start());
                prompts.add(own ? Arrays.copyOf(tokens, tokens.length - 1) : tokens(3 + 5 * i % 50, i));
                words.add(own ? new int[] {tokens[tokens.length - 1]} : new int[] {i});
            }
            inference.next(sequences, prompts);
            return inference.next(sequences, words).get(others / 2).clone();
        } finally {
            sequences.forEach(Sequence::close);
        }
    }

    /** Threads of a server, each with sequences of its own, some of them several at once, beside one that runs whole batches. */
    @EveryProcessor
    @Test
    void manyThreadsAtOnceGetWhatEachGetsAlone() throws Exception {
        assumeTrue(Products.keepsRows());
        try (Inference inference = Inference.load(model(UnaryOperator.identity()), Compute.F32, 2)) {
            List<float[]> alone = new ArrayList<>();
            for (int i = 0; i < THREADS; i++) {
                alone.add(inParts(inference, tokens(40, i), PARTS));
            }
            Batch batch = Batch.Tokens.of(Arrays.stream(tokens(50, 99)).asLongStream().toArray());
            try (ExecutorService threads = Executors.newFixedThreadPool(THREADS + 1)) {
                List<Future<float[]>> together = new ArrayList<>();
                for (int i = 0; i < THREADS; i++) {
                    int[] tokens = tokens(40, i);
                    together.add(threads.submit(() -> inParts(inference, tokens, PARTS)));
                }
                Future<?> batches = threads.submit(() -> {
                    for (int i = 0; i < 5; i++) {
                        inference.run(batch).close();
                    }
                    return null;
                });
                for (int i = 0; i < THREADS; i++) {
                    assertArrayEquals(alone.get(i), together.get(i).get(), 0, "thread " + i);
                }
                batches.get();
            }
        }
    }

    @Test
    void aSequenceIsContinuedByOneThreadAtATime() throws IOException {
        try (Inference inference = Inference.load(model(UnaryOperator.identity()), Compute.F32, 1); Sequence sequence = inference.start()) {
            sequence.begin();
            assertThrows(IllegalStateException.class, () -> inference.next(List.of(sequence), List.of(new int[] {1})));
            sequence.end();
            inference.next(List.of(sequence), List.of(new int[] {1}));
            assertThrows(IllegalArgumentException.class, () -> inference.next(List.of(sequence), List.of(new int[] {VOCABULARY})));
            inference.next(List.of(sequence), List.of(new int[] {1}));
        }
    }

    /** In a JVM of its own, where nothing is compiled at first: what is interpreted gives the bits of what is compiled. */
    @Test
    void theFirstPassGivesTheBitsOfTheHundredth() throws IOException, InterruptedException {
        Process process = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "@src/main/resources/isonorm/jvm.args", "-XX:+UseSerialGC", "-cp", System.getProperty("java.class.path"), SameBitsTest.class.getName())
                .redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes());
        assertEquals(0, process.waitFor(), output);
        assertTrue(output.endsWith("800 passes\n"), output);
    }

    public static void main(String[] arguments) throws IOException {
        Model model = Fixture.named("gpt2").model();
        int passes = 0;
        for (Compute compute : List.of(Compute.F32, Compute.BF16)) {
            for (int threads : new int[] {1, 2}) {
                for (int[] parts : new int[][] {{20}, {1, 1, 1}}) {
                    try (Inference inference = Inference.load(model, compute, threads)) {
                        float[] first = inParts(inference, tokens(20, 1), parts);
                        for (int pass = 0; pass < 100; pass++, passes++) {
                            assertArrayEquals(first, inParts(inference, tokens(20, 1), parts), 0, compute + ", " + threads + " threads, pass " + pass);
                        }
                    }
                }
            }
        }
        System.out.println(passes + " passes");
    }
}
