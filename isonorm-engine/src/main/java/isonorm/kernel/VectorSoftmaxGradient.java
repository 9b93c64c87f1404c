package isonorm.kernel;

import static isonorm.kernel.Lanes.FLOATS;
import static isonorm.kernel.Lanes.L;

import isonorm.architecture.Activation;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;

/** The vector twin of the backward pass through softmax; of each row only what is reached is read. */
final class VectorSoftmaxGradient {

    private static final Loop<VectorSoftmaxGradient> DOT = Loop.of(VectorSoftmaxGradient::dot);
    private static final Loop<VectorSoftmaxGradient> GIVE = Loop.of(VectorSoftmaxGradient::give);

    private static final Loop<VectorSoftmaxGradient> BRAINS_DOT = Loop.of(VectorSoftmaxGradient::brainsDot);
    private static final Loop<VectorSoftmaxGradient> GIVE_BRAINS = Loop.of(VectorSoftmaxGradient::giveBrains);

    private final float[] p;
    private final float[] d;
    private float scale;
    private float dot;

    /** Where bfloat16 lies. */
    private long weights;
    private long gradient;

    private VectorSoftmaxGradient(int keys, float scale) {
        this.p = Lanes.room(keys);
        this.d = Lanes.room(keys);
        this.scale = scale;
    }

    static void softmax(Rows p, Rows products, Scoring scoring, Reach reach, Rows dp) {
        int T = p.columns();
        int size = dp.type().bytes();
        VectorSoftmaxGradient row = new VectorSoftmaxGradient(T, (float) scoring.scale());
        VectorActivationGradients tanh = scoring.softcap() > 0 ? new VectorActivationGradients(Activation.TANH, false, T) : null;
        boolean brains = p.type() == Type.BF16 && dp.type() == Type.BF16 && tanh == null;
        for (int r = 0; r < p.rows(); r++) {
            int from = reach.from(r, T);
            int seen = Math.max(0, reach.to(r, T) - from);
            long address = dp.address(r);
            if (brains && seen >= L) {
                row.weights = VectorElements.address(p, r, from);
                row.gradient = VectorElements.address(dp, r, from);
                row.dot = BRAINS_DOT.run(row, seen);
                GIVE_BRAINS.run(row, seen);
            } else if (seen > 0) {
                VectorElements.read(p, r, from, seen, row.p);
                VectorElements.read(dp, r, from, seen, row.d);
                row.dot = DOT.run(row, seen);
                if (tanh != null) {
                    VectorElements.read(products, r, from, seen, tanh.input());
                    VectorElements.times(tanh.input(), (float) (scoring.scale() / scoring.softcap()), tanh.input());
                    tanh.differentiate();
                    VectorElements.multiply(row.p, tanh.slope());
                }
                GIVE.run(row, seen);
                VectorElements.write(dp, r, from, seen, row.d);
            }
            Lanes.clear(dp.type(), address, from);
            Lanes.clear(dp.type(), address + (long) (from + seen) * size, T - from - seen);
        }
    }

    /** The same of bfloat16, read here: for short rows calls count. */
    private float brainsDot(int n) {
        Lanes.readBrains(weights, n, p);
        Lanes.readBrains(gradient, n, d);
        return dot(n);
    }

    private float giveBrains(int n) {
        give(n);
        Lanes.writeBrains(gradient, n, d);
        return 0;
    }

    private float dot(int n) {
        int whole = Lanes.whole(n);
        Arrays.fill(p, n, whole, 0);
        Arrays.fill(d, n, whole, 0);
        FloatVector a = FloatVector.zero(FLOATS);
        FloatVector b = a;
        int i = 0;
        for (; i <= whole - 2 * L; i += 2 * L) {
            a = Lanes.floats(p, i).fma(Lanes.floats(d, i), a);
            b = Lanes.floats(p, i + L).fma(Lanes.floats(d, i + L), b);
        }
        if (i < whole) {
            a = Lanes.floats(p, i).fma(Lanes.floats(d, i), a);
        }
        return Lanes.sum(Lanes.known(a).add(b));
    }

    private float give(int n) {
        FloatVector factor = Lanes.all(scale);
        FloatVector less = Lanes.all(dot);
        for (int i = 0; i < n; i += L) {
            Lanes.floats(d, i).sub(less).mul(factor).mul(Lanes.floats(p, i)).intoArray(d, i);
        }
        return 0;
    }
}
