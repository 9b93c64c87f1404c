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
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.Rotary.Pairing;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.Optional;
import java.util.Set;

/** OLMo 2: RMSNorm behind each sub-layer instead of before it, and over all queries and all keys. */
final class Olmo2 implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        int width = config.integer("hidden_size");
        int heads = config.integer("num_attention_heads");
        int headWidth = Reading.headWidth(config, width, heads);
        Reading.requireWholeHead(config);
        config.requireNone("clip_qkv");
        boolean bias = config.flagOr(false, "attention_bias");
        Norm norm = Reading.rmsNorm(config.numberOr(1e-5, "rms_norm_eps"));
        Attention attention = Attention.of(heads, headWidth)
                .withKeyValueHeads(config.integerOr(heads, "num_key_value_heads"))
                .withRotary(Reading.rotary(config, headWidth, 10000, Pairing.HALVES))
                .withQueryKeyNorm(new QueryKeyNorm(norm, QueryKeyNorm.Span.PROJECTION))
                .withBiases(bias, bias);
        Architecture architecture = Architecture.of("olmo2", width, config.integerOr(2048, "max_position_embeddings"),
                Embedding.Tokens.of(config.integer("vocab_size"), width),
                Reading.repeated(config.integer("num_hidden_layers"), Block.of(Placement.OUTPUT, Wiring.SEQUENTIAL, norm, attention,
                        Mlp.gated(config.integer("intermediate_size"), Reading.activation(config.textOr("silu", "hidden_act"))))),
                Optional.of(norm), Output.Words.of(Reading.tied(config, false)));
        return new Description(architecture, LlamaNames.of(config, tensors)
                .whole(ATTENTION_OUTPUT_NORM, "layers.*.post_attention_layernorm")
                .whole(MLP_OUTPUT_NORM, "layers.*.post_feedforward_layernorm"));
    }
}
