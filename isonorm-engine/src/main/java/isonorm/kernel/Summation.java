package isonorm.kernel;

/**
 * In which order the products of one output are added up, on which its last bits depend: input by input, each added to the sum as one
 * fused multiply-add; after {@code span} inputs the sum is added to a total and begins at zero again.
 *
 * @param span a multiple of 64, or {@link #WHOLE}
 * @param secondFirst whether of two inputs of 16 bits that stand in a pair the second is added first, as processors do that multiply pairs
 */
public record Summation(int span, boolean secondFirst) {

    /** The span of all inputs. */
    public static final int WHOLE = Integer.MAX_VALUE;

    /** Spans of 512: a sum of sums loses less than one long sum. */
    public static final Summation USUAL = new Summation(512, false);

    public Summation {
        if (span != WHOLE && (span < 64 || span % 64 != 0)) {
            throw new IllegalArgumentException("inputs are added up in spans of multiples of 64, got " + span);
        }
    }
}
