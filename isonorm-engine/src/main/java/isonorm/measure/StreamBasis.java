package isonorm.measure;

import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.architecture.Norm;
import isonorm.fused.FusedModel;
import isonorm.kernel.Rows;
import isonorm.kernel.Values;
import isonorm.layer.Observer;
import isonorm.layer.Runner;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Transformer;
import isonorm.verify.TokenizedText;
import isonorm.weights.Basis;
import isonorm.weights.Model;
import isonorm.weights.Moments;
import isonorm.weights.Rotation;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;
import java.util.stream.IntStream;

/**
 * What the norms before sub-layers, and the final one, make of a model's residual stream, before gain and bias: its principal components over some inputs, and how much
 * of it some directions hold. Sums are made in the order of the inputs, so that they are the same each time.
 */
public final class StreamBasis {

    private StreamBasis() {}

    /** What a model reads, a batch after the other. */
    public interface Inputs {
        int count();

        Batch batch(int number) throws IOException;

        /** The windows {@code first} to {@code end - 1} of a text. */
        static Inputs of(TokenizedText text, int first, int end) {
            return new Inputs() {
                @Override
                public int count() {
                    return end - first;
                }

                @Override
                public Batch batch(int number) {
                    return Batch.Tokens.of(text.window(first + number));
                }
            };
        }
    }

    /** What is done with a vector that a norm gives: before attention of block b at 2 b, before its MLP at 2 b + 1, and last the final norm. */
    private interface Body {
        void run(int slot, double[] normalized);
    }

    /** The first {@code k} principal components, one behind the other, the largest first. */
    public static double[] of(Transformer model, Inputs inputs, int k, Progress progress) throws IOException {
        Architecture architecture = Model.of(model).architecture();
        Moments moments = new Moments(architecture.width());
        each(Model.of(model), inputs, (_, normalized) -> moments.add(normalized), progress);
        progress.step("finding principal components", inputs.count(), inputs.count());
        return moments.principal(k, norm(architecture).kind().centres());
    }

    /** The same of each sub-layer's norm by itself, two a block, and of the final norm. */
    public static List<double[]> ofSubLayers(Transformer model, Inputs inputs, int k, Progress progress) throws IOException {
        Architecture architecture = Model.of(model).architecture();
        int d = architecture.width();
        int all = 2 * architecture.blocks().size() + 1;
        int together = together(d, all);
        List<double[]> found = new ArrayList<>();
        for (int first = 0; first < all; first += together) {
            int from = first;
            List<Moments> some = IntStream.range(first, Math.min(all, first + together)).mapToObj(_ -> new Moments(d)).toList();
            each(Model.of(model), inputs, (slot, normalized) -> {
                if (slot >= from && slot < from + some.size()) {
                    some.get(slot - from).add(normalized);
                }
            }, progress);
            for (Moments moments : some) {
                found.add(moments.principal(k, norm(architecture).kind().centres()));
                progress.step("finding principal components", found.size(), all);
            }
        }
        return found;
    }

    /** Of how many of {@code all} the second moments are kept together. */
    private static int together(int width, int all) {
        return Math.clamp(MOMENTS_BYTES / ((long) width * width * Double.BYTES), 1, all);
    }

    /** For each block, and the final norm behind the last, which part of what its norms give lies in a basis, as lengths squared. */
    public static double[] kept(Transformer model, Inputs inputs, double[] columns, Progress progress) throws IOException {
        return kept(model, inputs, List.of(columns), progress);
    }

    /** The same where each sub-layer's norm and the final one have a basis of their own, {@link #ofSubLayers}. */
    public static double[] kept(Transformer model, Inputs inputs, List<double[]> columns, Progress progress) throws IOException {
        Architecture architecture = Model.of(model).architecture();
        int d = architecture.width();
        List<Basis> bases = columns.stream().map(each -> Basis.given(d, each)).toList();
        double[] all = new double[architecture.blocks().size() + 1];
        double[] kept = new double[all.length];
        double[] turned = new double[bases.getFirst().to()];
        each(Model.of(model), inputs, (slot, normalized) -> {
            bases.get(bases.size() == 1 ? 0 : slot).rows(normalized, 1, turned);
            all[slot / 2] += squares(normalized);
            kept[slot / 2] += squares(turned);
        }, progress);
        double[] parts = new double[all.length];
        Arrays.setAll(parts, block -> kept[block] / all[block]);
        return parts;
    }

    /**
     * What the norms of a block give, or the final norm behind the last block, before gain and bias: its length is about the root of the width, whatever the stream's is.
     *
     * @param effectiveRank how many directions it takes up, {@code exp(entropy)} of the parts that its principal components have
     * @param kurtosis of all values; 3 of normally distributed ones, and large where a few are outliers
     * @param largest the largest magnitude beside the root of the mean square
     * @param rotatedKurtosis the same of the values in a rotated basis, Hadamard's where there is one of this width
     * @param rotatedLargest likewise
     */
    public record Shape(double effectiveRank, double kurtosis, double largest, double rotatedKurtosis, double rotatedLargest) {}

    /** Blocks whose second moments are no more than this are looked at together. */
    private static final long MOMENTS_BYTES = 1L << 29;

    /** Of each block, and of the final norm behind the last. */
    public static List<Shape> shapes(Transformer model, Inputs inputs, Progress progress) throws IOException {
        Architecture architecture = Model.of(model).architecture();
        int d = architecture.width();
        int all = architecture.blocks().size() + 1;
        int together = together(d, all);
        Rotation hadamard = new Rotation(Rotation.Kind.HADAMARD, 0, OptionalInt.empty());
        Basis rotated = Basis.of(hadamard.obstacle(d).isEmpty() ? hadamard : new Rotation(Rotation.Kind.RANDOM, 0, OptionalInt.empty()), d, false);
        rotated.prepare();
        List<Shape> shapes = new ArrayList<>();
        for (int first = 0; first < all; first += together) {
            int from = first;
            List<Look> looks = IntStream.range(first, Math.min(all, first + together)).mapToObj(_ -> new Look(d, rotated)).toList();
            each(Model.of(model), inputs, (slot, normalized) -> {
                if (slot / 2 >= from && slot / 2 < from + looks.size()) {
                    looks.get(slot / 2 - from).add(normalized);
                }
            }, progress);
            looks.forEach(look -> shapes.add(look.shape()));
        }
        return shapes;
    }

    /** Looks at vectors as they are and rotated, some together. */
    private static final class Look {

        private static final int TOGETHER = 64;

        private final int width;
        private final Basis rotated;
        private final Moments moments;
        private final double[] waiting;
        private final double[] turned;
        private final Powers plain = new Powers();
        private final Powers behind = new Powers();
        private int count;

        Look(int width, Basis rotated) {
            this.width = width;
            this.rotated = rotated;
            this.moments = new Moments(width);
            this.waiting = new double[TOGETHER * width];
            this.turned = new double[TOGETHER * width];
        }

        void add(double[] vector) {
            moments.add(vector);
            System.arraycopy(vector, 0, waiting, count * width, width);
            if (++count == TOGETHER) {
                turn();
            }
        }

        private void turn() {
            if (count > 0) {
                rotated.rows(waiting, count, turned);
                plain.add(waiting, count * width);
                behind.add(turned, count * width);
            }
            count = 0;
        }

        Shape shape() {
            turn();
            return new Shape(moments.effectiveRank(), plain.kurtosis(), plain.largestOverRms(), behind.kurtosis(), behind.largestOverRms());
        }
    }

    /** Sums of powers of values. */
    private static final class Powers {

        private final double[] sums = new double[4];
        private long count;
        private double largest;

        void add(double[] values, int some) {
            for (int i = 0; i < some; i++) {
                double value = values[i];
                double square = value * value;
                sums[0] += value;
                sums[1] += square;
                sums[2] += square * value;
                sums[3] += square * square;
                largest = Math.max(largest, Math.abs(value));
            }
            count += some;
        }

        double kurtosis() {
            double mean = sums[0] / count;
            double square = sums[1] / count;
            double variance = square - mean * mean;
            return (sums[3] / count - 4 * mean * sums[2] / count + 6 * mean * mean * square - 3 * Math.pow(mean, 4)) / (variance * variance);
        }

        double largestOverRms() {
            return largest / Math.sqrt(sums[1] / count);
        }
    }

    private static double squares(double[] values) {
        double sum = 0;
        for (double value : values) {
            sum += value * value;
        }
        return sum;
    }

    private static Norm norm(Architecture architecture) {
        return architecture.blocks().getFirst().norm();
    }

    /**
     * Refuses what has no stream here.
     *
     * @throws IllegalArgumentException of a model of two stacks, and of one that reads sounds
     */
    public static void require(Transformer model) {
        Architecture architecture = Model.of(model).architecture();
        if (architecture.companion().isPresent() || architecture.embedding() instanceof Embedding.Sound) {
            throw new IllegalArgumentException("principal components are found by texts or images, of a model of one stack; this " + architecture.family() + " model "
                    + (architecture.companion().isPresent() ? "has two" : "reads sounds"));
        }
    }

    private static void each(Model model, Inputs inputs, Body body, Progress progress) throws IOException {
        require(model);
        Architecture architecture = model.architecture();
        int blocks = architecture.blocks().size();
        Norm norm = norm(architecture);
        double[] row = new double[architecture.width()];
        try (Runner runner = FusedModel.orLayers(model, Compute.F32)) {
            for (int number = 0; number < inputs.count(); number++) {
                Streams streams = new Streams(blocks, architecture.width(), architecture.streamWidth());
                Batch batch = inputs.batch(number);
                require(architecture, batch);
                runner.observe(batch, streams);
                for (int slot = 0; slot < streams.rows.length; slot++) {
                    for (int at = 0; at < streams.count(slot); at++) {
                        streams.read(slot, at, row);
                        normalize(row, norm);
                        body.run(slot, row);
                    }
                }
                progress.step("reading the stream", number + 1L, inputs.count());
            }
        }
    }

    private static void require(Architecture architecture, Batch batch) throws IOException {
        if (batch instanceof Batch.Tokens tokens && architecture.embedding() instanceof Embedding.Tokens table) {
            for (long[] window : tokens.ids()) {
                long highest = Arrays.stream(window).max().orElse(0);
                if (highest >= table.vocabulary()) {
                    throw new IOException("the data has token " + highest + ", and the model's vocabulary has " + table.vocabulary() + "; take data of its tokenizer");
                }
            }
        }
    }

    /** What the norms read, of one batch: before attention at 2 b, before the MLP at 2 b + 1, and last before the final norm. Filled by many threads, read in order. */
    private static final class Streams implements Observer {

        private final int width;
        private final int carried;
        private final float[][] rows;
        private final int[] counts;

        /** @param carried how many of the values rows have; the last of a compressed stream is minus the sum of these */
        Streams(int blocks, int width, int carried) {
            this.width = width;
            this.carried = carried;
            this.rows = new float[2 * blocks + 1][];
            this.counts = new int[rows.length];
            Arrays.setAll(rows, _ -> new float[0]);
        }

        int count(int slot) {
            return counts[slot];
        }

        void read(int slot, int at, double[] into) {
            for (int i = 0; i < width; i++) {
                into[i] = rows[slot][at * width + i];
            }
        }

        @Override
        public void stream(int block, Rows h, int first) {
            keep(2 * block, h, first);
        }

        @Override
        public void written(int block, Branch branch, Rows x, Values scales, Values bias, Rows h, int first) {
            if (branch == Branch.MLP) {
                keep(2 * block + 1, h, first);
            }
        }

        private void keep(int slot, Rows h, int first) {
            double[] row = new double[width];
            float[] some = new float[h.rows() * width];
            for (int r = 0; r < h.rows(); r++) {
                h.read(r, 0, carried, row);
                if (carried < width) {
                    row[carried] = 0;
                    row[carried] = -Arrays.stream(row).sum();
                }
                for (int i = 0; i < width; i++) {
                    some[r * width + i] = (float) row[i]; // which is what was computed with
                }
            }
            synchronized (this) {
                int end = first + h.rows();
                if (rows[slot].length < end * width) {
                    rows[slot] = Arrays.copyOf(rows[slot], Math.max(end * width, 2 * rows[slot].length));
                }
                System.arraycopy(some, 0, rows[slot], first * width, some.length);
                counts[slot] = Math.max(counts[slot], end);
            }
        }
    }

    private static void normalize(double[] row, Norm norm) {
        double mean = norm.kind().centres() ? Arrays.stream(row).sum() / row.length : 0;
        double squares = 0;
        for (int i = 0; i < row.length; i++) {
            row[i] -= mean;
            squares += row[i] * row[i];
        }
        double root = Math.sqrt(squares / row.length + norm.epsilon());
        for (int i = 0; i < row.length; i++) {
            row[i] /= root;
        }
    }
}
