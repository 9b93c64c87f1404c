package isonorm.kernel;

/**
 * Which keys a row of scores sees: row r belongs to the query at position {@code p = first + r % queries} and sees keys
 * {@code max(0, p - window + 1)} to {@code p}, or to {@code p + window - 1} if it is not causal.
 *
 * @param first the position of the first query
 * @param queries how many rows there are before the positions begin again: several heads can follow each other
 */
public record Reach(int first, int queries, boolean causal, int window) {

    public Reach {
        if (first < 0 || queries < 1 || window < 1) {
            throw new IllegalArgumentException("positions begin at zero, queries and window at one, got first " + first + ", queries "
                    + queries + ", window " + window);
        }
    }

    /** Every query sees every key. */
    public static Reach all() {
        return new Reach(0, Integer.MAX_VALUE, false, Integer.MAX_VALUE);
    }

    /** Every query sees the keys up to its own position. */
    public static Reach causal(int first, int queries) {
        return new Reach(first, queries, true, Integer.MAX_VALUE);
    }

    public Reach withWindow(int other) {
        return new Reach(first, queries, causal, other);
    }

    /** The first key that a row sees. */
    public int from(int row, int keys) {
        return Math.clamp(position(row) - window + 1, 0, keys);
    }

    /** The key behind the last one that a row sees. */
    public int to(int row, int keys) {
        return (int) Math.min(position(row) + (causal ? 1 : window), keys);
    }

    private long position(int row) {
        return (long) first + row % queries;
    }
}
