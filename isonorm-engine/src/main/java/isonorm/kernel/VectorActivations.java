package isonorm.kernel;

import static isonorm.kernel.Lanes.FLOATS;
import static isonorm.kernel.Lanes.L;

import isonorm.architecture.Activation;
import java.util.EnumMap;
import java.util.Map;
import jdk.incubator.vector.FloatVector;

/** The vector twins of scales, biases and activations. */
final class VectorActivations {

    /** Changes the whole vectors that hold the first n values of an array. */
    @FunctionalInterface
    private interface RowFunction {
        void apply(float[] row, int n);
    }

    /** One loop per function: a choice inside a loop would keep vectors from staying in registers. */
    private static final Map<Activation, Loop<float[]>> FUNCTIONS = new EnumMap<>(Activation.class);

    static {
        for (Activation activation : Activation.values()) {
            FUNCTIONS.put(activation, loop(switch (activation) {
                case GELU -> VectorActivations::gelu;
                case GELU_TANH -> VectorActivations::geluTanh;
                case QUICK_GELU -> VectorActivations::quickGelu;
                case RELU -> VectorActivations::relu;
                case RELU_SQUARED -> VectorActivations::reluSquared;
                case SILU -> VectorActivations::silu;
                case TANH -> VectorActivations::tanh;
            }));
        }
    }

    private static final Loop<float[]> SHORT_GELU = loop(VectorActivations::shortGelu);

    /** {@code 2 sqrt(2/pi)}, and that times 0.044715. */
    private static final FloatVector SLOPE = FloatVector.broadcast(FLOATS, 1.5957691f);
    private static final FloatVector CUBIC = FloatVector.broadcast(FLOATS, 0.07135481f);
    private static final FloatVector QUICK = FloatVector.broadcast(FLOATS, 1.702f);

    private VectorActivations() {}

    private static Loop<float[]> loop(RowFunction function) {
        return Loop.of((row, n) -> {
            function.apply(row, n);
            return 0;
        });
    }

    /** The loop of a function whose results are stored as {@code type}, over the first values of an array. */
    static Loop<float[]> function(Activation activation, Type type) {
        return activation == Activation.GELU && type == Type.BF16 ? SHORT_GELU : FUNCTIONS.get(activation);
    }

    static void scaleRowsAddBias(Rows y, Values scales, Values bias) {
        Strip strip = Strip.of(y, bias);
        for (int first = 0; first < y.rows(); first += strip.rows()) {
            int count = Math.min(strip.rows(), y.rows() - first);
            strip.read(y, first, count, scales);
            strip.write(y, first, count);
        }
    }

    static void activate(Rows x, Values scales, Values bias, Activation activation, Rows y) {
        Strip strip = Strip.of(x, bias);
        Loop<float[]> function = function(activation, y.type());
        for (int first = 0; first < x.rows(); first += strip.rows()) {
            int count = Math.min(strip.rows(), x.rows() - first);
            strip.read(x, first, count, scales);
            function.run(strip.values, strip.length(count));
            strip.write(y, first, count);
        }
    }

    static void gate(Rows gate, Rows up, Values scales, Values gateBias, Values upBias, Activation activation, Rows out) {
        Strip g = Strip.of(gate, gateBias);
        Strip u = Strip.of(up, upBias);
        Loop<float[]> function = function(activation, out.type());
        for (int first = 0; first < gate.rows(); first += g.rows()) {
            int count = Math.min(g.rows(), gate.rows() - first);
            g.read(gate, first, count, scales);
            u.read(up, first, count, scales);
            function.run(g.values, g.length(count));
            multiply(g.values, u.values, g.length(count));
            g.write(out, first, count);
        }
    }

    private static void multiply(float[] values, float[] factors, int n) {
        for (int i = 0; i < n; i += L) {
            Lanes.floats(values, i).mul(Lanes.floats(factors, i)).intoArray(values, i);
        }
    }

    private static void gelu(float[] row, int n) {
        for (int i = 0; i < n; i += L) {
            VectorMath.gelu(Lanes.floats(row, i)).intoArray(row, i);
        }
    }

    private static void shortGelu(float[] row, int n) {
        for (int i = 0; i < n; i += L) {
            VectorMath.shortGelu(Lanes.floats(row, i)).intoArray(row, i);
        }
    }

    /** {@code (1 + tanh(u)) / 2 = sigmoid(2u)}. */
    private static void geluTanh(float[] row, int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector x = Lanes.floats(row, i);
            FloatVector cubic = x.mul(x).fma(CUBIC, SLOPE).mul(x);
            VectorMath.gated(x, cubic).intoArray(row, i);
        }
    }

    private static void quickGelu(float[] row, int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector x = Lanes.floats(row, i);
            VectorMath.gated(x, x.mul(QUICK)).intoArray(row, i);
        }
    }

    private static void relu(float[] row, int n) {
        for (int i = 0; i < n; i += L) {
            VectorMath.relu(Lanes.floats(row, i)).intoArray(row, i);
        }
    }

    private static void reluSquared(float[] row, int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector x = VectorMath.relu(Lanes.floats(row, i));
            x.mul(x).intoArray(row, i);
        }
    }

    private static void silu(float[] row, int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector x = Lanes.floats(row, i);
            VectorMath.gated(x, x).intoArray(row, i);
        }
    }

    private static void tanh(float[] row, int n) {
        for (int i = 0; i < n; i += L) {
            VectorMath.tanh(Lanes.floats(row, i)).intoArray(row, i);
        }
    }
}
