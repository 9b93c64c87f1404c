package isonorm.kernel;

/**
 * Bins of magnitudes: 64 of equal width in every octave from 2^-32 to 2^32, so that a bin's ends differ by 1.6 % at most. What is
 * smaller lies in the first bin, what is larger in the last.
 */
public final class Magnitudes {

    /** How many bits of the fraction tell bins apart. */
    private static final int FRACTION = 6;

    /** How many bins an octave has. */
    static final int OCTAVE = 1 << FRACTION;

    static final int SHIFT = 23 - FRACTION;

    /** What the first bin's exponent and fraction are. */
    static final int FIRST = 127 - 32 << FRACTION;

    /** How many bins there are. */
    public static final int BINS = 64 * OCTAVE;

    private Magnitudes() {}

    /** The bin of a finite value's magnitude. */
    public static int bin(float value) {
        return Math.clamp(((Float.floatToRawIntBits(value) & 0x7fffffff) >>> SHIFT) - FIRST, 0, BINS - 1);
    }

    /** The smallest magnitude in a bin, and the end of the one before. */
    public static double start(int bin) {
        return bin == 0 ? 0 : bin == BINS ? 0x1p32 : Float.intBitsToFloat(bin + FIRST << SHIFT);
    }

    /**
     * The magnitude below which a part of all magnitudes lies, as if those in one bin were spread evenly over it.
     *
     * @param counts how many magnitudes lie in each bin
     * @param part 0 to 1
     */
    public static double quantile(long[] counts, double part) {
        long all = 0;
        for (long count : counts) {
            all += count;
        }
        double wanted = part * all;
        double before = 0;
        for (int bin = 0; bin < BINS; bin++) {
            if (counts[bin] > 0 && before + counts[bin] >= wanted) {
                double inside = Math.clamp((wanted - before) / counts[bin], 0, 1);
                return start(bin) + inside * (start(bin + 1) - start(bin));
            }
            before += counts[bin];
        }
        return 0;
    }
}
