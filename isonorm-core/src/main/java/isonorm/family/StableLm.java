package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.Rotary.Pairing;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.Optional;
import java.util.Set;

/** StableLM: LayerNorm before gated MLPs, rotary positions on a share of each head, parallel branches in some sizes. */
final class StableLm implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        int width = config.integer("hidden_size");
        int heads = config.integer("num_attention_heads");
        config.require("head_dim", Reading.widthOfHead(width, heads));
        // The first files name their own code's model_type and keys; what transformers reads of the others must not differ from them.
        boolean own = config.textOr("", "model_type").equals("stablelm_epoch") || config.has("partial_rotary_factor");
        double share = Reading.rotaryShare(config, 0.25, own ? new String[] {"partial_rotary_factor", "rope_pct"} : new String[] {"partial_rotary_factor"});
        if (!own && config.numberOr(share, "rope_pct") != share) {
            throw Config.unsupported("rope_pct", config.numberOr(share, "rope_pct"), "the partial_rotary_factor, " + share);
        }
        int turned = (int) (Reading.widthOfHead(width, heads) * share);
        double epsilon = config.numberOr(1e-5, "layer_norm_eps", "norm_eps");
        Norm norm = Reading.layerNorm(epsilon);
        Attention plain = Attention.of(heads, Reading.widthOfHead(width, heads))
                .withKeyValueHeads(config.integerOr(heads, "num_key_value_heads"))
                .withRotary(Reading.rotary(config, turned, 10000, Pairing.HALVES))
                .withBiases(config.flagOr(false, "use_qkv_bias"), false);
        Attention attention = config.flagOr(false, "qk_layernorm")
                ? plain.withQueryKeyNorm(new QueryKeyNorm(norm.withAffine(Affine.GAIN), QueryKeyNorm.Span.EACH_HEAD))
                : plain;
        Wiring wiring = config.flagOr(false, "use_parallel_residual") ? Wiring.PARALLEL_ONE_NORM : Wiring.SEQUENTIAL;
        Architecture architecture = Architecture.of("stablelm", width, config.integerOr(4096, "max_position_embeddings"),
                Embedding.Tokens.of(config.integer("vocab_size"), width),
                Reading.repeated(config.integer("num_hidden_layers"), Block.of(Placement.PRE, wiring, norm, attention,
                        Mlp.gated(config.integer("intermediate_size"), Reading.activation(config.textOr("silu", "hidden_act"))))),
                Optional.of(norm), Output.Words.of(Reading.tied(config, false)));
        return new Description(architecture, LlamaNames.of(config, tensors)
                .eachHead(QUERY_NORM, "layers.*.self_attn.q_layernorm.norms.#")
                .eachHead(KEY_NORM, "layers.*.self_attn.k_layernorm.norms.#"));
    }
}
