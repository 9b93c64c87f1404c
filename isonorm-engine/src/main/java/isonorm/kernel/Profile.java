package isonorm.kernel;

import java.util.Arrays;

/**
 * What {@link Kernels#profile} finds: of each row the sums of its values' first four powers and its largest magnitude, of all rows
 * how many magnitudes lie in each {@link Magnitudes bin} and beyond the largest numbers of narrow types.
 *
 * <p>Values that are not finite are counted and otherwise left out.
 */
public final class Profile {

    /** The largest numbers of narrow types. */
    public enum Limit {
        FP16(65504),
        FP8_E4M3(448),
        FP8_E5M2(57344);

        final float largest;

        Limit(float largest) {
            this.largest = largest;
        }

        /** The largest finite number of the type. */
        public float largest() {
            return largest;
        }
    }

    /** How many sums a row has. */
    static final int POWERS = 4;

    private static final Limit[] LIMITS = Limit.values();
    private static final float SMALLEST_LIMIT = Limit.FP8_E4M3.largest;

    final double[] sums;
    final float[] largest;
    final int[] bins = new int[Magnitudes.BINS];
    private final long[] beyond = new long[LIMITS.length];
    private long infinite;

    /** An empty profile with room for {@code rows} rows. */
    public Profile(int rows) {
        sums = new double[rows * POWERS];
        largest = new float[rows];
    }

    /** For how many rows there is room. */
    public int rows() {
        return largest.length;
    }

    /** The sum of a row's values to the power of {@code power}, 1 to 4. */
    public double sum(int row, int power) {
        return sums[row * POWERS + power - 1];
    }

    /** A row's largest magnitude. */
    public float largest(int row) {
        return largest[row];
    }

    /** Puts the sums of the first {@code rows} rows into an array, powers 1 to 4 of one row behind those of the other. */
    public void sums(int rows, double[] into, int at) {
        System.arraycopy(sums, 0, into, at, rows * POWERS);
    }

    /** How many magnitudes lie in each bin; not copied. */
    public int[] bins() {
        return bins;
    }

    /** Adds how many magnitudes lie in each bin to {@code counts}; whole octaves are seldom filled. */
    public void addBins(long[] counts) {
        for (int octave = 0; octave < Magnitudes.BINS; octave += Magnitudes.OCTAVE) {
            if (any(octave)) {
                for (int bin = octave; bin < octave + Magnitudes.OCTAVE; bin++) {
                    counts[bin] += bins[bin];
                }
            }
        }
    }

    private boolean any(int octave) {
        int any = 0;
        for (int bin = octave; bin < octave + Magnitudes.OCTAVE; bin++) {
            any |= bins[bin];
        }
        return any != 0;
    }

    /** Makes it empty again. */
    public void clear() {
        Arrays.fill(bins, 0);
        Arrays.fill(beyond, 0);
        infinite = 0;
    }

    /** How many finite values are larger than a type's largest. */
    public long beyond(Limit limit) {
        return beyond[limit.ordinal()];
    }

    /** How many values are not finite. */
    public long infinite() {
        return infinite;
    }

    /** Counts {@code n} values, from {@code first} on, of which the largest magnitude is known; few rows have any to count. */
    void countBeyond(float[] x, int first, int n, float most) {
        if (most <= SMALLEST_LIMIT) {
            return;
        }
        for (Limit limit : LIMITS) {
            if (most > limit.largest) {
                for (int i = first; i < first + n; i++) {
                    beyond[limit.ordinal()] += Math.abs(x[i]) > limit.largest && Float.isFinite(x[i]) ? 1 : 0;
                }
            }
        }
    }

    /** All there is to find of one row, whose finite values may be few. */
    void add(int row, float[] x, int n) {
        double first = 0;
        double second = 0;
        double third = 0;
        double fourth = 0;
        float most = 0;
        for (int i = 0; i < n; i++) {
            if (!Float.isFinite(x[i])) {
                infinite++;
                continue;
            }
            double value = x[i];
            first += value;
            second += value * value;
            third += value * value * value;
            fourth += value * value * value * value;
            most = Math.max(most, Math.abs(x[i]));
            bins[Magnitudes.bin(x[i])]++;
        }
        sums[row * POWERS] = first;
        sums[row * POWERS + 1] = second;
        sums[row * POWERS + 2] = third;
        sums[row * POWERS + 3] = fourth;
        largest[row] = most;
        countBeyond(x, 0, n, most);
    }
}
