package isonorm.measure;

import isonorm.tensor.LargePages;
import isonorm.tensor.Team;
import isonorm.weights.VectorSupport;
import java.lang.foreign.Arena;
import java.util.Arrays;

/**
 * What memory gives to threads that do nothing but read: the sum over more of it than any cache holds.
 *
 * <p>How fast weights are read is to be compared with the most that can be read. So this reads whole vectors from huge pages, where
 * there are both, and from several places at once, since a processor fetches ahead from each.
 */
public final class Bandwidth {

    static final long BYTES = 256L << 20;

    /** So many passes, or as many as there is time for: without a compiler one takes a second. */
    private static final int PASSES = 64;
    private static final long TIME = 2_000_000_000;

    /** How long a little is read before, again and again: until that is compiled, vectors are objects. */
    private static final long WARM_UP = 200_000_000;

    /** Every share begins at a multiple of this, which is one of what any reader takes in a step. */
    private static final int STEP = 4096;

    /** What memory is filled with: a number whose bytes are all one. */
    static final long NUMBER = 0x0101010101010101L;

    /** Memory and a way to read it; {@code first} and {@code bytes} are multiples of {@value #STEP}. */
    interface Reader {

        /** Writes {@link #NUMBER} everywhere: pages that nobody wrote to would all be one page. */
        void fill(long first, long bytes);

        /** The sum of the numbers there. */
        long sum(long first, long bytes);
    }

    private final int threads;

    private Bandwidth(int threads) {
        this.threads = threads;
    }

    /** A probe that reads with {@code threads} threads. */
    public static Bandwidth with(int threads) {
        return new Bandwidth(threads);
    }

    /** The best reader of this JVM. */
    static Reader reader(Arena arena) {
        return VectorSupport.obstacle().isEmpty() ? new VectorReader(LargePages.of(arena).allocate(BYTES)) : new PlainReader(BYTES);
    }

    /** The best of some passes, in gigabytes a second. */
    public double gigabytesPerSecond() {
        try (Arena arena = Arena.ofShared()) {
            return gigabytesPerSecond(reader(arena));
        }
    }

    double gigabytesPerSecond(Reader reader) {
        try (Team team = Team.of(threads)) {
            long[] sums = new long[threads];
            share(team, (_, first, bytes) -> reader.fill(first, bytes));
            for (long start = System.nanoTime(); System.nanoTime() - start < WARM_UP; ) {
                requireSum(reader.sum(0, STEP), STEP);
            }
            long best = Long.MAX_VALUE;
            long began = System.nanoTime();
            for (int pass = 0; pass < PASSES && System.nanoTime() - began < TIME; pass++) {
                long start = System.nanoTime();
                share(team, (part, first, bytes) -> sums[part] = reader.sum(first, bytes));
                best = Math.min(best, System.nanoTime() - start);
                requireSum(Arrays.stream(sums).sum(), BYTES);
            }
            return (double) BYTES / best;
        }
    }

    /** Also gives the sum something to be computed for. */
    private static void requireSum(long sum, long bytes) {
        long expected = bytes / Long.BYTES * NUMBER;
        if (sum != expected) {
            throw new IllegalStateException("a sum of " + bytes + " bytes of memory must be " + expected + ", got " + sum);
        }
    }

    @FunctionalInterface
    private interface Share {
        void run(int part, long first, long bytes);
    }

    private void share(Team team, Share share) {
        team.each(threads, part -> {
            long first = BYTES / STEP * part / threads * STEP;
            share.run(part, first, BYTES / STEP * (part + 1) / threads * STEP - first);
        });
    }
}
