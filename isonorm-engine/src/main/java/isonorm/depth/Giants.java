package isonorm.depth;

import isonorm.kernel.Profile;
import isonorm.kernel.Rows;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalLong;

/** The largest value of each dimension of the stream before one block, where it is large enough to be a massive activation. */
final class Giants {

    /** Massive activations are larger than this. (Sun et al., arXiv 2402.17762) */
    static final float LEAST = 100;

    /**
     * A dimension and its largest value.
     *
     * @param token whose value it is; none of what is no text
     * @param place where in its row of the batch that token stands
     * @param tokens how many tokens have a value above {@link #LEAST} there
     */
    record Giant(int dimension, float value, OptionalLong token, int place, long tokens) {}

    private final float[] values;
    private final long[] rows;
    private final OptionalLong[] ids;
    private final int[] places;
    private final long[] tokens;

    Giants(int width) {
        values = new float[width];
        rows = new long[width];
        ids = new OptionalLong[width];
        places = new int[width];
        tokens = new long[width];
        Arrays.fill(ids, OptionalLong.empty());
    }

    /** Looks at rows of a batch, from {@code first} on, of which the largest magnitudes are known. */
    void add(Rows h, boolean implied, Profile profile, Tokens batch, int first) {
        for (int r = 0; r < h.rows(); r++) {
            if (profile.largest(r) > LEAST) {
                add(h, r, implied, batch, first + r);
            }
        }
    }

    private synchronized void add(Rows h, int r, boolean implied, Tokens batch, int row) {
        double sum = 0;
        for (int c = 0; c < h.columns(); c++) {
            float value = (float) h.get(r, c);
            sum += value;
            add(c, value, batch, row);
        }
        if (implied) {
            add(h.columns(), (float) -sum, batch, row);
        }
    }

    private void add(int dimension, float value, Tokens batch, int row) {
        if (!(Math.abs(value) > LEAST) || Float.isInfinite(value)) {
            return;
        }
        tokens[dimension]++;
        float before = Math.abs(values[dimension]);
        long number = batch.before() + row;
        if (Math.abs(value) > before || Math.abs(value) == before && number < rows[dimension]) {
            values[dimension] = value;
            rows[dimension] = number;
            ids[dimension] = batch.id(row);
            places[dimension] = batch.place(row);
        }
    }

    /** The dimensions whose largest magnitude is above {@code threshold}. */
    List<Giant> above(double threshold) {
        List<Giant> giants = new ArrayList<>();
        for (int dimension = 0; dimension < values.length; dimension++) {
            if (Math.abs(values[dimension]) > threshold) {
                giants.add(new Giant(dimension, values[dimension], ids[dimension], places[dimension], tokens[dimension]));
            }
        }
        return giants;
    }
}
