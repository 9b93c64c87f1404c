package isonorm.architecture;

/** The function between the two linear layers of an MLP. */
public enum Activation {
    /** {@code x * Phi(x)}, with the error function. */
    GELU("gelu"),
    /** {@code x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))}. */
    GELU_TANH("gelu-tanh"),
    /** {@code x * sigmoid(1.702 x)}. */
    QUICK_GELU("quick-gelu"),
    /** {@code max(x, 0)}. */
    RELU("relu"),
    /** {@code max(x, 0)^2}. */
    RELU_SQUARED("relu-squared"),
    /** {@code x * sigmoid(x)}. */
    SILU("silu"),
    /** {@code tanh(x)}. */
    TANH("tanh");

    private final String label;

    Activation(String label) {
        this.label = label;
    }

    /** The word used in files. */
    public String label() {
        return label;
    }
}
