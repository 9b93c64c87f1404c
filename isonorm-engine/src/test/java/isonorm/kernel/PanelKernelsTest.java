package isonorm.kernel;

import static isonorm.kernel.Sample.assertClose;
import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.EveryProcessor;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Matrices in panels: how they get there, and products with them, of both twins. */
@EveryProcessor
class PanelKernelsTest {

    /** Around pairs, steps of depth, blocks and spans. */
    private static final int[] INPUTS = {1, 2, 3, 15, 16, 17, 31, 32, 33, 127, 128, 129, 511, 512, 513, 1030};
    /** Around panels. */
    private static final int[] OUTPUTS = {1, 15, 63, 64, 65, 130};
    private static final int[] ROWS = {1, 2, 3, 4, 5, 6, 7, 8, 9, 17, 64};

    /** A sum of n products in float32, added one by one in spans of 512, relative to the sum of their sizes: more than was seen. */
    private static final double F32_SUM = 24 * Sample.F32;

    /** Normally distributed weights, with zeros behind them. */
    private static Panels panels(Arena arena, Type type, int inputs, int outputs, long seed, double mean, double size) {
        SplittableRandom random = new SplittableRandom(seed);
        Panels panels = Panels.allocate(arena, type, inputs, outputs);
        for (int o = 0; o < outputs; o++) {
            for (int i = 0; i < inputs; i++) {
                panels.set(i, o, size * (mean + random.nextGaussian()));
            }
        }
        return panels;
    }

    private static Panels panels(Arena arena, Type type, int inputs, int outputs, long seed) {
        return panels(arena, type, inputs, outputs, seed, 0, 1);
    }

    @ParameterizedTest
    @EnumSource(value = Type.class, names = {"F32", "BF16", "F16"})
    void anOutputsInputsAreCopiedAsTheyAre(Type type) {
        try (Arena arena = Arena.ofConfined()) {
            for (int inputs : INPUTS) {
                Panels panels = panels(arena, type, inputs, 130, inputs);
                Rows into = Rows.allocate(arena, type, 3, inputs, inputs + 2);
                for (int output : List.of(0, 1, 63, 64, 129)) {
                    panels.copyInputs(output, into, 1);
                    for (int i = 0; i < inputs; i++) {
                        assertEquals(panels.get(i, output), into.get(1, i), type + ", " + inputs + " inputs, " + output + ": " + i);
                        assertEquals(0, into.get(0, i) + into.get(2, i), "the rows beside it");
                    }
                }
            }
            Rows narrow = Rows.allocate(arena, type, 1, 3, 3);
            assertThrows(IllegalArgumentException.class, () -> panels(arena, type, 4, 1, 1).copyInputs(0, narrow, 0));
        }
    }

    private static void assertProduct(Rows x, Panels weights, Rows y, String what) {
        int K = x.columns();
        double[] column = new double[K];
        double[][] rows = new double[x.rows()][];
        for (int row = 0; row < rows.length; row++) {
            rows[row] = Sample.doubles(x, row);
        }
        for (int o = 0; o < weights.outputs(); o++) {
            for (int i = 0; i < K; i++) {
                column[i] = weights.get(i, o);
            }
            for (int row = 0; row < rows.length; row++) {
                double sum = 0;
                double size = 0;
                for (int i = 0; i < K; i++) {
                    double product = rows[row][i] * column[i];
                    sum += product;
                    size += Math.abs(product);
                }
                double smallest = y.type() == Type.BF16 ? 0x1p-133 : 64 * Float.MIN_VALUE; // there are no numbers below it
                assertClose(sum, y.get(row, o), (y.type() == Type.F64 ? 0x1p-50 : F32_SUM) * size + Sample.rounding(y.type(), sum) + smallest,
                        what + ", " + x + ", " + weights + ", " + y + ": " + row + ", " + o);
            }
        }
        Sample.assertGapsKept(y, y.columns(), what);
    }

    @ParameterizedTest
    @EnumSource(value = Type.class, names = "F64", mode = EnumSource.Mode.EXCLUDE)
    void productsOfEverySize(Type type) {
        try (Arena arena = Arena.ofConfined()) {
            for (int K : INPUTS) {
                for (int N : OUTPUTS) {
                    Panels weights = panels(arena, type, K, N, K + N);
                    for (int n : K > 500 && N > 65 ? new int[] {1, 2, 4, 9} : ROWS) {
                        Rows x = Sample.rows(arena, Type.F32, n, K, K + 3, 5);
                        Rows y = Sample.rows(arena, Type.F32, n, N, N + 2, 6);
                        for (Kernels kernels : Sample.twins()) {
                            kernels.product(x, weights, y);
                            assertProduct(x, weights, y, kernels.toString());
                        }
                    }
                }
            }
        }
    }

    @Test
    void productsOfEveryTypeAreRoundedOnce() {
        try (Arena arena = Arena.ofConfined()) {
            for (Type ofWeights : Sample.NARROW) {
                Panels weights = panels(arena, ofWeights, 77, 67, 1);
                for (Type ofX : Sample.NARROW) {
                    for (Type ofY : Sample.NARROW) {
                        for (int n : new int[] {1, 2, 4, 5}) {
                            Rows x = Sample.rows(arena, ofX, n, 77, 80, 2);
                            Rows y = Sample.rows(arena, ofY, n, 67, 70, 3);
                            Rows exact = Rows.allocate(arena, Type.F32, n, 67, 67);
                            Rows rounded = Rows.allocate(arena, ofY, n, 67, 67);
                            for (Kernels kernels : Sample.twins()) {
                                kernels.product(x, weights, y);
                                assertProduct(x, weights, y, kernels.toString());
                                if (kernels instanceof VectorKernels) { // the other has sums of float64 to round
                                    kernels.product(x, weights, exact);
                                    kernels.copy(exact, rounded);
                                    assertSame(rounded, 0, 0, y.slice(0, n), "rounded once");
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    @Test
    void plainProductsInFloat64() {
        try (Arena arena = Arena.ofConfined()) {
            for (int K : new int[] {1, 63, 64, 66, 131}) {
                Panels weights = panels(arena, Type.F64, K, 67, 1);
                Rows x = Sample.rows(arena, Type.F64, 5, K, K, 2);
                Rows y = Sample.rows(arena, Type.F64, 5, 67, 70, 3);
                new PlainKernels().product(x, weights, y);
                assertProduct(x, weights, y, "plain");
            }
        }
    }

    /** Large, tiny and subnormal weights and values count; a float16's own are widened in more than one way. */
    @ParameterizedTest
    @EnumSource(value = Type.class, names = "F64", mode = EnumSource.Mode.EXCLUDE)
    void numbersOfEverySize(Type type) {
        double[] sizes = type == Type.F16 ? new double[] {10000, 1, 6.2e-5, 6e-8} : new double[] {1e18, 1, 1e-20, 1e-39};
        try (Arena arena = Arena.ofConfined()) {
            for (double size : sizes) {
                Panels weights = panels(arena, type, 77, 67, 1, 0, size);
                for (double sizeOfX : new double[] {0, 1e-40, 1e-30, 1, 4e4, 1e5, 1e18}) {
                    for (int n : new int[] {1, 2, 5}) {
                        Rows x = Sample.rows(arena, Type.F32, n, 77, 77, 2, 0, sizeOfX);
                        Rows y = Rows.allocate(arena, Type.F32, n, 67, 67);
                        for (Kernels kernels : Sample.twins()) {
                            kernels.product(x, weights, y);
                            assertProduct(x, weights, y, kernels + " of " + size + " and " + sizeOfX);
                        }
                    }
                }
            }
        }
    }

    /** Sums of one sign, of which a long one loses more than a sum of sums. */
    @ParameterizedTest
    @EnumSource(value = Type.class, names = "F64", mode = EnumSource.Mode.EXCLUDE)
    void longSums(Type type) {
        try (Arena arena = Arena.ofConfined()) {
            Panels weights = panels(arena, type, 8 * 512 + 9, 3, 1, 30, 1);
            for (int n : new int[] {1, 2, 5}) {
                Rows x = Sample.rows(arena, Type.F32, n, weights.inputs(), weights.inputs(), 2, 30, 1);
                Rows y = Rows.allocate(arena, Type.F32, n, 3, 3);
                for (Kernels kernels : Sample.twins()) {
                    kernels.product(x, weights, y);
                    assertProduct(x, weights, y, kernels.toString());
                }
            }
        }
    }

    /** Sums near zero too, whose sign is kept, and rows that take the other way for float16. */
    @Test
    void rowsDependOnNothingElse() {
        try (Arena arena = Arena.ofConfined()) {
            for (Type type : Sample.NARROW) {
                for (int K : new int[] {1, 3, 63, 129, 1031}) {
                    Panels weights = panels(arena, type, K, 150, 7);
                    for (double size : new double[] {1, 1e-44, 1e6}) {
                        Rows x = Sample.rows(arena, Type.F32, 64, K, K + 1, 8, 0, size);
                        Rows all = Rows.allocate(arena, Type.F32, 64, 150, 150);
                        for (Kernels kernels : Sample.twins()) {
                            kernels.product(x, weights, all);
                            for (int n : new int[] {1, 2, 3, 4, 5, 17}) {
                                for (int first : new int[] {0, 11, 64 - n}) {
                                    Rows y = Rows.allocate(arena, Type.F32, n, 150, 150);
                                    kernels.product(x.slice(first, n), weights, y);
                                    assertSame(all, first, 0, y, kernels + " " + weights + ", " + n + " rows of " + size);
                                    Rows part = Rows.allocate(arena, Type.F32, n, 86, 86);
                                    kernels.product(x.slice(first, n), weights.outputs(64, 86), part);
                                    assertSame(all, first, 64, part, kernels + " " + weights + ", a part of its outputs");
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /** Weights of 16 bits give the bits that the same weights give in float32, whichever way they take. */
    @Test
    void widenedWeightsGiveTheSameBits() {
        try (Arena arena = Arena.ofConfined()) {
            for (Type type : new Type[] {Type.BF16, Type.F16}) {
                Panels weights = panels(arena, type, 1031, 66, 9);
                Panels widened = Panels.allocate(arena, Type.F32, 1031, 66);
                Kernels kernels = new VectorKernels();
                kernels.widen(weights, widened);
                for (int n : new int[] {1, 2, 4, 5}) {
                    Rows x = Sample.rows(arena, Type.F32, n, 1031, 1031, 8);
                    Rows a = Rows.allocate(arena, Type.F32, n, 66, 66);
                    Rows b = Rows.allocate(arena, Type.F32, n, 66, 66);
                    kernels.product(x, weights, a);
                    kernels.product(x, widened, b);
                    assertSame(a, 0, 0, b, n + " rows, " + type);
                }
            }
        }
    }

    private static void assertSame(Rows all, int firstRow, int firstColumn, Rows part, String what) {
        for (int r = 0; r < part.rows(); r++) {
            for (int c = 0; c < part.columns(); c++) {
                double expected = all.get(firstRow + r, firstColumn + c);
                double actual = part.get(r, c);
                int row = r;
                int column = c;
                assertTrue(Double.doubleToRawLongBits(expected) == Double.doubleToRawLongBits(actual),
                        () -> what + ": expected " + expected + ", got " + actual + " at " + row + ", " + column);
            }
        }
    }

    /** What is not there is not multiplied: infinity times a zero behind the inputs would be NaN. */
    @Test
    void infinityAndNaNStayInTheirRows() {
        try (Arena arena = Arena.ofConfined()) {
            for (Type type : Sample.NARROW) {
                for (int K : new int[] {1, 5, 33}) {
                    Panels weights = panels(arena, type, K, 65, 3);
                    for (int n : new int[] {1, 2, 4, 5}) {
                        Rows x = Sample.rows(arena, Type.F32, n, K, K, 4);
                        x.set(0, K - 1, Double.POSITIVE_INFINITY);
                        if (n > 1) {
                            x.set(1, 0, Double.NaN);
                        }
                        Rows y = Rows.allocate(arena, Type.F32, n, 65, 65);
                        for (Kernels kernels : Sample.twins()) {
                            kernels.product(x, weights, y);
                            for (int o = 0; o < 65; o++) {
                                assertEquals(Math.copySign(Double.POSITIVE_INFINITY, weights.get(K - 1, o)), y.get(0, o), kernels + " " + weights);
                                assertTrue(n < 2 || Double.isNaN(y.get(1, o)), kernels + " " + weights);
                                assertTrue(n < 3 || Double.isFinite(y.get(2, o)), kernels + " " + weights);
                            }
                        }
                    }
                }
            }
        }
    }

    /** In parts, into memory that was used, of every pair of types and both orientations. */
    @Test
    void packs() {
        try (Arena arena = Arena.ofConfined()) {
            for (Kernels kernels : Sample.twins()) {
                boolean plain = kernels instanceof PlainKernels;
                for (Type from : plain ? List.of(Type.values()) : Sample.NARROW) {
                    for (Type to : plain ? List.of(Type.values()) : Sample.NARROW) {
                        for (int K : new int[] {1, 2, 3, 16, 17, 31, 33, 513}) {
                            for (int N : new int[] {1, 15, 64, 65, 130}) {
                                assertPacks(kernels, arena, from, to, K, N, false);
                                assertPacks(kernels, arena, from, to, K, N, true);
                            }
                        }
                    }
                }
            }
        }
    }

    private static void assertPacks(Kernels kernels, Arena arena, Type from, Type to, int K, int N, boolean transposed) {
        Rows w = transposed ? Sample.rows(arena, from, N, K, K + 3, 1) : Sample.rows(arena, from, K, N, N + 3, 1);
        Panels panels = Panels.allocate(arena, to, K, N);
        panels.data().fill((byte) 0x5a);
        List<Integer> parts = new ArrayList<>(List.of(0));
        for (int end : new int[] {1, 7, 60, 66, 129}) {
            if (end < N) {
                parts.add(end);
            }
        }
        parts.add(N);
        for (int i = 0; i + 1 < parts.size(); i++) {
            int first = parts.get(i);
            int count = parts.get(i + 1) - first;
            kernels.pack(transposed ? w.slice(first, count) : w.sliceColumns(first, count), transposed, first, panels);
        }
        Rows rounded = Rows.allocate(arena, to, 1, 1, 1);
        for (int o = 0; o < panels.count() * Panels.WIDTH; o++) {
            for (int i = 0; i < panels.depth(); i++) {
                double expected = 0;
                if (o < N && i < K) {
                    rounded.set(0, 0, transposed ? w.get(o, i) : w.get(i, o));
                    expected = rounded.get(0, 0);
                }
                double actual = panels.get(i, o);
                int input = i;
                int output = o;
                assertTrue(expected == actual, () -> kernels + " " + w + (transposed ? " transposed" : "") + " to " + panels + ": " + input + ", "
                        + output + " is " + actual);
            }
        }
    }

    @Test
    void aPartLeavesTheOthersAlone() {
        try (Arena arena = Arena.ofConfined()) {
            for (Kernels kernels : Sample.twins()) {
                for (Type type : Sample.NARROW) {
                    for (boolean transposed : new boolean[] {false, true}) {
                        Panels panels = panels(arena, type, 35, 140, 1);
                        Panels before = panels(arena, type, 35, 140, 1);
                        Rows w = transposed ? Sample.rows(arena, type, 40, 35, 35, 2) : Sample.rows(arena, type, 35, 40, 40, 2);
                        kernels.pack(w, transposed, 50, panels);
                        for (int o = 0; o < 140; o++) {
                            for (int i = 0; i < 35; i++) {
                                double expected = o < 50 || o >= 90 ? before.get(i, o) : transposed ? w.get(o - 50, i) : w.get(i, o - 50);
                                assertEquals(expected, panels.get(i, o), kernels + " " + type);
                            }
                        }
                    }
                }
            }
        }
    }

    @Test
    void widens() {
        try (Arena arena = Arena.ofConfined()) {
            for (Kernels kernels : Sample.twins()) {
                for (Type type : new Type[] {Type.BF16, Type.F16}) {
                    for (double size : new double[] {1, 1e-5, 3e-7}) {
                        for (int K : new int[] {1, 16, 17, 33, 513}) {
                            Panels from = panels(arena, type, K, 67, K, 0, size);
                            Panels into = Panels.allocate(arena, Type.F32, K, 67);
                            into.data().fill((byte) 0x5a);
                            kernels.widen(from, into);
                            for (int o = 0; o < 128; o++) {
                                for (int i = 0; i < into.depth(); i++) {
                                    assertTrue(from.get(i, o) == into.get(i, o), kernels + " " + from + ": " + i + ", " + o);
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /** As the class says it, which other libraries rely on. */
    @Test
    void panelsAreLaidOutAsTheySay() {
        try (Arena arena = Arena.ofConfined()) {
            Rows w = Sample.rows(arena, Type.F32, 37, 70, 70, 1);
            Panels floats = Panels.allocate(arena, Type.F32, 37, 70);
            Panels brains = Panels.allocate(arena, Type.BF16, 37, 70);
            Kernels kernels = new VectorKernels();
            kernels.pack(w, false, 0, floats);
            kernels.pack(w, false, 0, brains);
            assertEquals(48, floats.depth());
            assertEquals(64, brains.depth());
            for (int o = 0; o < 70; o++) {
                for (int i = 0; i < 37; i++) {
                    assertEquals((float) w.get(i, o), floats.data().getAtIndex(ValueLayout.JAVA_FLOAT, (o / 64 * 48 + i) * 64L + o % 64));
                    int pair = brains.data().getAtIndex(ValueLayout.JAVA_INT, (o / 64 * 32 + i / 2) * 64L + o % 64);
                    assertEquals(brains.get(i, o), Float.intBitsToFloat(i % 2 == 0 ? pair << 16 : pair & 0xffff0000));
                }
            }
        }
    }

    @Test
    void refusesWhatDoesNotFit() {
        try (Arena arena = Arena.ofConfined()) {
            Rows x = Rows.allocate(arena, Type.F32, 2, 8, 8);
            Rows wide = Rows.allocate(arena, Type.F64, 2, 8, 8);
            Panels w = Panels.allocate(arena, Type.F32, 8, 8);
            Panels halves = Panels.allocate(arena, Type.F16, 8, 8);
            Panels doubles = Panels.allocate(arena, Type.F64, 8, 8);
            assertThrows(IllegalArgumentException.class, () -> w.outputs(8, 1));
            assertThrows(IllegalArgumentException.class, () -> w.outputs(0, 7));
            assertThrows(IllegalArgumentException.class, () -> new Panels(x.data(), Type.F32, 8, 8));
            for (Kernels kernels : Sample.twins()) {
                assertThrows(IllegalArgumentException.class, () -> kernels.product(x.slice(0, 1), w, x));
                assertThrows(IllegalArgumentException.class, () -> kernels.product(x.sliceColumns(0, 7), w, x));
                assertThrows(IllegalArgumentException.class, () -> kernels.product(x, w, x.sliceColumns(0, 7)));
                assertThrows(IllegalArgumentException.class, () -> kernels.product(wide, w, x));
                assertThrows(IllegalArgumentException.class, () -> kernels.product(x, doubles, x));
                assertThrows(IllegalArgumentException.class, () -> kernels.pack(x, true, 7, w));
                assertThrows(IllegalArgumentException.class, () -> kernels.pack(x, true, -1, w));
                assertThrows(IllegalArgumentException.class, () -> kernels.pack(x, false, 0, w));
                assertThrows(IllegalArgumentException.class, () -> kernels.widen(w, w));
                assertThrows(IllegalArgumentException.class, () -> kernels.widen(halves, halves));
            }
        }
    }
}
