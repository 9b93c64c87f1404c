package isonorm.compare;

import java.util.Arrays;
import java.util.stream.IntStream;

/**
 * By how much one group's validation loss lies above another's, seed by seed, since runs of one seed read the same: the mean of the differences and the
 * interval that Student's t gives for it, {@code mean ± t(n - 1) s / sqrt(n)}.
 *
 * @param seeds how many both have that did not diverge
 * @param mean of the differences; NaN of no seed
 * @param low where the interval begins; NaN of fewer than two seeds
 * @param high where it ends
 */
public record Difference(int seeds, double mean, double low, double high) {

    /** How often all intervals that are looked at together hold what they are for. */
    static final double CONFIDENCE = 0.95;

    /** What can be said of two contenders. */
    public enum Verdict {
        /** The interval lies above zero. */
        LOWER("lower"),
        /** The interval has zero in it. */
        NO_DIFFERENCE("no difference"),
        /** There is one seed, or none: nothing tells how much is chance. */
        UNKNOWN("unknown");

        private final String label;

        Verdict(String label) {
            this.label = label;
        }

        /** The word used in files. */
        public String label() {
            return label;
        }
    }

    /**
     * Of the losses of two groups, each of the same seeds in the same order, NaN where a run diverged.
     *
     * @param together how many such differences are looked at, so that each has to be surer (Bonferroni)
     */
    static Difference of(double[] lower, double[] higher, int together) {
        double[] differences = IntStream.range(0, Math.min(lower.length, higher.length)).mapToDouble(i -> higher[i] - lower[i])
                .filter(difference -> !Double.isNaN(difference)).toArray();
        Spread spread = Spread.of(differences);
        double half = differences.length < 2 ? Double.NaN
                : quantile(1 - (1 - CONFIDENCE) / together, differences.length - 1) * spread.deviation() / Math.sqrt(differences.length);
        return new Difference(differences.length, spread.mean(), spread.mean() - half, spread.mean() + half);
    }

    public Verdict verdict() {
        return seeds < 2 ? Verdict.UNKNOWN : low > 0 ? Verdict.LOWER : Verdict.NO_DIFFERENCE;
    }

    /** The t within which Student's distribution lies with a probability. */
    static double quantile(double probability, int freedom) {
        double low = 0;
        double high = 1;
        while (within(high, freedom) < probability) {
            high *= 2;
        }
        for (int round = 0; round < 100; round++) {
            double middle = (low + high) / 2;
            if (within(middle, freedom) < probability) {
                low = middle;
            } else {
                high = middle;
            }
        }
        return high;
    }

    /** The probability that |T| is below t, in closed form for whole degrees of freedom (Abramowitz and Stegun, 26.7.3 and 26.7.4). */
    private static double within(double t, int freedom) {
        double angle = Math.atan(t / Math.sqrt(freedom));
        double square = Math.cos(angle) * Math.cos(angle);
        boolean odd = freedom % 2 == 1;
        double[] terms = new double[freedom / 2];
        for (int k = 0; k < terms.length; k++) {
            terms[k] = k == 0 ? odd ? Math.cos(angle) : 1 : terms[k - 1] * square * (odd ? 2.0 * k / (2 * k + 1) : (2.0 * k - 1) / (2 * k));
        }
        double sum = Math.sin(angle) * Arrays.stream(terms).sum();
        return odd ? 2 / Math.PI * (angle + sum) : sum;
    }
}
