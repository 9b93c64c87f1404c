package isonorm.architecture;

/**
 * Attention with linear biases: {@code slope(head) * position(key)} is added to the scores. The slopes are
 * {@code 2^(-8k/n)}, k = 1..n, for n heads; where n is no power of two, those of the next lower power p come first and every
 * second one of 2p fills the rest (Press et al., 2108.12409).
 */
public enum Alibi {
    /** The bias is added to scores that are already scaled (BLOOM). */
    AFTER_SCALE("after-scale"),
    /** The bias is rounded to bfloat16, added to the raw scores, and scaled with them (Falcon). */
    BEFORE_SCALE_BFLOAT16("before-scale-bfloat16"),
    /**
     * As {@link #AFTER_SCALE}, but where the heads are no power of two the slopes of the next higher power are taken,
     * every second one first (MPT).
     */
    AFTER_SCALE_INTERLEAVED("after-scale-interleaved");

    private final String label;

    Alibi(String label) {
        this.label = label;
    }

    /** The word used in files. */
    public String label() {
        return label;
    }

    /** The slope of each of {@code heads} heads. */
    public double[] slopes(int heads) {
        double[] slopes = new double[heads];
        if (this == AFTER_SCALE_INTERLEAVED) {
            int power = Integer.highestOneBit(heads) == heads ? heads : Integer.highestOneBit(heads) << 1;
            for (int h = 0; h < heads; h++) {
                // Powers 2, 4, 6, ... of the larger set, then 1, 3, 5, ...; all in order when it is exact.
                int k = power == heads ? h + 1 : h < power / 2 ? 2 * (h + 1) : 2 * (h - power / 2) + 1;
                slopes[h] = Math.pow(2, -8.0 * k / power);
            }
            return slopes;
        }
        int power = Integer.highestOneBit(heads);
        for (int h = 0; h < heads; h++) {
            slopes[h] = h < power ? Math.pow(2, -8.0 * (h + 1) / power) : Math.pow(2, -4.0 * (2 * (h - power) + 1) / power);
        }
        return slopes;
    }
}
