package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Activation;
import isonorm.architecture.Affine;
import isonorm.architecture.Alibi;
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
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** MPT: ALiBi, no biases at all, norms with a gain only. */
final class Mpt implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        config.requireFlag(true, "no_bias");
        config.require("norm_type", "low_precision_layernorm", "layernorm");
        Config feedForward = config.object("ffn_config");
        feedForward.require("ffn_type", "mptmlp");
        feedForward.requireNone("ffn_hidden_size");
        feedForward.requireNone("ffn_act_fn");
        config.requireNone("final_logit_softcapping");
        config.requireNone("block_overrides");
        Config attend = config.object("attn_config");
        attend.require("attn_type", "multihead_attention");
        attend.requireFlag(true, "alibi");
        attend.requireFlag(false, "qk_ln");
        attend.requireFlag(false, "prefix_lm");
        attend.requireFlag(false, "qk_gn");
        attend.requireFlag(false, "rope");
        attend.require("kv_n_heads", config.integer("n_heads", "num_attention_heads"));
        attend.require("sliding_window_size", -1);
        attend.requireNone("attn_logit_softcapping");
        attend.require("alibi_bias_max", 8);
        config.requireNone("logit_scale");
        config.require("expansion_ratio", 4);
        int width = config.integer("d_model", "hidden_size");
        int heads = config.integer("n_heads", "num_attention_heads");
        Norm norm = Norm.of(NormKind.LAYER, config.numberOr(1e-5, "layer_norm_epsilon"), Affine.GAIN);
        Attention plain = Attention.of(heads, Reading.widthOfHead(width, heads))
                .withScale(attend.numberOr(1 / Math.sqrt(Reading.widthOfHead(width, heads)), "softmax_scale"))
                .withAlibi(Alibi.AFTER_SCALE_INTERLEAVED)
                .withBiases(false, false);
        double clip = attend.numberOr(0, "clip_qkv");
        Architecture architecture = Architecture.of("mpt", width, config.integerOr(2048, "max_seq_len"),
                Embedding.Tokens.of(config.integer("vocab_size"), width),
                Reading.repeated(config.integer("n_layers", "num_hidden_layers"), Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm,
                        clip > 0 ? plain.withClip(clip) : plain, Mlp.plain(4 * width, Activation.GELU).withBiases(false, false))),
                Optional.of(norm), Output.Words.of(Reading.tied(config, true)));
        return new Description(architecture, Naming.of(config, tensors, "transformer.")
                .whole(TOKEN_EMBEDDING, "wte")
                .whole(ATTENTION_NORM, "blocks.*.norm_1")
                .whole(QUERY_KEY_VALUE, "blocks.*.attn.Wqkv")
                .whole(ATTENTION_OUTPUT, "blocks.*.attn.out_proj")
                .whole(MLP_NORM, "blocks.*.norm_2")
                .whole(MLP_UP, "blocks.*.ffn.up_proj")
                .whole(MLP_DOWN, "blocks.*.ffn.down_proj")
                .whole(FINAL_NORM, "norm_f")
                .whole(HEAD, "/lm_head"));
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        return Reading.keeping(config, kept, "n_layers", "num_hidden_layers");
    }
}
