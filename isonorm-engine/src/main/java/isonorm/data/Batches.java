package isonorm.data;

import isonorm.weights.Seed;

/**
 * Windows of a split, of which each token but the last has the next one as its target.
 *
 * <p>In every epoch each window comes once, in another order and with all windows moved by another number of tokens below their length, so
 * that a text is cut elsewhere. A position alone says which windows these are.
 *
 * @param split longer than two windows
 * @param length tokens a window, without the last target
 */
public record Batches(Split split, int length, long seed) {

    public Batches {
        if (length < 1) {
            throw new IllegalArgumentException("a sequence must have 1 token or more, got " + length);
        }
        if (split.tokens() <= 2L * length) {
            throw new IllegalArgumentException("the data must be longer than two sequences, got " + split.tokens() + " tokens for sequences of " + length
                    + "; make sequence smaller");
        }
    }

    /** How many windows an epoch has: one less than fit, so that they can all be moved. */
    public long windows() {
        return (split.tokens() - 1) / length - 1;
    }

    /** The windows {@code position} to {@code position + count - 1} of an endless order: (count, length + 1). */
    public int[][] rows(long position, int count) {
        return rows(position, count, 1);
    }

    /** Every {@code stride}th window from {@code position} on, so many of them. */
    public int[][] rows(long position, int count, int stride) {
        int[][] rows = new int[count][];
        Seed drawn = Seed.of(seed);
        for (int i = 0; i < count; i++) {
            long at = position + (long) i * stride;
            long place = Permutation.endless(windows(), drawn.at("order"), at);
            long epoch = at / windows();
            rows[i] = split.read(new Permutation(length, drawn.at("moved")).at(epoch % length) + place * length, length + 1);
        }
        return rows;
    }

    /** How many windows of {@code length} tokens there are in a split when they are read one behind the other; may be none. */
    public static long inOrder(Split split, int length) {
        return Math.max(0, (split.tokens() - 1) / length);
    }

    /** The windows {@code first} to {@code first + count - 1} of those: (count, length + 1). */
    public static int[][] inOrder(Split split, int length, long first, int count) {
        int[][] rows = new int[count][];
        for (int i = 0; i < count; i++) {
            rows[i] = split.read((first + i) * length, length + 1);
        }
        return rows;
    }
}
