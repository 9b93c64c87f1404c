package isonorm.family;

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
import java.util.Optional;
import java.util.Set;

/** Nemotron: LayerNorm whose gain is stored minus one, squared ReLU, rotary positions on a share of each head. */
final class Nemotron implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        int width = config.integer("hidden_size");
        int heads = config.integer("num_attention_heads");
        int headWidth = Reading.headWidth(config, width, heads);
        double share = Reading.rotaryShare(config, 0.5, "partial_rotary_factor");
        config.require("rope_percent", share); // NeMo's words, which transformers does not read
        config.require("rope_percentage", share);
        int turned = (int) (headWidth * share);
        boolean bias = config.flagOr(false, "attention_bias");
        boolean mlpBias = config.flagOr(false, "mlp_bias");
        Norm norm = Reading.layerNorm(config.numberOr(1e-5, "norm_eps"));
        Attention attention = Attention.of(heads, headWidth)
                .withKeyValueHeads(config.integerOr(heads, "num_key_value_heads"))
                .withRotary(Reading.rotary(config, turned, 10000, Pairing.HALVES))
                .withBiases(bias, bias);
        Mlp mlp = Mlp.plain(config.integer("intermediate_size"), Reading.activation(config.textOr("relu2", "hidden_act")))
                .withBiases(mlpBias, mlpBias);
        Architecture architecture = Architecture.of("nemotron", width, config.integerOr(4096, "max_position_embeddings"),
                Embedding.Tokens.of(config.integer("vocab_size"), width),
                Reading.repeated(config.integer("num_hidden_layers"), Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, attention, mlp)),
                Optional.of(norm), Output.Words.of(Reading.tied(config, false)));
        return new Description(architecture, LlamaNames.of(config, tensors).gainsMinusOne());
    }
}
