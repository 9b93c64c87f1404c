package isonorm.kernel;

import static isonorm.kernel.Lanes.FLOATS;
import static isonorm.kernel.Lanes.L;

import isonorm.architecture.Activation;
import java.util.EnumMap;
import java.util.Map;
import jdk.incubator.vector.FloatVector;

/** The vector twins of scales, biases and activations. */
final class VectorActivations {

    /** Changes the whole vectors that hold the first n values of a row. */
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

    private static final FloatVector ZERO = FloatVector.zero(FLOATS);
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

    /** The loop of a function whose results are stored as {@code type}, over the first values of a row. */
    static Loop<float[]> function(Activation activation, Type type) {
        return activation == Activation.GELU && type == Type.BF16 ? SHORT_GELU : FUNCTIONS.get(activation);
    }

    static void scaleRowsAddBias(Rows y, Values scales, Values bias) {
        int C = y.columns();
        float[] row = Lanes.room(C);
        float[] added = bias.present() ? Lanes.padded(bias, C, 0) : null;
        for (int r = 0; r < y.rows(); r++) {
            long address = y.address(r);
            Lanes.read(y.type(), address, C, row);
            scale(row, scales.present() ? (float) scales.get(r) : 1, added);
            Lanes.write(y.type(), address, C, row);
        }
    }

    static void activate(Rows x, Values scales, Values bias, Activation activation, Rows y) {
        int C = y.columns();
        float[] row = Lanes.room(C);
        float[] added = bias.present() ? Lanes.padded(bias, C, 0) : null;
        Loop<float[]> function = function(activation, y.type());
        for (int r = 0; r < y.rows(); r++) {
            Lanes.read(x.type(), x.address(r), C, row);
            scale(row, scales.present() ? (float) scales.get(r) : 1, added);
            function.run(row, C);
            Lanes.write(y.type(), y.address(r), C, row);
        }
    }

    static void gate(Rows gate, Rows up, Values scales, Values gateBias, Values upBias, Activation activation, Rows out) {
        int C = gate.columns();
        float[] g = Lanes.room(C);
        float[] u = Lanes.room(C);
        float[] gateAdded = gateBias.present() ? Lanes.padded(gateBias, C, 0) : null;
        float[] upAdded = upBias.present() ? Lanes.padded(upBias, C, 0) : null;
        Loop<float[]> function = function(activation, out.type());
        for (int r = 0; r < gate.rows(); r++) {
            float scale = scales.present() ? (float) scales.get(r) : 1;
            Lanes.read(gate.type(), gate.address(r), C, g);
            Lanes.read(up.type(), up.address(r), C, u);
            scale(g, scale, gateAdded);
            scale(u, scale, upAdded);
            function.run(g, C);
            for (int i = 0; i < g.length; i += L) {
                FloatVector.fromArray(FLOATS, g, i).mul(FloatVector.fromArray(FLOATS, u, i)).intoArray(g, i);
            }
            Lanes.write(out.type(), out.address(r), C, g);
        }
    }

    private static void scale(float[] row, float scale, float[] added) {
        if (added != null) {
            FloatVector factor = FloatVector.broadcast(FLOATS, scale);
            for (int i = 0; i < row.length; i += L) {
                FloatVector.fromArray(FLOATS, row, i).fma(factor, FloatVector.fromArray(FLOATS, added, i)).intoArray(row, i);
            }
        } else if (scale != 1) {
            for (int i = 0; i < row.length; i += L) {
                FloatVector.fromArray(FLOATS, row, i).mul(scale).intoArray(row, i);
            }
        }
    }

    /** {@code x Phi(x)}, from the tail {@code Phi(-|x|)}, so that nothing cancels where x is negative. */
    private static void gelu(float[] row, int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector x = FloatVector.fromArray(FLOATS, row, i);
            FloatVector tail = VectorMath.tail(x.abs());
            x.mul(VectorMath.ONE.sub(tail).blend(tail, x.lt(ZERO))).intoArray(row, i);
        }
    }

    private static void shortGelu(float[] row, int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector x = FloatVector.fromArray(FLOATS, row, i);
            FloatVector tail = VectorMath.shortTail(x.abs());
            x.mul(VectorMath.ONE.sub(tail).blend(tail, x.lt(ZERO))).intoArray(row, i);
        }
    }

    /** {@code (1 + tanh(u)) / 2 = sigmoid(2u)}. */
    private static void geluTanh(float[] row, int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector x = FloatVector.fromArray(FLOATS, row, i);
            FloatVector cubic = x.mul(x).fma(CUBIC, SLOPE).mul(x);
            x.mul(VectorMath.sigmoid(cubic)).intoArray(row, i);
        }
    }

    private static void quickGelu(float[] row, int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector x = FloatVector.fromArray(FLOATS, row, i);
            x.mul(VectorMath.sigmoid(x.mul(QUICK))).intoArray(row, i);
        }
    }

    private static void relu(float[] row, int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector.fromArray(FLOATS, row, i).max(ZERO).intoArray(row, i);
        }
    }

    private static void reluSquared(float[] row, int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector x = FloatVector.fromArray(FLOATS, row, i).max(ZERO);
            x.mul(x).intoArray(row, i);
        }
    }

    private static void silu(float[] row, int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector x = FloatVector.fromArray(FLOATS, row, i);
            x.mul(VectorMath.sigmoid(x)).intoArray(row, i);
        }
    }

    private static void tanh(float[] row, int n) {
        for (int i = 0; i < n; i += L) {
            VectorMath.tanh(FloatVector.fromArray(FLOATS, row, i)).intoArray(row, i);
        }
    }
}
