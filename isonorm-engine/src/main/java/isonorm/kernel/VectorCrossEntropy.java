package isonorm.kernel;

import static isonorm.kernel.Lanes.FLOATS;
import static isonorm.kernel.Lanes.L;

import java.util.Arrays;
import jdk.incubator.vector.FloatVector;

/** The vector twin of cross-entropy. Its exponentials are exact whatever the type: a loss shows their errors where it is small. */
final class VectorCrossEntropy {

    /** Exponentials that are summed up in float32. */
    private static final int CHUNK = 1024;

    private static final Loop<VectorCrossEntropy> EXPONENTIALS = Loop.of(VectorCrossEntropy::exponentials);
    private static final Loop<VectorCrossEntropy> WRITE = Loop.of((on, n) -> {
        Lanes.writeTimes(on.share, on.logits.type(), on.address, n, on.x);
        return 0;
    });

    private final Rows logits;
    private final float[] x;
    private float largest;
    private float share;
    private long address;

    private VectorCrossEntropy(Rows logits) {
        this.logits = logits;
        this.x = Lanes.room(logits.columns());
    }

    static void crossEntropy(Rows logits, int[] targets, double factor, double[] losses) {
        VectorCrossEntropy on = new VectorCrossEntropy(logits);
        for (int r = 0; r < logits.rows(); r++) {
            if (targets[r] < 0) {
                losses[r] = 0;
                Lanes.clear(logits.type(), logits.address(r), logits.columns());
            } else {
                losses[r] = on.row(r, targets[r], factor);
            }
        }
    }

    private double row(int r, int target, double factor) {
        int C = logits.columns();
        address = logits.address(r);
        Lanes.read(logits.type(), address, C, x);
        double right = x[target];
        Arrays.fill(x, C, x.length, Float.NEGATIVE_INFINITY);
        largest = VectorRows.LARGEST.run(x, x.length); // NaN shows in the sum
        double sum = 0;
        for (int at = 0; at < x.length; at += CHUNK) {
            sum += EXPONENTIALS.run(this, at);
        }
        double rest = x[target] / sum - 1;
        share = (float) (factor / sum);
        WRITE.run(this, C);
        Lanes.set(logits.type(), address + (long) target * logits.type().bytes(), (float) (factor * rest));
        return largest + Math.log(sum) - right;
    }

    private float exponentials(int from) {
        int to = Math.min(from + CHUNK, x.length);
        FloatVector less = Lanes.all(largest);
        FloatVector a = FloatVector.zero(FLOATS);
        for (int i = from; i < to; i += L) {
            FloatVector e = VectorMath.expBelow(Lanes.floats(x, i).sub(less));
            a = e.add(a);
            e.intoArray(x, i);
        }
        return Lanes.sum(a);
    }
}
