package isonorm.kernel;

import isonorm.architecture.NormKind;

/**
 * A norm of rows: {@code n = x / sqrt(q + epsilon)}, then {@code gain * n + bias}, where q is
 *
 * <pre>
 * LAYER   mean((x - mean(x))²), and x is x - mean(x)
 * RMS     mean(x²)
 * CRMS    (sum(x²) + sum(x)²) / (n + 1), for n values that stand for n + 1 with the sum zero
 * </pre>
 *
 * <p>A CRMS with a gain or a bias gives all n + 1 values, the last one being {@code -sum(n)} before its gain and bias, because
 * what it gives then no longer sums to zero. (Jiang et al., arXiv 2305.14858)
 */
public record Normalization(NormKind kind, double epsilon, Values gain, Values bias) {

    public Normalization {
        if (!(epsilon >= 0)) { // also refuses NaN
            throw new IllegalArgumentException("epsilon must be zero or more, got " + epsilon);
        }
    }

    /** Without gain and bias. */
    public static Normalization of(NormKind kind, double epsilon) {
        return new Normalization(kind, epsilon, Values.NONE, Values.NONE);
    }

    public Normalization withGain(Values other) {
        return new Normalization(kind, epsilon, other, bias);
    }

    public Normalization withBias(Values other) {
        return new Normalization(kind, epsilon, gain, other);
    }

    /** Whether there is a gain or a bias. */
    public boolean affine() {
        return gain.present() || bias.present();
    }

    /** How many values come out of a row of {@code columns}. */
    public int columnsOut(int columns) {
        return kind == NormKind.CRMS && affine() ? columns + 1 : columns;
    }
}
