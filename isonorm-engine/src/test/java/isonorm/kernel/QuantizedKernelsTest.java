package isonorm.kernel;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.EveryProcessor;
import isonorm.weights.Quantization;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Products with weights of few bits, of both twins. */
@EveryProcessor
class QuantizedKernelsTest {

    /** Around steps of 4 and 8, groups, blocks and spans. */
    private static final int[] INPUTS = {1, 7, 8, 33, 63, 64, 100, 257, 520};
    private static final int[] OUTPUTS = {1, 33, 64, 97};

    private static Quantization of(int bits, int inputs) {
        return new Quantization(bits, inputs % 2 == 0 ? 32 : 96); // a group that spans do not divide
    }

    private static QuantizedPanels weights(Arena arena, int bits, int inputs, int outputs) {
        SplittableRandom random = new SplittableRandom(31L * inputs + outputs);
        Quantization quantization = of(bits, inputs);
        QuantizedPanels panels = QuantizedPanels.allocate(arena, quantization, inputs, outputs);
        byte[] codes = new byte[inputs];
        short[] scales = new short[quantization.groups(inputs)];
        for (int output = 0; output < outputs; output++) {
            double[] values = random.doubles(inputs, -1, 1).toArray();
            quantization.round(values, 0, inputs, codes, 0, scales, 0);
            panels.set(output, codes, 0, scales, 0);
            for (int input = 0; input < inputs; input++) {
                requireEqual(codes[input] * Float.float16ToFloat(scales[input / quantization.group()]), panels.get(input, output), "as it was set");
            }
        }
        return panels;
    }

    private static Rows x(Arena arena, Type type, int rows, int inputs) {
        SplittableRandom random = new SplittableRandom(inputs);
        Rows x = Rows.allocate(arena, type, rows, inputs, inputs + 3);
        for (int r = 0; r < rows; r++) {
            for (int c = 0; c < inputs; c++) {
                x.set(r, c, random.nextGaussian());
            }
        }
        return x;
    }

    @ParameterizedTest
    @ValueSource(ints = {8, 4})
    void productsOfAnyNumberOfRowsAreThoseOfTheNumbersThatCodesStandForToTheLastBit(int bits) {
        for (int inputs : INPUTS) {
            for (int outputs : OUTPUTS) {
                try (Arena arena = Arena.ofConfined()) {
                    QuantizedPanels weights = weights(arena, bits, inputs, outputs);
                    Panels wide = Panels.allocate(arena, Type.F32, inputs, outputs);
                    for (int o = 0; o < outputs; o++) {
                        for (int i = 0; i < inputs; i++) {
                            wide.set(i, o, weights.get(i, o));
                        }
                    }
                    for (Summation summation : List.of(Summation.USUAL, new Summation(64, false), new Summation(Summation.WHOLE, false))) {
                        assertSame(weights.summed(summation), wide.summed(summation), x(arena, Type.F32, 5, inputs), bits + " bits, " + inputs + " x " + outputs);
                    }
                }
            }
        }
    }

    /** Each row by itself, some together, and parts of the outputs. */
    private static void assertSame(QuantizedPanels weights, Panels wide, Rows x, String what) {
        for (Kernels kernels : List.of(new PlainKernels(), Kernels.provider())) {
            try (Arena arena = Arena.ofConfined()) {
                Rows y = Rows.allocate(arena, Type.F32, x.rows(), wide.outputs(), wide.outputs());
                Rows expected = Rows.allocate(arena, Type.F32, x.rows(), wide.outputs(), wide.outputs());
                kernels.product(x, wide, expected);
                kernels.product(x, weights, y);
                assertEquals(expected, y, what);
                kernels.product(x.slice(1, 1), weights, y.slice(1, 1));
                assertEquals(expected, y, what + ", one row");
                if (wide.outputs() > 32) {
                    int rest = wide.outputs() - 32;
                    kernels.product(x.slice(2, 1), weights.outputs(32, rest), y.slice(2, 1).sliceColumns(32, rest));
                    kernels.product(x.slice(0, 2), weights.outputs(32, rest), y.slice(0, 2).sliceColumns(32, rest));
                    assertEquals(expected, y, what + ", a part");
                }
            }
        }
    }

    private static void requireEqual(double expected, double value, String what) {
        if (expected != value) {
            throw new AssertionError(what + ": " + expected + " became " + value);
        }
    }

    private static void assertEquals(Rows expected, Rows y, String what) {
        for (int r = 0; r < y.rows(); r++) {
            for (int c = 0; c < y.columns(); c++) {
                if (expected.get(r, c) != y.get(r, c)) {
                    throw new AssertionError(what + ": " + expected.get(r, c) + " became " + y.get(r, c) + " at " + r + ", " + c);
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {8, 4})
    void widenedTheyAreTheNumbersThatCodesStandForWithZerosBehind(int bits) {
        for (int inputs : INPUTS) {
            for (int outputs : OUTPUTS) {
                try (Arena arena = Arena.ofConfined()) {
                    QuantizedPanels weights = weights(arena, bits, inputs, outputs);
                    for (Kernels kernels : List.of(new PlainKernels(), Kernels.provider())) {
                        Panels wide = Panels.allocate(arena, Type.F32, inputs, outputs);
                        wide.data().fill((byte) 7);
                        kernels.widen(weights, wide);
                        for (int o = 0; o < wide.count() * Panels.WIDTH; o++) {
                            for (int i = 0; i < wide.depth(); i++) {
                                requireEqual(i < inputs && o < outputs ? weights.get(i, o) : 0, wide.get(i, o), bits + " bits, " + inputs + " x " + outputs);
                            }
                        }
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"F32", "BF16", "F16"})
    void rowsOfOtherTypesAreReadExactlyAndResultsRoundedOnce(Type type) {
        try (Arena arena = Arena.ofConfined()) {
            QuantizedPanels weights = weights(arena, 4, 100, 65);
            Rows x = x(arena, type, 1, 100);
            Rows wide = x(arena, Type.F32, 1, 100);
            Kernels.provider().copy(x, wide);
            Rows y = Rows.allocate(arena, type, 1, 65, 65);
            Rows sums = Rows.allocate(arena, Type.F32, 1, 65, 65);
            Rows rounded = Rows.allocate(arena, type, 1, 65, 65);
            Kernels.provider().product(x, weights, y);
            Kernels.provider().product(wide, weights, sums);
            Kernels.provider().copy(sums, rounded);
            assertEquals(rounded, y, type.name());
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {8, 4})
    void roundingLosesAtMostHalfAStepAndKeepsTheLargestValue(int bits) {
        Quantization quantization = Quantization.of(bits);
        SplittableRandom random = new SplittableRandom(1);
        double[] values = random.doubles(70, -1, 1).toArray();
        values[5] = 1.5;
        values[40] = 0x1p-30; // a group of it alone has no scale
        for (int i = 32; i < 64; i++) {
            values[i] = i == 40 ? values[i] : 0;
        }
        byte[] codes = new byte[70];
        short[] scales = new short[3];
        quantization.round(values, 0, 70, codes, 0, scales, 0);
        for (int i = 0; i < 70; i++) {
            double scale = Float.float16ToFloat(scales[i / 32]);
            double step = Math.abs(scale) * (1 + 0x1p-10 * (1 << bits)); // the largest code stands for a value that the scale's own rounding moves
            assertTrue(Math.abs(codes[i] * scale - values[i]) <= step * .5 + 0x1p-25, bits + " bits, " + i + ": " + codes[i] * scale + " for " + values[i]);
        }
        requireEqual(quantization.largest(), codes[5], "the largest");
        assertThrows(IllegalArgumentException.class, () -> new Quantization(3, 32));
        assertThrows(IllegalArgumentException.class, () -> new Quantization(4, 40));
    }
}
