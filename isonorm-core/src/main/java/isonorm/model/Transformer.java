package isonorm.model;

/**
 * A Transformer: what it computes, and the weights it computes with, of which nothing is read until somebody computes with it. It comes from a
 * {@code LoadedModel}, and everything else in Isonorm takes it; only Isonorm makes one.
 */
public interface Transformer {

    /** Its family, as config.json names it. */
    String family();

    /** How many blocks it has. */
    int depth();

    /** How many values a token has in the residual stream of the family's own form. */
    int width();

    /** How many tokens it can read at once; for images, how many one is. */
    int context();

    /** How many numbers its parameters have. */
    long parameterCount();
}
