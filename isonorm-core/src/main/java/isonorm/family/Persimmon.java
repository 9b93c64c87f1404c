package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.Rotary.Pairing;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.Set;

/** Persimmon: LayerNorm on the stream and on queries and keys, squared ReLU, rotary positions on a half of each head. */
final class Persimmon implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        Norm norm = Reading.layerNorm(config.numberOr(1e-5, "layer_norm_eps"));
        int heads = config.integer("num_attention_heads");
        int headWidth = Reading.widthOfHead(config.integer("hidden_size"), heads);
        config.require("head_dim", headWidth);
        Attention plain = Attention.of(heads, headWidth).withRotary(Reading.rotaryOfShare(config, headWidth, 0.5, Pairing.HALVES));
        Attention attention = config.flagOr(true, "qk_layernorm") ? plain.withQueryKeyNorm(new QueryKeyNorm(norm, QueryKeyNorm.Span.HEAD)) : plain;
        Mlp mlp = Mlp.plain(config.integer("intermediate_size"), Reading.activation(config.textOr("relu2", "hidden_act")));
        return new Description(
                Reading.decoder(config, 16_384, norm, Reading.repeated(config.integer("num_hidden_layers"),
                        Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, attention, mlp)), Output.Words.of(Reading.tied(config, false))),
                LlamaNames.of(config, tensors)
                        .fused("layers.*.self_attn.query_key_value", Reading::headByHead)
                        .whole(QUERY_NORM, "layers.*.self_attn.q_layernorm")
                        .whole(KEY_NORM, "layers.*.self_attn.k_layernorm")
                        .whole(ATTENTION_OUTPUT, "layers.*.self_attn.dense")
                        .whole(MLP_UP, "layers.*.mlp.dense_h_to_4h")
                        .whole(MLP_DOWN, "layers.*.mlp.dense_4h_to_h")
                        .whole(FINAL_NORM, "final_layernorm"));
    }
}
