package isonorm.weights;

import java.io.IOException;
import java.util.Arrays;

/** Adds up the second moments of vectors, {@code sum x^T x}, and gives the basis of their principal components. Many threads may add. */
public final class Moments {

    /** Vectors that are multiplied together. */
    private static final int TOGETHER = 128;

    private final int width;
    private final double[] sums;
    private final double[] waiting;
    private int count;
    private long vectors;

    public Moments(int width) {
        this.width = width;
        this.sums = new double[Math.multiplyExact(width, width)];
        this.waiting = new double[TOGETHER * width];
    }

    /** Adds the first {@code width} values. */
    public synchronized void add(double[] vector) {
        System.arraycopy(vector, 0, waiting, count * width, width);
        vectors++;
        if (++count == TOGETHER) {
            multiply();
        }
    }

    private void multiply() {
        if (count == 0) {
            return;
        }
        double[] turned = Basis.transposed(waiting, count, width);
        try {
            Slabs.forEach(width, 32, (first, some) -> {
                double[] part = new double[some * width];
                Product.multiply(turned, first, some, count, waiting, width, part);
                for (int i = 0; i < part.length; i++) {
                    sums[first * width + i] += part[i];
                }
            });
        } catch (IOException e) {
            throw new IllegalStateException(e); // Nothing is read.
        }
        count = 0;
    }

    /**
     * How many directions the vectors take up: {@code exp(entropy)} of the eigenvalues' parts of their sum (Roy and Vetterli, 2007), the width at most, and 1 where all
     * are multiples of one.
     */
    public synchronized double effectiveRank() {
        if (vectors == 0) {
            return Double.NaN;
        }
        multiply();
        double[] values = Symmetric.of(sums, width).values();
        double all = 0;
        for (double value : values) {
            all += Math.max(0, value);
        }
        double entropy = 0;
        for (double value : values) {
            double part = value / all;
            entropy -= part > 0 ? part * Math.log(part) : 0;
        }
        return Math.exp(entropy);
    }

    /**
     * The {@code k} directions in which the vectors are largest, one behind the other.
     *
     * @param centred whether all of them sum to zero, so that the direction of all ones is the last of all
     */
    public synchronized double[] principal(int k, boolean centred) {
        if (vectors == 0) {
            throw new IllegalStateException("principal components are of vectors, got none");
        }
        multiply();
        double[] moments = sums.clone();
        for (int i = 0; i < moments.length; i++) {
            moments[i] = moments[i] / vectors - (centred ? 1.0 / width : 0);
        }
        double[] vectors = Symmetric.of(moments, width).vectors();
        return Arrays.copyOf(vectors, k * width);
    }
}
