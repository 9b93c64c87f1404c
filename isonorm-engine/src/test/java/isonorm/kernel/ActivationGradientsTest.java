package isonorm.kernel;

import static isonorm.kernel.Sample.assertClose;
import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.EveryProcessor;
import isonorm.architecture.Activation;
import java.lang.foreign.Arena;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The backward passes through activations and gates: the vector twin agrees with the plain one. */
@EveryProcessor
class ActivationGradientsTest {

    /** A rounding or two of the argument times a second derivative of 2 at most, and 4 roundings of the functions themselves. */
    private static final double F32_SLOPE = 8 * Sample.F32;
    /** Results that are rounded to 8 bits are computed to 13. */
    private static final double SHORT_SLOPE = 0x1p-12;

    private static final Gradients PLAIN = new PlainGradients();
    private static final Gradients VECTOR = new VectorGradients();

    private static double part(Type type) {
        return type == Type.F32 ? F32_SLOPE : SHORT_SLOPE;
    }

    /** Sums that something has been added to before. */
    private static Rows sums(Arena arena, Type type, int columns) {
        Rows sums = Rows.allocate(arena, type, 1, columns, columns);
        for (int c = 0; c < columns; c++) {
            sums.set(0, c, c % 5 - 2);
        }
        return sums;
    }

    @ParameterizedTest
    @EnumSource(Activation.class)
    void activations(Activation activation) {
        try (Arena arena = Arena.ofConfined()) {
            for (int columns : Sample.SIZES) {
                for (Type type : new Type[] {Type.F32, Type.BF16}) {
                    for (boolean biased : new boolean[] {false, true}) {
                        Values bias = biased ? Sample.values(columns, 3) : Values.NONE;
                        Rows x = Sample.rows(arena, type, 3, columns, columns + 3, columns, 0, 3);
                        Rows dy = Sample.rows(arena, Type.F32, 3, columns, columns + 1, 7);
                        Rows expected = Sample.rows(arena, type, 3, columns, columns + 2, 8);
                        Rows actual = Sample.copy(arena, expected);
                        Rows expectedSums = biased ? sums(arena, Type.F64, columns) : null;
                        Rows actualSums = biased ? sums(arena, Type.F32, columns) : null;
                        PLAIN.activation(x, bias, activation, dy, expected, expectedSums);
                        VECTOR.activation(x, bias, activation, dy, actual, actualSums);
                        String what = activation + " of " + columns + " " + type;
                        for (int c = 0; c < columns; c++) {
                            double stored = 0;
                            double size = 2;
                            for (int r = 0; r < 3; r++) {
                                double value = expected.get(r, c);
                                double d = Math.abs(dy.get(r, c)) * (1 + Math.abs(x.get(r, c)));
                                assertClose(value, actual.get(r, c), part(type) * d + 2 * Sample.rounding(type, value), what);
                                stored += actual.get(r, c);
                                size += Math.abs(actual.get(r, c));
                            }
                            if (biased) {
                                assertClose(c % 5 - 2 + stored, actualSums.get(0, c), 4 * Sample.F32 * size, what + " bias");
                            }
                        }
                        Sample.assertGapsKept(actual, columns, what);
                        Rows over = Sample.copy(arena, x);
                        VECTOR.activation(over, bias, activation, dy, over, null);
                        Rows same = Sample.rows(arena, type, 3, columns, columns + 3, columns, 0, 3);
                        VECTOR.activation(x, bias, activation, dy, same, null);
                        assertEquals(-1, over.data().mismatch(same.data()), what + " in place");
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource(Activation.class)
    void gates(Activation activation) {
        try (Arena arena = Arena.ofConfined()) {
            for (int columns : Sample.SIZES) {
                for (Type type : new Type[] {Type.F32, Type.BF16}) {
                    for (boolean biased : new boolean[] {false, true}) {
                        Values gateBias = biased ? Sample.values(columns, 3) : Values.NONE;
                        Values upBias = biased ? Sample.values(columns, 4) : Values.NONE;
                        Rows both = Sample.rows(arena, type, 3, 2 * columns, 2 * columns + 1, columns);
                        Rows before = Sample.copy(arena, both);
                        Rows plain = Sample.copy(arena, both);
                        Rows dy = Sample.rows(arena, type, 3, columns, columns, 7);
                        Rows gateSums = biased ? sums(arena, Type.F32, columns) : null;
                        Rows upSums = biased ? sums(arena, Type.F64, columns) : null;
                        PLAIN.gate(plain.sliceColumns(0, columns), plain.sliceColumns(columns, columns), gateBias, upBias, activation, dy, null, null);
                        VECTOR.gate(both.sliceColumns(0, columns), both.sliceColumns(columns, columns), gateBias, upBias, activation, dy,
                                gateSums, upSums);
                        String what = "gate " + activation + " of " + columns + " " + type;
                        for (int c = 0; c < 2 * columns; c++) {
                            double stored = 0;
                            double size = 2;
                            for (int r = 0; r < 3; r++) {
                                double value = plain.get(r, c);
                                double g = 2 + Math.abs(before.get(r, c % columns)) + 3; // with its bias
                                double u = 2 + Math.abs(before.get(r, columns + c % columns)) + 3;
                                double d = Math.abs(dy.get(r, c % columns));
                                double factor = activation == Activation.RELU_SQUARED ? g : 1;
                                assertClose(value, both.get(r, c), part(type) * d * g * u * factor + 2 * Sample.rounding(type, value), what);
                                stored += both.get(r, c);
                                size += Math.abs(both.get(r, c));
                            }
                            if (biased) {
                                Rows sums = c < columns ? gateSums : upSums;
                                int at = c % columns;
                                assertClose(at % 5 - 2 + stored, sums.get(0, at), 4 * Sample.F32 * size, what + " bias");
                            }
                        }
                        Sample.assertGapsKept(both, 2 * columns, what);
                    }
                }
            }
        }
    }

    /** The derivative of what {@link Kernels#activate} gives; out of place it gives the same bits. */
    @Test
    void activateIsTheKernelOutOfPlace() {
        try (Arena arena = Arena.ofConfined()) {
            for (int columns : Sample.SIZES) {
                for (Type type : new Type[] {Type.F32, Type.BF16}) {
                    Values bias = Sample.values(columns, 3);
                    Rows x = Sample.rows(arena, type, 3, columns, columns, 1);
                    Rows y = Sample.rows(arena, type, 3, columns, columns + 2, 2);
                    VECTOR.activate(x, bias, Activation.GELU_TANH, y);
                    Rows plain = Rows.allocate(arena, type, 3, columns, columns);
                    PLAIN.activate(x, bias, Activation.GELU_TANH, plain);
                    new VectorKernels().activate(x, Values.NONE, bias, Activation.GELU_TANH);
                    for (int r = 0; r < 3; r++) {
                        for (int c = 0; c < columns; c++) {
                            assertEquals(x.get(r, c), y.get(r, c));
                            assertClose(plain.get(r, c), y.get(r, c), part(type) * 4 + 2 * Sample.rounding(type, plain.get(r, c)), "activate");
                        }
                    }
                    Sample.assertGapsKept(y, columns, "activate");
                }
            }
        }
    }

    /** Where x is very negative the slope is tiny, not zero: its relative error stays small, as nothing cancels. */
    @Test
    void tailsKeepTheirDigits() {
        try (Arena arena = Arena.ofConfined()) {
            for (Activation activation : new Activation[] {Activation.GELU, Activation.GELU_TANH, Activation.QUICK_GELU, Activation.SILU, Activation.TANH}) {
                Rows x = Rows.allocate(arena, Type.F32, 1, 100, 100);
                Rows dy = Rows.allocate(arena, Type.F32, 1, 100, 100);
                for (int c = 0; c < 100; c++) {
                    x.set(0, c, -2 - c * 0.07); // before, slopes go through zero
                    dy.set(0, c, 1);
                }
                Rows dx = Rows.allocate(arena, Type.F32, 1, 100, 100);
                VECTOR.activation(x, Values.NONE, activation, dy, dx, null);
                for (int c = 0; c < 100; c++) {
                    double expected = PlainGradients.slope(activation, x.get(0, c));
                    // As in the activations: e^u has the error of u, four roundings, times u, up to 68.
                    assertClose(expected, dx.get(0, c), 4 * 68 * Sample.F32 * Math.abs(expected), activation + " at " + x.get(0, c));
                }
            }
        }
    }

    @Test
    void extremesStayNumbers() {
        float[] values = {1e18f, -1e18f, 3e38f, -3e38f, 1e-20f, -1e-20f, 1e-40f, 0f, 100f, -100f};
        try (Arena arena = Arena.ofConfined()) {
            for (Gradients gradients : Sample.gradientTwins()) {
                for (Activation activation : Activation.values()) {
                    for (Type type : new Type[] {Type.F32, Type.BF16}) {
                        Rows x = Rows.allocate(arena, type, 1, 20, 20);
                        Rows dy = Rows.allocate(arena, type, 1, 20, 20);
                        Rows up = Rows.allocate(arena, type, 1, 20, 20);
                        for (int c = 0; c < 20; c++) {
                            x.set(0, c, values[c % values.length]);
                            dy.set(0, c, 1);
                            up.set(0, c, 1);
                        }
                        Rows dx = Rows.allocate(arena, type, 1, 20, 20);
                        Rows gate = Sample.copy(arena, x);
                        gradients.activation(x, Values.NONE, activation, dy, dx, null);
                        gradients.gate(gate, up, Values.NONE, Values.NONE, activation, dy, null, null);
                        for (int c = 0; c < 20; c++) {
                            double at = x.get(0, c);
                            double slope = PlainGradients.slope(activation, at);
                            double value = PlainKernels.activated(activation, at);
                            String what = activation + " of " + at;
                            assertTrue(Math.abs(slope) > 1e38 || Double.isFinite(dx.get(0, c)), what);
                            if (Math.abs(slope) < 3e38) {
                                assertClose(slope, dx.get(0, c), 0x1p-7 * Math.abs(slope) + 1e-33, what);
                                assertClose(slope, gate.get(0, c), 0x1p-7 * Math.abs(slope) + 1e-33, what);
                            }
                            if (Math.abs(value) < 3e38) {
                                assertClose(value, up.get(0, c), 0x1p-7 * Math.abs(value) + 1e-33, what);
                            }
                        }
                    }
                }
            }
        }
    }

    @Test
    void refusesWhatDoesNotFit() {
        try (Arena arena = Arena.ofConfined()) {
            Rows x = Rows.allocate(arena, Type.F32, 2, 8, 8);
            Rows narrow = x.sliceColumns(0, 7);
            Rows brainSums = Rows.allocate(arena, Type.BF16, 1, 8, 8);
            Rows wide = Rows.allocate(arena, Type.F64, 2, 8, 8);
            for (Gradients gradients : Sample.gradientTwins()) {
                assertThrows(IllegalArgumentException.class, () -> gradients.activation(x, Values.room(7), Activation.RELU, x, x, null));
                assertThrows(IllegalArgumentException.class, () -> gradients.activation(x, Values.NONE, Activation.RELU, narrow, x, null));
                assertThrows(IllegalArgumentException.class, () -> gradients.activation(x, Values.NONE, Activation.RELU, x, x, brainSums));
                assertThrows(IllegalArgumentException.class, () -> gradients.activate(x, Values.NONE, Activation.RELU, narrow));
                assertThrows(IllegalArgumentException.class, () -> gradients.gate(
                        x, narrow, Values.NONE, Values.NONE, Activation.RELU, x, null, null));
            }
            assertThrows(IllegalArgumentException.class, () -> VECTOR.activation(wide, Values.NONE, Activation.RELU, wide, wide, null));
        }
    }
}
