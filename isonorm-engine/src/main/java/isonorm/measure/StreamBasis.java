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
import java.io.IOException;
import java.util.Arrays;

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

    /** What is done with a vector that a norm of a block gives; of the block behind the last one, the final norm. */
    private interface Body {
        void run(int block, double[] normalized);
    }

    /** The first {@code k} principal components, one behind the other, the largest first. */
    public static double[] of(Transformer model, Inputs inputs, int k, Progress progress) throws IOException {
        Architecture architecture = Model.of(model).architecture();
        Moments moments = new Moments(architecture.width());
        each(Model.of(model), inputs, (_, normalized) -> moments.add(normalized), progress);
        progress.step("finding principal components", inputs.count(), inputs.count());
        return moments.principal(k, norm(architecture).kind().centres());
    }

    /** For each block, and the final norm behind the last, which part of what its norms give lies in a basis, as lengths squared. */
    public static double[] kept(Transformer model, Inputs inputs, double[] columns, Progress progress) throws IOException {
        Architecture architecture = Model.of(model).architecture();
        int d = architecture.width();
        Basis basis = Basis.given(d, columns);
        double[] all = new double[architecture.blocks().size() + 1];
        double[] kept = new double[all.length];
        double[] turned = new double[basis.to()];
        each(Model.of(model), inputs, (block, normalized) -> {
            basis.rows(normalized, 1, turned);
            all[block] += squares(normalized);
            kept[block] += squares(turned);
        }, progress);
        double[] parts = new double[all.length];
        Arrays.setAll(parts, block -> kept[block] / all[block]);
        return parts;
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
                Streams streams = new Streams(blocks, architecture.width());
                Batch batch = inputs.batch(number);
                require(architecture, batch);
                runner.observe(batch, streams);
                for (int block = 0; block <= blocks; block++) {
                    for (int slot = 2 * block; slot < Math.min(2 * block + 2, streams.rows.length); slot++) {
                        for (int at = 0; at < streams.count(slot); at++) {
                            streams.read(slot, at, row);
                            normalize(row, norm);
                            body.run(block, row);
                        }
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
        private final float[][] rows;
        private final int[] counts;

        Streams(int blocks, int width) {
            this.width = width;
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
                h.read(r, 0, width, row);
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
