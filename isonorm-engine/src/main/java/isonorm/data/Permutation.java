package isonorm.data;

import isonorm.weights.Seed;

/**
 * An order of the numbers 0 to {@code count - 1} that is computed and not stored: a Feistel network over the next even number of bits,
 * repeated until the result is below the count.
 */
record Permutation(long count, Seed seed) {

    private static final int ROUNDS = 4;

    Permutation {
        if (count < 1) {
            throw new IllegalArgumentException("there must be something to order, got " + count);
        }
    }

    /** What stands at a position of an endless order, in which every {@code count} positions are all of the numbers, each time in another order. */
    static long endless(long count, Seed seed, long position) {
        return new Permutation(count, seed.at(position / count)).at(position % count);
    }

    /** What stands at a place. */
    long at(long place) {
        int half = Math.max(1, (65 - Long.numberOfLeadingZeros(Math.max(1, count - 1))) / 2);
        long mask = (1L << half) - 1;
        long x = place;
        do {
            long left = x >>> half;
            long right = x & mask;
            for (int round = 0; round < ROUNDS; round++) {
                long next = left ^ seed.number((long) round << Integer.SIZE | right) & mask;
                left = right;
                right = next;
            }
            x = left << half | right;
        } while (x >= count);
        return x;
    }
}
