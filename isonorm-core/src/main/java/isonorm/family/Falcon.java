package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Alibi;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.Rotary.Pairing;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** Falcon: one shared key-value head or groups of them, one norm or two before parallel branches, rotary positions or ALiBi. */
final class Falcon implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        int width = config.integer("hidden_size", "n_embed");
        int heads = config.integer("num_attention_heads", "n_head");
        boolean groups = config.flagOr(false, "new_decoder_architecture");
        boolean shared = config.flagOr(true, "multi_query");
        boolean parallel = groups || config.flagOr(true, "parallel_attn");
        boolean bias = config.flagOr(false, "bias");
        boolean alibi = config.flagOr(false, "alibi");
        int keyValueHeads = groups ? config.integerOr(heads, "num_kv_heads", "n_head_kv") : shared ? 1 : heads;
        Norm norm = Reading.layerNorm(config.numberOr(1e-5, "layer_norm_epsilon"));
        Attention plain = Attention.of(heads, Reading.widthOfHead(width, heads)).withKeyValueHeads(keyValueHeads).withBiases(bias, bias);
        Attention attention = alibi
                ? plain.withAlibi(Alibi.BEFORE_SCALE_BFLOAT16)
                : plain.withRotary(Reading.rotary(config, Reading.widthOfHead(width, heads), 10000, Pairing.HALVES));
        Mlp mlp = Mlp.plain(config.integerOr(4 * width, "ffn_hidden_size"), Reading.activation(config.textOr("gelu", "activation")))
                .withBiases(bias, bias);
        config.requireFlag(false, "apply_residual_connection_post_layernorm");
        config.require("num_ln_in_parallel_attn", groups ? new Object[] {1, 2} : new Object[] {1});
        if (groups) {
            config.requireFlag(true, "parallel_attn");
        } else {
            config.require("num_kv_heads", shared ? new Object[] {1, heads} : new Object[] {heads});
        }
        if (!alibi) {
            Reading.requireWholeHead(config);
        }
        boolean twoNorms = groups && config.integerOr(2, "num_ln_in_parallel_attn") == 2;
        Wiring wiring = !parallel ? Wiring.SEQUENTIAL : twoNorms ? Wiring.PARALLEL : Wiring.PARALLEL_ONE_NORM;
        Architecture architecture = Architecture.of("falcon", width, config.integerOr(2048, "max_position_embeddings"),
                Embedding.Tokens.of(config.integer("vocab_size"), width),
                Reading.repeated(config.integer("num_hidden_layers", "n_layer"), Block.of(Placement.PRE, wiring, norm, attention, mlp)),
                Optional.of(norm), Output.Words.of(Reading.tied(config, true)));
        return new Description(architecture, Naming.of(config, tensors, "transformer.")
                .whole(TOKEN_EMBEDDING, "word_embeddings")
                .whole(ATTENTION_NORM, twoNorms ? "h.*.ln_attn" : "h.*.input_layernorm")
                .fused("h.*.self_attention.query_key_value", Reading::grouped)
                .whole(ATTENTION_OUTPUT, "h.*.self_attention.dense")
                .whole(MLP_NORM, twoNorms ? "h.*.ln_mlp" : "h.*.post_attention_layernorm")
                .whole(MLP_UP, "h.*.mlp.dense_h_to_4h")
                .whole(MLP_DOWN, "h.*.mlp.dense_4h_to_h")
                .whole(FINAL_NORM, "ln_f")
                .whole(HEAD, "/lm_head")
                .passingOverBuffers());
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        return Reading.keeping(config, kept, "num_hidden_layers", "n_layer");
    }
}
