package isonorm.fused;

import static isonorm.architecture.Part.FINAL_NORM;
import static isonorm.architecture.Part.HEAD;
import static isonorm.architecture.Part.HEAD_PROJECTION;
import static isonorm.architecture.Part.HEAD_TRANSFORM;
import static isonorm.architecture.Part.HEAD_TRANSFORM_NORM;
import static isonorm.architecture.Part.TOKEN_EMBEDDING;

import isonorm.architecture.Activation;
import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import isonorm.architecture.Stream;
import isonorm.fused.Workspace.Use;
import isonorm.kernel.Kernels;
import isonorm.kernel.Normalization;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.kernel.Values;
import java.io.IOException;
import java.util.Optional;

/**
 * Logits over the vocabulary: {@code softcap(scale * (W y + bias + means * sum(y)))}, y being the normalized stream behind
 * projection and transform.
 *
 * <p>A tied table of a compressed stream lacks its last column t, which is minus the sum of the others c, so
 * {@code W y = sum over columns c of (y_c - y_t)}.
 *
 * @param compressed whether the stream has d - 1 values
 * @param dual whether there are two streams x and y, side by side: then the head reads {@code x + norm(y)}
 * @param differences whether the head takes y's values minus the last one
 */
record Head(
        Output.Words shape,
        Optional<Normalization> norm,
        boolean compressed,
        boolean dual,
        boolean differences,
        Optional<Weight> projection,
        Optional<Transform> transform,
        Weight words,
        Values bias,
        Values means) {

    private static final Kernels KERNELS = Kernels.provider();

    /** {@code norm(activation(dense(x)))}, of which one may lack. */
    private record Transform(Optional<Activation> activation, Optional<Weight> dense, Values bias, Optional<Normalization> norm) {}

    static Head load(Weights from, Architecture architecture, Output.Words shape) throws IOException {
        Embedding.Tokens table = (Embedding.Tokens) architecture.embedding();
        boolean compressed = architecture.stream() == Stream.COMPRESSED;
        return new Head(
                shape,
                from.norm(Role.of(FINAL_NORM, Field.GAIN), architecture.finalNorm()),
                compressed,
                architecture.dual(),
                shape.tied() && compressed && architecture.tokensEnterStream(),
                shape.projectedWidth() > 0 ? Optional.of(from.linear(Role.of(HEAD_PROJECTION, Field.WEIGHT))) : Optional.empty(),
                shape.transform().isPresent() ? Optional.of(transform(from, shape.transform().get())) : Optional.empty(),
                from.linear(Role.of(shape.tied() ? TOKEN_EMBEDDING : HEAD, Field.WEIGHT)),
                from.bias(Role.of(HEAD, Field.WEIGHT), shape.bias()),
                shape.tied() && table.means() ? from.vector(Role.of(TOKEN_EMBEDDING, Field.MEANS)) : Values.NONE);
    }

    private static Transform transform(Weights from, Output.Transform shape) throws IOException {
        Role dense = Role.of(HEAD_TRANSFORM, Field.WEIGHT);
        return new Transform(shape.dense().flatMap(Output.Dense::activation),
                shape.dense().isPresent() ? Optional.of(from.linear(dense)) : Optional.empty(),
                from.bias(dense, shape.dense().filter(Output.Dense::bias).isPresent()),
                from.norm(Role.of(HEAD_TRANSFORM_NORM, Field.GAIN), shape.norm()));
    }

    int vocabulary() {
        return words.outputs();
    }

    /** What the head reads, in the type of activations, and the sum of all values a row. */
    private record Read(Rows values, Values sums) {}

    /** The logits of every row of {@code h}, which has no gaps, (rows, vocabulary). */
    void logits(Rows h, Pass pass, Rows logits) {
        Read read = read(h, pass);
        pass.grid(logits.columns(), words.step(), (row, rows, column, columns) -> {
            Rows tile = logits.slice(row, rows).sliceColumns(column, columns);
            words.multiply(read.values.slice(row, rows), column, tile);
            finish(tile, read.sums.slice(row, rows), column);
        });
        pass.settle();
    }

    private void finish(Rows tile, Values sums, int column) {
        Values added = bias.slice(column, tile.columns());
        if (added.present() && shape.scale() == 1 && shape.softcap().isEmpty() && !means.present()) {
            KERNELS.addBias(tile, added);
        } else if (added.present() || shape.scale() != 1 || shape.softcap().isPresent() || means.present()) {
            for (int r = 0; r < tile.rows(); r++) {
                for (int c = 0; c < tile.columns(); c++) {
                    tile.set(r, c, finished(tile.get(r, c), means.present() ? means.get(column + c) * sums.get(r) : 0,
                            added.present() ? added.get(c) : 0));
                }
            }
        }
    }

    private double finished(double product, double mean, double added) {
        double logit = shape.scale() * (product + mean + added);
        return shape.softcap().isPresent()
                ? shape.softcap().getAsDouble() * Math.tanh(logit / shape.softcap().getAsDouble())
                : logit;
    }

    private Read read(Rows h, Pass pass) {
        Workspace room = pass.room();
        Rows y = behindNorm(h, room);
        if (projection.isPresent()) {
            y = multiplied(y, projection.get(), pass, Use.READ);
        }
        if (transform.isPresent()) {
            Transform t = transform.get();
            if (t.dense.isPresent()) {
                y = multiplied(y, t.dense.get(), pass, Use.GATE);
                if (t.activation.isPresent()) {
                    KERNELS.activate(y, Values.NONE, t.bias, t.activation.get());
                } else if (t.bias.present()) {
                    KERNELS.addBias(y, t.bias);
                }
            }
            if (t.norm.isPresent()) {
                KERNELS.norm(y, t.norm.get(), y);
            }
        }
        return new Read(taken(y, room), sums(y));
    }

    /** All values of the normalized stream that the head needs, in float32. */
    private Rows behindNorm(Rows h, Workspace room) {
        if (dual) {
            int d = h.columns() / 2;
            Rows y = room.rows(Use.EMBEDDED, Type.F32, h.rows(), d);
            KERNELS.norm(h.sliceColumns(d, d), norm.orElseThrow(), y);
            KERNELS.addSquares(y, h.sliceColumns(0, d), Values.NONE, NormKind.RMS, 1, Values.room(h.rows())); // no kernel only adds
            return y;
        }
        Rows carried = compressed ? h.sliceColumns(0, h.columns() - 1) : h;
        boolean shortened = compressed && (norm.isEmpty() || !norm.get().affine());
        boolean expands = shortened && differences && projection.isEmpty() && transform.isEmpty();
        int columns = compressed && !shortened || expands ? carried.columns() + 1 : carried.columns();
        Rows y = room.rows(Use.EMBEDDED, Type.F32, h.rows(), columns);
        Rows given = expands ? y.sliceColumns(0, carried.columns()) : y;
        if (norm.isPresent()) {
            KERNELS.norm(carried, norm.get(), given);
        } else {
            KERNELS.copy(carried, given);
        }
        for (int r = 0; r < y.rows() && expands; r++) {
            double sum = 0;
            for (int c = 0; c < given.columns(); c++) {
                sum += given.get(r, c);
            }
            y.set(r, given.columns(), -sum);
        }
        return y;
    }

    private static Rows multiplied(Rows y, Weight weight, Pass pass, Use use) {
        Rows product = pass.room().rows(use, Type.F32, y.rows(), weight.outputs());
        pass.linear(y, weight, product);
        pass.settle();
        return product;
    }

    /** What the table is multiplied with, in the type of activations. */
    private Rows taken(Rows y, Workspace room) {
        int columns = differences ? y.columns() - 1 : y.columns();
        Rows taken = room.rows(Use.INNER, y.rows(), columns);
        if (!differences) {
            KERNELS.copy(y, taken);
            return taken;
        }
        for (int r = 0; r < y.rows(); r++) {
            double last = y.get(r, columns);
            for (int c = 0; c < columns; c++) {
                taken.set(r, c, y.get(r, c) - last);
            }
        }
        return taken;
    }

    private Values sums(Rows y) {
        if (!means.present()) {
            return Values.NONE;
        }
        Values sums = Values.room(y.rows());
        for (int r = 0; r < y.rows(); r++) {
            double sum = 0;
            for (int c = 0; c < y.columns(); c++) {
                sum += y.get(r, c);
            }
            sums.set(r, (float) sum);
        }
        return sums;
    }
}
