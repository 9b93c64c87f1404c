package isonorm.onnx.export;

import static isonorm.architecture.Part.CLASS_TOKEN;
import static isonorm.architecture.Part.CONVOLUTION;
import static isonorm.architecture.Part.CONVOLUTION_NORM;
import static isonorm.architecture.Part.DISTILLATION_TOKEN;
import static isonorm.architecture.Part.EMBEDDING_NORM;
import static isonorm.architecture.Part.EMBEDDING_PROJECTION;
import static isonorm.architecture.Part.FRAME_NORM;
import static isonorm.architecture.Part.PATCH_PROJECTION;
import static isonorm.architecture.Part.POSITION_CONVOLUTION;
import static isonorm.architecture.Part.POSITION_EMBEDDING;
import static isonorm.architecture.Part.REGISTERS;
import static isonorm.architecture.Part.SEGMENT_EMBEDDING;
import static isonorm.architecture.Part.TOKEN_EMBEDDING;

import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.architecture.Embedding.Sound.Convolution;
import isonorm.architecture.Embedding.Sound.Places;
import isonorm.architecture.Norm;
import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.architecture.Role.Field;
import isonorm.architecture.Stream;
import isonorm.onnx.graph.Attribute;
import isonorm.onnx.graph.ElementType;
import isonorm.onnx.graph.Tensor;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** What enters the stream: {@code recentre(norm(sum of embeddings))}, norm and recentring where there are any. */
record Entrance(Operators graph, Weights weights, Norms norms, FeedForwardPart activations, Architecture architecture) {

    /** The stream before the first block, of {@code sum}, (B, T, width). A compressed one leaves the last value out where there are all. */
    Blocks.Streams enter(String sum) throws IOException {
        graph.in("embedding");
        Embedding embedding = architecture.embedding();
        Optional<Norm> norm = embedding.streamNorm();
        boolean compressed = architecture.stream() == Stream.COMPRESSED;
        String h = norm.isPresent() ? norms.of(sum, norm.get(), Role.of(EMBEDDING_NORM, Field.GAIN), architecture.width()) : sum;
        boolean all = !compressed || architecture.entersWhole() || norm.isPresent() && norm.get().affine().hasGain();
        if (embedding.recentre() && all) {
            h = norms.recentred(h);
        }
        if (compressed && all) {
            h = graph.slice(h, -1, 0, architecture.width() - 1L);
        }
        return new Blocks.Streams(h, architecture.dual() ? Optional.of(h) : Optional.empty());
    }

    /**
     * Vectors of tokens.
     *
     * @param mask which tokens are no padding
     * @param segments which row of the table of segments each takes, where there is one
     * @param rows of the table of positions
     */
    String tokens(Embedding.Tokens shape, String ids, Optional<String> mask, Optional<String> segments, Optional<String> rows) throws IOException {
        graph.in("embedding");
        String token = graph.gather(weights.table(Role.of(TOKEN_EMBEDDING, Field.WEIGHT)), ids, 0);
        if (shape.projection() == Embedding.Projection.TOKENS) {
            token = weights.linear(token, Role.of(EMBEDDING_PROJECTION, Field.WEIGHT), false);
        }
        String sum = graph.times(token, shape.scale());
        if (shape.special().hidden().isPresent()) {
            sum = withoutHidden(sum, ids, mask.orElseThrow(), shape.special().hidden().getAsInt());
        }
        if (shape.positions() > 0) {
            sum = graph.add(sum, graph.gather(weights.table(Role.of(POSITION_EMBEDDING, Field.WEIGHT)), rows.orElseThrow(), 0));
        }
        if (shape.segments() > 0) {
            sum = graph.add(sum, graph.gather(weights.table(Role.of(SEGMENT_EMBEDDING, Field.WEIGHT)), segments.orElseThrow(), 0));
        }
        if (shape.projection() == Embedding.Projection.SUM) {
            String read = shape.norm().isPresent() ? norms.of(sum, shape.norm().get(), Role.of(EMBEDDING_NORM, Field.GAIN), shape.width()) : sum;
            sum = weights.linear(read, Role.of(EMBEDDING_PROJECTION, Field.WEIGHT), true);
        }
        return sum;
    }

    /** See {@link Embedding.Special}. */
    private String withoutHidden(String x, String ids, String mask, int hidden) {
        String is = graph.apply("Equal", ids, graph.integer(hidden));
        String count = graph.sum(graph.cast(is, ElementType.FLOAT));
        String length = graph.sum(graph.cast(mask, ElementType.FLOAT));
        String part = graph.subtract(graph.number(ElementType.FLOAT, 1), graph.divide(count, length));
        String scale = graph.divide(graph.number(ElementType.FLOAT, 1 - Embedding.Special.HIDDEN_IN_TRAINING), part); // (B, 1)
        String factors = graph.where(is, graph.number(ElementType.FLOAT, 0), scale); // (B, T)
        return graph.multiply(x, graph.unsqueeze(graph.real() == ElementType.FLOAT ? factors : graph.cast(factors, graph.real()), 2));
    }

    /** Class tokens, registers, then patches in row order; a position is added to all but registers. */
    String patches(Embedding.Patches shape, String pixels) {
        graph.in("embedding");
        int d = architecture.streamWidth();
        String image = shape.cut().turned() ? graph.transpose(pixels, 0, 1, 3, 2) : pixels;
        int p = shape.patch();
        String patches = convolved(image, Role.of(PATCH_PROJECTION, Field.WEIGHT), shape.bias(),
                Map.of("strides", Attribute.of(new long[] {shape.cut().down(), shape.cut().across()}), "kernel_shape", Attribute.of(new long[] {p, p})),
                d, shape.channels(), p, p);
        String rows = graph.transpose(graph.reshape(patches, 0, d, -1), 0, 2, 1);
        int classes = shape.beside().classTokens();
        Optional<String> positions = shape.positions() ? Optional.of(weights.table(Role.of(POSITION_EMBEDDING, Field.WEIGHT))) : Optional.empty();
        if (positions.isPresent()) {
            rows = graph.add(rows, classes > 0 ? graph.slice(positions.get(), 0, classes, shape.places()) : positions.get());
        }
        if (shape.beside().count() == 0) {
            return rows;
        }
        String before = "";
        for (Part part : List.of(CLASS_TOKEN, DISTILLATION_TOKEN).subList(0, classes)) {
            String token = weights.shaped(Role.of(part, Field.WEIGHT), 1, 1, d);
            before = before.isEmpty() ? token : graph.concat(1, before, token);
        }
        if (positions.isPresent() && classes > 0) {
            before = graph.add(before, graph.slice(positions.get(), 0, 0, classes));
        }
        if (shape.beside().registers() > 0) {
            String registers = weights.shaped(Role.of(REGISTERS, Field.WEIGHT), 1, shape.beside().registers(), d);
            before = before.isEmpty() ? registers : graph.concat(1, before, registers);
        }
        String count = graph.concat(0, graph.size(pixels, 0), graph.integers(shape.beside().count(), d));
        return graph.concat(1, graph.apply("Expand", before, count), rows);
    }

    /** A convolution with a weight of these dimensions. */
    private String convolved(String x, Role weight, boolean bias, Map<String, Attribute> attributes, long... shape) {
        String kernel = weights.shaped(weight, shape);
        return bias
                ? graph.apply("Conv", attributes, x, kernel, weights.vector(weight.field(Field.BIAS)))
                : graph.apply("Conv", attributes, x, kernel);
    }

    /** Frames of a sound, which is (B, lines, frames): {@code scale * x + place} for each x that convolutions and projection leave. */
    String frames(Embedding.Sound shape, String sound) throws IOException {
        graph.in("embedding");
        String x = sound; // (B, channels, steps) all along
        for (int c = 0; c < shape.convolutions().size(); c++) {
            x = convolution(shape.convolutions().get(c), c, shape.channels(c), x);
        }
        x = graph.transpose(x, 0, 2, 1);
        if (shape.projection().isPresent()) {
            Optional<Norm> norm = shape.projection().get().norm();
            x = norm.isPresent() ? norms.of(x, norm.get(), Role.of(FRAME_NORM, Field.GAIN), shape.channels()) : x;
            x = weights.linear(x, Role.of(EMBEDDING_PROJECTION, Field.WEIGHT), true);
        }
        String places = switch (shape.places()) {
            case Places.Table(int _, int offset) -> {
                String rows = graph.range(graph.integers(offset), graph.add(graph.size(x, 1), graph.integers(offset)));
                yield graph.gather(weights.table(Role.of(POSITION_EMBEDDING, Field.WEIGHT)), rows, 0);
            }
            case Places.Convolved convolved -> places(convolved, x);
        };
        return graph.add(graph.times(x, shape.scale()), places);
    }

    private static Map<String, Attribute> overTime(int kernel, int stride, int before, int behind, int groups) {
        return Map.of("kernel_shape", Attribute.of(new long[] {kernel}), "strides", Attribute.of(new long[] {stride}),
                "pads", Attribute.of(new long[] {before, behind}), "group", Attribute.of(groups));
    }

    private String convolution(Convolution shape, int number, int channels, String x) throws IOException {
        String y = convolved(x, Role.numbered(CONVOLUTION, number, Field.WEIGHT), shape.bias(),
                overTime(shape.kernel(), shape.stride(), shape.padding(), shape.padding(), 1), shape.rows(), channels, shape.kernel());
        Role gain = Role.numbered(CONVOLUTION_NORM, number, Field.GAIN);
        if (shape.norm().isPresent()) {
            Norm norm = shape.norm().get().norm();
            y = switch (shape.norm().get().over()) {
                case CHANNELS -> graph.transpose(norms.of(graph.transpose(y, 0, 2, 1), norm, gain, shape.channels()), 0, 2, 1);
                case TIME -> normedOverTime(y, norm, gain, shape.channels());
            };
        }
        if (shape.activation().isPresent()) {
            return activations.activated(shape.activation().get(), y);
        }
        List<String> halves = graph.split(y, 1, shape.channels(), shape.channels());
        return graph.multiply(halves.get(0), graph.sigmoid(halves.get(1)));
    }

    /** Each channel without its mean over all frames, divided by its deviation, times gain and plus bias. */
    private String normedOverTime(String x, Norm norm, Role gain, int channels) {
        String centred = norms.recentred(x);
        String deviation = graph.apply("Sqrt", graph.add(graph.mean(graph.multiply(centred, centred)), graph.number(norm.epsilon())));
        String y = graph.divide(centred, deviation);
        y = norm.affine().hasGain() ? graph.multiply(y, weights.shaped(gain, channels, 1)) : y;
        return norm.affine().hasBias() ? graph.add(y, weights.shaped(gain.field(Field.BIAS), channels, 1)) : y;
    }

    /** What convolutions in groups make of all frames, (B, T, d). */
    private String places(Places.Convolved shape, String frames) throws IOException {
        int d = architecture.width();
        int kernel = shape.kernel();
        String x = frames;
        for (int c = 0; c < shape.count(); c++) {
            Role role = Role.numbered(POSITION_CONVOLUTION, c, Field.WEIGHT);
            long[] dimensions = {d, d / shape.groups(), kernel};
            // One frame more would come out of an even kernel, behind the last.
            Map<String, Attribute> attributes = overTime(kernel, 1, kernel / 2, kernel / 2 - (kernel % 2 == 0 ? 1 : 0), shape.groups());
            String weight = shape.magnitudes() ? directed(role, dimensions) : weights.shaped(role, dimensions);
            String y = graph.transpose(graph.apply("Conv", attributes, graph.transpose(x, 0, 2, 1), weight, weights.vector(role.field(Field.BIAS))), 0, 2, 1);
            y = shape.norm().isPresent() ? norms.of(y, shape.norm().get(), role.field(Field.GAIN), d) : y;
            x = activations.activated(shape.activation(), y);
        }
        return x;
    }

    /** A direction becomes a weight: what is seen at each moment has the length that its magnitude says. */
    private String directed(Role role, long... shape) throws IOException {
        double[] magnitudes = weights.numbers(role.field(Field.GAIN));
        double[] values = weights.values(role);
        double[] squares = new double[magnitudes.length];
        for (int i = 0; i < values.length; i++) {
            squares[i % squares.length] += values[i] * values[i];
        }
        for (int i = 0; i < values.length; i++) {
            values[i] *= magnitudes[i % squares.length] / Math.sqrt(squares[i % squares.length]);
        }
        return graph.constant(Tensor.of(weights.prefix() + role.path(), graph.real(), Arrays.stream(shape).boxed().toList(), values));
    }
}
