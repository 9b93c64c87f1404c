package isonorm.architecture;

/**
 * The sub-layer of a block through which positions see each other: it reads the residual stream and writes to it.
 *
 * <p>Code that knows one mixer asks by a pattern switch, so that the compiler finds it when there is another.
 */
public sealed interface Mixer permits Attention, LatentAttention {

    /** Whether a position sees no later one. */
    boolean causal();

    /** Whether anything that reads the stream adds a bias. */
    boolean bias();

    /** Whether what writes to the stream adds a bias. */
    boolean outputBias();

    /** How queries meet keys and values: itself, or what it is once those are there. */
    Attention attention();

    /** The same with a bias on everything that reads the stream. */
    Mixer withReadingBias();
}
