package isonorm.depth;

import isonorm.kernel.Magnitudes;
import isonorm.kernel.Profile;
import isonorm.kernel.Profile.Limit;
import java.util.Arrays;
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
        Arrays.fill(rowRatios, Double.NaN);
    }

    /** {@code count} rows from {@code first} on. */
    synchronized void add(Profile profile, int first, int count) {
        profile.sums(count, rowSums, first * POWERS);
        for (int r = 0; r < count; r++) {
            largest = Math.max(largest, profile.largest(r));
        }
        profile.addBins(bins);
        for (Limit limit : Limit.values()) {
            beyond[limit.ordinal()] += profile.beyond(limit);
        }
        nonFinite += profile.infinite();
    }

    /** The sum of a row's squares. */
    double squares(int row) {
        return rowSums[row * POWERS + 1];
    }

    /** How large a branch's row is beside the stream, the sum of whose squares is given; beside nothing it is left out. */
    void ratio(int row, double streamSquares) {
        rowRatios[row] = streamSquares > 0 ? Math.sqrt(squares(row) / streamSquares) : Double.NaN;
    }

    /** Adds up what the rows of this batch gave. */
    void end() {
        double first = sums[0];
        double second = sums[1];
        double third = sums[2];
        double fourth = sums[3];
        for (int at = 0; at < rowSums.length; at += POWERS) {
            first += rowSums[at];
            second += rowSums[at + 1];
            third += rowSums[at + 2];
            fourth += rowSums[at + 3];
        }
        sums[0] = first;
        sums[1] = second;
        sums[2] = third;
        sums[3] = fourth;
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
