package isonorm.depth;

import isonorm.kernel.Magnitudes;
import isonorm.kernel.Profile;
import isonorm.kernel.Profile.Limit;
import java.util.OptionalDouble;

/**
 * The activations at one position, gathered batch after batch.
 *
 * <p>What sums are made of is kept a row and added up in the rows' order, so that it does not matter which thread was first; the rest
 * are counts.
 */
final class Gathering {

    private static final int POWERS = 4;

    private final double[] sums = new double[POWERS];
    private final long[] bins = new long[Magnitudes.BINS];
    private final long[] beyond = new long[Limit.values().length];
    private long nonFinite;
    private float largest;
    private double ratios;
    private long ratioCount;

    /** Of this batch, a row each. */
    private double[] rowSums = {};
    private double[] rowRatios = {};

    void begin(int rows) {
        rowSums = rowSums.length == rows * POWERS ? rowSums : new double[rows * POWERS];
        rowRatios = rowRatios.length == rows ? rowRatios : new double[rows];
    }

    /** Rows from {@code first} on. */
    synchronized void add(Profile profile, int first) {
        for (int r = 0; r < profile.rows(); r++) {
            for (int power = 1; power <= POWERS; power++) {
                rowSums[(first + r) * POWERS + power - 1] = profile.sum(r, power);
            }
            rowRatios[first + r] = Double.NaN;
            largest = Math.max(largest, profile.largest(r));
        }
        int[] more = profile.bins();
        for (int bin = 0; bin < bins.length; bin++) {
            bins[bin] += more[bin];
        }
        for (Limit limit : Limit.values()) {
            beyond[limit.ordinal()] += profile.beyond(limit);
        }
        nonFinite += profile.infinite();
    }

    /** How large a branch's row is beside the stream, whose norm is given; NaN is left out. */
    void ratio(int row, double streamNorm) {
        rowRatios[row] = streamNorm > 0 ? Math.sqrt(rowSums[row * POWERS + 1]) / streamNorm : Double.NaN;
    }

    /** Adds up what the rows of this batch gave. */
    void end() {
        for (int at = 0; at < rowSums.length; at += POWERS) {
            for (int power = 0; power < POWERS; power++) {
                sums[power] += rowSums[at + power];
            }
        }
        for (double ratio : rowRatios) {
            if (Double.isFinite(ratio)) {
                ratios += ratio;
                ratioCount++;
            }
        }
    }

    /** Whether there were any. */
    boolean any() {
        return nonFinite > 0 || values() > 0;
    }

    private long values() {
        long all = 0;
        for (long count : bins) {
            all += count;
        }
        return all;
    }

    Activations result() {
        long values = values();
        double n = values;
        double mean = sums[0] / n;
        double square = sums[1] / n;
        double variance = Math.max(0, square - mean * mean);
        double fourth = sums[3] / n - 4 * mean * sums[2] / n + 6 * mean * mean * square - 3 * Math.pow(mean, 4);
        return new Activations(values, mean, variance, Math.sqrt(square), largest, quantile(0.5), quantile(0.99), quantile(0.999),
                variance > 0 ? fourth / (variance * variance) : Double.NaN,
                ratioCount > 0 ? OptionalDouble.of(ratios / ratioCount) : OptionalDouble.empty(),
                beyond(Limit.FP16), beyond(Limit.FP8_E4M3), beyond(Limit.FP8_E5M2), nonFinite);
    }

    /** No quantile is above the largest magnitude, which is known better. */
    private double quantile(double part) {
        return Math.min(largest, Magnitudes.quantile(bins, part));
    }

    private long beyond(Limit limit) {
        return beyond[limit.ordinal()];
    }

    double median() {
        return quantile(0.5);
    }
}
