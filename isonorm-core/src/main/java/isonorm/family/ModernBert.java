package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Activation;
import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * ModernBERT (arXiv 2412.13663), in both directions or causal: gated MLPs, rotary positions of two bases, windows in all blocks but each third, and a
 * first attention that reads what the embedding's norm gives without a norm of its own.
 *
 * @param type the model_type
 */
record ModernBert(String type) implements Family {

    static final ModernBert ENCODER = new ModernBert("modernbert");
    static final ModernBert DECODER = new ModernBert("modernbert-decoder");

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        int width = config.integerOr(768, "hidden_size");
        int heads = config.integerOr(12, "num_attention_heads");
        int count = config.integerOr(22, "num_hidden_layers");
        Norm norm = Norm.of(NormKind.LAYER, config.numberOr(1e-5, "norm_eps"), config.flagOr(false, "norm_bias") ? Affine.GAIN_AND_BIAS : Affine.GAIN);
        config.requireNone("rope_scaling");
        int context = config.integerOr(8192, "max_position_embeddings");
        Task task = this == DECODER ? config.isBareModel() ? Task.BARE : Task.WORDS : Task.of(config);
        boolean labels = task != Task.BARE && task != Task.WORDS;
        Reading.repeated(count, block(config, norm, width, heads, 0)); // which refuses what is no number of blocks
        List<Block> blocks = new ArrayList<>();
        for (int l = 0; l < count; l++) {
            blocks.add(block(config, norm, width, heads, l));
        }
        Architecture architecture = Architecture.of(type, width, context,
                Embedding.Tokens.of(config.integerOr(50368, "vocab_size"), width).withNorm(norm), blocks, Optional.of(norm),
                switch (task) {
                    case BARE -> new Output.Hidden(Output.Pooler.NONE);
                    case WORDS -> Output.Words.of(Reading.tied(config, true)).withBias(config.flagOr(true, "decoder_bias")).withTransform(transform(config, width, norm));
                    case SEQUENCE, NEXT_SENTENCE, TOKEN, QUESTION -> labels(config, task, transform(config, width, norm));
                });
        String head = this == DECODER ? "/lm_head." : "/head.";
        Naming naming = Naming.of(config, tensors, "model.")
                .whole(TOKEN_EMBEDDING, "embeddings.tok_embeddings")
                .whole(EMBEDDING_NORM, "embeddings.norm")
                .whole(ATTENTION_NORM, "layers.*.attn_norm")
                .whole(ATTENTION_OUTPUT, "layers.*.attn.Wo")
                .whole(MLP_NORM, "layers.*.mlp_norm")
                .part(MLP_GATE, "layers.*.mlp.Wi", 0, 2)
                .part(MLP_UP, "layers.*.mlp.Wi", 1, 2)
                .whole(MLP_DOWN, "layers.*.mlp.Wo")
                .whole(FINAL_NORM, "final_norm")
                .whole(HEAD_TRANSFORM, head + "dense")
                .whole(HEAD_TRANSFORM_NORM, head + "norm")
                .whole(HEAD, labels ? "/classifier" : "/decoder")
                .passingOver(Repetition.FREQUENCIES, ".*rotary_emb\\.inv_freq");
        if (task == Task.BARE) {
            naming.passingOver(Repetition.OTHER_OUTPUT, "(head|lm_head|decoder|classifier)\\..*");
        } else if (labels) {
            naming.passingOver(Repetition.OTHER_OUTPUT, "decoder\\..*");
        }
        return new Description(architecture, this == DECODER
                ? naming.separate("layers.*.attn.q_proj", "layers.*.attn.k_proj", "layers.*.attn.v_proj")
                : naming.whole(QUERY_KEY_VALUE, "layers.*.attn.Wqkv"));
    }

    private Block block(Config config, Norm norm, int width, int heads, int l) throws CheckpointException {
        int headWidth = Reading.widthOfHead(width, heads);
        config.require("head_dim", headWidth);
        int every = config.integerOr(3, "global_attn_every_n_layers");
        if (every < 1) {
            throw Config.unsupported("global_attn_every_n_layers", every, "1 or more");
        }
        boolean slides = Reading.slides(config, l, l % every != 0);
        int local = config.integerOr(128, "local_attention");
        if (local < 2) {
            throw Config.unsupported("local_attention", local, "2 or more");
        }
        boolean bias = config.flagOr(false, "attention_bias");
        boolean mlpBias = config.flagOr(false, "mlp_bias");
        double base = slides ? config.numberOr(10_000, "local_rope_theta") : config.numberOr(160_000, "global_rope_theta");
        Attention attention = Attention.of(heads, headWidth).withBiases(bias, bias)
                .withRotary(Reading.rotaryOfKind(config, slides, headWidth, base));
        if (slides) {
            attention = attention.withWindow(this == DECODER ? local / 2 : local / 2 + 1); // half of it on each side, beside the position itself
        }
        Block block = Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, this == DECODER ? attention : attention.bidirectional(),
                Mlp.gated(config.integerOr(1152, "intermediate_size"), Reading.activation(config.textOr("gelu", "hidden_activation"))).withBiases(mlpBias, mlpBias));
        return l == 0 ? block.withPlacements(Placement.NONE, Placement.PRE) : block;
    }

    private static Output.Transform transform(Config config, int width, Norm norm) throws CheckpointException {
        Activation activation = Reading.activation(config.textOr("gelu", "classifier_activation"));
        return new Output.Transform(Optional.of(new Output.Dense(width, Optional.of(activation), config.flagOr(false, "classifier_bias"))), Optional.of(norm));
    }

    private static Output.Labels labels(Config config, Task task, Output.Transform before) throws CheckpointException {
        Output.Labels labels = task.labels(config, Optional.empty());
        if (task != Task.SEQUENCE) {
            return labels.withTransform(before);
        }
        return Output.Labels.of(labels.labels(), switch (config.textOr("cls", "classifier_pooling")) {
            case "cls" -> Output.Pooling.FIRST;
            case "mean" -> Output.Pooling.MEAN;
            default -> throw Config.unsupported("classifier_pooling", config.textOr("", "classifier_pooling"), "cls or mean");
        }).withTransform(before);
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        return Reading.withKinds(Reading.keeping(config, kept, "num_hidden_layers"), left);
    }
}
