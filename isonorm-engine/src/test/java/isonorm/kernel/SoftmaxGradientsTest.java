package isonorm.kernel;

import static isonorm.kernel.Sample.assertClose;
import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.EveryProcessor;
import java.lang.foreign.Arena;
import org.junit.jupiter.api.Test;

/** The backward passes through softmax and cross-entropy: the vector twin agrees with the plain one. */
@EveryProcessor
class SoftmaxGradientsTest {

    /** Of the sizes of the terms: a rounding each, and those of a sum of products; a softcap's slope has 4. */
    private static final double F32_GRADIENT = 12 * Sample.F32;

    private static final Gradients PLAIN = new PlainGradients();
    private static final Gradients VECTOR = new VectorGradients();

    @Test
    void softmax() {
        try (Arena arena = Arena.ofConfined()) {
            for (int keys : Sample.SIZES) {
                for (Type type : new Type[] {Type.F32, Type.BF16}) {
                    for (Type other : new Type[] {Type.F32, Type.BF16}) {
                        for (Scoring scoring : new Scoring[] {Scoring.of(0.125), Scoring.of(0.3).withSoftcap(5)}) {
                            assertSoftmax(arena, keys, type, other, scoring, Reach.all());
                            assertSoftmax(arena, keys, type, other, scoring, Reach.causal(Math.max(0, keys - 3), 5));
                            assertSoftmax(arena, keys, type, other, scoring, Reach.causal(keys / 2, 2).withWindow(1 + keys / 3));
                            assertSoftmax(arena, keys, type, other, scoring, Reach.causal(keys / 2, 3)); // a shorter row behind a longer
                            assertSoftmax(arena, keys, type, other, scoring, Reach.causal(keys + 2, 5).withWindow(2)); // the last see nothing
                        }
                    }
                }
            }
        }
    }

    private static void assertSoftmax(Arena arena, int keys, Type type, Type gradientType, Scoring scoring, Reach reach) {
        Rows products = Sample.rows(arena, type, 5, keys, keys + 1, keys, 0, 8);
        Rows p = Rows.allocate(arena, type, 5, keys, keys);
        new PlainKernels().softmax(products, scoring, Values.NONE, reach, p);
        Rows expected = Sample.rows(arena, gradientType, 5, keys, keys + 2, 3);
        for (int r = 0; r < 5; r++) {
            for (int key = 0; key < keys; key++) {
                if (key < reach.from(r, keys) || key >= reach.to(r, keys)) {
                    expected.set(r, key, Double.NaN); // must not count
                }
            }
        }
        Rows dp = Sample.copy(arena, expected);
        Rows actual = Sample.copy(arena, expected);
        Rows given = scoring.softcap() > 0 ? products : null;
        PLAIN.softmax(p, given, scoring, reach, expected);
        VECTOR.softmax(p, given, scoring, reach, actual);
        String what = keys + " keys " + type + " " + gradientType + " " + scoring + " " + reach;
        for (int r = 0; r < 5; r++) {
            double dot = 0;
            for (int key = reach.from(r, keys); key < reach.to(r, keys); key++) {
                dot += p.get(r, key) * Math.abs(dp.get(r, key));
            }
            for (int key = 0; key < keys; key++) {
                double value = expected.get(r, key);
                if (key < reach.from(r, keys) || key >= reach.to(r, keys)) {
                    assertEquals(0, value, what);
                    assertEquals(0, actual.get(r, key), what);
                } else {
                    double size = scoring.scale() * p.get(r, key) * (Math.abs(dp.get(r, key)) + dot);
                    assertClose(value, actual.get(r, key), F32_GRADIENT * size + 2 * Sample.rounding(gradientType, value), what);
                }
            }
        }
        Sample.assertGapsKept(actual, keys, what);
    }

    @Test
    void crossEntropy() {
        try (Arena arena = Arena.ofConfined()) {
            for (int columns : Sample.SIZES) {
                for (Type type : new Type[] {Type.F32, Type.BF16}) {
                    for (double spread : new double[] {1e-3, 1, 30, 1e4}) {
                        for (double mean : new double[] {0, 1e4}) {
                            assertCrossEntropy(arena, columns, type, mean, spread);
                        }
                    }
                }
            }
        }
    }

    private static void assertCrossEntropy(Arena arena, int columns, Type type, double mean, double spread) {
        int[] targets = {0, columns - 1, -1, columns / 2};
        Rows expected = Sample.rows(arena, type, 4, columns, columns + 2, 3, mean, spread);
        Rows before = Sample.copy(arena, expected);
        Rows actual = Sample.copy(arena, expected);
        double[] expectedLosses = {7, 7, 7, 7};
        double[] actualLosses = {7, 7, 7, 7};
        PLAIN.crossEntropy(expected, targets, 0.7, expectedLosses);
        VECTOR.crossEntropy(actual, targets, 0.7, actualLosses);
        String what = columns + " " + type + " mean " + mean + " spread " + spread;
        for (int r = 0; r < 4; r++) {
            double largest = Double.NEGATIVE_INFINITY;
            for (int c = 0; c < columns; c++) {
                largest = Math.max(largest, before.get(r, c));
            }
            // What counts in a sum of exponentials is within some 20 of the largest; its difference to that is rounded.
            assertClose(expectedLosses[r], actualLosses[r], 20 * Sample.LANES * Sample.F32, what + " loss");
            for (int c = 0; c < columns; c++) {
                double value = expected.get(r, c);
                double far = Math.min(90, largest - before.get(r, c));
                // The sum has up to 64 additions of one size a lane, whose roundings can lean to one side.
                double tolerance = (12 * Sample.LANES + far) * Sample.F32 * (Math.abs(value) + 0.7e-5) + 2 * Sample.rounding(type, value)
                        + (c == targets[r] ? 0.7 * 4 * Sample.F32 : 0);
                assertClose(value, actual.get(r, c), tolerance, what + " column " + c);
            }
        }
        assertEquals(0, expectedLosses[2]);
        assertEquals(0, actualLosses[2]);
        Sample.assertGapsKept(actual, columns, what);
    }

    /** Where the target's logit is far above all others the loss is as small as a rounding, and never below zero. */
    @Test
    void smallLosses() {
        try (Arena arena = Arena.ofConfined()) {
            for (Gradients gradients : Sample.gradientTwins()) {
                for (Type type : new Type[] {Type.F32, Type.BF16}) {
                    for (double logit : new double[] {8, 16, 30}) {
                        Rows logits = Rows.allocate(arena, type, 1, 64, 64);
                        logits.set(0, 5, logit);
                        double[] losses = new double[1];
                        gradients.crossEntropy(logits, new int[] {5}, 1, losses);
                        assertTrue(losses[0] >= 0);
                        assertClose(Math.log1p(63 * Math.exp(-logit)), losses[0], 8 * Sample.F32, "loss");
                    }
                }
            }
        }
    }

    /** A token that is ruled out has no share. */
    @Test
    void minusInfinity() {
        try (Arena arena = Arena.ofConfined()) {
            for (Gradients gradients : Sample.gradientTwins()) {
                Rows logits = Rows.allocate(arena, Type.F32, 1, 40, 40);
                for (int c = 20; c < 40; c++) {
                    logits.set(0, c, Double.NEGATIVE_INFINITY);
                }
                double[] losses = new double[1];
                gradients.crossEntropy(logits, new int[] {3}, 1, losses);
                assertEquals(Math.log(20), losses[0], 1e-6);
                for (int c = 0; c < 40; c++) {
                    assertEquals(c == 3 ? -0.95 : c < 20 ? 0.05 : 0, logits.get(0, c), 1e-7);
                }
            }
        }
    }

    @Test
    void refusesWhatDoesNotFit() {
        try (Arena arena = Arena.ofConfined()) {
            Rows p = Rows.allocate(arena, Type.F32, 2, 8, 8);
            for (Gradients gradients : Sample.gradientTwins()) {
                assertThrows(IllegalArgumentException.class, () -> gradients.softmax(p, null, Scoring.of(1), Reach.all(), p.slice(0, 1)));
                assertThrows(IllegalArgumentException.class, () -> gradients.softmax(p, null, Scoring.of(1).withSoftcap(3), Reach.all(), p));
                assertThrows(IllegalArgumentException.class, () -> gradients.crossEntropy(p, new int[] {0, 8}, 1, new double[2]));
                assertThrows(IllegalArgumentException.class, () -> gradients.crossEntropy(p, new int[1], 1, new double[2]));
            }
        }
    }
}
