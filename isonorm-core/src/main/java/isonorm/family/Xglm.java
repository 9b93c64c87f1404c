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
import isonorm.weights.Sinusoids;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;

/** XGLM: a decoder whose positions are sines and cosines, computed from row 2 on. */
final class Xglm implements Family {

    private static final int OFFSET = 2;

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        int width = config.integer("d_model", "hidden_size");
        int heads = config.integer("attention_heads", "num_attention_heads");
        int positions = config.integerOr(2048, "max_position_embeddings");
        config.requireFlag(false, "add_cross_attention");
        Norm norm = Reading.layerNorm(1e-5);
        Embedding.Tokens tokens = Embedding.Tokens.of(config.integer("vocab_size"), width).withPositions(positions + OFFSET, OFFSET, false);
        Mlp mlp = Mlp.plain(config.integer("ffn_dim"), Reading.activation(config.textOr("gelu", "activation_function")));
        Architecture architecture = Architecture.of("xglm", width, positions,
                config.flagOr(true, "scale_embedding") ? tokens.withScale(Math.sqrt(width)) : tokens,
                Reading.repeated(config.integer("num_layers", "num_hidden_layers"), Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm,
                        Attention.of(heads, Reading.widthOfHead(width, heads)), mlp)),
                Optional.of(norm), Output.Words.of(Reading.tied(config, true)));
        OptionalInt padding = OptionalInt.of(config.integerOr(1, "pad_token_id")); // whose row is zero
        return new Description(architecture, Naming.of(config, tensors, "model.")
                .whole(TOKEN_EMBEDDING, "embed_tokens")
                .computed(POSITION_EMBEDDING, table -> Sinusoids.toTheLast(table.rows(), table.columns(), padding))
                .whole(ATTENTION_NORM, "layers.*.self_attn_layer_norm")
                .separate("layers.*.self_attn.q_proj", "layers.*.self_attn.k_proj", "layers.*.self_attn.v_proj")
                .whole(ATTENTION_OUTPUT, "layers.*.self_attn.out_proj")
                .whole(MLP_NORM, "layers.*.final_layer_norm")
                .whole(MLP_UP, "layers.*.fc1")
                .whole(MLP_DOWN, "layers.*.fc2")
                .whole(FINAL_NORM, "layer_norm")
                .whole(HEAD, "/lm_head"));
    }
}
