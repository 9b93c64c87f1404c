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
import isonorm.architecture.Rotary.Pairing;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;

/** StarCoder 2: grouped heads, rotary positions, an MLP without a gate. */
final class StarCoder2 implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        int width = config.integer("hidden_size");
        int heads = config.integer("num_attention_heads");
        boolean bias = config.flagOr(true, "use_bias");
        Norm norm = Reading.layerNorm(config.numberOr(1e-5, "norm_epsilon"));
        OptionalInt window = config.has("sliding_window") ? Reading.window(config, 0) : OptionalInt.empty();
        int headWidth = Reading.headWidth(config, width, heads);
        Reading.requireWholeHead(config);
        Attention everywhere = Attention.of(heads, headWidth)
                .withKeyValueHeads(config.integerOr(2, "num_key_value_heads"))
                .withRotary(Reading.rotary(config, headWidth, 10000, Pairing.HALVES))
                .withBiases(bias, bias);
        Mlp mlp = Mlp.plain(config.integer("intermediate_size"), Reading.activation(config.textOr("gelu_pytorch_tanh", "hidden_act")))
                .withBiases(bias, bias);
        Architecture architecture = Architecture.of("starcoder2", width, config.integerOr(4096, "max_position_embeddings"),
                Embedding.Tokens.of(config.integer("vocab_size"), width),
                Reading.repeated(config.integer("num_hidden_layers"), Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm,
                        window.isPresent() ? everywhere.withWindow(window.getAsInt()) : everywhere, mlp)),
                Optional.of(norm), Output.Words.of(Reading.tied(config, true)));
        return new Description(architecture, LlamaNames.of(config, tensors)
                .whole(MLP_UP, "layers.*.mlp.c_fc")
                .whole(MLP_DOWN, "layers.*.mlp.c_proj"));
    }
}
