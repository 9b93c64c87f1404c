package isonorm.tensor;

import java.util.Arrays;
import org.bytedeco.pytorch.Scalar;
import org.bytedeco.pytorch.ScalarOptional;
import org.bytedeco.pytorch.ScalarTypeOptional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorVector;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * The tensor operations the layers are written in.
 *
 * <p>libtorch's in-place operations return a reference that does not keep its tensor alive, so those here return nothing.
 */
public final class Ops {

    private static final long[] LAST = {-1};

    private Ops() {}

    /** The lengths of all dimensions. */
    public static long[] shape(Tensor x) {
        long[] shape = new long[(int) x.dim()];
        Arrays.setAll(shape, x::size); // one by one: a list of them would be native memory that nobody frees
        return shape;
    }

    /** The same values in another type; the tensor itself where it has that type, so never change the result in place. */
    public static Tensor cast(Tensor x, Compute to) {
        ScalarType type = to.type();
        return x.scalar_type() == type ? x : x.to(type);
    }

    public static Tensor times(Tensor x, double factor) {
        return x.mul(new Scalar(factor));
    }

    /** {@code factor * x + y}, rounded once. */
    public static Tensor weightedSum(double factor, Tensor x, Tensor y) {
        return factor == 1 ? x.add(y) : y.add(x, new Scalar(factor));
    }

    public static Tensor plus(Tensor x, double term) {
        return x.add(new Scalar(term));
    }

    public static void fillInPlace(Tensor x, Tensor where, double value) {
        x.masked_fill_(where, new Scalar(value));
    }

    /** {@code cap * tanh(x / cap)}. */
    public static Tensor softcap(Tensor x, double cap) {
        return times(times(x, 1 / cap).tanh(), cap);
    }

    public static Tensor clamp(Tensor x, double limit) {
        return x.clamp(new ScalarOptional(new Scalar(-limit)), new ScalarOptional(new Scalar(limit)));
    }

    /** The sum over the last dimension, which stays with length 1. */
    public static Tensor sum(Tensor x) {
        return x.sum(LAST, true, new ScalarTypeOptional());
    }

    /** The mean over the last dimension, which stays with length 1. */
    public static Tensor mean(Tensor x) {
        return x.mean(LAST, true, new ScalarTypeOptional());
    }

    /** Without the mean over the last dimension. */
    public static Tensor recentre(Tensor x) {
        return x.sub(mean(x));
    }

    /** The d values that the d - 1 given ones stand for: the last one is minus their sum. */
    public static Tensor expand(Tensor x) {
        return concatenate(-1, x, sum(x).neg());
    }

    public static Tensor softmax(Tensor x) {
        return torch.softmax(x, -1);
    }

    public static Tensor concatenate(long dimension, Tensor... parts) {
        return torch.cat(new TensorVector(parts), dimension);
    }

    public static Tensor stack(long dimension, Tensor... parts) {
        return torch.stack(new TensorVector(parts), dimension);
    }
}
