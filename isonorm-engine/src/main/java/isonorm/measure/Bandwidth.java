package isonorm.measure;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** What memory can give: a plain sum over more of it than any cache holds. */
public final class Bandwidth {

    private static final int LONGS = 32 << 20; // 256 MiB
    private static final int PASSES = 12;

    private final long[] data = new long[LONGS];
    private final int threads;

    private Bandwidth(int threads) {
        this.threads = threads;
        Arrays.fill(data, 1); // pages that nobody wrote to would all be one page
    }

    /** A probe that reads with {@code threads} threads. */
    public static Bandwidth with(int threads) {
        return new Bandwidth(threads);
    }

    /** The best of some passes, in gigabytes a second. */
    public double gigabytesPerSecond() {
        try (ExecutorService pool = Executors.newFixedThreadPool(threads)) {
            long best = Long.MAX_VALUE;
            for (int pass = 0; pass < PASSES; pass++) {
                long start = System.nanoTime();
                long sum = sum(pool);
                best = Math.min(best, System.nanoTime() - start);
                if (sum != LONGS) { // also gives the sum something to be computed for
                    throw new IllegalStateException("the sum of " + LONGS + " ones must be that, got " + sum);
                }
            }
            return (double) LONGS * Long.BYTES / best;
        }
    }

    private long sum(ExecutorService pool) {
        List<Callable<Long>> parts = new ArrayList<>();
        for (int t = 0; t < threads; t++) {
            int from = (int) ((long) LONGS * t / threads);
            int to = (int) ((long) LONGS * (t + 1) / threads);
            parts.add(() -> sum(from, to));
        }
        try {
            long sum = 0;
            for (Future<Long> part : pool.invokeAll(parts)) {
                sum += part.get();
            }
            return sum;
        } catch (InterruptedException | ExecutionException e) {
            throw new IllegalStateException("a sum of an array cannot fail, unless it is interrupted", e);
        }
    }

    private long sum(int from, int to) {
        long sum = 0;
        for (int i = from; i < to; i++) {
            sum += data[i];
        }
        return sum;
    }
}
