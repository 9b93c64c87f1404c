package isonorm.layer;

import isonorm.architecture.Activation;
import isonorm.architecture.Embedding.Sound.Places;
import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import isonorm.kernel.Type;
import isonorm.model.Compute;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** What frames of a sound are told of where they stand, in the wide type. */
sealed interface PlacesLayer {

    /** What is added to the frames of one sound. */
    Tensor of(Tensor frames);

    static PlacesLayer load(Loader from, Places shape, int width) throws IOException {
        return switch (shape) {
            case Places.Table(int _, int offset) -> new Table(from.vector(Role.of(Part.POSITION_EMBEDDING, Field.WEIGHT), width), offset);
            case Places.Convolved convolved -> Convolved.load(from, convolved);
        };
    }

    /** Rows of a table, from {@code offset} on. */
    record Table(Tensor rows, int offset) implements PlacesLayer {
        @Override
        public Tensor of(Tensor frames) {
            return rows.slice(offset, frames.count());
        }
    }

    /** What convolutions in groups make of all frames. */
    record Convolved(List<Windows> windows, List<Linear> weights, int groups, Optional<NormLayer> norm, Activation activation, Compute compute)
            implements PlacesLayer {

        static Convolved load(Loader from, Places.Convolved shape) throws IOException {
            List<Windows> windows = new ArrayList<>();
            List<Linear> weights = new ArrayList<>();
            for (int c = 0; c < shape.count(); c++) {
                windows.add(new Windows(shape.kernel(), 1, shape.kernel() / 2));
                weights.add(weight(from, Role.numbered(Part.POSITION_CONVOLUTION, c, Field.WEIGHT), shape));
            }
            return new Convolved(windows, weights, shape.groups(), shape.norm().map(norm -> new NormLayer(norm, 1, Optional.empty(), Optional.empty(), from.compute())),
                    shape.activation(), from.compute());
        }

        /** A direction becomes a weight: what is seen at each moment has the length that its magnitude says. */
        private static Linear weight(Loader from, Role role, Places.Convolved shape) throws IOException {
            if (!shape.magnitudes()) {
                return from.linear(role, true);
            }
            double[] magnitudes = from.numbers(role.field(Field.GAIN));
            Tensor weight = from.changed(role, values -> {
                double[] squares = new double[shape.kernel()];
                for (int i = 0; i < values.length; i++) {
                    squares[i % squares.length] += values[i] * values[i];
                }
                for (int i = 0; i < values.length; i++) {
                    values[i] *= magnitudes[i % squares.length] / Math.sqrt(squares[i % squares.length]);
                }
            });
            return new Linear(weight, Optional.of(from.matrix(role.field(Field.BIAS))));
        }

        @Override
        public Tensor of(Tensor frames) {
            Tensor x = frames;
            for (int c = 0; c < windows.size(); c++) {
                Tensor y = convolved(x, windows.get(c), weights.get(c)).to(Type.wide(compute));
                x = MlpLayer.activate(activation, norm.isPresent() ? norm.get().wide(y) : y).to(Type.of(compute));
            }
            return x.to(Type.wide(compute));
        }

        /** Each group of channels by itself. */
        private Tensor convolved(Tensor x, Windows seen, Linear linear) {
            int each = x.width() / groups;
            Tensor all = x.space().empty(x.type(), x.count(), x.width());
            for (int group = 0; group < groups; group++) {
                // One frame more comes out of an even kernel, behind the last, and is not wanted.
                Tensor y = seen.of(x.columns(group * each, each)).slice(0, x.count()).product(linear.weight().slice(group * each, each));
                y.copyTo(all.rows().sliceColumns(group * each, each));
            }
            return all.plus(linear.bias().orElseThrow());
        }
    }
}
