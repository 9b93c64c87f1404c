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

    /** Whether it only multiplies each vector with a number, {@code s x}, so that a linear layer that reads it can be multiplied instead. */
    public boolean scalesRows() {
        return switch (this) {
            case RMS, CRMS -> true;
            case LAYER, DYNAMIC_TANH -> false;
        };
    }

    /** Whether it takes the mean out, and so sees nothing of it. */
    public boolean centres() {
        return switch (this) {
            case LAYER -> true;
            case RMS, CRMS, DYNAMIC_TANH -> false;
        };
    }

    /** Whether it reads n values that stand for n + 1 which sum to zero. */
    public boolean readsCompressed() {
        return switch (this) {
            case CRMS -> true;
            case LAYER, RMS, DYNAMIC_TANH -> false;
        };
    }

    /** Whether its alpha is learned. */
    public boolean hasAlpha() {
        return switch (this) {
            case DYNAMIC_TANH -> true;
            case LAYER, RMS, CRMS -> false;
        };
    }
}
