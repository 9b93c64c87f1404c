package isonorm.kernel;

import static isonorm.kernel.Sample.assertClose;
import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;

import isonorm.EveryProcessor;
import java.lang.foreign.Arena;
import org.junit.jupiter.api.Test;

/** Softmax of both twins against its definition in float64. */
@EveryProcessor
class SoftmaxKernelsTest {

    /**
     * A score of size s carries s roundings into the exponent, and so into the weight, relative to it; scores here reach 60, with
     * their biases. The sum adds a few.
     */
    private static final double F32_WEIGHT = 80 * Sample.F32;
    /** Results that are rounded to 8 bits are computed to 13. */
    private static final double SHORT_WEIGHT = 0x1p-13;

    @Test
    void weightsAreTheDefinition() {
        try (Arena arena = Arena.ofConfined()) {
            for (Kernels kernels : Sample.twins()) {
                for (int keys : Sample.SIZES) {
                    for (Type type : Sample.NARROW) {
                        for (Scoring scoring : new Scoring[] {Scoring.of(0.125), Scoring.of(0.3).withSoftcap(5)}) {
                            for (Values bias : new Values[] {Values.NONE, Sample.values(keys, 3)}) {
                                assertSoftmax(kernels, arena, keys, type, scoring, bias, Reach.all());
                                assertSoftmax(kernels, arena, keys, type, scoring, bias, Reach.causal(Math.max(0, keys - 3), 5));
                                assertSoftmax(kernels, arena, keys, type, scoring, bias, Reach.causal(keys / 2, 2).withWindow(1 + keys / 3));
                                assertSoftmax(kernels, arena, keys, type, scoring, bias, Reach.all().withWindow(3));
                            }
                        }
                    }
                }
            }
        }
    }

    private static void assertSoftmax(
            Kernels kernels, Arena arena, int keys, Type type, Scoring scoring, Values bias, Reach reach) {
        Rows scores = Sample.rows(arena, Type.F32, 5, keys, keys + 2, keys, 0, 30);
        // A bfloat16 row over the first half of its float32 row.
        Rows out = type == Type.F32 ? scores : Rows.of(scores.data(), type, 5, keys, 2 * (keys + 2));
        assertSoftmax(kernels, arena, scores, scoring, bias, reach, out);
        Rows brains = Sample.rows(arena, Type.BF16, 5, keys, keys + 2, keys, 0, 30);
        assertSoftmax(kernels, arena, brains, scoring, bias, reach, type == Type.BF16 ? brains : Rows.allocate(arena, type, 5, keys, keys));
    }

    private static void assertSoftmax(
            Kernels kernels, Arena arena, Rows scores, Scoring scoring, Values bias, Reach reach, Rows out) {
        int keys = scores.columns();
        Type type = out.type();
        Rows before = Sample.copy(arena, scores);
        kernels.softmax(scores, scoring, bias, reach, out);
        for (int row = 0; row < 5; row++) {
            long position = (long) reach.first() + row % reach.queries();
            double[] weights = new double[keys];
            double sum = 0;
            for (int key = 0; key < keys; key++) {
                boolean seen = (!reach.causal() || key <= position) && Math.abs(position - key) < reach.window();
                double score = before.get(row, key) * scoring.scale();
                score = scoring.softcap() > 0 ? scoring.softcap() * Math.tanh(score / scoring.softcap()) : score;
                weights[key] = seen ? Math.exp(score + (bias.present() ? bias.get(key) : 0)) : 0; // scores are small: no overflow
                sum += weights[key];
            }
            for (int key = 0; key < keys; key++) {
                // transformers: no key, equal weights
                double expected = sum == 0 ? 1.0 / keys : weights[key] / sum;
                assertClose(expected, out.get(row, key), (type == Type.F32 ? F32_WEIGHT : SHORT_WEIGHT) * expected + Sample.rounding(type, expected),
                        kernels + " " + type + " " + reach + " keys " + keys);
                if (weights[key] == 0 && sum > 0) {
                    assertEquals(0, out.get(row, key));
                }
            }
        }
    }

    /** Heads follow each other, each with the same positions. */
    @Test
    void positionsBeginAgain() {
        Reach reach = Reach.causal(2, 3);
        int[] to = {3, 4, 5, 3, 4, 5};
        for (int row = 0; row < 6; row++) {
            assertEquals(to[row], reach.to(row, 9));
            assertEquals(0, reach.from(row, 9));
            assertEquals(to[row] - 2, reach.withWindow(2).from(row, 9));
        }
        assertEquals(4, reach.to(5, 4));
        assertEquals(4, Reach.causal(100, 1).withWindow(2).from(0, 4)); // the window is behind the last key
    }

    @Test
    void hiddenKeysGetNothingAndRowsWithoutKeysAreEven() {
        try (Arena arena = Arena.ofConfined()) {
            for (Kernels kernels : Sample.twins()) {
                for (int keys : Sample.SIZES) {
                    Rows scores = Sample.rows(arena, Type.F32, 2, keys, keys, 5, 0, 1e3);
                    Values hidden = Sample.values(keys, 6);
                    for (int key = 0; key < keys; key++) {
                        hidden.set(key, key == keys / 2 ? 0 : Float.NEGATIVE_INFINITY);
                    }
                    kernels.softmax(scores.slice(0, 1), Scoring.of(1), hidden, Reach.all(), scores.slice(0, 1));
                    hidden.set(keys / 2, Float.NEGATIVE_INFINITY);
                    kernels.softmax(scores.slice(1, 1), Scoring.of(1), hidden, Reach.all(), scores.slice(1, 1));
                    for (int key = 0; key < keys; key++) {
                        assertEquals(key == keys / 2 ? 1 : 0, scores.get(0, key));
                        assertEquals(1f / keys, scores.get(1, key));
                    }
                }
            }
        }
    }

    /** Only differences of scores count, however large they are. */
    @Test
    void largeScores() {
        try (Arena arena = Arena.ofConfined()) {
            for (Kernels kernels : Sample.twins()) {
                Rows scores = Rows.allocate(arena, Type.F32, 1, 40, 40);
                for (int key = 0; key < 40; key++) {
                    scores.set(0, key, key < 20 ? 3e38 : -3e38);
                }
                kernels.softmax(scores, Scoring.of(1), Values.NONE, Reach.all(), scores);
                for (int key = 0; key < 40; key++) {
                    assertEquals(key < 20 ? 0.05f : 0, scores.get(0, key), 1e-8f);
                }
            }
        }
    }

    @Test
    void refusesWhatDoesNotFit() {
        try (Arena arena = Arena.ofConfined()) {
            Rows scores = Rows.allocate(arena, Type.F32, 2, 8, 8);
            for (Kernels kernels : Sample.twins()) {
                assertThrows(IllegalArgumentException.class, () -> kernels.softmax(scores, Scoring.of(1), Values.room(7), Reach.all(), scores));
            }
            assertThrows(IllegalArgumentException.class, () -> Scoring.of(1).withSoftcap(-1));
            assertThrows(IllegalArgumentException.class, () -> Reach.all().withWindow(0));
        }
    }
}
