package isonorm.weights;

import java.util.ArrayDeque;

/** A double array lent to one thread for the length of a try block, so that slab after slab reuses the same memory. */
public final class Scratch implements AutoCloseable {

    private static final ThreadLocal<ArrayDeque<double[]>> FREE = ThreadLocal.withInitial(ArrayDeque::new);

    private final double[] values;

    private Scratch(double[] values) {
        this.values = values;
    }

    /** Lends an array of at least {@code length} values, with whatever they held before. */
    public static Scratch borrow(int length) {
        double[] free = FREE.get().pollFirst();
        return new Scratch(free != null && free.length >= length ? free : new double[Math.max(length, 32_768)]);
    }

    public double[] values() {
        return values;
    }

    @Override
    public void close() {
        FREE.get().addFirst(values);
    }
}
