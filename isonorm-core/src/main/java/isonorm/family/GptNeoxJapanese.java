package isonorm.family;

import static isonorm.architecture.Part.ATTENTION_OUTPUT;

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
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** GPT-NeoX Japanese: one sub-layer behind the other, no biases but that of the last block's attention output, a tied head. */
final class GptNeoxJapanese implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        int width = config.integer("hidden_size");
        int heads = config.integer("num_attention_heads");
        int headWidth = Reading.widthOfHead(width, heads);
        config.require("head_dim", headWidth);
        int turned = (int) (headWidth * Reading.rotaryShare(config, 1, "rotary_pct"));
        Norm norm = Reading.layerNorm(config.numberOr(1e-5, "layer_norm_eps"));
        Attention attention = Attention.of(heads, headWidth).withBiases(false, false)
                .withRotary(Reading.rotary(config, turned, 10000, Pairing.HALVES, "rotary_emb_base", "rope_theta"));
        Mlp mlp = Mlp.plain(width * config.integerOr(4, "intermediate_multiple_size"), Reading.activation(config.textOr("gelu", "hidden_act")))
                .withBiases(false, false);
        int count = config.integer("num_hidden_layers");
        List<Block> blocks = new ArrayList<>(Collections.nCopies(count - 1, Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, attention, mlp)));
        blocks.add(Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, attention.withBiases(false, true), mlp));
        Architecture architecture = Architecture.of("gpt_neox_japanese", width, config.integerOr(2048, "max_position_embeddings"),
                Embedding.Tokens.of(config.integer("vocab_size"), width), blocks, Optional.of(norm), Output.Words.of(Reading.tied(config, true)));
        return new Description(architecture, GptNeox.names(Naming.of(config, tensors, "gpt_neox_japanese."))
                .biasAt(ATTENTION_OUTPUT, "layers.*.attention.dense_bias"));
    }
}
