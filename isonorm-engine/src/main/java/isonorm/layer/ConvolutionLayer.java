package isonorm.layer;

import isonorm.architecture.Embedding.Sound.Convolution;
import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import isonorm.kernel.Exponentials;
import isonorm.kernel.Type;
import isonorm.model.Compute;
import isonorm.weights.Scratch;
import java.io.IOException;
import java.util.Optional;

/** A convolution over time, the norm of its channels and its activation, of one sound: a row a frame. */
record ConvolutionLayer(Convolution shape, Windows windows, Linear linear, Optional<NormLayer> norm, Compute compute) {

    static ConvolutionLayer load(Loader from, Convolution shape, int number) throws IOException {
        return new ConvolutionLayer(shape, new Windows(shape.kernel(), shape.stride(), shape.padding()),
                from.linear(Role.numbered(Part.CONVOLUTION, number, Field.WEIGHT), shape.bias()),
                shape.norm().isPresent()
                        ? Optional.of(from.norm(Role.numbered(Part.CONVOLUTION_NORM, number, Field.GAIN), shape.norm().get().norm(), shape.channels()))
                        : Optional.empty(),
                from.compute());
    }

    Tensor forward(Tensor x) {
        Tensor y = linear.forward(windows.of(x)).to(Type.wide(compute));
        if (norm.isPresent()) {
            y = switch (shape.norm().orElseThrow().over()) {
                case CHANNELS -> norm.get().wide(y);
                case TIME -> overTime(y, norm.get());
            };
        }
        return (shape.activation().isPresent() ? MlpLayer.activate(shape.activation().get(), y) : gated(y)).to(Type.of(compute));
    }

    /** Each channel without its mean over all frames, divided by its deviation, times gain and plus bias. */
    private static Tensor overTime(Tensor x, NormLayer norm) {
        int n = x.width();
        double[] means = new double[n];
        double[] squares = new double[n];
        try (Scratch scratch = Scratch.borrow(n)) {
            double[] row = scratch.values();
            for (int frame = 0; frame < x.count(); frame++) {
                x.rows().read(frame, 0, n, row);
                for (int c = 0; c < n; c++) {
                    means[c] += row[c] / x.count();
                }
            }
            for (int frame = 0; frame < x.count(); frame++) { // means first: E[x²] - mean² cancels where the mean is large
                x.rows().read(frame, 0, n, row);
                for (int c = 0; c < n; c++) {
                    squares[c] += (row[c] - means[c]) * (row[c] - means[c]);
                }
            }
        }
        Tensor normalized = x.map((_, row, y) -> {
            for (int c = 0; c < n; c++) {
                y[c] = (row[c] - means[c]) / Math.sqrt(squares[c] / x.count() + norm.norm().epsilon());
            }
        });
        Tensor gained = norm.gain().isPresent() ? normalized.times(norm.gain().get()) : normalized;
        return norm.bias().isPresent() ? gained.plus(norm.bias().get()) : gained;
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
