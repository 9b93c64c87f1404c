package isonorm.layer;

import isonorm.kernel.Rows;
import isonorm.kernel.Values;

/**
 * Sees what passes through the blocks of a forward pass, and changes nothing.
 *
 * <p>It is shown some tokens at a time, by several threads at once; {@code first} says where in the batch these tokens begin, all rows
 * of the batch counted one after the other. What it is shown is overwritten when it returns. For one token, the calls are in the order
 * of the pass: the stream, what attention reads of it, what is written to it, block after block, and the stream at the end.
 *
 * <p>Of two streams the one that is normalized and read is shown. Rows have as many columns as the stream carries values: d, or d - 1 of a compressed stream, which stand for d that sum to zero.
 */
public interface Observer {

    /** The parts of a block that write to the stream. */
    enum Branch {
        ATTENTION,
        /** Attention to what an encoder gives. */
        CROSS_ATTENTION,
        MLP
    }

    /** Sees nothing. */
    Observer NONE = new Observer() {};

    /**
     * The stream before a block, {@code (tokens, values)}; of the block behind the last one, the stream behind the last.
     */
    default void stream(int block, Rows h, int first) {}

    /**
     * What the norm at a block's attention gives: {@code scales[token] * x}, {@code (tokens, values)}. It stands before attention, behind
     * it (a norm of attention's output), or behind the sum of both (Post-LN). Of two streams, that is the one attention reads.
     *
     * @param scales one a token, or none
     */
    default void normalized(int block, Rows x, Values scales, int first) {}

    /** The experts that a token chose in a block, and with which weights. */
    default void chosen(int block, int token, Choice choice) {}

    /**
     * What a branch adds to the stream, {@code scales[token] * x + bias}, {@code (tokens, values)}, behind the norm and the scale of its
     * output where there are any.
     *
     * @param scales one a token, or none
     * @param bias one a column, or none
     * @param h the stream as the branch found it
     */
    default void written(int block, Branch branch, Rows x, Values scales, Values bias, Rows h, int first) {}
}
