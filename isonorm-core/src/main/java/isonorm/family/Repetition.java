package isonorm.family;

/** What a tensor says once more that the config says already, or why no output depends on it. */
public enum Repetition {
    /** A causal mask, (..., n, n): what is not 0 is seen. */
    MASK,
    /** The score of a position that is not seen, a large negative number. */
    MASKED_SCORE,
    /** The frequencies of rotary positions. */
    FREQUENCIES,
    /** The numbers 0, 1, 2, ... */
    POSITIONS,
    /** The bucket of every pair of positions, of biases that are learned for them. */
    BUCKETS,
    /** Part of a head or a pooler that the class the checkpoint was saved from has beside what is read. */
    OTHER_OUTPUT,
    /** Another part of a whole of which the language model alone is read: what sees images, for instance. */
    OTHER_PART
}
