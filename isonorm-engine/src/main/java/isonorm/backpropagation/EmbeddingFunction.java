package isonorm.backpropagation;

import static isonorm.architecture.Part.CLASS_TOKEN;
import static isonorm.architecture.Part.EMBEDDING_NORM;
import static isonorm.architecture.Part.PATCH_PROJECTION;
import static isonorm.architecture.Part.POSITION_EMBEDDING;
import static isonorm.architecture.Part.SEGMENT_EMBEDDING;
import static isonorm.architecture.Part.TOKEN_EMBEDDING;
import static isonorm.architecture.Role.Field.BIAS;
import static isonorm.architecture.Role.Field.GAIN;
import static isonorm.architecture.Role.Field.WEIGHT;

import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.kernel.Rows;
import java.util.Arrays;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.stream.IntStream;

/** What enters the residual stream, see {@link Embedding}, and the backward pass to the tables. */
final class EmbeddingFunction {

    /** Threads begin at whole cache lines. */
    private static final int LINE = 16;

    private final Embedding embedding;
    private final Parameters from;
    private final int width;
    private final Optional<NormFunction> norm;
    private final int carried;
    private final Scales scales;

    EmbeddingFunction(Parameters from, Architecture architecture, Scales scales) {
        this.embedding = architecture.embedding();
        this.from = from;
        this.width = architecture.width();
        this.carried = architecture.streamWidth();
        this.scales = scales;
        this.norm = embedding.norm().map(each -> NormFunction.of(each, Role.of(EMBEDDING_NORM, GAIN), from, width, 1));
        if (embedding.recentre()) {
            throw new IllegalArgumentException("an embedding that is recentred behind its norm is a converted model's; train the original");
        }
        if (embedding instanceof Embedding.Sound) {
            throw new IllegalArgumentException("models of texts and images are trained, got one of sounds");
        }
        if (embedding instanceof Embedding.Tokens tokens && tokens.means()) {
            throw new IllegalArgumentException("a tied head that adds the table's means is a converted model's; train the original, or convert it with"
                    + " --untie");
        }
        if (embedding instanceof Embedding.Tokens tokens && tokens.projected()) {
            throw new IllegalArgumentException("a token table that is narrower than the model is not trained; got " + tokens.width() + " of " + width);
        }
        if (embedding instanceof Embedding.Tokens tokens && !tokens.special().equals(Embedding.Special.NONE)) {
            throw new IllegalArgumentException("an embedding in which tokens mean more than a row of the table is not trained; got " + tokens.special());
        }
        if (embedding instanceof Embedding.Patches patches && (!patches.positions() || !patches.cut().equals(Embedding.Patches.Cut.of(patches.patch()))
                || !patches.beside().equals(new Embedding.Patches.Beside(1, 0)))) {
            throw new IllegalArgumentException("images are trained on as patches side by side behind one class token, with learned positions; got "
                    + patches.cut() + ", " + patches.beside() + " and positions " + patches.positions());
        }
    }

    private Parameters.Entry entry(Part part) {
        return from.get(Role.of(part, WEIGHT));
    }

    /** The stream at its begin. */
    TracedResidual forward(Examples examples, Step step) {
        Rows entered = step.wideRoom(width);
        Consumer<Rows> back = switch (examples) {
            case Examples.Tokens tokens -> tokens((Embedding.Tokens) embedding, tokens, entered, step);
            case Examples.Images images -> patches((Embedding.Patches) embedding, images, entered, step);
        };
        Rows normed = norm.isEmpty() ? entered : step.wideRoom(width);
        norm.ifPresent(each -> each.forward(carried(entered), carried(normed), step));
        Scales.Dropping dropping = scales.dropping(-1, 0);
        dropping.apply(normed, step);
        TracedResidual h = new TracedResidual(step, normed, carried);
        step.back(() -> {
            dropping.apply(h.gradient(), step);
            norm.ifPresent(each -> each.backward(carried(entered), carried(h.gradient()), carried(h.gradient()), step));
            back.accept(h.gradient());
        });
        return h;
    }

    /** {@code scale * token + position + segment}. */
    private Consumer<Rows> tokens(Embedding.Tokens shape, Examples.Tokens tokens, Rows h, Step step) {
        int T = step.length();
        Parameters.Entry table = entry(TOKEN_EMBEDDING);
        Optional<Parameters.Entry> positions = shape.positions() > 0 ? Optional.of(entry(POSITION_EMBEDDING)) : Optional.empty();
        Optional<Parameters.Entry> segments = shape.segments() > 0 ? Optional.of(entry(SEGMENT_EMBEDDING)) : Optional.empty();
        double scale = shape.scale();
        step.team().each(tokens.count(), row -> {
            Rows some = h.slice(row * T, T);
            if (positions.isPresent()) {
                step.kernels().gather(table.weights(), tokens.ids()[row], scale, positions.get().weights(), shape.positionOffset(), some);
            } else {
                step.kernels().gather(table.weights(), tokens.ids()[row], scale, some);
            }
            segments.ifPresent(segment -> {
                for (int t = 0; t < T; t++) {
                    step.gradients().add(segment.weights().slice(0, 1), 1, some.slice(t, 1));
                }
            });
        });
        return gradient -> {
            scatter(gradient, Arrays.stream(tokens.ids()).flatMapToInt(Arrays::stream).toArray(), scale, table, step);
            int[] places = IntStream.range(0, step.rows()).map(row -> row % T + shape.positionOffset()).toArray();
            positions.ifPresent(each -> scatter(gradient, places, 1, each, step));
            segments.ifPresent(each -> scatter(gradient, new int[step.rows()], 1, each, step));
        };
    }

    /** Rows are added one after the other, each thread having some columns: the same bits however many there are. */
    private static void scatter(Rows gradient, int[] ids, double scale, Parameters.Entry table, Step step) {
        if (table.begins()) {
            Parameters.zero(table.gradient());
        }
        step.team().split(gradient.columns(), LINE, (column, columns) -> step.gradients().scatter(
                gradient.sliceColumns(column, columns), ids, scale, table.gradient().sliceColumns(column, columns)));
    }

    /** A class token, then the projected patches, with a position added to each. */
    private Consumer<Rows> patches(Embedding.Patches shape, Examples.Images images, Rows h, Step step) {
        int T = step.length();
        int N = images.count();
        int values = shape.channels() * shape.patch() * shape.patch();
        Parameters.Entry projection = entry(PATCH_PROJECTION);
        Optional<Parameters.Entry> bias = shape.bias() ? Optional.of(from.get(Role.of(PATCH_PROJECTION, BIAS))) : Optional.empty();
        Parameters.Entry first = entry(CLASS_TOKEN);
        Parameters.Entry positions = entry(POSITION_EMBEDDING);
        LinearFunction linear = LinearFunction.of(projection);
        Rows pixels = step.pad().rows(step.type(), N * (T - 1), values);
        step.team().each(N, image -> unfold(shape, images, image, pixels.slice(image * (T - 1), T - 1)));
        Rows projected = linear.forward(pixels, step);
        step.team().each(N, image -> {
            Rows some = h.slice(image * T, T);
            step.kernels().copy(positions.weights(), some);
            step.gradients().add(first.weights(), 1, carried(some.slice(0, 1)));
            step.gradients().add(projected.slice(image * (T - 1), T - 1), 1, some.slice(1, T - 1));
            bias.ifPresent(added -> step.kernels().addBias(carried(some.slice(1, T - 1)), added.values()));
        });
        return gradient -> {
            int[] places = IntStream.range(0, step.rows()).map(row -> row % T).toArray();
            scatter(gradient, places, 1, positions, step);
            Rows patches = step.pad().rows(step.type(), N * (T - 1), width);
            for (int image = 0; image < N; image++) {
                step.gradients().add(carried(gradient.slice(image * T, 1)), 1, first.gradient());
                step.kernels().copy(gradient.slice(image * T + 1, T - 1), patches.slice(image * (T - 1), T - 1));
            }
            bias.ifPresent(added -> step.addColumnSums(carried(patches), added.gradient()));
            linear.backwardWeights(pixels, patches, step);
        };
    }

    private Rows carried(Rows x) {
        return x.sliceColumns(0, carried);
    }

    /** Patches in row order, each with its channels one after the other. */
    private static void unfold(Embedding.Patches shape, Examples.Images images, int image, Rows out) {
        int P = shape.patch();
        int across = shape.width() / P;
        float[] pixels = images.pixels().pixels();
        for (int patch = 0; patch < out.rows(); patch++) {
            for (int channel = 0; channel < shape.channels(); channel++) {
                for (int y = 0; y < P; y++) {
                    int row = patch / across * P + y;
                    int from = ((image * shape.channels() + channel) * shape.height() + row) * shape.width() + patch % across * P;
                    for (int x = 0; x < P; x++) {
                        out.set(patch, (channel * P + y) * P + x, pixels[from + x]);
                    }
                }
            }
        }
    }
}
