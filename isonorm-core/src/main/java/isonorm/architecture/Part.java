package isonorm.architecture;

/** The parts of a Transformer that have parameters. */
public enum Part {
    TOKEN_EMBEDDING("embedding.token", false, Use.TABLE),
    POSITION_EMBEDDING("embedding.position", false, Use.TABLE),
    SEGMENT_EMBEDDING("embedding.segment", false, Use.TABLE),
    CLASS_TOKEN("embedding.class_token", false, Use.VECTOR),
    DISTILLATION_TOKEN("embedding.distillation_token", false, Use.VECTOR),
    REGISTERS("embedding.registers", false, Use.TABLE),
    MASK_TOKEN("embedding.mask_token", false, Use.VECTOR),
    PATCH_PROJECTION("embedding.patch", false, Use.WRITER),
    CONVOLUTION("embedding.convolution", false, Use.NONE),
    CONVOLUTION_NORM("embedding.convolution_norm", false, Use.NONE),
    FRAME_NORM("embedding.frame_norm", false, Use.NONE),
    POSITION_CONVOLUTION("embedding.position_convolution", false, Use.NONE),
    EMBEDDING_PROJECTION("embedding.projection", false, Use.WRITER),
    EMBEDDING_NORM("embedding.norm", false, Use.NONE),
    STREAM_ENTRY("embedding.basis", false, Use.WRITER),
    ATTENTION_NORM("attention_norm", true, Use.NONE),
    QUERY_KEY_VALUE("attention.query_key_value", true, Use.READER),
    QUERY_NORM("attention.query_norm", true, Use.NONE),
    KEY_NORM("attention.key_norm", true, Use.NONE),
    VALUE_NORM("attention.value_norm", true, Use.NONE),
    QUERY_UP("attention.query_up", true, Use.NONE),
    KEY_VALUE_UP("attention.key_value_up", true, Use.NONE),
    RELATIVE_BIAS("attention.relative_bias", true, Use.NONE),
    RELATIVE_GATE("attention.relative_gate", true, Use.READER),
    RELATIVE_GATE_SCALE("attention.relative_gate_scale", true, Use.NONE),
    ATTENTION_SINK("attention.sink", true, Use.NONE),
    ATTENTION_INNER_NORM("attention.inner_norm", true, Use.NONE),
    ATTENTION_HEAD_SCALE("attention.head_scale", true, Use.NONE),
    ATTENTION_OUTPUT("attention.output", true, Use.WRITER),
    ATTENTION_OUTPUT_NORM("attention_output_norm", true, Use.NONE),
    ATTENTION_SCALE("attention_scale", true, Use.NONE),
    ATTENTION_STREAM_GATE("attention_stream_gate", true, Use.NONE),
    ATTENTION_SKIP("attention_skip", true, Use.NONE),
    CROSS_NORM("cross_attention_norm", true, Use.NONE),
    CROSS_QUERY("cross_attention.query", true, Use.READER),
    CROSS_KEY_VALUE("cross_attention.key_value", true, Use.NONE),
    CROSS_OUTPUT("cross_attention.output", true, Use.WRITER),
    MLP_NORM("mlp_norm", true, Use.NONE),
    MLP_GATE("mlp.gate", true, Use.READER),
    MLP_UP("mlp.up", true, Use.READER),
    MLP_INNER_NORM("mlp.inner_norm", true, Use.NONE),
    MLP_DOWN("mlp.down", true, Use.WRITER),
    ROUTER("mlp.router", true, Use.READER),
    ROUTER_CORRECTION("mlp.router_correction", true, Use.NONE),
    SHARED_GATE("mlp.shared.gate", true, Use.READER),
    SHARED_UP("mlp.shared.up", true, Use.READER),
    SHARED_DOWN("mlp.shared.down", true, Use.WRITER),
    SHARED_WEIGHT("mlp.shared.weight", true, Use.READER),
    MLP_OUTPUT_NORM("mlp_output_norm", true, Use.NONE),
    MLP_SCALE("mlp_scale", true, Use.NONE),
    MLP_STREAM_GATE("mlp_stream_gate", true, Use.NONE),
    MLP_SKIP("mlp_skip", true, Use.NONE),
    STREAM_EXIT("output.basis", false, Use.READER),
    FINAL_NORM("final_norm", false, Use.NONE),
    HEAD_PROJECTION("head.projection", false, Use.READER),
    HEAD_TRANSFORM("head.transform", false, Use.READER),
    HEAD_TRANSFORM_NORM("head.transform_norm", false, Use.NONE),
    HEAD("head", false, Use.READER),
    DISTILLED_HEAD("head.distilled", false, Use.READER),
    POOLER("pooler", false, Use.READER),
    POOLER_PROBE("pooler.probe", false, Use.NONE),
    POOLER_QUERY("pooler.query", false, Use.NONE),
    POOLER_KEY("pooler.key", false, Use.NONE),
    POOLER_VALUE("pooler.value", false, Use.NONE),
    POOLER_OUTPUT("pooler.output", false, Use.NONE),
    POOLER_NORM("pooler.norm", false, Use.NONE),
    POOLER_UP("pooler.up", false, Use.NONE),
    POOLER_DOWN("pooler.down", false, Use.NONE),
    POOLER_PROJECTION("pooler.projection", false, Use.NONE),
    SIMILARITY_SCALE("similarity.scale", false, Use.NONE),
    SIMILARITY_BIAS("similarity.bias", false, Use.NONE);

    /** What a part is to the residual stream. Rewrites treat parts by it and never by name. */
    public enum Use {
        /** Its rows enter the stream. */
        TABLE,
        /** It enters the stream itself. */
        VECTOR,
        /** A linear layer whose outputs are added to the stream, or begin it. */
        WRITER,
        /** A linear layer that reads the stream, through a norm wherever there is one. */
        READER,
        /** It never touches the stream: a norm, a scale, a layer between others. */
        NONE
    }

    private final String path;
    private final boolean perBlock;
    private final Use use;

    Part(String path, boolean perBlock, Use use) {
        this.path = path;
        this.perBlock = perBlock;
        this.use = use;
    }

    /** The name used in Isonorm's own files, below {@code blocks.N.} for the parts of a block. */
    public String path() {
        return path;
    }

    /** Whether every block has one. */
    public boolean perBlock() {
        return perBlock;
    }

    /** Whether a model can have several that stand one behind the other before its blocks, and are numbered. */
    public boolean numbered() {
        return this == CONVOLUTION || this == CONVOLUTION_NORM || this == POSITION_CONVOLUTION;
    }

    /** Whether it stands before a matrix through which the stream is entered, where there is one. */
    boolean before() {
        return !perBlock && compareTo(STREAM_ENTRY) < 0;
    }

    /** Whether it stands behind a matrix through which the stream is left, where there is one. */
    boolean behind() {
        return !perBlock && compareTo(STREAM_EXIT) > 0;
    }

    /** What this is to the stream where nothing stands between the two; {@link Architecture#use} also knows what does. */
    Use use() {
        return use;
    }
}
