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
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.Optional;
import java.util.Set;

/** BioGPT: learned positions behind two rows that nobody reads, a scaled token table. */
final class BioGpt implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        int width = config.integer("hidden_size");
        int heads = config.integer("num_attention_heads");
        int positions = config.integerOr(1024, "max_position_embeddings");
        config.requireFlag(false, "add_cross_attention");
        Norm norm = Reading.layerNorm(1e-5); // layer_norm_eps is not read, by transformers either
        Embedding.Tokens tokens = Embedding.Tokens.of(config.integer("vocab_size"), width).withPositions(positions + 2, 2, false);
        Mlp mlp = Mlp.plain(config.integer("intermediate_size"), Reading.activation(config.textOr("gelu", "hidden_act")));
        Architecture architecture = Architecture.of("biogpt", width, positions,
                config.flagOr(true, "scale_embedding") ? tokens.withScale(Math.sqrt(width)) : tokens,
                Reading.repeated(config.integer("num_hidden_layers"), Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm,
                        Attention.of(heads, Reading.widthOfHead(width, heads)), mlp)),
                Optional.of(norm), Output.Words.of(Reading.tied(config, true)));
        return new Description(architecture, Naming.of(config, tensors, "biogpt.")
                .whole(TOKEN_EMBEDDING, "embed_tokens")
                .whole(POSITION_EMBEDDING, "embed_positions")
                .whole(ATTENTION_NORM, "layers.*.self_attn_layer_norm")
                .separate("layers.*.self_attn.q_proj", "layers.*.self_attn.k_proj", "layers.*.self_attn.v_proj")
                .whole(ATTENTION_OUTPUT, "layers.*.self_attn.out_proj")
                .whole(MLP_NORM, "layers.*.final_layer_norm")
                .whole(MLP_UP, "layers.*.fc1")
                .whole(MLP_DOWN, "layers.*.fc2")
                .whole(FINAL_NORM, "layer_norm")
                .whole(HEAD, "/output_projection"));
    }
}
