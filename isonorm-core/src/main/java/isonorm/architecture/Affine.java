package isonorm.architecture;

/** What is applied to a normalized vector, element by element. */
public enum Affine {
    /** Nothing. */
    NONE,
    /** {@code gain * n}. */
    GAIN,
    /** {@code gain * n + bias}. */
    GAIN_AND_BIAS;

    /** Whether there is a gain. */
    public boolean hasGain() {
        return this != NONE;
    }

    /** Whether there is a bias. */
    public boolean hasBias() {
        return this == GAIN_AND_BIAS;
    }
}
