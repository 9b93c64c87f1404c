package isonorm.cli.report;

import java.util.Arrays;
import java.util.OptionalDouble;

/** Limits of axes that a few values far above the others do not set: beyond Tukey's fence, 1.5 interquartile ranges above the third quartile. */
final class Robust {

    /** How many times the largest of the others a value must be for an axis to end before it. */
    static final double TWICE = 2;

    /** The same for colours, of which few are told apart. */
    static final double HALF_MORE = 1.5;

    private static final double FENCE = 1.5;

    /** Fewer values have no others to be far from. */
    private static final int LEAST = 4;

    /** At most one value of so many is left out, and one of fewer. */
    private static final int ONE_OF = 8;

    private Robust() {}

    /** The largest value but for those few, or nothing where there are none such. */
    static OptionalDouble limit(double[] values, double times) {
        double[] sorted = Arrays.stream(values).filter(Double::isFinite).sorted().toArray();
        if (sorted.length < LEAST || sorted[0] < 0 && sorted[sorted.length - 1] <= 0) {
            return OptionalDouble.empty();
        }
        double first = quantile(sorted, 0.25);
        double third = quantile(sorted, 0.75);
        double fence = third + FENCE * (third - first);
        int inside = sorted.length;
        while (inside > 0 && sorted[inside - 1] > fence) {
            inside--;
        }
        int outside = sorted.length - inside;
        double largest = sorted[Math.max(0, inside - 1)];
        boolean few = outside > 0 && outside <= Math.max(1, sorted.length / ONE_OF);
        return few && largest > 0 && sorted[inside] > times * largest ? OptionalDouble.of(largest) : OptionalDouble.empty();
    }

    private static double quantile(double[] sorted, double part) {
        double at = part * (sorted.length - 1);
        int low = (int) at;
        return low + 1 == sorted.length ? sorted[low] : sorted[low] + (at - low) * (sorted[low + 1] - sorted[low]);
    }
}
