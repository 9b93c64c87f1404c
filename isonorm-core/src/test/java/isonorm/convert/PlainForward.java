package isonorm.convert;

import static isonorm.architecture.Part.*;
import static isonorm.architecture.Role.Field.*;

import isonorm.architecture.Activation;
import isonorm.architecture.Affine;
import isonorm.architecture.Alibi;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.BranchScale;
import isonorm.architecture.Companion;
import isonorm.architecture.CrossAttention;
import isonorm.architecture.Embedding;
import isonorm.architecture.Experts;
import isonorm.architecture.LatentAttention;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.Output;
import isonorm.architecture.Part;
import isonorm.architecture.Placement;
import isonorm.architecture.Placement.Place;
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.RelativeBias;
import isonorm.architecture.Role;
import isonorm.architecture.Rotary;
import isonorm.architecture.Routing;
import isonorm.architecture.Stream;
import isonorm.model.Transformer;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.DoubleUnaryOperator;
import java.util.function.UnaryOperator;
import java.util.stream.IntStream;

/**
 * A forward pass over one input in plain double loops, written from what the architecture's records say. It is slow, it is for
 * tests, and it shares nothing with the engine.
 */
public final class PlainForward {

    /**
     * One input.
     *
     * @param ids tokens, or null for an image
     * @param pixels channel after channel, row after row; or null
     * @param seen which tokens the attention mask keeps
     * @param companion what a second stack reads, or null
     */
    public record Input(int[] ids, double[] pixels, boolean[] seen, Input companion) {

        public Input(int[] ids, double[] pixels, boolean[] seen) {
            this(ids, pixels, seen, null);
        }

        public static Input tokens(int... ids) {
            boolean[] seen = new boolean[ids.length];
            Arrays.fill(seen, true);
            return new Input(ids, null, seen);
        }
    }

    /** One row a position, or one row of scores; and the pooled vector or null. */
    public record Result(double[][] output, double[] pooled) {}

    private final Model model;
    private final Architecture architecture;
    private final Map<Role, double[][]> weights = new HashMap<>();
    private final Map<String, double[][]> trace = new HashMap<>();

    /** The second stream of dual blocks. */
    private double[][] second;

    /** What an encoder gave, and which of it is no padding. */
    private double[][] encoded;
    private boolean[] encodedSeen;

    public PlainForward(Transformer transformer) {
        Model model = Model.of(transformer);
        this.model = model;
        this.architecture = model.architecture();
    }

    public Result run(Input input) {
        trace.clear();
        if (architecture.comparesTowers()) {
            return near(input);
        }
        if (model.companion().isPresent()) {
            encoded = new PlainForward(model.companion().get()).run(input.companion()).output();
            encodedSeen = input.companion().seen(); // null for sounds, all of which is seen
        }
        return walked(input);
    }

    private Result walked(Input input) {
        double[][] x = embed(input);
        second = architecture.dual() ? x.clone() : null;
        for (int l = 0; l < architecture.blocks().size(); l++) {
            x = traced(l, "block_output", block(architecture.blocks().get(l), l, traced(l, "block_input", x), input));
        }
        return output(x, input);
    }

    /** One number, of one image and one text, whose unit vector is what is pooled. */
    private Result near(Input input) {
        Companion.ImageTower tower = (Companion.ImageTower) architecture.companion().orElseThrow();
        double[] x = unit(new PlainForward(model.companion().orElseThrow()).run(input.companion()).pooled());
        double[] y = unit(walked(input).pooled());
        double bias = tower.bias() ? vector(Role.of(SIMILARITY_BIAS, WEIGHT))[0] : 0;
        return new Result(new double[][] {{Math.exp(vector(Role.of(SIMILARITY_SCALE, WEIGHT))[0]) * dot(x, y) + bias}}, y);
    }

    private static double[] unit(double[] x) {
        double length = Math.sqrt(dot(x, x));
        return each(x, value -> value / length);
    }

    /**
     * What the last run computed in a block, the d values of each token: "block_input", "attention_norm", "attention_output", "mlp_input"
     * (the stream as the MLP finds it), "mlp_output" or "block_output"; and of experts "expert_weights", zero where one is not chosen; null where the
     * block has no such thing.
     */
    public double[][] trace(int block, String position) {
        return trace.get(block + " " + position);
    }

    private double[][] traced(int l, String position, double[][] x) {
        double[][] full = new double[x.length][];
        for (int i = 0; i < x.length; i++) {
            full[i] = full(x[i]);
        }
        trace.put(l + " " + position, full);
        return x;
    }

    // Weights

    private double[][] matrix(Role role) {
        return weights.computeIfAbsent(role, _ -> {
            try {
                Matrix matrix = model.weight(role);
                double[] values = new double[matrix.rows() * matrix.columns()];
                matrix.prepare();
                matrix.read(0, matrix.rows(), values);
                matrix.release();
                double[][] rows = new double[matrix.rows()][];
                for (int r = 0; r < rows.length; r++) {
                    rows[r] = Arrays.copyOfRange(values, r * matrix.columns(), (r + 1) * matrix.columns());
                }
                return rows;
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        });
    }

    private double[] vector(Role role) {
        return matrix(role)[0];
    }

    private boolean has(Role role) {
        return model.weights().containsKey(role);
    }

    // Vectors

    private static double dot(double[] a, double[] b) {
        if (a.length != b.length) {
            throw new IllegalArgumentException("a row of " + a.length + " values cannot meet " + b.length);
        }
        double sum = 0;
        for (int i = 0; i < a.length; i++) {
            sum += a[i] * b[i];
        }
        return sum;
    }

    private static double[] plus(double[] a, double[] b) {
        if (a.length != b.length) {
            throw new IllegalArgumentException(a.length + " values cannot be added to " + b.length);
        }
        double[] sum = new double[a.length];
        for (int i = 0; i < a.length; i++) {
            sum[i] = a[i] + b[i];
        }
        return sum;
    }

    private static double[] times(double[] a, double[] b) {
        double[] product = new double[a.length];
        for (int i = 0; i < a.length; i++) {
            product[i] = a[i] * b[i];
        }
        return product;
    }

    private static double[] each(double[] a, DoubleUnaryOperator change) {
        double[] changed = new double[a.length];
        for (int i = 0; i < a.length; i++) {
            changed[i] = change.applyAsDouble(a[i]);
        }
        return changed;
    }

    private static double mean(double[] a) {
        double sum = 0;
        for (double value : a) {
            sum += value;
        }
        return sum / a.length;
    }

    private static double[] centred(double[] a) {
        double mean = mean(a);
        return each(a, value -> value - mean);
    }

    /** W x + b. */
    private double[] linear(Part part, int l, double[] x) {
        return linear(Role.of(part, l, WEIGHT), x);
    }

    private double[] linear(Role role, double[] x) {
        double[][] rows = matrix(role);
        double[] y = new double[rows.length];
        for (int r = 0; r < y.length; r++) {
            y[r] = dot(rows[r], x);
        }
        return has(role.field(BIAS)) ? plus(y, vector(role.field(BIAS))) : y;
    }

    /** The d values that a vector of the stream stands for. */
    private double[] full(double[] x) {
        if (architecture.stream() != Stream.COMPRESSED || x.length == architecture.width()) {
            return x;
        }
        double[] all = Arrays.copyOf(x, x.length + 1);
        for (double value : x) {
            all[x.length] -= value;
        }
        return all;
    }

    // Norms

    private double[] normalized(Norm norm, Part part, int l, double[] x) {
        int n = x.length;
        double epsilon = norm.epsilon();
        return switch (norm.kind()) {
            case LAYER -> {
                double[] centred = centred(x);
                yield divided(centred, dot(centred, centred) / n + epsilon);
            }
            case RMS -> divided(x, dot(x, x) / n + epsilon);
            case CRMS -> divided(x, (dot(x, x) + n * mean(x) * n * mean(x)) / (n + 1) + epsilon);
            case DYNAMIC_TANH -> each(x, value -> Math.tanh(vector(Role.of(part, l, ALPHA))[0] * value));
        };
    }

    private static double[] divided(double[] x, double squareOfDivisor) {
        double divisor = Math.sqrt(squareOfDivisor);
        return each(x, value -> value / divisor);
    }

    /** A norm on the stream. With a gain it gives all d values, with nothing as many as the stream carries. */
    private double[] norm(Norm norm, Part part, int l, double[] x) {
        double[] y = normalized(norm, part, l, x);
        if (norm.affine() == Affine.NONE) {
            return y;
        }
        y = times(full(y), vector(Role.of(part, l, GAIN)));
        return norm.affine() == Affine.GAIN_AND_BIAS ? plus(y, vector(Role.of(part, l, BIAS))) : y;
    }

    // Embedding

    private double[][] embed(Input input) {
        Embedding embedding = architecture.embedding();
        double[][] x = switch (embedding) {
            case Embedding.Tokens tokens -> tokens(tokens, input);
            case Embedding.Patches patches -> patches(patches, input.pixels());
            case Embedding.Sound sound -> sound(sound, input.pixels());
        };
        for (int i = 0; i < x.length; i++) {
            if (embedding.streamNorm().isPresent()) {
                x[i] = norm(embedding.streamNorm().get(), EMBEDDING_NORM, -1, x[i]);
            }
            if (embedding.recentre()) {
                x[i] = centred(full(x[i]));
            }
            if (architecture.bases().entry().isPresent()) {
                x[i] = linear(STREAM_ENTRY, -1, x[i]);
            }
            if (x[i].length > architecture.streamWidth()) {
                x[i] = Arrays.copyOf(x[i], architecture.streamWidth());
            }
        }
        return x;
    }

    private double[][] tokens(Embedding.Tokens tokens, Input input) {
        double[][] x = new double[input.ids().length][];
        int[] counted = positions(input.seen());
        for (int i = 0; i < x.length; i++) {
            double scale = tokens.scale() * hiding(tokens.special(), input, i);
            x[i] = each(matrix(Role.of(TOKEN_EMBEDDING, WEIGHT))[input.ids()[i]], value -> value * scale);
            if (tokens.projection() == Embedding.Projection.TOKENS) {
                x[i] = linear(EMBEDDING_PROJECTION, -1, x[i]);
            }
            if (tokens.positions() > 0) {
                int position = tokens.maskedPositions() ? input.seen()[i] ? counted[i] : -1 : i;
                if (tokens.special().padding().isPresent()) {
                    int padding = tokens.special().padding().getAsInt();
                    position = input.ids()[i] == padding ? -1 : (int) Arrays.stream(input.ids(), 0, i).filter(id -> id != padding).count();
                }
                x[i] = plus(x[i], matrix(Role.of(POSITION_EMBEDDING, WEIGHT))[position + tokens.positionOffset()]);
            }
            if (tokens.segments() > 0) {
                x[i] = plus(x[i], matrix(Role.of(SEGMENT_EMBEDDING, WEIGHT))[0]);
            }
            if (tokens.projection() == Embedding.Projection.SUM) {
                double[] read = tokens.norm().isPresent()
                        ? headsNormed(new QueryKeyNorm(tokens.norm().get(), QueryKeyNorm.Span.PROJECTION), EMBEDDING_NORM, -1, x[i], x[i].length) : x[i];
                x[i] = linear(EMBEDDING_PROJECTION, -1, read);
            }
        }
        return x;
    }

    /** ESM: hidden tokens have no vector, and those of the others are scaled by how many there are. */
    private static double hiding(Embedding.Special special, Input input, int i) {
        if (special.hidden().isEmpty()) {
            return 1;
        }
        int hidden = special.hidden().getAsInt();
        int length = 0;
        int found = 0;
        for (int j = 0; j < input.ids().length; j++) {
            length += input.seen()[j] ? 1 : 0;
            found += input.ids()[j] == hidden ? 1 : 0;
        }
        return input.ids()[i] == hidden ? 0 : .88 / (1 - (double) found / length);
    }

    /** How many tokens the mask keeps before each that it keeps; 0 for the others. */
    private static int[] positions(boolean[] seen) {
        int[] positions = new int[seen.length];
        int count = 0;
        for (int i = 0; i < seen.length; i++) {
            positions[i] = seen[i] ? count++ : 0;
        }
        return positions;
    }

    private double[][] patches(Embedding.Patches patches, double[] pixels) {
        int p = patches.patch();
        boolean turned = patches.cut().turned();
        int height = turned ? patches.width() : patches.height();
        int width = turned ? patches.height() : patches.width();
        List<double[]> x = new ArrayList<>();
        if (patches.beside().classTokens() > 0) {
            x.add(vector(Role.of(CLASS_TOKEN, WEIGHT)));
        }
        if (patches.beside().classTokens() > 1) {
            x.add(vector(Role.of(DISTILLATION_TOKEN, WEIGHT)));
        }
        for (int top = 0; top + p <= height; top += patches.cut().down()) {
            for (int left = 0; left + p <= width; left += patches.cut().across()) {
                double[] patch = new double[patches.channels() * p * p];
                int at = 0;
                for (int c = 0; c < patches.channels(); c++) {
                    for (int r = top; r < top + p; r++) {
                        for (int s = left; s < left + p; s++) {
                            patch[at++] = pixels[c * height * width + (turned ? s * height + r : r * width + s)];
                        }
                    }
                }
                x.add(linear(PATCH_PROJECTION, -1, patch));
            }
        }
        for (int i = 0; i < x.size() && patches.positions(); i++) {
            x.set(i, plus(x.get(i), matrix(Role.of(POSITION_EMBEDDING, WEIGHT))[i]));
        }
        if (patches.beside().registers() > 0) {
            x.addAll(patches.beside().classTokens(), List.of(matrix(Role.of(REGISTERS, WEIGHT))));
        }
        return x.toArray(double[][]::new);
    }

    private double[][] sound(Embedding.Sound sound, double[] values) {
        int frames = values.length / sound.lines();
        double[][] x = new double[frames][sound.lines()];
        for (int i = 0; i < frames; i++) {
            for (int line = 0; line < sound.lines(); line++) {
                x[i][line] = values[sound.turned() ? i * sound.lines() + line : line * frames + i];
            }
        }
        for (int c = 0; c < sound.convolutions().size(); c++) {
            Embedding.Sound.Convolution convolution = sound.convolutions().get(c);
            Role role = Role.numbered(CONVOLUTION, c, WEIGHT);
            double[][] y = convolved(x, matrix(role), convolution.kernel(), convolution.stride(), convolution.padding(), 1);
            for (int i = 0; i < y.length && convolution.bias(); i++) {
                y[i] = plus(y[i], vector(role.field(BIAS)));
            }
            x = new double[y.length][];
            for (int i = 0; i < y.length; i++) {
                double[] channels = y[i];
                if (convolution.norm().isPresent()) {
                    Embedding.Sound.ChannelNorm norm = convolution.norm().get();
                    channels = norm.over() == Embedding.Sound.ChannelNorm.Over.CHANNELS ? normalized(norm.norm(), CONVOLUTION_NORM, -1, channels)
                            : overTime(norm.norm(), y, i);
                    channels = plus(times(channels, vector(Role.numbered(CONVOLUTION_NORM, c, GAIN))), vector(Role.numbered(CONVOLUTION_NORM, c, BIAS)));
                }
                double[] sums = channels;
                int half = sums.length / 2;
                x[i] = convolution.activation().map(activation -> each(sums, value -> activated(activation, value))).orElseGet(() -> times(
                        Arrays.copyOf(sums, half), each(Arrays.copyOfRange(sums, half, 2 * half), value -> 1 / (1 + Math.exp(-value)))));
            }
        }
        for (int i = 0; i < x.length && sound.projection().isPresent(); i++) {
            if (sound.projection().get().norm().isPresent()) {
                double[] normalized = normalized(sound.projection().get().norm().get(), FRAME_NORM, -1, x[i]);
                x[i] = plus(times(normalized, vector(Role.of(FRAME_NORM, GAIN))), vector(Role.of(FRAME_NORM, BIAS)));
            }
            x[i] = linear(EMBEDDING_PROJECTION, -1, x[i]);
        }
        double[][] placed = new double[x.length][];
        double[][] places = switch (sound.places()) {
            case Embedding.Sound.Places.Table(int _, int offset) -> Arrays.copyOfRange(matrix(Role.of(POSITION_EMBEDDING, WEIGHT)), offset, offset + x.length);
            case Embedding.Sound.Places.Convolved convolved -> placed(convolved, x);
        };
        for (int i = 0; i < x.length; i++) {
            placed[i] = plus(each(x[i], value -> sound.scale() * value), places[i]);
        }
        return placed;
    }

    private double[][] placed(Embedding.Sound.Places.Convolved shape, double[][] frames) {
        double[][] x = frames;
        for (int c = 0; c < shape.count(); c++) {
            Role role = Role.numbered(POSITION_CONVOLUTION, c, WEIGHT);
            double[][] weight = Arrays.stream(matrix(role)).map(double[]::clone).toArray(double[][]::new);
            for (int k = 0; k < shape.kernel() && shape.magnitudes(); k++) {
                double squares = 0;
                for (double[] row : weight) {
                    for (int i = k; i < row.length; i += shape.kernel()) {
                        squares += row[i] * row[i];
                    }
                }
                for (double[] row : weight) {
                    for (int i = k; i < row.length; i += shape.kernel()) {
                        row[i] *= vector(role.field(GAIN))[k] / Math.sqrt(squares);
                    }
                }
            }
            double[][] y = convolved(x, weight, shape.kernel(), 1, shape.kernel() / 2, shape.groups());
            x = new double[x.length][];
            for (int i = 0; i < x.length; i++) {
                double[] sum = plus(y[i], vector(role.field(BIAS)));
                x[i] = each(shape.norm().isPresent() ? normalized(shape.norm().get(), POSITION_CONVOLUTION, -1, sum) : sum,
                        value -> activated(shape.activation(), value));
            }
        }
        return x;
    }

    /** One frame of channels whose mean and deviation are those over all frames. */
    private static double[] overTime(Norm norm, double[][] x, int frame) {
        double[] y = new double[x[frame].length];
        for (int c = 0; c < y.length; c++) {
            int channel = c;
            double[] times = centred(Arrays.stream(x).mapToDouble(row -> row[channel]).toArray());
            y[c] = times[frame] / Math.sqrt(dot(times, times) / x.length + norm.epsilon());
        }
        return y;
    }

    private static double[][] convolved(double[][] x, double[][] weight, int kernel, int stride, int padding, int groups) {
        int read = x[0].length / groups;
        List<double[]> all = new ArrayList<>();
        for (int from = -padding; from + kernel <= x.length + padding; from += stride) {
            double[] y = new double[weight.length];
            for (int out = 0; out < y.length; out++) {
                int first = out / (weight.length / groups) * read;
                for (int k = 0; k < kernel; k++) {
                    for (int in = 0; from + k >= 0 && from + k < x.length && in < read; in++) {
                        y[out] += weight[out][in * kernel + k] * x[from + k][first + in];
                    }
                }
            }
            all.add(y);
        }
        return all.toArray(double[][]::new);
    }

    // Blocks

    private double[][] block(Block block, int l, double[][] x, Input input) {
        return switch (block.wiring()) {
            case SEQUENTIAL -> {
                double[][] h = joined(block, block.attentionPlacement(), l, x, ATTENTION_NORM, ATTENTION_OUTPUT_NORM, ATTENTION_SCALE,
                        ATTENTION_STREAM_GATE, read -> mixer(block, l, read, input));
                if (block.cross().isPresent()) {
                    traced(l, "cross_input", h);
                    h = joined(block, block.attentionPlacement(), l, h, CROSS_NORM, CROSS_NORM, ATTENTION_SCALE, ATTENTION_STREAM_GATE,
                            read -> cross(block.cross().get(), l, read));
                }
                traced(l, "mlp_input", h);
                yield joined(block, block.mlpPlacement(), l, h, MLP_NORM, MLP_OUTPUT_NORM, MLP_SCALE, MLP_STREAM_GATE,
                        read -> feedForward(block, l, read));
            }
            case PARALLEL -> parallel(block, l, x, normed(block, ATTENTION_NORM, l, x), normed(block, MLP_NORM, l, x), input);
            case PARALLEL_ONE_NORM -> {
                double[][] both = normed(block, ATTENTION_NORM, l, x);
                yield parallel(block, l, x, both, both, input);
            }
        };
    }

    private double[][] parallel(Block block, int l, double[][] x, double[][] attended, double[][] fed, Input input) {
        traced(l, "attention_norm", attended);
        traced(l, "mlp_input", x);
        double[][] branch = traced(l, "attention_output", scaled(block, ATTENTION_SCALE, l, mixer(block, l, attended, input)));
        double[][] other = traced(l, "mlp_output", scaled(block, MLP_SCALE, l, feedForward(block, l, fed)));
        double[][] both = new double[x.length][];
        for (int i = 0; i < x.length; i++) {
            both[i] = plus(branch[i], other[i]);
        }
        return added(block, inNextBasis(ATTENTION_SKIP, l, x), both);
    }

    private double[][] joined(Block block, Placement placement, int l, double[][] x, Part norm, Part outputNorm, Part scale, Part gate,
            UnaryOperator<double[][]> subLayer) {
        boolean attention = norm == ATTENTION_NORM;
        double[][] read = placed(block, placement, Place.INPUT, l, x, norm, outputNorm);
        traceNorm(attention, placement, Place.INPUT, l, read);
        double[][] written = scaled(block, scale, l, placed(block, placement, Place.BRANCH, l, subLayer.apply(read), norm, outputNorm));
        traceNorm(attention, placement, Place.BRANCH, l, written);
        traced(l, attention ? "attention_output" : norm == CROSS_NORM ? "cross_attention_output" : "mlp_output", written);
        if (placement.writesSecondStream()) {
            for (int i = 0; i < x.length; i++) {
                second[i] = plus(second[i], written[i]);
            }
        }
        double[][] skip = block.recentre() && placement.normalizesSum() ? centredRows(x)
                : attention || norm == MLP_NORM ? inNextBasis(attention ? ATTENTION_SKIP : MLP_SKIP, l, x) : x;
        double[][] sum = placed(block, placement, Place.SUM, l, added(block, skip, written), norm, outputNorm);
        traceNorm(attention, placement, Place.SUM, l, sum);
        return gated(block, gate, l, sum);
    }

    /** In the basis of what comes next. */
    private double[][] inNextBasis(Part skip, int l, double[][] x) {
        return architecture.bases().skips() ? Arrays.stream(x).map(row -> linear(skip, l, row)).toArray(double[][]::new) : x;
    }

    /** Behind the norm at a place, where one stands there. */
    private double[][] placed(Block block, Placement placement, Place place, int l, double[][] x, Part norm, Part outputNorm) {
        return placement.at(place, Optional.of(norm), Optional.of(outputNorm)).map(part -> normed(block, part, l, x)).orElse(x);
    }

    private void traceNorm(boolean attention, Placement placement, Place place, int l, double[][] x) {
        if (attention && placement.first() == place) {
            traced(l, "attention_norm", x);
        }
    }

    private double[][] gated(Block block, Part part, int l, double[][] x) {
        if (!block.gates()) {
            return x;
        }
        double g = vector(Role.of(part, l, WEIGHT))[0];
        double[][] y = new double[x.length][];
        for (int i = 0; i < x.length; i++) {
            y[i] = each(x[i], value -> value - g / (1 + Math.exp(-g)) * value);
        }
        return y;
    }

    private double[][] normed(Block block, Part part, int l, double[][] x) {
        double[][] y = new double[x.length][];
        for (int i = 0; i < x.length; i++) {
            y[i] = norm(block.norm(), part, l, x[i]);
        }
        return y;
    }

    private double[][] scaled(Block block, Part part, int l, double[][] x) {
        double[][] y = new double[x.length][];
        for (int i = 0; i < x.length; i++) {
            double[] scale = block.scale() == BranchScale.NONE ? new double[] {1} : vector(Role.of(part, l, WEIGHT));
            double[] learned = block.scale() == BranchScale.VECTOR ? times(x[i], scale) : each(x[i], value -> scale[0] * value);
            y[i] = each(learned, value -> block.branch() * value);
        }
        return y;
    }

    private static double[][] centredRows(double[][] x) {
        return Arrays.stream(x).map(PlainForward::centred).toArray(double[][]::new);
    }

    private static double[][] added(Block block, double[][] x, double[][] branch) {
        double[][] y = new double[x.length][];
        for (int i = 0; i < x.length; i++) {
            y[i] = plus(each(x[i], value -> block.skip() * value), branch[i]);
        }
        return y;
    }

    private double[][] mixer(Block block, int l, double[][] x, Input input) {
        return switch (block.mixer()) {
            case Attention attention -> attention(attention, l, x, input);
            case LatentAttention latent -> latent(latent, l, x);
        };
    }

    private double[][] feedForward(Block block, int l, double[][] x) {
        return switch (block.feedForward()) {
            case Mlp mlp -> Arrays.stream(x)
                    .map(row -> mlp(mlp, Role.of(MLP_GATE, l, WEIGHT), Role.of(MLP_UP, l, WEIGHT), Role.of(MLP_DOWN, l, WEIGHT), row)).toArray(double[][]::new);
            case Experts experts -> Arrays.stream(x).map(row -> experts(experts, l, row)).toArray(double[][]::new);
        };
    }

    private double[] mlp(Mlp mlp, Role gateRole, Role upRole, Role downRole, double[] x) {
        double[] up = linear(upRole, x);
        if (!mlp.gated()) {
            return linear(downRole, inner(mlp.innerNorm(), MLP_INNER_NORM, upRole.block(), each(up, v -> activated(mlp.activation(), v))));
        }
        double[] gate = linear(gateRole, x);
        if (mlp.clamp().isPresent()) {
            double limit = mlp.clamp().get().limit();
            gate = each(gate, v -> v > limit ? limit : v);
            up = each(up, v -> (v > limit ? limit : v < -limit ? -limit : v) + mlp.clamp().get().added());
        }
        return linear(downRole, inner(mlp.innerNorm(), MLP_INNER_NORM, upRole.block(), times(each(gate, v -> activated(mlp.activation(), v)), up)));
    }

    private double[] experts(Experts experts, int l, double[] x) {
        double[] weights = weights(experts, l, linear(ROUTER, l, x));
        double[][] before = trace.getOrDefault(l + " expert_weights", new double[0][]);
        double[][] after = Arrays.copyOf(before, before.length + 1);
        after[before.length] = weights;
        trace.put(l + " expert_weights", after);
        double[] y = null;
        for (int e = 0; e < weights.length; e++) {
            if (weights[e] != 0) {
                double weight = weights[e];
                double[] given = each(mlp(experts.expert(), Role.of(MLP_GATE, l, WEIGHT).ofExpert(e), Role.of(MLP_UP, l, WEIGHT).ofExpert(e),
                        Role.of(MLP_DOWN, l, WEIGHT).ofExpert(e), x), v -> weight * v);
                y = y == null ? given : plus(y, given);
            }
        }
        if (experts.shared().isEmpty()) {
            return y;
        }
        double[] all = mlp(experts.shared().get().mlp(), Role.of(SHARED_GATE, l, WEIGHT), Role.of(SHARED_UP, l, WEIGHT), Role.of(SHARED_DOWN, l, WEIGHT), x);
        if (experts.shared().get().gated()) {
            double gate = linear(SHARED_WEIGHT, l, x)[0];
            all = each(all, v -> v / (1 + Math.exp(-gate)));
        }
        return plus(y, all);
    }

    /** The weight of each expert, zero for those that are not chosen. */
    private double[] weights(Experts experts, int l, double[] outputs) {
        Routing routing = experts.routing();
        int n = outputs.length;
        double[] weights = new double[n];
        if (routing.scores() instanceof Routing.Scores.SparseMixer(double jitter)) {
            boolean[] gone = new boolean[n];
            for (int round = 0; round < 2; round++) {
                int best = IntStream.range(0, n).filter(e -> !gone[e]).boxed().max(Comparator.comparingDouble(e -> outputs[e])).orElseThrow();
                double m = outputs[best];
                double sum = IntStream.range(0, n).filter(e -> !gone[e] && !((m - outputs[e]) / Math.max(Math.abs(outputs[e]), m) > 2 * jitter))
                        .mapToDouble(e -> Math.exp(outputs[e] - m)).sum();
                weights[best] = 1 / sum;
                gone[best] = true;
            }
            return weights;
        }
        double total = Arrays.stream(outputs).map(Math::exp).sum();
        double[] scores = routing.scores() instanceof Routing.Scores.Sigmoid
                ? each(outputs, v -> 1 / (1 + Math.exp(-v))) : each(outputs, v -> Math.exp(v) / total);
        double[] compared = routing.correction() ? plus(scores, vector(Role.of(ROUTER_CORRECTION, l, WEIGHT))) : scores;
        int size = n / routing.groups().count();
        double[] groups = new double[routing.groups().count()];
        for (int g = 0; g < groups.length; g++) {
            double[] sorted = Arrays.stream(compared, g * size, (g + 1) * size).map(v -> -v).sorted().toArray();
            groups[g] = -Arrays.stream(sorted).limit(routing.groups().scoredBy()).sum();
        }
        boolean[] kept = new boolean[groups.length];
        IntStream.range(0, groups.length).boxed().sorted(Comparator.comparingDouble(g -> -groups[g])).limit(routing.groups().kept()).forEach(g -> kept[g] = true);
        int[] chosen = IntStream.range(0, n).filter(e -> kept[e / size]).boxed().sorted(Comparator.comparingDouble(e -> -compared[e]))
                .limit(routing.chosen()).mapToInt(e -> e).toArray();
        double sum = routing.normalized() ? Arrays.stream(chosen).mapToDouble(e -> scores[e]).sum() : 1;
        for (int e : chosen) {
            weights[e] = routing.scale() * scores[e] / sum;
        }
        return weights;
    }

    static double activated(Activation activation, double v) {
        return switch (activation) {
            case GELU -> v * (1 + erf(v / Math.sqrt(2))) / 2;
            case GELU_TANH -> v / 2 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v * v * v)));
            case QUICK_GELU -> v / (1 + Math.exp(-1.702 * v));
            case RELU -> Math.max(v, 0);
            case RELU_SQUARED -> Math.max(v, 0) * Math.max(v, 0);
            case SILU -> v / (1 + Math.exp(-v));
            case TANH -> Math.tanh(v);
        };
    }

    /** Kummer's series, whose terms are all of one sign: exact to the last digits wherever it matters. */
    static double erf(double x) {
        if (Math.abs(x) > 6) {
            return Math.signum(x);
        }
        double term = x;
        double sum = x;
        for (int n = 1; Math.abs(term) > Math.abs(sum) * 1e-17; n++) {
            term *= 2 * x * x / (2 * n + 1);
            sum += term;
        }
        return 2 / Math.sqrt(Math.PI) * Math.exp(-x * x) * sum;
    }

    // Attention

    private double[][] attention(Attention attention, int l, double[][] x, Input input) {
        int width = attention.heads().width();
        int heads = attention.heads().count();
        int shared = attention.heads().keyValue();
        double[][] q = new double[x.length][];
        double[][] k = new double[x.length][];
        double[][] v = new double[x.length][];
        for (int i = 0; i < x.length; i++) {
            double[] all = linear(QUERY_KEY_VALUE, l, x[i]);
            if (attention.clip().isPresent()) {
                double limit = attention.clip().getAsDouble();
                all = each(all, value -> Math.min(Math.max(value, -limit), limit));
            }
            q[i] = Arrays.copyOfRange(all, 0, heads * width);
            k[i] = Arrays.copyOfRange(all, heads * width, (heads + shared) * width);
            v[i] = Arrays.copyOfRange(all, (heads + shared) * width, all.length);
            if (attention.norms().queryKey().isPresent()) {
                q[i] = headsNormed(attention.norms().queryKey().get(), QUERY_NORM, l, q[i], width);
                k[i] = headsNormed(attention.norms().queryKey().get(), KEY_NORM, l, k[i], width);
            }
            if (attention.norms().value().isPresent()) {
                QueryKeyNorm.Span span = attention.norms().queryKey().map(QueryKeyNorm::span).orElse(QueryKeyNorm.Span.HEAD);
                v[i] = headsNormed(new QueryKeyNorm(attention.norms().value().get(), span), VALUE_NORM, l, v[i], width);
            }
            if (attention.positions().rotary().isPresent()) {
                turn(attention.positions().rotary().get().at(x.length), q[i], width, i);
                turn(attention.positions().rotary().get().at(x.length), k[i], width, i);
            }
        }
        boolean[] seen = input.seen();
        int[] counted = seen == null ? null : positions(seen);
        double[] slopes = attention.positions().alibi().map(alibi -> alibi.slopes(heads)).orElse(null);
        double[][] y = new double[x.length][];
        for (int i = 0; i < x.length; i++) {
            double[] mixed = new double[heads * width];
            for (int h = 0; h < heads; h++) {
                int g = h / (heads / shared);
                double[] scores = new double[x.length];
                double largest = Double.NEGATIVE_INFINITY;
                for (int j = 0; j < x.length; j++) {
                    scores[j] = sees(attention, i, j, seen)
                            ? score(attention, part(q[i], h, width), part(k[j], g, width), slopes == null ? 0 : slopes[h],
                                    slopes == null ? 0 : counted[j]) + gate(attention, l, h, x[i]) * relative(attention, l, h, i, j)
                            : Double.NEGATIVE_INFINITY;
                    largest = Math.max(largest, scores[j]);
                }
                double total = attention.scores().sinks() ? Math.exp(vector(Role.of(ATTENTION_SINK, l, WEIGHT))[h] - largest) : 0;
                for (int j = 0; j < x.length; j++) {
                    scores[j] = scores[j] == Double.NEGATIVE_INFINITY ? 0 : Math.exp(scores[j] - largest);
                    total += scores[j];
                }
                for (int j = 0; j < x.length && total > 0; j++) {
                    for (int c = 0; c < width; c++) {
                        mixed[h * width + c] += scores[j] / total * v[j][g * width + c];
                    }
                }
            }
            double[] given = inner(attention.norms().inner(), ATTENTION_INNER_NORM, l, mixed).clone();
            for (int c = 0; c < given.length && attention.norms().headScales(); c++) {
                given[c] *= vector(Role.of(ATTENTION_HEAD_SCALE, l, WEIGHT))[c / width];
            }
            y[i] = linear(ATTENTION_OUTPUT, l, given);
        }
        return y;
    }

    private double[][] latent(LatentAttention latent, int l, double[][] x) {
        int P = latent.plainWidth();
        int R = latent.rotary().width();
        int V = latent.valueWidth();
        double[][] q = new double[x.length][];
        double[][] kv = new double[x.length][];
        double[][] turned = new double[x.length][];
        for (int i = 0; i < x.length; i++) {
            double[] all = linear(QUERY_KEY_VALUE, l, x[i]);
            int reads = latent.readQueries();
            q[i] = Arrays.copyOf(all, reads);
            if (latent.queryRank().isPresent()) {
                q[i] = linear(QUERY_UP, l, inner(Optional.of(latent.norm()), QUERY_NORM, l, q[i]));
            }
            kv[i] = linear(KEY_VALUE_UP, l, inner(Optional.of(latent.norm()), KEY_NORM, l, Arrays.copyOfRange(all, reads, reads + latent.keyValueRank())));
            turned[i] = Arrays.copyOfRange(all, reads + latent.keyValueRank(), all.length);
            turn(latent.rotary(), turned[i], R, i);
        }
        double[][] y = new double[x.length][];
        for (int i = 0; i < x.length; i++) {
            double[] mixed = new double[latent.heads() * V];
            for (int h = 0; h < latent.heads(); h++) {
                double[] own = Arrays.copyOfRange(q[i], h * (P + R), (h + 1) * (P + R));
                double[] last = Arrays.copyOfRange(own, P, P + R);
                turn(latent.rotary(), last, R, i);
                double[] weights = new double[i + 1];
                double total = 0;
                for (int j = 0; j <= i; j++) {
                    double score = dot(Arrays.copyOf(own, P), Arrays.copyOfRange(kv[j], h * (P + V), h * (P + V) + P)) + dot(last, turned[j]);
                    weights[j] = Math.exp(latent.scores().scale() * score);
                    total += weights[j];
                }
                for (int j = 0; j <= i; j++) {
                    for (int c = 0; c < V; c++) {
                        mixed[h * V + c] += weights[j] / total * kv[j][h * (P + V) + P + c];
                    }
                }
            }
            y[i] = linear(ATTENTION_OUTPUT, l, mixed);
        }
        return y;
    }

    /** Each position sees all that the encoder gave but padding. */
    private double[][] cross(CrossAttention attention, int l, double[][] x) {
        int width = attention.heads().width();
        int heads = attention.heads().count();
        int keys = attention.heads().keyValue();
        double[][] kv = new double[encoded.length][];
        for (int j = 0; j < kv.length; j++) {
            kv[j] = linear(CROSS_KEY_VALUE, l, encoded[j]);
        }
        double[][] y = new double[x.length][];
        for (int i = 0; i < x.length; i++) {
            double[] q = linear(CROSS_QUERY, l, x[i]);
            double[] mixed = new double[heads * width];
            for (int h = 0; h < heads; h++) {
                int g = h / (heads / keys);
                double total = 0;
                double[] weights = new double[kv.length];
                for (int j = 0; j < kv.length; j++) {
                    weights[j] = encodedSeen == null || encodedSeen[j] ? Math.exp(attention.scale() * dot(part(q, h, width), part(kv[j], g, width))) : 0;
                    total += weights[j];
                }
                for (int j = 0; j < kv.length; j++) {
                    for (int c = 0; c < width; c++) {
                        mixed[h * width + c] += weights[j] / total * kv[j][(keys + g) * width + c];
                    }
                }
            }
            y[i] = linear(CROSS_OUTPUT, l, mixed);
        }
        return y;
    }

    private static double[] part(double[] all, int head, int width) {
        return Arrays.copyOfRange(all, head * width, (head + 1) * width);
    }

    private static boolean sees(Attention attention, int query, int key, boolean[] seen) {
        return (!attention.causal() || key <= query)
                && (attention.scores().window().isEmpty() || Math.abs(key - query) < attention.scores().window().getAsInt())
                && (seen == null || seen[key]);
    }

    private double gate(Attention attention, int l, int head, double[] read) {
        int width = attention.heads().width();
        double[] numbers = switch (attention.gates()) {
            case NONE -> new double[0];
            case SHARED -> {
                double[] eight = linear(RELATIVE_GATE, l, part(read, head, width));
                yield new double[] {eight[0] + eight[1] + eight[2] + eight[3], eight[4] + eight[5] + eight[6] + eight[7]};
            }
            case EACH_HEAD -> {
                double[] all = linear(RELATIVE_GATE, l, read);
                yield new double[] {all[head], all[attention.heads().count() + head]};
            }
        };
        if (numbers.length == 0) {
            return 1;
        }
        double first = 1 / (1 + Math.exp(-numbers[0]));
        double second = 1 / (1 + Math.exp(-numbers[1]));
        return 2 - first + first * second * vector(Role.of(RELATIVE_GATE_SCALE, l, WEIGHT))[head];
    }

    private double relative(Attention attention, int l, int head, int query, int key) {
        if (attention.positions().relative().isEmpty()) {
            return 0;
        }
        RelativeBias relative = attention.positions().relative().get();
        int block = relative.own() ? l : 0;
        if (relative.buckets() instanceof RelativeBias.Grid(int rows, int columns)) { // counted by walking over all that patches can be apart
            int bucket = 0;
            for (int down = 1 - rows; down < rows && query > 0 && key > 0; down++) {
                for (int across = 1 - columns; across < columns; across++, bucket++) {
                    if ((query - 1) / columns == (key - 1) / columns + down && (query - 1) % columns == (key - 1) % columns + across) {
                        return matrix(Role.of(RELATIVE_BIAS, block, WEIGHT))[bucket][head];
                    }
                }
            }
            int patches = (2 * rows - 1) * (2 * columns - 1);
            return matrix(Role.of(RELATIVE_BIAS, block, WEIGHT))[query == 0 && key == 0 ? patches + 2 : query == 0 ? patches : patches + 1][head];
        }
        RelativeBias.Distances bias = (RelativeBias.Distances) relative.buckets();
        int distance = key - query;
        int each = bias.bidirectional() ? bias.count() / 2 : bias.count();
        int far = bias.bidirectional() ? Math.abs(distance) : Math.max(0, -distance);
        int exact = each / 2;
        int bucket = far;
        if (far >= exact) { // the rest grow by a constant factor, and the last one holds what is furthest
            double factor = Math.pow((double) bias.furthest() / exact, 1.0 / (each - exact));
            bucket = exact;
            for (double end = exact * factor; bucket < each - 1 && end <= far * (1 + 1e-12); end *= factor) {
                bucket++;
            }
        }
        return matrix(Role.of(RELATIVE_BIAS, block, WEIGHT))[bias.bidirectional() && distance > 0 ? each + bucket : bucket][head];
    }

    private static double score(Attention attention, double[] q, double[] k, double slope, int position) {
        double score = dot(q, k);
        if (attention.positions().alibi().isPresent() && attention.positions().alibi().get() == Alibi.BEFORE_SCALE_BFLOAT16) {
            score = (score + bfloat16(bfloat16(slope) * position)) * attention.scores().scale();
        } else {
            score = score * attention.scores().scale() + slope * position;
        }
        if (attention.scores().softcap().isPresent()) {
            double cap = attention.scores().softcap().getAsDouble();
            score = cap * Math.tanh(score / cap);
        }
        return score;
    }

    /** Eight bits of a positive number are kept, ties to even. */
    private static double bfloat16(double value) {
        if (value == 0) {
            return 0;
        }
        double unit = Math.scalb(1.0, Math.getExponent(value) - 7);
        return Math.rint(value / unit) * unit;
    }

    private double[] headsNormed(QueryKeyNorm norm, Part part, int l, double[] x, int width) {
        int span = norm.span() == QueryKeyNorm.Span.PROJECTION ? x.length : width;
        double[] gain = norm.norm().affine().hasGain() ? vector(Role.of(part, l, GAIN)) : null;
        double[] bias = norm.norm().affine().hasBias() ? vector(Role.of(part, l, BIAS)) : null;
        double[] y = new double[x.length];
        for (int from = 0; from < x.length; from += span) {
            double[] n = normalized(norm.norm(), part, l, Arrays.copyOfRange(x, from, from + span));
            for (int c = 0; c < span; c++) {
                int at = norm.span() == QueryKeyNorm.Span.HEAD ? c : from + c;
                y[from + c] = n[c] * (gain == null ? 1 : gain[at]) + (bias == null ? 0 : bias[at]);
            }
        }
        return y;
    }

    /** A norm inside a sub-layer, where there is one. */
    private double[] inner(Optional<Norm> norm, Part part, int l, double[] x) {
        return norm.isEmpty() ? x : headsNormed(new QueryKeyNorm(norm.get(), QueryKeyNorm.Span.PROJECTION), part, l, x, x.length);
    }

    private static void turn(Rotary rotary, double[] x, int width, int position) {
        double[] angles = angles(rotary, position);
        for (int from = 0; from < x.length; from += width) {
            for (int i = 0; i < angles.length; i++) {
                boolean halves = rotary.pairing() == Rotary.Pairing.HALVES;
                int a = from + (halves ? i : 2 * i);
                int b = from + (halves ? i + rotary.width() / 2 : 2 * i + 1);
                double cos = rotary.magnitude() * Math.cos(angles[i]);
                double sin = rotary.magnitude() * Math.sin(angles[i]);
                double before = x[a];
                x[a] = before * cos - x[b] * sin;
                x[b] = x[b] * cos + before * sin;
            }
        }
    }

    private static double[] angles(Rotary rotary, int position) {
        if (rotary.grid().isEmpty()) {
            return each(rotary.frequencies(), frequency -> position * frequency);
        }
        Rotary.Grid grid = rotary.grid().get();
        double[] angles = new double[rotary.width() / 2];
        int patch = position - grid.before();
        for (int i = 0; i < angles.length && patch >= 0; i++) {
            boolean down = i < angles.length / 2;
            int along = down ? patch / grid.columns() : patch % grid.columns();
            double middle = (2.0 * along + 1) / (down ? grid.rows() : grid.columns()) - 1;
            angles[i] = 2 * Math.PI * middle / Math.pow(rotary.base(), 4.0 * (i % (angles.length / 2)) / rotary.width());
        }
        return angles;
    }

    // Output

    private Result output(double[][] stream, Input input) {
        double[][] x = architecture.bases().exit().isPresent() ? Arrays.stream(stream).map(row -> linear(STREAM_EXIT, -1, row)).toArray(double[][]::new) : stream;
        boolean normedMean = architecture.output() instanceof Output.Labels labels && labels.pooling() == Output.Pooling.NORMED_MEAN;
        if (normedMean || architecture.output() instanceof Output.Hidden hidden && hidden.pooler().bareStream()) {
            double[] read = architecture.output() instanceof Output.Hidden first && first.pooler() == Output.Pooler.NORMED_FIRST ? x[0] : meanOf(x, architecture.firstPatch(), x.length);
            double[] pooled = norm(architecture.finalNorm().orElseThrow(), FINAL_NORM, -1, read);
            if (architecture.output() instanceof Output.Labels labels) {
                return new Result(new double[][] {scores(labels, pooled)}, null);
            }
            return new Result(all(x), projected((Output.Hidden) architecture.output(), full(pooled)));
        }
        double[][] y = new double[x.length][];
        for (int i = 0; i < x.length; i++) {
            y[i] = architecture.dual() ? plus(x[i], norm(architecture.finalNorm().orElseThrow(), FINAL_NORM, -1, second[i]))
                    : architecture.finalNorm().isPresent() ? norm(architecture.finalNorm().get(), FINAL_NORM, -1, x[i]) : x[i];
        }
        return switch (architecture.output()) {
            case Output.Words words -> {
                double[][] logits = new double[y.length][];
                for (int i = 0; i < y.length; i++) {
                    logits[i] = words(words, y[i]);
                }
                yield new Result(logits, null);
            }
            case Output.Labels labels -> new Result(labels(labels, y, input), null);
            case Output.Hidden hidden -> new Result(all(y), projected(hidden, switch (hidden.pooler()) {
                case NONE, NORMED_FIRST, NORMED_MEAN -> null;
                case LAST -> full(y[y.length - 1]);
                case END -> full(y[end(input.ids())]);
                case PROBE -> probed(hidden.probe().orElseThrow(), all(y));
                case FIRST -> full(y[0]);
                case MEAN_OF_TWO -> full(meanOf(y, 0, 2));
                case DENSE_TANH -> each(linear(POOLER, -1, y[0]), Math::tanh);
            }));
        };
    }

    private double[] projected(Output.Hidden hidden, double[] pooled) {
        return hidden.projection().isPresent() ? linear(POOLER_PROJECTION, -1, pooled) : pooled;
    }

    /** The first end token, or the first one where there is none; without a name for it the first of the highest id. */
    private int end(int[] ids) {
        OptionalInt end = ((Embedding.Tokens) architecture.embedding()).special().end();
        int wanted = end.orElse(Arrays.stream(ids).max().orElseThrow());
        return Math.max(0, IntStream.range(0, ids.length).filter(i -> ids[i] == wanted).findFirst().orElse(0));
    }

    private double[] probed(Output.Probe probe, double[][] y) {
        double[] query = linear(POOLER_QUERY, -1, vector(Role.of(POOLER_PROBE, WEIGHT)));
        int width = query.length / probe.heads();
        double[] mixed = new double[query.length];
        for (int h = 0; h < probe.heads(); h++) {
            double[] weights = new double[y.length];
            double total = 0;
            for (int j = 0; j < y.length; j++) {
                weights[j] = Math.exp(dot(part(query, h, width), part(linear(POOLER_KEY, -1, y[j]), h, width)) / Math.sqrt(width));
                total += weights[j];
            }
            for (int j = 0; j < y.length; j++) {
                double[] value = part(linear(POOLER_VALUE, -1, y[j]), h, width);
                for (int c = 0; c < width; c++) {
                    mixed[h * width + c] += weights[j] / total * value[c];
                }
            }
        }
        double[] a = linear(POOLER_OUTPUT, -1, mixed);
        double[] up = linear(POOLER_UP, -1, norm(probe.norm(), POOLER_NORM, -1, a));
        return plus(a, linear(POOLER_DOWN, -1, each(up, value -> activated(probe.mlp().activation(), value))));
    }

    private double[][] all(double[][] y) {
        double[][] hidden = new double[y.length][];
        for (int i = 0; i < y.length; i++) {
            hidden[i] = full(y[i]);
        }
        return hidden;
    }

    private double[][] labels(Output.Labels labels, double[][] y, Input input) {
        return switch (labels.pooling()) {
            case FIRST -> new double[][] {scores(labels, y[0])};
            case FIRST_AND_MEAN -> {
                double[] both = Arrays.copyOf(y[0], 2 * y[0].length);
                System.arraycopy(meanOf(y, architecture.firstPatch(), y.length), 0, both, y[0].length, y[0].length);
                yield new double[][] {scores(labels, both)};
            }
            case PATCHES -> Arrays.stream(y).skip(architecture.firstPatch()).map(each -> scores(labels, each)).toArray(double[][]::new);
            case EVERY -> Arrays.stream(y).map(each -> scores(labels, each)).toArray(double[][]::new);
            case LAST -> new double[][] {scores(labels, y[IntStream.range(0, y.length).filter(i -> input.seen() == null || input.seen()[i]).max().orElseThrow()])};
            case MEAN -> {
                double[][] seen = IntStream.range(0, y.length).filter(i -> input.seen() == null || input.seen()[i]).mapToObj(i -> y[i]).toArray(double[][]::new);
                yield new double[][] {scores(labels, meanOf(seen, 0, seen.length))};
            }
            case MEAN_OF_TWO -> new double[][] {scores(labels, meanOf(y, 0, 2))};
            case EACH_OF_TWO -> new double[][] {each(plus(linear(HEAD, -1, y[0]), linear(DISTILLED_HEAD, -1, y[1])), value -> value / 2)};
            case NORMED_MEAN -> throw new IllegalStateException("the norm reads the mean");
        };
    }

    private double[] scores(Output.Labels labels, double[] read) {
        return linear(HEAD, -1, labels.transform().isPresent() ? transformed(labels.transform().get(), read) : read);
    }

    private double[] transformed(Output.Transform transform, double[] read) {
        double[] y = transform.dense().isEmpty() ? full(read)
                : each(linear(HEAD_TRANSFORM, -1, read), v -> transform.dense().get().activation().isEmpty() ? v : activated(transform.dense().get().activation().get(), v));
        return transform.norm().isEmpty() ? y : norm(transform.norm().get(), HEAD_TRANSFORM_NORM, -1, y);
    }

    private static double[] meanOf(double[][] x, int from, int to) {
        double[] mean = new double[x[from].length];
        for (int i = from; i < to; i++) {
            mean = plus(mean, x[i]);
        }
        return each(mean, value -> value / (to - from));
    }

    private double[] words(Output.Words words, double[] read) {
        double[] y = words.projectedWidth() > 0 ? linear(HEAD_PROJECTION, -1, read) : read;
        if (words.transform().isPresent()) {
            y = transformed(words.transform().get(), y);
        }
        double[] logits;
        if (words.tied()) {
            // A compressed table stands for rows of d values that sum to zero, as the stream does.
            double[][] table = matrix(Role.of(TOKEN_EMBEDDING, WEIGHT));
            boolean compressed = architecture.stream() == Stream.COMPRESSED && architecture.tokensEnterStream();
            double[] whole = compressed ? full(y) : y;
            logits = new double[table.length];
            for (int t = 0; t < table.length; t++) {
                logits[t] = dot(compressed ? full(table[t]) : table[t], whole);
                if (has(Role.of(TOKEN_EMBEDDING, MEANS))) {
                    logits[t] += vector(Role.of(TOKEN_EMBEDDING, MEANS))[t] * mean(whole) * whole.length;
                }
            }
            logits = words.bias() ? plus(logits, vector(Role.of(HEAD, BIAS))) : logits;
        } else {
            logits = linear(HEAD, -1, y);
        }
        double[] scaled = each(logits, v -> v * words.scale());
        return words.softcap().isEmpty() ? scaled : each(scaled, v -> words.softcap().getAsDouble() * Math.tanh(v / words.softcap().getAsDouble()));
    }
}
