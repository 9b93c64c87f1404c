package isonorm.architecture;

/**
 * The sub-layer of a block that sees each position by itself: it reads the residual stream and writes to it.
 *
 * <p>Code that knows one feed-forward layer asks by a pattern switch, so that the compiler finds it when there is another.
 */
public sealed interface FeedForward permits Mlp, Experts {

    /** Whether anything that reads the stream adds a bias. */
    boolean bias();

    /** Whether a bias is added to what it writes to the stream, behind everything else. */
    boolean outputBias();

    /** The same with a bias on everything that reads the stream. */
    FeedForward withReadingBias();
}
