package isonorm.layer;

import isonorm.architecture.Alibi;
import isonorm.architecture.Attention;
import isonorm.architecture.Rotary;
import isonorm.tensor.Compute;
import isonorm.tensor.Memory;
import isonorm.weights.Numbers;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import org.bytedeco.pytorch.Tensor;

/**
 * What the positions of some rows of a batch mean to their attention: who sees whom, linear biases, rotary angles. All blocks share it,
 * and it keeps what it computed until it is closed. Several threads can ask it.
 */
final class Sight implements AutoCloseable {

    /** The cosine and sine of each position's angles, (positions, width/2). */
    record Turn(Tensor cosine, Tensor sine) {}

    private record Reach(boolean causal, OptionalInt window) {}

    private record Slopes(Alibi alibi, int heads) {}

    private final Batch batch;
    private final int first;
    private final int count;
    private final int length;
    private final Compute statistics;
    private final List<Tensor> owned = new ArrayList<>();
    private final Map<Reach, List<Tensor>> hidden = new HashMap<>();
    private final Map<Slopes, Tensor> biases = new HashMap<>();
    private final Map<Rotary, Turn> turns = new HashMap<>();

    /** Rows {@code first} to {@code first + count - 1} of a batch. */
    Sight(Batch batch, int first, int count, int length, Compute compute) {
        this.batch = batch;
        this.first = first;
        this.count = count;
        this.length = length;
        this.statistics = compute.statistics();
    }

    int count() {
        return count;
    }

    int length() {
        return length;
    }

    /** Whether {@code attention} has anything to hide in this batch. */
    boolean hides(Attention attention) {
        return attention.causal() || attention.window().isPresent() || padded();
    }

    /** Which keys a query of {@code row} does not see, (queries, keys). */
    synchronized Tensor hidden(Attention attention, int row) throws IOException {
        Reach reach = new Reach(attention.causal(), attention.window());
        List<Tensor> rows = hidden.get(reach);
        if (rows == null) {
            rows = new ArrayList<>();
            for (int r = 0; r < (padded() ? count() : 1); r++) {
                byte[] values = hiddenFrom(reach, r);
                rows.add(own(Memory.kept(() -> Memory.of(values, length, length))));
            }
            hidden.put(reach, rows);
        }
        return rows.get(padded() ? row : 0);
    }

    private byte[] hiddenFrom(Reach reach, int row) {
        byte[] values = new byte[Math.multiplyExact(length, length)];
        int window = reach.window().orElse(length);
        for (int i = 0; i < length; i++) {
            for (int j = 0; j < length; j++) {
                boolean sees = (!reach.causal() || j <= i) && i - j < window && (!padded() || seen(row, j));
                values[i * length + j] = (byte) (sees ? 0 : 1);
            }
        }
        return values;
    }

    /** What is added to the scores of each head and key, (rows, heads, keys). */
    synchronized Tensor biases(Alibi alibi, int heads) throws IOException {
        Slopes key = new Slopes(alibi, heads);
        Tensor known = biases.get(key);
        if (known != null) {
            return known;
        }
        double[] slopes = alibi.slopes(heads);
        double[] values = new double[count() * heads * length];
        for (int r = 0, at = 0; r < count(); r++) {
            long[] positions = alibi == Alibi.AFTER_SCALE_INTERLEAVED ? new long[0] : countedPositions(r);
            for (double slope : slopes) {
                for (int j = 0; j < length; j++, at++) {
                    values[at] = switch (alibi) {
                        case AFTER_SCALE -> slope * positions[j];
                        case BEFORE_SCALE_BFLOAT16 -> bfloat16(bfloat16(slope) * bfloat16(positions[j]));
                        case AFTER_SCALE_INTERLEAVED -> slope * (j - (length - 1));
                    };
                }
            }
        }
        Tensor made = own(Memory.kept(() -> Memory.of(statistics, values, count(), heads, length)));
        biases.put(key, made);
        return made;
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

    synchronized Turn turn(Rotary rotary) throws IOException {
        Turn known = turns.get(rotary);
        if (known != null) {
            return known;
        }
        double[] frequencies = rotary.frequencies();
        int pairs = frequencies.length;
        double[] cosines = new double[length * pairs];
        double[] sines = new double[length * pairs];
        for (int position = 0, at = 0; position < length; position++) {
            for (int i = 0; i < pairs; i++, at++) {
                cosines[at] = Math.cos(position * frequencies[i]);
                sines[at] = Math.sin(position * frequencies[i]);
            }
        }
        Turn made = new Turn(
                own(Memory.kept(() -> Memory.of(statistics, cosines, length, pairs))),
                own(Memory.kept(() -> Memory.of(statistics, sines, length, pairs))));
        turns.put(rotary, made);
        return made;
    }

    private boolean padded() {
        return batch instanceof Batch.Tokens tokens && tokens.mask().isPresent();
    }

    private boolean seen(int row, int position) {
        return !(batch instanceof Batch.Tokens tokens) || tokens.seen(first + row, position);
    }

    private Tensor own(Tensor tensor) {
        owned.add(tensor);
        return tensor;
    }

    @Override
    public void close() {
        owned.forEach(Memory::free);
        owned.clear();
    }
}
