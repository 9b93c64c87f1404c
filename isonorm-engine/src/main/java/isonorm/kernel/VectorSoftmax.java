package isonorm.kernel;

import static isonorm.kernel.Lanes.FLOATS;
import static isonorm.kernel.Lanes.L;

import isonorm.architecture.Activation;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;

/**
 * The vector twin of softmax. A row is read once into an array; the largest score, the sum and the quotients are passes over that,
 * in the nearest cache, where a running maximum would cost more than a pass.
 */
final class VectorSoftmax {

    private static final Loop<float[]> TANH = VectorActivations.function(Activation.TANH, Type.F32);
    private static final Loop<VectorSoftmax> EXPONENTIALS = Loop.of(VectorSoftmax::exponentialsOf);
    private static final Loop<VectorSoftmax> SHORT_EXPONENTIALS = Loop.of(VectorSoftmax::shortExponentialsOf);
    private static final Loop<float[]> LARGEST = Loop.of(VectorSoftmax::largestOf);
    private static final Loop<VectorSoftmax> WRITE = Loop.of((softmax, n) -> {
        Lanes.writeTimes(softmax.share, softmax.type, softmax.address, n, softmax.scores);
        return 0;
    });

    private final float[] scores;
    private final float factor;
    private final boolean brief;
    private final float sink;

    /** Where {@link #WRITE} writes the exponentials, and what it multiplies them with. */
    private Type type;
    private long address;
    private float share;

    /**
     * @param factor what scores are multiplied with before the exponential; positive
     * @param sink a score that is in the sum alone
     * @param brief whether exponentials of few bits do: then no score may be minus infinity
     */
    private VectorSoftmax(float[] scores, float factor, boolean brief, float sink) {
        this.sink = sink;
        this.scores = scores;
        this.factor = factor;
        this.brief = brief;
    }

    static void softmax(Rows scores, Scoring scoring, Values keyBias, Reach reach, Rows out) {
        int T = scores.columns();
        float[] s = Lanes.room(T);
        float[] bias = Lanes.room(keyBias.present() ? T : 0);
        boolean plain = scoring.softcap() == 0 && scoring.scale() > 0 && scoring.sink() == Double.NEGATIVE_INFINITY && !keyBias.present();
        VectorSoftmax softmax = new VectorSoftmax(s, plain ? (float) scoring.scale() : 1, plain && out.type() == Type.BF16, (float) scoring.sink());
        for (int row = 0; row < scores.rows(); row++) {
            int from = reach.from(row, T);
            int seen = Math.max(0, reach.to(row, T) - from);
            Lanes.read(scores.type(), scores.address(row) + (long) from * scores.type().bytes(), seen, s);
            if (!plain) {
                score(scoring, s, seen);
            }
            if (keyBias.present()) {
                System.arraycopy(keyBias.array(), keyBias.first() + from, bias, 0, seen);
                add(bias, s, seen);
            }
            softmax.weigh(from, seen, out, row);
        }
    }

    private static void add(float[] bias, float[] s, int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector.fromArray(FLOATS, s, i).add(FloatVector.fromArray(FLOATS, bias, i)).intoArray(s, i);
        }
    }

    private void weigh(int from, int seen, Rows out, int row) {
        int T = out.columns();
        long address = out.address(row);
        int size = out.type().bytes();
        float sum = (brief ? SHORT_EXPONENTIALS : EXPONENTIALS).run(this, seen);
        if (sum == 0) {
            Arrays.fill(scores, 0, T, 1f / T);
            Lanes.write(out.type(), address, T, scores);
            return;
        }
        Lanes.clear(out.type(), address, from);
        type = out.type();
        this.address = address + (long) from * size;
        share = 1 / sum;
        WRITE.run(this, seen);
        Lanes.clear(out.type(), address + (long) (from + seen) * size, T - from - seen);
    }

    /** Products to scores. */
    static void score(Scoring scoring, float[] s, int n) {
        float softcap = (float) scoring.softcap();
        if (softcap == 0) {
            times((float) scoring.scale(), s, n);
            return;
        }
        times((float) (scoring.scale() / scoring.softcap()), s, n);
        TANH.run(s, n);
        times(softcap, s, n);
    }

    static void times(float factor, float[] s, int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector.fromArray(FLOATS, s, i).mul(factor).intoArray(s, i);
        }
    }

    /** Replaces scores by {@code exp(score - largest)} and gives their sum; zero if none is above minus infinity. */
    static float exponentials(float[] s, int n) {
        return EXPONENTIALS.run(new VectorSoftmax(s, 1, false, Float.NEGATIVE_INFINITY), n);
    }

    private float exponentialsOf(int n) {
        float largest = largest(n);
        if (largest == Float.NEGATIVE_INFINITY) {
            return 0;
        }
        largest = Math.max(largest, sink);
        FloatVector times = FloatVector.broadcast(FLOATS, factor);
        FloatVector a = FloatVector.zero(FLOATS);
        for (int i = 0; i < n; i += L) {
            FloatVector e = VectorMath.exp(FloatVector.fromArray(FLOATS, scores, i).sub(largest).mul(times));
            a = a.add(e);
            e.intoArray(scores, i);
        }
        return Lanes.sum(a) + (sink == Float.NEGATIVE_INFINITY ? 0 : (float) Math.exp(sink - largest));
    }

    /** The same loop over again: a choice inside it would keep its vectors from staying in registers. */
    private float shortExponentialsOf(int n) {
        float largest = largest(n);
        if (largest == Float.NEGATIVE_INFINITY) {
            return 0;
        }
        FloatVector times = FloatVector.broadcast(FLOATS, factor);
        FloatVector a = FloatVector.zero(FLOATS);
        for (int i = 0; i < n; i += L) {
            FloatVector e = VectorMath.shortExp(FloatVector.fromArray(FLOATS, scores, i).sub(largest).mul(times));
            a = a.add(e);
            e.intoArray(scores, i);
        }
        return Lanes.sum(a);
    }

    private float largest(int n) {
        int whole = Lanes.whole(n);
        Arrays.fill(scores, n, whole, Float.NEGATIVE_INFINITY);
        return LARGEST.run(scores, whole);
    }

    /** The largest of whole vectors; NaN if there is one. */
    private static float largestOf(float[] s, int whole) {
        FloatVector a = FloatVector.broadcast(FLOATS, Float.NEGATIVE_INFINITY);
        FloatVector b = a;
        int i = 0;
        for (; i <= whole - 2 * L; i += 2 * L) {
            a = a.max(FloatVector.fromArray(FLOATS, s, i));
            b = b.max(FloatVector.fromArray(FLOATS, s, i + L));
        }
        if (i < whole) {
            a = a.max(FloatVector.fromArray(FLOATS, s, i));
        }
        return a.max(b).reduceLanes(VectorOperators.MAX);
    }
}
