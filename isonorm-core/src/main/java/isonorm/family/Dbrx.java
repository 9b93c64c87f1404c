package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
import isonorm.architecture.Experts;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.Rotary;
import isonorm.architecture.Rotary.Pairing;
import isonorm.architecture.Routing;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import isonorm.family.Naming.Stacking;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** DBRX: experts behind LayerNorms with a gain, one matrix for all experts' gates, ups and downs each. */
final class Dbrx implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        int width = config.integer("d_model", "hidden_size");
        int heads = config.integer("n_heads", "num_attention_heads");
        int headWidth = Reading.widthOfHead(width, heads);
        config.requireFlag(false, "tie_word_embeddings");
        config.require("head_dim", headWidth);
        Reading.requireWholeHead(config);
        Rotary rotary = Reading.rotary(config, headWidth, 10_000, Pairing.HALVES);
        Config attend = config.object("attn_config");
        if (attend.numberOr(rotary.base(), "rope_theta") != rotary.base()) {
            throw Config.unsupported("attn_config.rope_theta", attend.numberOr(0, "rope_theta"),
                    rotary.base() + ", which transformers takes in its place; say it in rope_parameters, {\"rope_theta\": ..., \"rope_type\": \"default\"}");
        }
        Attention plain = Attention.of(heads, headWidth)
                .withKeyValueHeads(attend.integerOr(1, "kv_n_heads"))
                .withRotary(rotary)
                .withBiases(false, false);
        Attention attention = attend.find("clip_qkv").isPresent() ? plain.withClip(clip(attend)) : plain;
        Config feed = config.object("ffn_config");
        feed.require("moe_normalize_expert_weights", 1, 1.0);
        boolean normalized = !feed.has("moe_normalize_expert_weights") || feed.find("moe_normalize_expert_weights").isPresent();
        Experts experts = Experts.of(
                Mlp.gated(feed.integerOr(3584, "ffn_hidden_size"), Reading.activation(feed.object("ffn_act_fn").textOr("silu", "name"))),
                feed.integerOr(4, "moe_num_experts"), Routing.softmax(feed.integerOr(1, "moe_top_k"), normalized));
        Norm norm = Norm.of(NormKind.LAYER, 1e-5, Affine.GAIN);
        Architecture architecture = Architecture.of("dbrx", width, config.integerOr(2048, "max_seq_len", "max_position_embeddings"),
                Embedding.Tokens.of(config.integer("vocab_size"), width),
                Reading.repeated(config.integer("n_layers", "num_hidden_layers"),
                        Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, attention, experts)),
                Optional.of(norm), Output.Words.of(false));
        return new Description(architecture, Naming.of(config, tensors, "transformer.")
                .whole(TOKEN_EMBEDDING, "wte")
                .whole(ATTENTION_NORM, "blocks.*.norm_attn_norm.norm_1")
                .whole(QUERY_KEY_VALUE, "blocks.*.norm_attn_norm.attn.Wqkv")
                .whole(ATTENTION_OUTPUT, "blocks.*.norm_attn_norm.attn.out_proj")
                .whole(MLP_NORM, "blocks.*.norm_attn_norm.norm_2")
                .whole(ROUTER, "blocks.*.ffn.router.layer")
                .experts(MLP_GATE, "blocks.*.ffn.experts.mlp.w1", Stacking.FLAT_ROWS, 0, 1)
                .experts(MLP_UP, "blocks.*.ffn.experts.mlp.v1", Stacking.FLAT_ROWS, 0, 1)
                .experts(MLP_DOWN, "blocks.*.ffn.experts.mlp.w2", Stacking.FLAT_COLUMNS, 0, 1)
                .whole(FINAL_NORM, "norm_f")
                .whole(HEAD, "/lm_head"));
    }

    private static double clip(Config attend) throws CheckpointException {
        double clip = attend.numberOr(0, "clip_qkv");
        if (!(clip > 0)) {
            throw Config.unsupported("attn_config.clip_qkv", clip, "above 0, or null for none");
        }
        return clip;
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        return Reading.keeping(config, kept, "n_layers", "num_hidden_layers");
    }
}
