package isonorm.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.EveryProcessor;
import isonorm.architecture.Activation;
import isonorm.architecture.NormKind;
import isonorm.architecture.Rotary;
import isonorm.kernel.Gradients.NormSums;
import isonorm.weights.Seed;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Rows of float16: what the other tests of kernels ask of types with more range. */
@EveryProcessor
class HalvesTest {

    /** Half a unit in the last place for a kernel's own rounding, and as much where float32 and float64 fall on two sides of a middle. */
    private static final double PLACE = 0x1p-10;

    /** The distance between the smallest numbers. */
    private static final double LEAST = 0x1p-24;

    /** One kernel on rows x, y and z, which it may change, and a row of sums. */
    private interface Kernel {
        void run(Kernels kernels, Gradients gradients, Rows x, Rows y, Rows z, Rows sums);
    }

    private static Map<String, Kernel> kernels(int columns) {
        Values values = Sample.values(columns, 3);
        Values none = Values.NONE;
        Map<String, Kernel> all = new LinkedHashMap<>();
        for (NormKind kind : new NormKind[] {NormKind.LAYER, NormKind.RMS}) {
            Normalization norm = Normalization.of(kind, 1e-3).withGain(values);
            all.put("norm " + kind, (k, _, x, y, _, _) -> k.norm(x, norm, y));
            all.put("sum and norm " + kind, (k, _, x, y, z, _) -> k.addNorm(x, y, values, norm, z));
            all.put("gradient of norm " + kind, (_, g, x, y, z, sums) -> g.norm(x, norm, y, z, new NormSums(sums, null)));
            all.put("added gradient of norm " + kind, (_, g, x, y, z, sums) -> g.addNorm(x, norm, y, z, new NormSums(sums, null)));
        }
        all.put("CRMS", (k, _, x, y, _, _) -> k.norm(x, Normalization.of(NormKind.CRMS, 1e-3), y));
        all.put("bias", (k, _, x, _, _, _) -> k.addBias(x, values));
        all.put("softmax", (k, _, x, y, _, _) -> k.softmax(x, Scoring.of(0.7), none, Reach.all(), y));
        all.put("gradient of softmax", (k, g, x, y, z, _) -> {
            k.softmax(x, Scoring.of(0.7), none, Reach.all(), y);
            g.softmax(y, null, Scoring.of(0.7), Reach.all(), z);
        });
        all.put("cross-entropy", (_, g, x, _, _, _) -> g.crossEntropy(x, new int[] {0, -1, columns - 1}, 3, new double[3]));
        all.put("activation", (_, g, x, y, _, _) -> g.activate(x, values, Activation.GELU, y));
        all.put("gradient of activation", (_, g, x, y, z, sums) -> g.activation(x, values, Activation.GELU, y, z, sums));
        all.put("gate", (k, _, x, y, z, _) -> k.gate(x, y, none, none, values, Activation.SILU, z));
        all.put("gradient of gate", (_, g, x, y, z, sums) -> g.gate(x, y, none, values, Activation.SILU, z, null, sums));
        all.put("gather", (k, _, x, y, _, _) -> k.gather(x, new int[] {2, 0, 2}, 1.7f, y));
        all.put("add", (_, g, x, y, _, _) -> g.add(x, 0.3, y));
        all.put("scale", (_, g, x, _, _, _) -> g.scale(x, 0.3));
        all.put("dropout", (_, g, x, _, _, _) -> g.dropout(x, 0.3, Seed.of(7), 1));
        all.put("column sums", (_, g, x, _, _, sums) -> g.addColumnSums(x, sums));
        all.put("columns", (_, g, x, y, _, _) -> g.multiplyColumns(x, values, y));
        all.put("gradient of columns", (_, g, x, y, _, sums) -> g.columnFactors(x, values, y, sums));
        if (columns % 2 == 0) {
            all.put("rotary", (k, _, x, _, _, _) -> {
                try (Arena arena = Arena.ofConfined()) {
                    k.rotary(x, 1, Turns.of(Rotary.of(columns, 10_000, Rotary.Pairing.HALVES), Type.F32, 8, arena), 2);
                }
            });
        }
        return all;
    }

    @Test
    void vectorsGiveWhatThePlainKernelsGive() {
        for (int columns : new int[] {2, 7, 16, 17, 33, 192}) {
            kernels(columns).forEach((name, kernel) -> {
                try (Arena arena = Arena.ofConfined()) {
                    Rows[] expected = rows(arena, columns);
                    Rows[] found = rows(arena, columns);
                    kernel.run(new PlainKernels(), new PlainGradients(), expected[0], expected[1], expected[2], expected[3]);
                    kernel.run(new VectorKernels(), new VectorGradients(), found[0], found[1], found[2], found[3]);
                    for (int i = 0; i < found.length; i++) {
                        for (int r = 0; r < found[i].rows(); r++) {
                            for (int c = 0; c < columns; c++) {
                                double value = expected[i].get(r, c);
                                double size = i == 3 ? Math.max(1, Math.abs(value)) : Math.abs(value); // sums are of values that were rounded
                                Sample.assertClose(value, found[i].get(r, c), 2 * PLACE * size + LEAST, name + " of " + columns);
                            }
                        }
                        if (!name.equals("CRMS")) { // which clears a free slot behind a row
                            Sample.assertGapsKept(found[i], columns, name);
                        }
                    }
                }
            });
        }
    }

    /** Three rows each of x, y and z, and one of sums. */
    private static Rows[] rows(Arena arena, int columns) {
        Rows[] rows = new Rows[4];
        for (int i = 0; i < 3; i++) {
            rows[i] = Sample.rows(arena, Type.F16, 3, columns, columns + (columns == 192 ? 0 : 3), i + 1);
        }
        rows[3] = Sample.rows(arena, Type.F32, 1, columns, columns, 9);
        return rows;
    }

    @Test
    void everyNumberIsReadAndWrittenAsItIs() {
        int all = 1 << 16;
        try (Arena arena = Arena.ofConfined()) {
            Rows halves = Rows.allocate(arena, Type.F16, 1, all, all);
            Rows floats = Rows.allocate(arena, Type.F32, 1, all, all);
            Rows again = Rows.allocate(arena, Type.F16, 1, all, all);
            for (int i = 0; i < all; i++) {
                halves.data().setAtIndex(ValueLayout.JAVA_SHORT, i, (short) i);
            }
            new VectorKernels().copy(halves, floats);
            new VectorGradients().add(floats, 1, zeros(again));
            for (int i = 0; i < all; i++) {
                float value = Float.float16ToFloat((short) i);
                assertEquals(value, (float) floats.get(0, i), "number " + i);
                assertEquals(value + 0f, (float) again.get(0, i), "number " + i);
            }
        }
    }

    private static Rows zeros(Rows rows) {
        rows.data().fill((byte) 0);
        return rows;
    }

    @Test
    void whatIsTooLargeIsInfinite() {
        try (Arena arena = Arena.ofConfined()) {
            for (int columns : new int[] {5, 40}) {
                Rows x = Sample.rows(arena, Type.F16, 2, columns, columns, 1, 60_000, 1);
                for (Gradients gradients : Sample.gradientTwins()) {
                    Rows y = Sample.copy(arena, x);
                    gradients.add(x, 1, y);
                    assertEquals(Double.POSITIVE_INFINITY, y.get(1, columns - 1));
                    assertTrue(Double.isInfinite(gradients.sumOfSquares(y)));
                }
            }
        }
    }
}
