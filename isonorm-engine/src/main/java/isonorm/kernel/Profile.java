package isonorm.kernel;

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

    /** An empty profile of {@code rows} rows. */
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

    /** How many magnitudes lie in each bin; not copied. */
    public int[] bins() {
        return bins;
    }

    /** How many finite values are larger than a type's largest. */
    public long beyond(Limit limit) {
        return beyond[limit.ordinal()];
    }

    /** How many values are not finite. */
    public long infinite() {
        return infinite;
    }

    /** Counts {@code n} values of which the largest magnitude is known; few rows have any to count. */
    void countBeyond(float[] x, int n, float most) {
        for (Limit limit : LIMITS) {
            if (most > SMALLEST_LIMIT && most > limit.largest) {
                for (int i = 0; i < n; i++) {
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
        countBeyond(x, n, most);
    }
}
