package isonorm.architecture;

/** What a learned parameter multiplies what each sub-layer of a block writes with. */
public enum BranchScale {
    /** Nothing. */
    NONE,
    /** A vector, value by value (LayerScale, arXiv 2103.17239). */
    VECTOR,
    /** One number, which begins at zero (SkipInit, arXiv 2002.10444). */
    NUMBER
}
