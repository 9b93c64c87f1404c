package isonorm.depth;

import java.util.Arrays;
import java.util.function.DoubleUnaryOperator;

/**
 * How the variance of the stream grows with depth: which of three curves fits the variances behind blocks 1 to L best.
 *
 * <pre>
 * constant      v(l) = a
 * linear        v(l) = a (1 + b l)
 * exponential   v(l) = a exp(b l)
 * </pre>
 *
 * <p>Variances differ by orders of magnitude, so curves are fitted to their logarithms. The evidence for a curve is its share of
 * {@code exp(-BIC / 2)}; blocks of one model are no independent samples, so it tells which curve is nearest, and not how often that would
 * be so. Where all variances lie within a factor of {@value #FLAT}, they are constant whatever fits them.
 *
 * @param factor the last variance divided by the first
 * @param quality the part of the logarithms' variance that the curve explains, R²; 0 of a constant
 * @param rate b of the curve
 * @param start a of the curve
 */
public record Growth(Shape shape, double factor, double quality, double evidence, double start, double rate, int points) {

    /** The largest variance over the smallest that still counts as constant. */
    static final double FLAT = 1.5;

    /** Fewer points than these fit any curve. */
    static final int POINTS = 4;

    /** What grows like that. */
    public enum Shape {
        CONSTANT("constant"),
        LINEAR("linear"),
        EXPONENTIAL("exponential"),
        /** A norm stands behind every block and sets the variance, so it tells nothing of how the stream grows. */
        NORMALIZED("normalized"),
        /** Too few blocks, or variances that are zero or not finite. */
        UNKNOWN("unknown");

        private final String label;

        Shape(String label) {
            this.label = label;
        }

        /** The word used in files. */
        public String label() {
            return label;
        }
    }

    private record Fit(Shape shape, double start, double rate, double error) {}

    /** Of the variances behind blocks that each end with a norm of the sum, as Post-LN's do. */
    static Growth normalized(double... variances) {
        Growth fitted = of(variances);
        return new Growth(Shape.NORMALIZED, fitted.factor, Double.NaN, Double.NaN, Double.NaN, Double.NaN, variances.length);
    }

    /** Of the variances behind each block. */
    public static Growth of(double... variances) {
        int n = variances.length;
        double factor = n == 0 ? Double.NaN : variances[n - 1] / variances[0];
        if (n < POINTS || !Arrays.stream(variances).allMatch(variance -> variance > 0 && Double.isFinite(variance))) {
            return new Growth(Shape.UNKNOWN, factor, Double.NaN, Double.NaN, Double.NaN, Double.NaN, n);
        }
        double[] logs = Arrays.stream(variances).map(Math::log).toArray();
        Fit constant = fit(Shape.CONSTANT, logs, _ -> 0, 0);
        Fit linear = best(logs);
        Fit exponential = exponential(logs);
        Fit[] fits = {constant, linear, exponential};
        double[] bic = new double[fits.length];
        for (int f = 0; f < fits.length; f++) {
            bic[f] = n * Math.log(Math.max(fits[f].error, 1e-9) / n) + (fits[f].shape == Shape.CONSTANT ? 1 : 2) * Math.log(n);
        }
        double least = Arrays.stream(bic).min().orElseThrow();
        double all = Arrays.stream(bic).map(each -> Math.exp((least - each) / 2)).sum();
        double spread = Arrays.stream(variances).max().orElseThrow() / Arrays.stream(variances).min().orElseThrow();
        if (spread < FLAT) {
            return new Growth(Shape.CONSTANT, factor, 0, 1, Math.exp(constant.start), 0, n);
        }
        int chosen = 0;
        for (int f = 1; f < fits.length; f++) {
            chosen = bic[f] < bic[chosen] ? f : chosen;
        }
        Fit fit = fits[chosen];
        return new Growth(fit.shape, factor, constant.error > 0 ? 1 - fit.error / constant.error : 0,
                Math.exp((least - bic[chosen]) / 2) / all, Math.exp(fit.start), fit.rate, n);
    }

    /** {@code log a + log(curve)}, a being what makes the mean error zero; {@code shape} gives the logarithm of the curve at l. */
    private static Fit fit(Shape shape, double[] logs, DoubleUnaryOperator curve, double rate) {
        int n = logs.length;
        double start = 0;
        for (int l = 1; l <= n; l++) {
            start += (logs[l - 1] - curve.applyAsDouble(l)) / n;
        }
        double error = 0;
        for (int l = 1; l <= n; l++) {
            double off = logs[l - 1] - start - curve.applyAsDouble(l);
            error += off * off;
        }
        return new Fit(shape, start, rate, error);
    }

    private static Fit exponential(double[] logs) {
        int n = logs.length;
        double centre = (n + 1) / 2.0;
        double up = 0;
        double down = 0;
        for (int l = 1; l <= n; l++) {
            up += (l - centre) * logs[l - 1];
            down += (l - centre) * (l - centre);
        }
        double rate = up / down;
        return fit(Shape.EXPONENTIAL, logs, l -> rate * l, rate);
    }

    /** The best line: over the angle of its slope first in steps, then between the neighbours of the best step. */
    private static Fit best(double[] logs) {
        double from = -Math.atan(0.999 / logs.length);
        double to = Math.PI / 2 - 1e-6;
        for (int round = 0; round < 6; round++) {
            int steps = 64;
            int chosen = 0;
            double least = Double.POSITIVE_INFINITY;
            for (int step = 0; step <= steps; step++) {
                double error = line(logs, from + (to - from) * step / steps).error;
                if (error < least) {
                    least = error;
                    chosen = step;
                }
            }
            double width = (to - from) / steps;
            double middle = from + chosen * width;
            from = Math.max(from, middle - width);
            to = Math.min(to, middle + width);
        }
        return line(logs, (from + to) / 2);
    }

    private static Fit line(double[] logs, double angle) {
        double rate = Math.tan(angle);
        return fit(Shape.LINEAR, logs, l -> Math.log1p(rate * l), rate);
    }

    /** The curve behind block l, counted from 1. */
    public double at(int l) {
        return switch (shape) {
            case CONSTANT -> start;
            case LINEAR -> start * (1 + rate * l);
            case EXPONENTIAL -> start * Math.exp(rate * l);
            case NORMALIZED, UNKNOWN -> Double.NaN;
        };
    }

    /** How sure one can be of the curve, in a word. */
    public String certainty() {
        if (shape == Shape.UNKNOWN || shape == Shape.NORMALIZED) {
            return "unknown";
        }
        if (shape == Shape.CONSTANT && evidence == 1) {
            return "sure";
        }
        return evidence >= 0.95 && quality >= 0.9 ? "sure" : evidence >= 0.75 && quality >= 0.7 ? "likely" : "unsure";
    }
}
