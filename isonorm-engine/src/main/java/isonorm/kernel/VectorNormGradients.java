package isonorm.kernel;

import static isonorm.kernel.Lanes.FLOATS;
import static isonorm.kernel.Lanes.L;

import isonorm.architecture.NormKind;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;

/** The vector twin of the norms' backward kernels. Sums over rows are in float32 until the call's end. */
final class VectorNormGradients {

    private static final Loop<VectorNormGradients> GATHER = Loop.of((row, _) -> row.gather());
    private static final Loop<VectorNormGradients> GIVE = Loop.of((row, _) -> row.give());
    private static final Loop<VectorNormGradients> GIVE_ADDED = Loop.of((row, _) -> row.giveAdded());

    private final NormKind kind;
    private final int C;
    private final float[] n;
    private final float[] g;
    private final float[] dx;
    private final float[] gain;
    private final float[] gains;
    private final float[] biases;

    private float sumN;
    private float sumG;
    private float dot;
    /** {@code dx = scale g - slope n - shift}. */
    private float scale;
    private float slope;
    private float shift;

    private VectorNormGradients(float[] n, Normalization norm, int columns) {
        kind = norm.kind();
        C = columns;
        this.n = n;
        g = Lanes.room(C);
        dx = Lanes.room(C);
        gain = Lanes.padded(norm.gain(), C, 1);
        gains = Lanes.room(C);
        biases = Lanes.room(C);
    }

    static void norm(Rows x, Normalization norm, Rows dy, Rows into, Gradients.NormSums sums, boolean adds) {
        int C = x.columns();
        VectorNorms statistics = VectorNorms.of(x, norm);
        VectorNormGradients row = new VectorNormGradients(statistics.values(), norm, C);
        for (int r = 0; r < x.rows(); r++) {
            if (!statistics.normalized(r)) {
                PlainGradients.normRow(x, r, norm, dy, into, sums, adds);
                continue;
            }
            Lanes.read(dy.type(), dy.address(r), C, row.g);
            Arrays.fill(row.g, C, row.g.length, 0);
            GATHER.run(row, r);
            row.measure(statistics.scale());
            if (adds) {
                Lanes.read(into.type(), into.address(r), C, row.dx);
                GIVE_ADDED.run(row, r);
            } else {
                GIVE.run(row, r);
            }
            Lanes.write(into.type(), into.address(r), C, row.dx);
            if (norm.kind() == NormKind.CRMS && into.stride() > C) {
                Lanes.set(into.type(), into.address(r) + (long) C * into.type().bytes(), 0);
            }
        }
        addTo(sums.gain(), row.gains);
        addTo(sums.bias(), row.biases);
    }

    private static void addTo(Rows sums, float[] values) {
        if (sums != null) {
            for (int c = 0; c < sums.columns(); c++) {
                sums.set(0, c, sums.get(0, c) + values[c]);
            }
        }
    }

    private float gather() {
        FloatVector ns = FloatVector.zero(FLOATS);
        FloatVector gs = FloatVector.zero(FLOATS);
        FloatVector dots = FloatVector.zero(FLOATS);
        for (int i = 0; i < g.length; i += L) {
            FloatVector d = FloatVector.fromArray(FLOATS, g, i);
            FloatVector a = FloatVector.fromArray(FLOATS, n, i);
            d.fma(a, FloatVector.fromArray(FLOATS, gains, i)).intoArray(gains, i);
            d.add(FloatVector.fromArray(FLOATS, biases, i)).intoArray(biases, i);
            FloatVector b = d.mul(FloatVector.fromArray(FLOATS, gain, i));
            b.intoArray(g, i);
            ns = ns.add(a);
            gs = gs.add(b);
            dots = a.fma(b, dots);
        }
        sumN = ns.reduceLanes(VectorOperators.ADD);
        sumG = gs.reduceLanes(VectorOperators.ADD);
        dot = dots.reduceLanes(VectorOperators.ADD);
        return 0;
    }

    private void measure(float rowScale) {
        scale = rowScale;
        slope = scale * dot / (kind == NormKind.CRMS ? C + 1 : C);
        shift = switch (kind) {
            case LAYER -> scale * sumG / C;
            case CRMS -> slope * sumN;
            case RMS, DYNAMIC_TANH -> 0;
        };
    }

    private float give() {
        for (int i = 0; i < g.length; i += L) {
            value(i).intoArray(dx, i);
        }
        return 0;
    }

    private float giveAdded() {
        for (int i = 0; i < g.length; i += L) {
            value(i).add(FloatVector.fromArray(FLOATS, dx, i)).intoArray(dx, i);
        }
        return 0;
    }

    private FloatVector value(int i) {
        return FloatVector.fromArray(FLOATS, g, i).mul(scale).sub(FloatVector.fromArray(FLOATS, n, i).mul(slope)).sub(shift);
    }
}
