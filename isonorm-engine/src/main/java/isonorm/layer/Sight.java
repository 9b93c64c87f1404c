package isonorm.layer;

import isonorm.architecture.Alibi;
import isonorm.architecture.Attention;
import isonorm.architecture.Rotary;
import isonorm.model.Batch;
import isonorm.weights.Numbers;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/**
 * What the positions of some rows of a batch mean to their attention: who sees whom, linear biases, rotary angles. All blocks share it,
 * and it keeps what it computed. Several threads can ask it.
 */
final class Sight {

    /** The cosine and sine of each position's angles, {@code pairs} each. */
    record Turn(int pairs, double[] cosine, double[] sine) {}

    private record Slopes(Alibi alibi, int heads) {}

    /**
     * What an encoder gave for the rows, {@code length} tokens each.
     *
     * @param batch what it read, whose mask says which tokens are padding
     * @param first which of its rows is the first here
     */
    record Encoded(Tensor rows, int length, Batch batch, int first) {

        boolean seen(int row, int position) {
            return !(batch instanceof Batch.Tokens tokens) || tokens.seen(first + row, position);
        }

        /** Some of the rows. */
        Encoded rows(int from, int count) {
            return new Encoded(rows.slice(from * length, count * length), length, batch, first + from);
        }
    }

    private final Batch batch;
    private final int first;
    private final int count;
    private final int length;
    private final Optional<Encoded> encoded;
    private final Map<Slopes, double[][][]> biases = new HashMap<>();
    private final Map<Rotary, Turn> turns = new HashMap<>();

    /** Rows {@code first} to {@code first + count - 1} of a batch. */
    Sight(Batch batch, int first, int count, int length) {
        this(batch, first, count, length, Optional.empty());
    }

    /** The same beside what an encoder gave for these rows. */
    Sight(Batch batch, int first, int count, int length, Optional<Encoded> encoded) {
        this.batch = batch;
        this.first = first;
        this.count = count;
        this.length = length;
        this.encoded = encoded;
    }

    Encoded encoded() {
        return encoded.orElseThrow();
    }

    int count() {
        return count;
    }

    int length() {
        return length;
    }

    /** The first key that a query can see. */
    int from(Attention attention, int query) {
        return attention.scores().window().isPresent() ? Math.max(0, query - attention.scores().window().getAsInt() + 1) : 0;
    }

    /** The key behind the last one that a query can see. */
    int to(Attention attention, int query) {
        return attention.causal() ? query + 1 : Math.min(length, query + Math.min(length, attention.scores().window().orElse(length)));
    }

    /** Whether some keys are padding, which no query sees. */
    boolean padded() {
        return batch instanceof Batch.Tokens tokens && tokens.mask().isPresent();
    }

    /** Whether the token at a position is none of padding. */
    boolean seen(int row, int position) {
        return !(batch instanceof Batch.Tokens tokens) || tokens.seen(first + row, position);
    }

    /** What is added to the scores of a row's keys, for each head. */
    synchronized double[][] biases(Alibi alibi, int heads, int row) {
        return biases.computeIfAbsent(new Slopes(alibi, heads), _ -> {
            double[][][] all = new double[count][][];
            for (int r = 0; r < count; r++) {
                all[r] = biasesOf(alibi, heads, r);
            }
            return all;
        })[row];
    }

    private double[][] biasesOf(Alibi alibi, int heads, int row) {
        double[] slopes = alibi.slopes(heads);
        long[] positions = countedPositions(row);
        double[][] values = new double[heads][length];
        for (int h = 0; h < heads; h++) {
            for (int j = 0; j < length; j++) {
                values[h][j] = switch (alibi) {
                    case AFTER_SCALE -> slopes[h] * positions[j];
                    case BEFORE_SCALE_BFLOAT16 -> bfloat16(bfloat16(slopes[h]) * bfloat16(positions[j]));
                    case AFTER_SCALE_INTERLEAVED -> slopes[h] * (j - (length - 1));
                };
            }
        }
        return values;
    }

    private static double bfloat16(double value) {
        return Float.intBitsToFloat(Numbers.toBfloat16(value) << 16);
    }

    /** Positions that count only the tokens that are seen, 0 for those that are not. */
    private long[] countedPositions(int row) {
        long[] positions = new long[length];
        long seen = 0;
        for (int j = 0; j < length; j++) {
            positions[j] = seen(row, j) ? seen++ : 0;
        }
        return positions;
    }

    synchronized Turn turn(Rotary rotary) {
        return turns.computeIfAbsent(rotary, _ -> {
            Rotary turned = rotary.at(length);
            double magnitude = rotary.magnitude();
            int pairs = rotary.width() / 2;
            double[] cosines = new double[length * pairs];
            double[] sines = new double[length * pairs];
            for (int position = 0, at = 0; position < length; position++) {
                double[] angles = turned.angles(position);
                for (int i = 0; i < pairs; i++, at++) {
                    cosines[at] = magnitude * Math.cos(angles[i]);
                    sines[at] = magnitude * Math.sin(angles[i]);
                }
            }
            return new Turn(pairs, cosines, sines);
        });
    }
}
