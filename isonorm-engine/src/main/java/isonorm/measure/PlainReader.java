package isonorm.measure;

import java.util.Arrays;

/** Reads an array in a plain loop, which every compiler of a JVM makes the best of that it can. */
final class PlainReader implements Bandwidth.Reader {

    private final long[] data;

    PlainReader(long bytes) {
        data = new long[Math.toIntExact(bytes / Long.BYTES)];
    }

    @Override
    public void fill(long first, long bytes) {
        Arrays.fill(data, index(first), index(first + bytes), Bandwidth.NUMBER);
    }

    @Override
    public long sum(long first, long bytes) {
        int end = index(first + bytes);
        long sum = 0;
        for (int i = index(first); i < end; i++) {
            sum += data[i];
        }
        return sum;
    }

    private static int index(long bytes) {
        return (int) (bytes / Long.BYTES);
    }
}
