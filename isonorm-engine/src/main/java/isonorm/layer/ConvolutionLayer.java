package isonorm.layer;

import isonorm.architecture.Embedding.Sound.Convolution;
import isonorm.kernel.Exponentials;
import isonorm.kernel.Type;
import isonorm.model.Compute;
import isonorm.weights.Scratch;

/**
 * A convolution over time and its activation, of one sound: a row a frame. The frames that a kernel sees are laid out as one row, channel by channel, so
 * that all of it is one product.
 */
record ConvolutionLayer(Convolution shape, Linear linear, Compute compute) {

    Tensor forward(Tensor x) {
        Tensor y = linear.forward(unfolded(x)).to(Type.wide(compute));
        return (shape.activation().isPresent() ? MlpLayer.activate(shape.activation().get(), y) : gated(y)).to(Type.of(compute));
    }

    /** What the kernel sees at each step: all of the first channel, all of the second, ...; zeros where there is no frame. */
    private Tensor unfolded(Tensor x) {
        int channels = x.width();
        int kernel = shape.kernel();
        Tensor seen = x.space().empty(x.type(), shape.steps(x.count()), channels * kernel);
        x.space().split(seen.count(), (long) seen.count() * seen.width(), (first, some) -> {
            try (Scratch in = Scratch.borrow(channels); Scratch out = Scratch.borrow(channels * kernel)) {
                for (int step = first; step < first + some; step++) {
                    for (int k = 0; k < kernel; k++) {
                        int frame = step * shape.stride() + k - shape.padding();
                        boolean there = frame >= 0 && frame < x.count();
                        if (there) {
                            x.rows().read(frame, 0, channels, in.values());
                        }
                        for (int c = 0; c < channels; c++) {
                            out.values()[c * kernel + k] = there ? in.values()[c] : 0;
                        }
                    }
                    seen.rows().write(step, 0, channels * kernel, out.values());
                }
            }
        });
        return seen;
    }

    /** {@code a * sigmoid(b)} of the two halves of each row. */
    private static Tensor gated(Tensor x) {
        int n = x.width() / 2;
        return x.map(x.type(), n, (_, row, y) -> {
            try (Scratch minus = Scratch.borrow(n)) {
                for (int i = 0; i < n; i++) {
                    minus.values()[i] = -row[n + i];
                }
                Exponentials.exp(minus.values(), y, n);
                for (int i = 0; i < n; i++) {
                    y[i] = row[i] / (1 + y[i]);
                }
            }
        });
    }
}
