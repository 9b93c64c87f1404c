package isonorm.architecture;

/** What a norm does to a vector before gain and bias. */
public enum NormKind {
    /** {@code (x - mean(x)) / sqrt(var(x) + epsilon)}, with the biased variance. */
    LAYER("layernorm"),
    /** {@code x / sqrt(mean(x^2) + epsilon)}; equal to {@link #LAYER} on a vector whose mean is zero. */
    RMS("rmsnorm"),
    /**
     * {@code x / sqrt((sum(x^2) + sum(x)^2) / (n + 1) + epsilon)} for n values that stand for a zero-mean vector of n + 1
     * values, the last of which is {@code -sum(x)}.
     */
    CRMS("crmsnorm"),
    /**
     * {@code tanh(alpha x)}, value by value, alpha being one learned number: no statistics, and no epsilon (DyT, arXiv 2503.10622).
     */
    DYNAMIC_TANH("dyt");

    private final String label;

    NormKind(String label) {
        this.label = label;
    }

    /** The word used in files and on the command line. */
    public String label() {
        return label;
    }
}
