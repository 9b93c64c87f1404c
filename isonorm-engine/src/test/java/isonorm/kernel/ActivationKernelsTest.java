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

/** Scales, biases, activations and gates of both twins against the definitions, written here once more in float64. */
@EveryProcessor
class ActivationKernelsTest {

    /**
     * Errors in the argument, a rounding or two of it, come out multiplied by at most the slope 1.13 and relative to the size of the
     * argument; the functions themselves are within 4 roundings.
     */
    private static final double F32_ACTIVATION = 8 * Sample.F32;
    /** Results that are rounded to 8 bits are computed to 13. */
    private static final double SHORT_ACTIVATION = 0x1p-13;

    @ParameterizedTest
    @EnumSource(Activation.class)
    void activationsAreTheirDefinitions(Activation activation) {
        try (Arena arena = Arena.ofConfined()) {
            for (Kernels kernels : Sample.twins()) {
                for (int columns : Sample.SIZES) {
                    for (Type type : new Type[] {Type.F32, Type.BF16}) {
                        for (boolean whole : new boolean[] {false, true}) {
                            Rows y = Sample.rows(arena, type, 3, columns, columns + 3, columns, 0, 3);
                            Rows before = Sample.copy(arena, y);
                            Values scales = whole ? Sample.values(3, 2) : Values.NONE;
                            Values bias = whole ? Sample.values(columns, 3) : Values.NONE;
                            kernels.activate(y, scales, bias, activation);
                            for (int row = 0; row < 3; row++) {
                                for (int c = 0; c < columns; c++) {
                                    double x = scaled(before, row, c, scales, bias);
                                    double size = 1 + Math.abs(x) * (activation == Activation.RELU_SQUARED ? Math.abs(x) : 1);
                                    double expected = activated(activation, x);
                                    assertClose(expected, y.get(row, c), (type == Type.F32 ? F32_ACTIVATION : SHORT_ACTIVATION) * size + Sample.rounding(type, expected),
                                            kernels + " " + activation + "(" + x + ")");
                                }
                            }
                            Sample.assertGapsKept(y, columns, activation.label());
                        }
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource(Activation.class)
    void float32IsRoundedOnceIntoAnotherType(Activation activation) {
        try (Arena arena = Arena.ofConfined()) {
            for (Kernels kernels : Sample.twins()) {
                for (Type type : new Type[] {Type.BF16, Type.F16}) {
                    Rows x = Sample.rows(arena, Type.F32, 3, 37, 40, 5, 0, 3);
                    Rows y = Sample.rows(arena, type, 3, 37, 39, 6);
                    Values bias = Sample.values(37, 3);
                    kernels.activate(x, Values.NONE, bias, activation, y);
                    for (int row = 0; row < 3; row++) {
                        for (int c = 0; c < 37; c++) {
                            double read = scaled(x, row, c, Values.NONE, bias);
                            double size = 1 + Math.abs(read) * (activation == Activation.RELU_SQUARED ? Math.abs(read) : 1);
                            double expected = activated(activation, read);
                            assertClose(expected, y.get(row, c), SHORT_ACTIVATION * size + Sample.rounding(type, expected),
                                    kernels + " " + activation + "(" + read + ") to " + type);
                        }
                    }
                    Sample.assertGapsKept(y, 37, activation.label());
                    assertThrows(IllegalArgumentException.class, () -> kernels.activate(x, Values.NONE, bias, activation, y.slice(0, 2)));
                }
            }
        }
    }

    /** Where x is very negative the result is tiny, not zero: its relative error stays small, as nothing cancels. */
    @Test
    void tailsKeepTheirDigits() {
        try (Arena arena = Arena.ofConfined()) {
            for (Kernels kernels : Sample.twins()) {
                for (Activation activation : new Activation[] {Activation.GELU, Activation.GELU_TANH, Activation.QUICK_GELU, Activation.SILU}) {
                    Rows y = Rows.allocate(arena, Type.F32, 1, 100, 100);
                    for (int c = 0; c < 100; c++) {
                        y.set(0, c, -c * 0.09);
                    }
                    Rows before = Sample.copy(arena, y);
                    kernels.activate(y, Values.NONE, Values.NONE, activation);
                    for (int c = 0; c < 100; c++) {
                        double expected = activated(activation, before.get(0, c));
                        // In the tail e^u stands, whose relative error is that of u, four roundings, times u, up to 68.
                        assertClose(expected, y.get(0, c), 4 * 68 * Sample.F32 * Math.abs(expected), activation + " at " + before.get(0, c));
                    }
                }
            }
        }
    }

    @Test
    void extremesStayNumbers() {
        float[] values = {1e18f, -1e18f, 3e38f, -3e38f, 1e-20f, -1e-20f, 1e-40f, 0f, 100f, -100f};
        try (Arena arena = Arena.ofConfined()) {
            for (Kernels kernels : Sample.twins()) {
                for (Activation activation : Activation.values()) {
                    for (Type type : new Type[] {Type.F32, Type.BF16}) {
                        Rows y = Rows.allocate(arena, type, 1, 20, 20);
                        for (int c = 0; c < 20; c++) {
                            y.set(0, c, values[c % values.length]);
                        }
                        Rows before = Sample.copy(arena, y);
                        kernels.activate(y, Values.NONE, Values.NONE, activation);
                        for (int c = 0; c < 20; c++) {
                            float x = (float) before.get(0, c);
                            float result = (float) y.get(0, c);
                            boolean square = activation == Activation.RELU_SQUARED;
                            assertTrue(square ? result >= 0 : Float.isFinite(result), activation + "(" + x + ") = " + result);
                            double expected = activated(activation, x);
                            if (Math.abs(expected) < 3e38) {
                                assertClose(expected, result, 0x1p-7 * Math.abs(expected) + 1e-37, activation + "(" + x + ")");
                            }
                        }
                    }
                }
            }
        }
    }

    @Test
    void scaledRowsAndBias() {
        try (Arena arena = Arena.ofConfined()) {
            for (Kernels kernels : Sample.twins()) {
                for (int columns : Sample.SIZES) {
                    for (Type type : new Type[] {Type.F32, Type.BF16}) {
                        for (int which = 0; which < 4; which++) {
                            Rows y = Sample.rows(arena, type, 3, columns, columns + 3, columns, 1e4, 1);
                            Rows before = Sample.copy(arena, y);
                            Values scales = which % 2 == 1 ? Sample.values(3, 2) : Values.NONE;
                            Values bias = which / 2 == 1 ? Sample.values(columns, 3) : Values.NONE;
                            if (which == 2) {
                                kernels.addBias(y, bias);
                            } else {
                                kernels.scaleRowsAddBias(y, scales, bias);
                            }
                            for (int row = 0; row < 3; row++) {
                                for (int c = 0; c < columns; c++) {
                                    double expected = scaled(before, row, c, scales, bias);
                                    assertClose(expected, y.get(row, c), Sample.rounding(type, expected) * (type == Type.F32 ? 1.01 : 1 + 0x1p-12),
                                            kernels + " " + columns);
                                }
                            }
                            Sample.assertGapsKept(y, columns, "bias");
                        }
                    }
                }
            }
        }
    }

    /** Gate and up beside each other in one matrix, as a fused projection leaves them, the result over the gate. */
    @Test
    void gates() {
        try (Arena arena = Arena.ofConfined()) {
            for (Kernels kernels : Sample.twins()) {
                for (int columns : Sample.SIZES) {
                    for (Type type : new Type[] {Type.F32, Type.BF16}) {
                        for (boolean whole : new boolean[] {false, true}) {
                            Rows both = Sample.rows(arena, type, 3, 2 * columns, 2 * columns + 1, columns);
                            Rows before = Sample.copy(arena, both);
                            Values scales = whole ? Sample.values(3, 2) : Values.NONE;
                            Values gateBias = whole ? Sample.values(columns, 3) : Values.NONE;
                            Values upBias = whole ? Sample.values(columns, 4) : Values.NONE;
                            Rows gate = both.sliceColumns(0, columns);
                            Rows up = both.sliceColumns(columns, columns);
                            kernels.gate(gate, up, scales, gateBias, upBias, Activation.SILU, gate);
                            for (int row = 0; row < 3; row++) {
                                for (int c = 0; c < columns; c++) {
                                    double g = scaled(before, row, c, scales, gateBias);
                                    double u = scaled(before.sliceColumns(columns, columns), row, c, scales, upBias);
                                    double expected = activated(Activation.SILU, g) * u;
                                    double size = (1 + Math.abs(g)) * (1 + Math.abs(u));
                                    assertClose(expected, both.get(row, c), (type == Type.F32 ? F32_ACTIVATION : SHORT_ACTIVATION) * size + Sample.rounding(type, expected), "gate");
                                    assertEquals(before.get(row, columns + c), both.get(row, columns + c));
                                }
                            }
                            Sample.assertGapsKept(both, 2 * columns, "gate");
                        }
                    }
                }
            }
        }
    }

    @Test
    void refusesWhatDoesNotFit() {
        try (Arena arena = Arena.ofConfined()) {
            Rows y = Rows.allocate(arena, Type.F32, 2, 8, 8);
            for (Kernels kernels : Sample.twins()) {
                assertThrows(IllegalArgumentException.class, () -> kernels.addBias(y, Values.room(7)));
                assertThrows(IllegalArgumentException.class, () -> kernels.scaleRowsAddBias(y, Values.room(3), Values.NONE));
                assertThrows(IllegalArgumentException.class, () -> kernels.activate(y, Values.NONE, Values.room(9), Activation.RELU));
                assertThrows(IllegalArgumentException.class, () -> kernels.gate(
                        y, y.sliceColumns(0, 7), Values.NONE, Values.NONE, Values.NONE, Activation.RELU, y));
            }
        }
    }

    private static double scaled(Rows y, int row, int column, Values scales, Values bias) {
        return y.get(row, column) * (scales.present() ? scales.get(row) : 1) + (bias.present() ? bias.get(column) : 0);
    }

    private static double activated(Activation activation, double x) {
        return switch (activation) {
            case GELU -> x * (x < 0 ? tail(-x) : 1 - tail(x));
            case GELU_TANH -> { // 1 + tanh(u) without its cancellation
                double u = Math.sqrt(2 / Math.PI) * (x + 0.044715 * Math.pow(x, 3));
                yield u < 0 ? x * Math.exp(2 * u) / (1 + Math.exp(2 * u)) : x / 2 * (1 + Math.tanh(u));
            }
            case QUICK_GELU -> x / (1 + Math.exp(-1.702 * x));
            case RELU -> x > 0 ? x : 0;
            case RELU_SQUARED -> x > 0 ? x * x : 0;
            case SILU -> x / (1 + Math.exp(-x));
            case TANH -> Math.tanh(x);
        };
    }

    /** The normal distribution's mass above x, by Simpson's rule: a second way to it. */
    private static double tail(double x) {
        if (x > 38) {
            return 0;
        }
        int steps = 256;
        double h = Math.min(8, 40 / (1 + x)) / steps; // what is farther out counts for less than 1e-15
        double sum = 0;
        for (int i = 0; i <= steps; i++) {
            double at = i * h;
            // phi(x + at) / phi(x)
            sum += Math.exp(-x * at - at * at / 2) * (i == 0 || i == steps ? 1 : i % 2 == 1 ? 4 : 2);
        }
        return Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI) * sum * h / 3;
    }
}
