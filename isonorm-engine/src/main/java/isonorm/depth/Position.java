package isonorm.depth;

/** Where in a block activations are measured. */
public enum Position {
    /** The stream before the block. */
    BLOCK_INPUT("block_input"),
    /** What attention's norm gives: before attention, behind it (output norm), or behind the sum of stream and attention (Post-LN). */
    ATTENTION_NORM("attention_norm"),
    /** What attention adds to the stream, with its bias, and behind the norm and the scale of its output where there are any. */
    ATTENTION_OUTPUT("attention_output"),
    /** What attention to an encoder's output adds to the stream, likewise; missing where there is no encoder. */
    CROSS_ATTENTION_OUTPUT("cross_attention_output"),
    /** What the MLP adds to the stream, likewise. */
    MLP_OUTPUT("mlp_output"),
    /** The stream behind the block. */
    BLOCK_OUTPUT("block_output");

    private final String label;

    Position(String label) {
        this.label = label;
    }

    /** The word used in files. */
    public String label() {
        return label;
    }
}
