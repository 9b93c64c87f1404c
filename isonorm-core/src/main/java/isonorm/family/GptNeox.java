package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.Rotary;
import isonorm.architecture.Rotary.Pairing;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.Optional;
import java.util.Set;

/** GPT-NeoX and Pythia: rotary positions on a share of each head, parallel blocks with two norms, query, key and value rows head by head. */
final class GptNeox implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        int width = config.integer("hidden_size");
        int heads = config.integer("num_attention_heads");
        int headWidth = Reading.widthOfHead(width, heads);
        config.require("head_dim", headWidth);
        int turned = (int) (headWidth * Reading.rotaryShare(config, 0.25, "rotary_pct"));
        boolean bias = config.flagOr(true, "attention_bias");
        Norm norm = Reading.layerNorm(config.numberOr(1e-5, "layer_norm_eps"));
        // An odd share leaves ceil(turned / 2) frequencies, so one value more is turned; the exponents keep the odd divisor.
        Rotary even = Reading.rotary(config, turned + turned % 2, 10000, Pairing.HALVES, "rotary_emb_base", "rope_theta");
        Attention attention = Attention.of(heads, headWidth)
                .withRotary(new Rotary(even.width(), turned, even.base(), even.pairing(), even.scaling()))
                .withBiases(bias, bias);
        Mlp mlp = Mlp.plain(config.integerOr(4 * width, "intermediate_size"), Reading.activation(config.textOr("gelu", "hidden_act")));
        Wiring wiring = config.flagOr(true, "use_parallel_residual") ? Wiring.PARALLEL : Wiring.SEQUENTIAL;
        Architecture architecture = Architecture.of("gpt_neox", width, config.integerOr(2048, "max_position_embeddings"),
                Embedding.Tokens.of(config.integer("vocab_size"), width),
                Reading.repeated(config.integer("num_hidden_layers"), Block.of(Placement.PRE, wiring, norm, attention, mlp)),
                Optional.of(norm), Output.Words.of(Reading.tied(config, false)));
        return new Description(architecture, names(Naming.of(config, tensors, "gpt_neox.")));
    }

    /** GPT-NeoX's names. */
    static Naming names(Naming naming) {
        return naming
                .whole(TOKEN_EMBEDDING, "embed_in")
                .whole(ATTENTION_NORM, "layers.*.input_layernorm")
                .fused("layers.*.attention.query_key_value", Reading::headByHead)
                .whole(ATTENTION_OUTPUT, "layers.*.attention.dense")
                .whole(MLP_NORM, "layers.*.post_attention_layernorm")
                .whole(MLP_UP, "layers.*.mlp.dense_h_to_4h")
                .whole(MLP_DOWN, "layers.*.mlp.dense_4h_to_h")
                .whole(FINAL_NORM, "final_layer_norm")
                .whole(HEAD, "/embed_out")
                .passingOverBuffers();
    }
}
