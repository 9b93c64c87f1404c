package isonorm.verify;

import isonorm.architecture.Architecture;
import isonorm.architecture.Stream;
import isonorm.kernel.Rows;
import isonorm.kernel.Values;
import isonorm.layer.Fit;
import isonorm.layer.ForwardPass;
import isonorm.layer.Observer;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.weights.Model;
import isonorm.weights.Numbers;
import java.io.IOException;
import java.util.Arrays;
import java.util.Optional;

/**
 * The residual stream of a model before each block and behind the last, without each token's mean, which forms of one function may differ
 * by. Rounding moves streams a little more block after block; where one model's block is another function, its stream jumps away.
 */
final class Streams {

    /** By how much the distance of two streams, counted in what rounding makes at the same place, must grow within a block to tell. */
    private static final double JUMP = 2;

    /** Streams are shown in float32; nearer than this is the same. */
    private static final double SAME = 1e-6;

    private static final int TOKENS = 128;

    private final float[][] values; // of each place, token after token

    private Streams(float[][] values) {
        this.values = values;
    }

    private static Streams of(Model model, Batch batch) throws IOException {
        Architecture architecture = model.architecture();
        int width = architecture.width();
        boolean compressed = architecture.stream() == Stream.COMPRESSED;
        int tokens = batch.count() * Fit.require(architecture.embedding(), batch);
        float[][] values = new float[architecture.blocks().size() + 1][tokens * width];
        Observer observer = new Observer() {
            @Override
            public void stream(int block, Rows h, int first) {
                double[] row = new double[width];
                for (int r = 0; r < h.rows(); r++) {
                    Rows one = h.slice(r, 1);
                    Numbers.decode(one.data(), one.type().dtype(), one.offset(), one.columns(), row, 0);
                    double sum = Arrays.stream(row, 0, one.columns()).sum();
                    if (compressed) {
                        row[width - 1] = -sum;
                    }
                    double mean = compressed ? 0 : sum / width;
                    for (int c = 0; c < width; c++) {
                        values[block][(first + r) * width + c] = (float) (row[c] - mean);
                    }
                }
            }

            @Override
            public void normalized(int block, Rows x, Values scales, int first) {}

            @Override
            public void written(int block, Branch branch, Rows x, Values scales, Values bias, Rows h, int first) {}
        };
        try (ForwardPass pass = ForwardPass.fitting(model, Compute.F64)) {
            pass.observe(batch, observer);
        }
        return new Streams(values);
    }

    /** How far another model's stream is from this one at a place, as a part of this one. */
    private double distance(Streams other, int place) {
        double differences = 0;
        double squares = 0;
        for (int i = 0; i < values[place].length; i++) {
            double difference = (double) other.values[place][i] - values[place][i];
            differences += difference * difference;
            squares += (double) values[place][i] * values[place][i];
        }
        return squares == 0 ? 0 : Math.sqrt(differences / squares);
    }

    /** Where a model begins to differ from its original by more than rounding, in words; empty where the models have not the same blocks. */
    static Optional<String> parting(Model original, Model other, Batch inputs) throws IOException {
        Architecture a = original.architecture();
        Architecture b = other.architecture();
        if (a.width() != b.width() || a.blocks().size() != b.blocks().size()) {
            return Optional.empty();
        }
        Batch batch = some(inputs);
        Streams expected = of(original, batch);
        Streams given = of(other, batch);
        Streams moved = of(OwnRounding.once(original, other), batch);
        double largest = JUMP;
        int place = -1;
        double before = 1;
        for (int at = 0; at < expected.values.length; at++) {
            double times = expected.distance(given, at) / Math.max(SAME, expected.distance(moved, at));
            double jump = times / Math.max(1, before);
            if (!(jump <= largest)) { // also NaN
                largest = jump;
                place = at;
            }
            before = times;
        }
        return Optional.of(switch (place) {
            case -1 -> "the streams of both are alike behind every block, so it is what reads the last one: the final norm or the output";
            case 0 -> "the streams of both differ before block 0 already, so it is the embedding";
            default -> "the stream jumps away behind block " + (place - 1) + ", to " + (long) Math.min(1e6, largest) + " times as far as before it";
        });
    }

    /** One prompt, and not more of it than is needed. */
    private static Batch some(Batch batch) {
        return batch instanceof Batch.Tokens tokens ? Batch.Tokens.of(Arrays.copyOf(tokens.ids()[0], Math.min(TOKENS, tokens.length()))) : batch;
    }
}
