package isonorm.layer;

import isonorm.tensor.Memory;
import isonorm.tensor.Ops;
import isonorm.tensor.Threads;
import java.io.IOException;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;

/** {@code y = W x + b}, W being (out, in), on the last dimension of x. */
record Linear(Tensor weight, Optional<Tensor> bias) {

    private static final int SLICE_ROWS = 64;

    Tensor forward(Tensor x) throws IOException {
        long[] shape = Ops.shape(x);
        Tensor y = product(x.reshape(-1, weight.size(1)), weight);
        bias.ifPresent(y::add_); // libtorch's own f32 linear with a bias is slower than the two steps
        shape[shape.length - 1] = weight.size(0);
        return y.view(shape);
    }

    /** {@code x W^T} for x (rows, in) and W (out, in), the rows in slices on this thread's share of the processors. */
    static Tensor product(Tensor x, Tensor weight) throws IOException {
        long rows = x.size(0);
        int slices = Math.clamp(rows / SLICE_ROWS, 1, Threads.share());
        if (slices == 1) {
            return x.mm(weight.t());
        }
        Tensor y = x.new_empty(rows, weight.size(0));
        Threads.parallel(slices, slice -> Memory.scoped(() -> {
            long first = rows * slice / slices;
            long count = rows * (slice + 1) / slices - first;
            torch.mm_out(y.narrow(0, first, count), x.narrow(0, first, count), weight.t());
        }));
        return y;
    }
}
