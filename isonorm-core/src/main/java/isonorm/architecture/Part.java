package isonorm.architecture;

/** The parts of a Transformer that have parameters. */
public enum Part {
    TOKEN_EMBEDDING("embedding.token", false),
    POSITION_EMBEDDING("embedding.position", false),
    SEGMENT_EMBEDDING("embedding.segment", false),
    CLASS_TOKEN("embedding.class_token", false),
    MASK_TOKEN("embedding.mask_token", false),
    PATCH_PROJECTION("embedding.patch", false),
    EMBEDDING_PROJECTION("embedding.projection", false),
    EMBEDDING_NORM("embedding.norm", false),
    ATTENTION_NORM("attention_norm", true),
    QUERY_KEY_VALUE("attention.query_key_value", true),
    QUERY_NORM("attention.query_norm", true),
    KEY_NORM("attention.key_norm", true),
    VALUE_NORM("attention.value_norm", true),
    ATTENTION_INNER_NORM("attention.inner_norm", true),
    ATTENTION_HEAD_SCALE("attention.head_scale", true),
    ATTENTION_OUTPUT("attention.output", true),
    ATTENTION_OUTPUT_NORM("attention_output_norm", true),
    ATTENTION_SCALE("attention_scale", true),
    ATTENTION_STREAM_GATE("attention_stream_gate", true),
    MLP_NORM("mlp_norm", true),
    MLP_GATE("mlp.gate", true),
    MLP_UP("mlp.up", true),
    MLP_INNER_NORM("mlp.inner_norm", true),
    MLP_DOWN("mlp.down", true),
    MLP_OUTPUT_NORM("mlp_output_norm", true),
    MLP_SCALE("mlp_scale", true),
    MLP_STREAM_GATE("mlp_stream_gate", true),
    FINAL_NORM("final_norm", false),
    HEAD_PROJECTION("head.projection", false),
    HEAD_TRANSFORM("head.transform", false),
    HEAD_TRANSFORM_NORM("head.transform_norm", false),
    HEAD("head", false),
    POOLER("pooler", false);

    private final String path;
    private final boolean perBlock;

    Part(String path, boolean perBlock) {
        this.path = path;
        this.perBlock = perBlock;
    }

    /** The name used in Isonorm's own files, below {@code blocks.N.} for the parts of a block. */
    public String path() {
        return path;
    }

    /** Whether every block has one. */
    public boolean perBlock() {
        return perBlock;
    }
}
