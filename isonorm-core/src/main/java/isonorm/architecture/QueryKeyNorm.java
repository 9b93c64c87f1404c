package isonorm.architecture;

/**
 * The norm of queries and keys inside attention. It does not read the residual stream, so conversions leave it alone.
 *
 * @param span what one norm runs over
 */
public record QueryKeyNorm(Norm norm, Span span) {

    /** What one norm runs over, and how many gains there are. */
    public enum Span {
        /** Each head; one gain vector of the head's width for all heads. */
        HEAD("head"),
        /** Each head; every head has a gain vector of its own. */
        EACH_HEAD("each-head"),
        /** All heads together. */
        PROJECTION("projection");

        private final String label;

        Span(String label) {
            this.label = label;
        }

        /** The word used in files. */
        public String label() {
            return label;
        }
    }
}
