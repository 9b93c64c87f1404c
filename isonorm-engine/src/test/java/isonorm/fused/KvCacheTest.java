package isonorm.fused;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import isonorm.EveryProcessor;
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
import isonorm.convert.Strategies;
import isonorm.model.Compute;
import isonorm.tensor.Products;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Sequences that begin alike. */
@EveryProcessor
class KvCacheTest {

    private static final int VOCABULARY = 31;
    private static final int CONTEXT = 640;

    /** One block sees all tokens before, one some of them; two heads share a key-value head whose width is not that of a panel. */
    private static Model model() {
        Norm norm = Norm.of(NormKind.LAYER, 1e-3, Affine.GAIN_AND_BIAS);
        Attention attention = Attention.of(4, 8).withKeyValueHeads(2).withRotary(Rotary.of(8, 10_000, Rotary.Pairing.HALVES));
        List<Block> blocks = List.of(attention, attention.withWindow(200)).stream()
                .map(each -> Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, each, Mlp.plain(48, Activation.GELU_TANH))).toList();
        return Strategies.random(Architecture.of("test", 32, CONTEXT, Embedding.Tokens.of(VOCABULARY, 32), blocks, Optional.of(norm), Output.Words.of(false)));
    }

    private static float[] read(FusedModel model, KvCache sequence, int[] tokens) {
        float[] logits = new float[VOCABULARY];
        model.advance(List.of(sequence), List.of(tokens), List.of(logits), List.of(Optional.empty()));
        return logits;
    }

    @ParameterizedTest
    @EnumSource(names = {"F32", "BF16"})
    void copiesShareFullPagesAndGoOnAsIfTheyHadReadAll(Compute compute) throws IOException {
        SplittableRandom random = new SplittableRandom(4);
        int[] tokens = random.ints(CONTEXT, 0, VOCABULARY).toArray();
        int[] other = random.ints(CONTEXT, 0, VOCABULARY).toArray();
        try (FusedModel model = FusedModel.load(model(), compute, 2); KvCache whole = model.start()) {
            float[] expected = read(model, whole, tokens);
            for (int common : new int[] {70, 512, 590}) {
                KvCache begun = model.start();
                read(model, begun, Arrays.copyOf(tokens, 600));
                try (KvCache copy = begun.copy(common)) {
                    assertEquals(common / KvCache.PAGE, copy.shared(), common + " tokens");
                    assertEquals(copy.shared(), begun.shared());
                    KvCache further = begun.copy(common);
                    read(model, begun, Arrays.copyOfRange(other, 600, 610));
                    read(model, further, Arrays.copyOfRange(other, common, common + 40)); // goes another way
                    begun.close();
                    further.close();
                    assertEquals(0, copy.shared(), "what was let go is nobody's");
                    for (int first = common; first < CONTEXT - 1; ) {
                        int count = Math.min(CONTEXT - 1 - first, 150);
                        read(model, copy, Arrays.copyOfRange(tokens, first, first + count));
                        first += count;
                    }
                    float[] given = read(model, copy, Arrays.copyOfRange(tokens, CONTEXT - 1, CONTEXT));
                    assertEquals(CONTEXT, copy.length());
                    if (Products.keepsRows()) {
                        assertArrayEquals(expected, given, common + " tokens in common");
                    } else {
                        assertArrayEquals(expected, given, compute == Compute.F32 ? 1e-3f : 0.1f);
                    }
                }
                assertThrows(IllegalStateException.class, () -> begun.copy(1));
            }
        }
    }

    /** Else sequences of one length would all be copied in the same step. */
    @Test
    void whatIsExpectedHasItsMemoryAtOnce() throws IOException {
        int[] tokens = new SplittableRandom(5).ints(CONTEXT, 0, VOCABULARY).toArray();
        try (FusedModel model = FusedModel.load(model(), Compute.F32, 1)) {
            for (int[] expectedAndRoom : new int[][] {{0, 128}, {100, 128}, {192, 192}, {200, 256}, {600, 512}, {100_000, 512}}) {
                try (KvCache sequence = model.start()) {
                    sequence.expect(expectedAndRoom[0]);
                    read(model, sequence, Arrays.copyOf(tokens, 70));
                    assertEquals(expectedAndRoom[1], sequence.room(), expectedAndRoom[0] + " are expected");
                }
            }
            try (KvCache sequence = model.start()) {
                sequence.expect(192);
                read(model, sequence, Arrays.copyOf(tokens, 70));
                try (KvCache copy = sequence.copy(64)) {
                    assertEquals(192, copy.room(), "of a copy too");
                }
            }
            try (KvCache sequence = model.start(); KvCache longer = model.start()) {
                float[] expected = read(model, sequence, Arrays.copyOf(tokens, 600));
                longer.expect(80);
                read(model, longer, Arrays.copyOf(tokens, 70));
                longer.expect(560);
                read(model, longer, Arrays.copyOfRange(tokens, 70, 513));
                assertEquals(512 + 64, longer.room());
                float[] given = read(model, longer, Arrays.copyOfRange(tokens, 513, 600));
                assertArrayEquals(expected, given, Products.keepsRows() ? 0 : 1e-3f);
            }
        }
    }
}
