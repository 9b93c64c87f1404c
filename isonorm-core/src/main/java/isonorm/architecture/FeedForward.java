package isonorm.architecture;

/**
 * The sub-layer of a block that sees each position by itself: it reads the residual stream and writes to it.
 *
 * <p>Code that knows one feed-forward layer asks by a pattern switch, so that the compiler finds it when there is another.
 */
public sealed interface FeedForward permits Mlp {

    /** Whether what reads the stream adds a bias. */
    boolean bias();

    /** Whether what writes to the stream adds a bias. */
    boolean outputBias();

    /** The same with or without a bias on what reads the stream and on what writes to it. */
    FeedForward withBiases(boolean reading, boolean writing);
}
