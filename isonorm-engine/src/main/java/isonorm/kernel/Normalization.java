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
 *
 * <p>DYNAMIC_TANH has no statistics: {@code n = tanh(alpha x)}. (Zhu et al., arXiv 2503.10622)
 *
 * @param epsilon inside the root; DYNAMIC_TANH ignores it
 * @param alpha used by DYNAMIC_TANH alone
 */
public record Normalization(NormKind kind, double epsilon, double alpha, Values gain, Values bias) {

    public Normalization {
        if (!(epsilon >= 0)) { // also refuses NaN
            throw new IllegalArgumentException("epsilon must be zero or more, got " + epsilon);
        }
    }

    /** One of a kind that has no alpha, or with an alpha of 1. */
    public Normalization(NormKind kind, double epsilon, Values gain, Values bias) {
        this(kind, epsilon, 1, gain, bias);
    }

    /** Without gain and bias. */
    public static Normalization of(NormKind kind, double epsilon) {
        return new Normalization(kind, epsilon, Values.NONE, Values.NONE);
    }

    public Normalization withAlpha(double factor) {
        return new Normalization(kind, epsilon, factor, gain, bias);
    }

    /** What this norm gives of {@code factor * x}, as a norm of x: one of epsilon / factor². The factor must be positive. */
    public Normalization ofScaled(double factor) {
        return new Normalization(kind, epsilon / (factor * factor), alpha * factor, gain, bias);
    }

    public Normalization withGain(Values other) {
        return new Normalization(kind, epsilon, alpha, other, bias);
    }

    public Normalization withBias(Values other) {
        return new Normalization(kind, epsilon, alpha, gain, other);
    }

    /** Whether there is a gain or a bias. */
    public boolean affine() {
        return gain.present() || bias.present();
    }

    /** How many values come out of a row of {@code columns}. */
    public int columnsOut(int columns) {
        return kind.readsCompressed() && affine() ? columns + 1 : columns;
    }
}
