package isonorm.measure;

import java.util.Arrays;

/** The middle of a sample and of its halves; between two values, in proportion (the usual definition of R and NumPy). */
public record Quartiles(double lower, double median, double upper) {

    /** Those of one or more values. */
    public static Quartiles of(double... values) {
        if (values.length == 0) {
            throw new IllegalArgumentException("quartiles need a value or more, got none");
        }
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return new Quartiles(at(sorted, 0.25), at(sorted, 0.5), at(sorted, 0.75));
    }

    /** Those of {@code of[i] / to[i]}: what ran beside each other is compared, so that drift of the machine cancels. */
    public static Quartiles ofRatios(double[] of, double[] to) {
        if (of.length != to.length) {
            throw new IllegalArgumentException("paired ratios need samples of one length, got " + of.length + " and " + to.length);
        }
        double[] ratios = new double[of.length];
        Arrays.setAll(ratios, i -> of[i] / to[i]);
        return of(ratios);
    }

    private static double at(double[] sorted, double part) {
        double place = part * (sorted.length - 1);
        int below = (int) place;
        int above = Math.min(below + 1, sorted.length - 1);
        return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
    }
}
