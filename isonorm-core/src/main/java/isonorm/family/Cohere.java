package isonorm.family;

import static isonorm.architecture.Part.*;

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
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.Rotary.Pairing;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.Optional;
import java.util.Set;

/** Command R: LayerNorm with a gain only, parallel branches behind one norm, scaled logits of a tied head. */
final class Cohere implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        int width = config.integer("hidden_size");
        int heads = config.integer("num_attention_heads");
        int headWidth = Reading.headWidth(config, width, heads);
        Reading.requireWholeHead(config);
        int keyValueHeads = config.integerOr(heads, "num_key_value_heads");
        boolean bias = config.flagOr(false, "attention_bias");
        Norm norm = Norm.of(NormKind.LAYER, config.numberOr(1e-5, "layer_norm_eps"), Affine.GAIN);
        Attention plain = Attention.of(heads, headWidth)
                .withKeyValueHeads(keyValueHeads)
                .withRotary(Reading.rotary(config, headWidth, 500_000, Pairing.NEIGHBOURS))
                .withBiases(bias, bias);
        Attention attention = config.flagOr(false, "use_qk_norm")
                ? plain.withQueryKeyNorm(new QueryKeyNorm(norm, QueryKeyNorm.Span.EACH_HEAD))
                : plain;
        if (config.has("logit_scale") && config.find("logit_scale").isEmpty()) {
            throw Config.unsupported("logit_scale", "null", "a number");
        }
        Architecture architecture = Architecture.of("cohere", width, config.integerOr(8192, "max_position_embeddings"),
                Embedding.Tokens.of(config.integer("vocab_size"), width),
                Reading.repeated(config.integer("num_hidden_layers"), Block.of(Placement.PRE, Wiring.PARALLEL_ONE_NORM, norm, attention,
                        Mlp.gated(config.integer("intermediate_size"), Reading.activation(config.textOr("silu", "hidden_act"))))),
                Optional.of(norm),
                Output.Words.of(Reading.tied(config, true)).withScale(config.numberOr(0.0625, "logit_scale")));
        return new Description(architecture, LlamaNames.of(config, tensors)
                .shaped(QUERY_NORM, (long) heads, (long) headWidth)
                .shaped(KEY_NORM, (long) keyValueHeads, (long) headWidth));
    }
}
