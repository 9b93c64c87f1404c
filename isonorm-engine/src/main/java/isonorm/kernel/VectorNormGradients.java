package isonorm.kernel;

import static isonorm.kernel.Lanes.FLOATS;
import static isonorm.kernel.Lanes.L;

import isonorm.architecture.Activation;
import jdk.incubator.vector.FloatVector;

/**
 * The vector twins of the backward passes through norms: {@code dx = (g - a n - b) / r} for all of them, a and b being sums over the row. An
 * instance is at one row after the other; a row that {@link VectorNorms} cannot measure is left to the plain twin.
 */
final class VectorNormGradients {

    private static final Loop<VectorNormGradients> DOT = Loop.of(VectorNormGradients::dot);
    private static final Loop<VectorNormGradients> GAINED_DOT = Loop.of(VectorNormGradients::gainedDot);
    private static final Loop<VectorNormGradients> GIVE = Loop.of(VectorNormGradients::give);
    private static final Loop<VectorNormGradients> GIVE_MORE = Loop.of(VectorNormGradients::giveMore);
    private static final Loop<VectorNormGradients> BENT = Loop.of(VectorNormGradients::bent);

    private final Normalization norm;
    private final Rows dy;
    private final Rows dx;
    private final int C;
    private final VectorNorms statistics;

    /** The row, which becomes n, and dy, which becomes g. */
    private final float[] x;
    private final float[] d;
    /** What dx was before, and becomes. */
    private final float[] result;
    /** Null where there is no gain and none is asked for. */
    private final float[] gain;
    /** Where {@code dy * n} is added. */
    private final ColumnSums gains;
    private final ColumnSums biases;

    /** What {@link #dot} finds: the sums of g and of g n. */
    private float sum;
    private float dot;

    /** What {@link #give} takes: {@code dx = scale * g - times * n - less}. */
    private float scale;
    private float times;
    private float less;

    /** Of a DYNAMIC_TANH. */
    private VectorActivationGradients tanh;

    private VectorNormGradients(Rows x, Normalization norm, Rows dy, Rows dx, Gradients.NormSums sums) {
        this.norm = norm;
        this.dy = dy;
        this.dx = dx;
        this.C = x.columns();
        this.statistics = VectorNorms.statistics(x, norm.kind(), norm.epsilon());
        this.x = statistics.row();
        this.d = Lanes.room(C);
        this.result = Lanes.room(C);
        boolean gained = norm.gain().present() || sums.gain() != null;
        this.gain = gained ? Lanes.padded(norm.gain(), C, 1) : null;
        this.gains = gained ? new ColumnSums(C) : null;
        this.biases = sums.bias() != null ? new ColumnSums(C) : null;
    }

    /** {@code dx = J^T dy}, or {@code dx += J^T dy}. */
    static void norm(Rows x, Normalization norm, Rows dy, Rows dx, Gradients.NormSums sums, boolean adds) {
        VectorNormGradients back = new VectorNormGradients(x, norm, dy, dx, sums);
        for (int r = 0; r < x.rows(); r++) {
            if (back.statistics.measure(r)) {
                back.row(r, adds);
            } else {
                PlainGradients.normRow(x, r, norm, dy, dx, sums, adds);
            }
        }
        back.addSums(sums);
    }

    private void row(int r, boolean adds) {
        Lanes.read(dy.type(), dy.address(r), C, d);
        if (biases != null) {
            biases.add(d);
        }
        if (gain == null) {
            DOT.run(this, x.length);
        } else {
            GAINED_DOT.run(this, x.length);
            gains.next();
        }
        scale = statistics.scale();
        times = scale * (dot / (norm.kind().readsCompressed() ? C + 1 : C));
        less = switch (norm.kind()) {
            case RMS -> 0;
            case LAYER -> scale * (sum / C);
            case CRMS -> times * statistics.rowSum() * scale;
            case DYNAMIC_TANH -> throw new IllegalArgumentException("a DyT has no statistics, take addDynamicTanh");
        };
        give(r, adds);
        if (norm.kind().readsCompressed() && dx.stride() > C) {
            Lanes.set(dx.type(), dx.address(r) + (long) C * dx.type().bytes(), 0);
        }
    }

    private void give(int r, boolean adds) {
        if (adds) {
            Lanes.read(dx.type(), dx.address(r), C, result);
            GIVE_MORE.run(this, x.length);
        } else {
            GIVE.run(this, x.length);
        }
        Lanes.write(dx.type(), dx.address(r), C, result);
    }

    private void addSums(Gradients.NormSums sums) {
        if (sums.gain() != null) {
            gains.addTo(sums.gain());
        }
        if (sums.bias() != null) {
            biases.addTo(sums.bias());
        }
    }

    /** Makes x its n, of which the last vector may hold more than is; d is zero there. */
    private float dot(int n) {
        FloatVector first = Lanes.all(statistics.shift());
        FloatVector second = Lanes.all(statistics.correction());
        FloatVector factor = Lanes.all(statistics.scale());
        FloatVector sumA = FloatVector.zero(FLOATS);
        FloatVector sumB = FloatVector.zero(FLOATS);
        FloatVector dotA = FloatVector.zero(FLOATS);
        FloatVector dotB = FloatVector.zero(FLOATS);
        int i = 0;
        for (; i <= n - 2 * L; i += 2 * L) {
            FloatVector p = Lanes.floats(x, i).sub(first).sub(second).mul(factor);
            FloatVector q = Lanes.floats(x, i + L).sub(first).sub(second).mul(factor);
            FloatVector g = Lanes.floats(d, i);
            FloatVector h = Lanes.floats(d, i + L);
            sumA = g.add(sumA);
            sumB = h.add(sumB);
            dotA = p.fma(g, dotA);
            dotB = q.fma(h, dotB);
            p.intoArray(x, i);
            q.intoArray(x, i + L);
        }
        if (i < n) {
            FloatVector p = Lanes.floats(x, i).sub(first).sub(second).mul(factor);
            FloatVector g = Lanes.floats(d, i);
            sumA = g.add(sumA);
            dotA = p.fma(g, dotA);
            p.intoArray(x, i);
        }
        sum = Lanes.sum(Lanes.known(sumA).add(sumB));
        dot = Lanes.sum(Lanes.known(dotA).add(dotB));
        return 0;
    }

    /** The same with a gain: d becomes g. */
    private float gainedDot(int n) {
        float[] block = gains.block();
        FloatVector first = Lanes.all(statistics.shift());
        FloatVector second = Lanes.all(statistics.correction());
        FloatVector factor = Lanes.all(statistics.scale());
        FloatVector sumA = FloatVector.zero(FLOATS);
        FloatVector dotA = FloatVector.zero(FLOATS);
        for (int i = 0; i < n; i += L) {
            FloatVector p = Lanes.floats(x, i).sub(first).sub(second).mul(factor);
            FloatVector e = Lanes.floats(d, i);
            FloatVector g = e.mul(Lanes.floats(gain, i));
            p.fma(e, Lanes.floats(block, i)).intoArray(block, i);
            sumA = g.add(sumA);
            dotA = p.fma(g, dotA);
            p.intoArray(x, i);
            g.intoArray(d, i);
        }
        sum = Lanes.sum(sumA);
        dot = Lanes.sum(dotA);
        return 0;
    }

    private float give(int n) {
        FloatVector factor = Lanes.all(scale);
        FloatVector minus = Lanes.all(-times);
        FloatVector rest = Lanes.all(-less);
        for (int i = 0; i < n; i += L) {
            FloatVector v = Lanes.floats(d, i).fma(factor, rest);
            Lanes.floats(x, i).fma(minus, v).intoArray(result, i);
        }
        return 0;
    }

    private float giveMore(int n) {
        FloatVector factor = Lanes.all(scale);
        FloatVector minus = Lanes.all(-times);
        FloatVector rest = Lanes.all(-less);
        for (int i = 0; i < n; i += L) {
            FloatVector v = Lanes.floats(d, i).fma(factor, rest);
            Lanes.floats(x, i).fma(minus, v).add(Lanes.floats(result, i)).intoArray(result, i);
        }
        return 0;
    }

    /** {@code dx += gain (1 - n²) alpha dy} with n = tanh(alpha x). */
    static void addDynamicTanh(Rows x, Normalization norm, Rows dy, Rows dx, Gradients.NormSums sums, Rows alphaSum) {
        int C = x.columns();
        VectorNormGradients back = new VectorNormGradients(x, norm, dy, dx, sums);
        VectorActivationGradients tanh = new VectorActivationGradients(Activation.TANH, false, C);
        back.tanh = tanh;
        back.scale = (float) norm.alpha();
        double alphas = 0;
        for (int r = 0; r < x.rows(); r++) {
            Lanes.read(x.type(), x.address(r), C, back.x);
            Lanes.read(dy.type(), dy.address(r), C, back.d);
            Lanes.read(dx.type(), dx.address(r), C, back.result);
            if (back.biases != null) {
                back.biases.add(back.d);
            }
            VectorElements.times(back.x, back.scale, tanh.input());
            tanh.differentiate();
            if (back.gain != null) {
                back.gains.addProducts(back.d, tanh.value());
                VectorElements.multiply(back.d, back.gain);
            }
            alphas += BENT.run(back, back.x.length);
            Lanes.write(dx.type(), dx.address(r), C, back.result);
        }
        back.addSums(sums);
        alphaSum.set(0, 0, alphaSum.get(0, 0) + alphas);
    }

    private float bent(int n) {
        float[] slope = tanh.slope();
        FloatVector alpha = Lanes.all(scale);
        FloatVector sumA = FloatVector.zero(FLOATS);
        for (int i = 0; i < n; i += L) {
            FloatVector g = Lanes.floats(d, i).mul(Lanes.floats(slope, i));
            sumA = g.fma(Lanes.floats(x, i), sumA);
            g.fma(alpha, Lanes.floats(result, i)).intoArray(result, i);
        }
        return Lanes.sum(sumA);
    }
}
