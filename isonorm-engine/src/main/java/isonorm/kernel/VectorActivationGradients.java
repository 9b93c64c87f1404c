package isonorm.kernel;

import static isonorm.kernel.Lanes.FLOATS;
import static isonorm.kernel.Lanes.L;

import isonorm.architecture.Activation;
import java.util.EnumMap;
import java.util.Map;
import jdk.incubator.vector.FloatVector;

/**
 * The vector twins of the backward passes through activations and gates.
 *
 * <p>{@code x sigmoid(u)} has the slope {@code s (1 + x u' (1 - s))}, with s = 1 / (1 + e) and 1 - s = e s for e = exp(-u), so that
 * nothing cancels; GELU has {@code Phi(x) + x phi(x)}, of one exponential too. Beyond where these are zero or one in float32, within
 * 1e-34, they stay what they are there, so that no product is of zero and infinity.
 */
final class VectorActivationGradients {

    /** One loop per function, as {@link VectorActivations} has. */
    private static final Map<Activation, Loop<VectorActivationGradients>> LOOPS = new EnumMap<>(Activation.class);

    /** To 13 bits, for what is rounded to 8. */
    private static final Map<Activation, Loop<VectorActivationGradients>> SHORT_LOOPS = new EnumMap<>(Activation.class);

    static {
        for (Activation activation : Activation.values()) {
            LOOPS.put(activation, Loop.of(switch (activation) {
                case GELU -> VectorActivationGradients::gelu;
                case GELU_TANH -> VectorActivationGradients::geluTanh;
                case QUICK_GELU -> VectorActivationGradients::quickGelu;
                case RELU -> VectorActivationGradients::relu;
                case RELU_SQUARED -> VectorActivationGradients::reluSquared;
                case SILU -> VectorActivationGradients::silu;
                case TANH -> VectorActivationGradients::tanh;
            }));
            SHORT_LOOPS.put(activation, switch (activation) {
                case GELU -> Loop.of(VectorActivationGradients::shortGelu);
                case GELU_TANH -> Loop.of(VectorActivationGradients::shortGeluTanh);
                case QUICK_GELU -> Loop.of(VectorActivationGradients::shortQuickGelu);
                case SILU -> Loop.of(VectorActivationGradients::shortSilu);
                case RELU, RELU_SQUARED, TANH -> LOOPS.get(activation);
            });
        }
    }

    private static final Loop<Gate> GATE = Loop.of(Gate::back);

    private static final FloatVector ZERO = FloatVector.zero(FLOATS);
    private static final FloatVector ONE = Lanes.all(1);
    private static final FloatVector MINUS_TWO = Lanes.all(-2);
    private static final FloatVector FOUR = Lanes.all(4);
    /** {@code 2 sqrt(2/pi)}, that times 0.044715, and three times that. */
    private static final FloatVector GELU_SLOPE = Lanes.all(1.5957691f);
    private static final FloatVector GELU_CUBIC = Lanes.all(0.07135481f);
    private static final FloatVector GELU_SQUARE = Lanes.all(0.21406444f);
    private static final FloatVector QUICK = Lanes.all(1.702f);
    /** {@code 1 / sqrt(2 pi)}. */
    private static final FloatVector PHI_0 = Lanes.all(0.3989423f);

    /** Where exponentials end: exp(87) is the last that is finite whole. */
    private static final FloatVector SILU_END = Lanes.all(87);
    private static final FloatVector QUICK_END = Lanes.all(51);
    private static final FloatVector GELU_TANH_END = Lanes.all(9.9f);
    private static final FloatVector GELU_END = Lanes.all(13.1f);
    private static final FloatVector TANH_END = Lanes.all(43);

    private final Loop<VectorActivationGradients> loop;
    private final int columns;
    private final float[] x;
    private final float[] slope;
    private final float[] value;

    /**
     * @param brief whether results are rounded to 8 bits
     */
    VectorActivationGradients(Activation activation, boolean brief, int columns) {
        this.loop = (brief ? SHORT_LOOPS : LOOPS).get(activation);
        this.columns = columns;
        this.x = Lanes.room(columns);
        this.slope = Lanes.room(columns);
        this.value = Lanes.room(columns);
    }

    /** What the activation is taken of. */
    float[] input() {
        return x;
    }

    /** Finds the activation and its derivative. */
    void differentiate() {
        loop.run(this, columns);
    }

    float[] slope() {
        return slope;
    }

    float[] value() {
        return value;
    }

    /** {@code out = activation(x + bias)}. */
    static void activate(Rows x, Values bias, Activation activation, Rows out) {
        int C = x.columns();
        float[] row = Lanes.room(C);
        float[] added = bias.present() ? Lanes.padded(bias, C, 0) : null;
        Loop<float[]> function = VectorActivations.function(activation, out.type());
        for (int r = 0; r < x.rows(); r++) {
            read(x, r, added, row);
            function.run(row, C);
            Lanes.write(out.type(), out.address(r), C, row);
        }
    }

    private static void read(Rows x, int r, float[] added, float[] row) {
        Lanes.read(x.type(), x.address(r), x.columns(), row);
        if (added != null) {
            VectorElements.add(added, row);
        }
    }

    static void activation(Rows x, Values bias, Activation activation, Rows dy, Rows dx, Rows biasSums) {
        int C = x.columns();
        VectorActivationGradients function = new VectorActivationGradients(activation, dx.type() == Type.BF16, C);
        float[] added = bias.present() ? Lanes.padded(bias, C, 0) : null;
        float[] d = Lanes.room(C);
        ColumnSums sums = ColumnSums.of(biasSums);
        for (int r = 0; r < x.rows(); r++) {
            read(x, r, added, function.x);
            function.differentiate();
            Lanes.read(dy.type(), dy.address(r), C, d);
            VectorElements.multiply(d, function.slope);
            write(d, dx, r, sums);
        }
        if (sums != null) {
            sums.addTo(biasSums);
        }
    }

    /** Writes a row and adds what was stored, which is in the nearest cache still, to the sums. */
    private static void write(float[] values, Rows into, int r, ColumnSums sums) {
        Lanes.write(into.type(), into.address(r), into.columns(), values);
        if (sums != null) {
            if (into.type() == Type.BF16) {
                Lanes.read(into.type(), into.address(r), into.columns(), values);
            }
            sums.add(values);
        }
    }

    /** Rows of a gate: what goes up, which becomes the gate's gradient, and dy, which becomes that of what goes up. */
    private record Gate(VectorActivationGradients function, float[] up, float[] d) {
        private float back(int n) {
            float[] slope = function.slope;
            float[] value = function.value;
            for (int i = 0; i < n; i += L) {
                FloatVector g = Lanes.floats(d, i);
                g.mul(Lanes.floats(up, i)).mul(Lanes.floats(slope, i)).intoArray(up, i);
                g.mul(Lanes.floats(value, i)).intoArray(d, i);
            }
            return 0;
        }
    }

    static void gate(Rows gate, Rows up, Values gateBias, Values upBias, Activation activation, Rows dy, Rows gateSums, Rows upSums) {
        int C = gate.columns();
        boolean brief = gate.type() == Type.BF16 && up.type() == Type.BF16;
        Gate row = new Gate(new VectorActivationGradients(activation, brief, C), Lanes.room(C), Lanes.room(C));
        float[] gateAdded = gateBias.present() ? Lanes.padded(gateBias, C, 0) : null;
        float[] upAdded = upBias.present() ? Lanes.padded(upBias, C, 0) : null;
        ColumnSums gates = ColumnSums.of(gateSums);
        ColumnSums ups = ColumnSums.of(upSums);
        for (int r = 0; r < gate.rows(); r++) {
            read(gate, r, gateAdded, row.function.x);
            row.function.differentiate();
            read(up, r, upAdded, row.up);
            Lanes.read(dy.type(), dy.address(r), C, row.d);
            GATE.run(row, C);
            write(row.up, gate, r, gates);
            write(row.d, up, r, ups);
        }
        if (gates != null) {
            gates.addTo(gateSums);
        }
        if (ups != null) {
            ups.addTo(upSums);
        }
    }

    private static FloatVector above(FloatVector x, FloatVector end) {
        FloatVector least = end.neg();
        return x.blend(least, x.lt(least));
    }

    private static FloatVector below(FloatVector x, FloatVector end) {
        return x.blend(end, end.lt(x));
    }

    private float gelu(int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector x = Lanes.floats(this.x, i);
            FloatVector a = x.abs();
            FloatVector bell = VectorMath.bell(a);
            FloatVector tail = bell.mul(VectorMath.tailOfBell(a));
            FloatVector phi = ONE.sub(tail).blend(tail, x.lt(ZERO));
            FloatVector inside = below(above(x, GELU_END), GELU_END);
            inside.fma(bell.mul(PHI_0), phi).intoArray(slope, i);
            x.mul(phi).intoArray(value, i);
        }
        return 0;
    }

    private float shortGelu(int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector x = Lanes.floats(this.x, i);
            FloatVector a = x.abs();
            FloatVector bell = VectorMath.shortBell(a);
            FloatVector tail = bell.mul(VectorMath.shortTailOfBell(a));
            FloatVector phi = ONE.sub(tail).blend(tail, x.lt(ZERO));
            FloatVector inside = below(above(x, GELU_END), GELU_END);
            inside.fma(bell.mul(PHI_0), phi).intoArray(slope, i);
            x.mul(phi).intoArray(value, i);
        }
        return 0;
    }

    private float geluTanh(int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector low = above(Lanes.floats(x, i), GELU_TANH_END);
            FloatVector z = below(low, GELU_TANH_END);
            FloatVector square = z.mul(z);
            FloatVector e = VectorMath.expInside(square.fma(GELU_CUBIC, GELU_SLOPE).mul(z).neg());
            FloatVector s = ONE.div(e.add(ONE));
            FloatVector change = square.fma(GELU_SQUARE, GELU_SLOPE).mul(z).mul(e.mul(s));
            change.fma(s, s).intoArray(slope, i);
            low.mul(s).intoArray(value, i);
        }
        return 0;
    }

    private float shortGeluTanh(int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector low = above(Lanes.floats(x, i), GELU_TANH_END);
            FloatVector z = below(low, GELU_TANH_END);
            FloatVector square = z.mul(z);
            FloatVector e = VectorMath.shortExpInside(square.fma(GELU_CUBIC, GELU_SLOPE).mul(z).neg());
            FloatVector s = ONE.div(e.add(ONE));
            FloatVector change = square.fma(GELU_SQUARE, GELU_SLOPE).mul(z).mul(e.mul(s));
            change.fma(s, s).intoArray(slope, i);
            low.mul(s).intoArray(value, i);
        }
        return 0;
    }

    private float quickGelu(int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector low = above(Lanes.floats(x, i), QUICK_END);
            FloatVector u = below(low, QUICK_END).mul(QUICK);
            FloatVector e = VectorMath.expInside(u.neg());
            FloatVector s = ONE.div(e.add(ONE));
            u.mul(e.mul(s)).fma(s, s).intoArray(slope, i);
            low.mul(s).intoArray(value, i);
        }
        return 0;
    }

    private float shortQuickGelu(int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector low = above(Lanes.floats(x, i), QUICK_END);
            FloatVector u = below(low, QUICK_END).mul(QUICK);
            FloatVector e = VectorMath.shortExpInside(u.neg());
            FloatVector s = ONE.div(e.add(ONE));
            u.mul(e.mul(s)).fma(s, s).intoArray(slope, i);
            low.mul(s).intoArray(value, i);
        }
        return 0;
    }

    private float silu(int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector low = above(Lanes.floats(x, i), SILU_END);
            FloatVector u = below(low, SILU_END);
            FloatVector e = VectorMath.expInside(u.neg());
            FloatVector s = ONE.div(e.add(ONE));
            u.mul(e.mul(s)).fma(s, s).intoArray(slope, i);
            low.mul(s).intoArray(value, i);
        }
        return 0;
    }

    private float shortSilu(int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector low = above(Lanes.floats(x, i), SILU_END);
            FloatVector u = below(low, SILU_END);
            FloatVector e = VectorMath.shortExpInside(u.neg());
            FloatVector s = ONE.div(e.add(ONE));
            u.mul(e.mul(s)).fma(s, s).intoArray(slope, i);
            low.mul(s).intoArray(value, i);
        }
        return 0;
    }

    private float relu(int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector x = Lanes.floats(this.x, i);
            ZERO.blend(ONE, ZERO.lt(x)).intoArray(slope, i);
            x.max(ZERO).intoArray(value, i);
        }
        return 0;
    }

    private float reluSquared(int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector x = Lanes.floats(this.x, i).max(ZERO);
            x.add(x).intoArray(slope, i);
            x.mul(x).intoArray(value, i);
        }
        return 0;
    }

    /** {@code 1 - tanh(x)² = 4 e / (1 + e)²} with e = exp(-2|x|), where the difference cancels; tanh itself is a loop of its own. */
    private float tanh(int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector x = Lanes.floats(this.x, i);
            FloatVector e = VectorMath.expInside(below(x.abs(), TANH_END).mul(MINUS_TWO));
            FloatVector r = ONE.div(e.add(ONE));
            e.mul(FOUR).mul(r.mul(r)).intoArray(slope, i);
        }
        System.arraycopy(this.x, 0, value, 0, n);
        return VectorActivations.function(Activation.TANH, Type.F32).run(value, n);
    }
}
