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
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.Optional;
import java.util.Set;

/** OPT: Pre-LN, or Post-LN where do_layer_norm_before is false; learned positions from row 2 on, ReLU. */
final class Opt implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        int width = config.integer("hidden_size");
        int heads = config.integer("num_attention_heads");
        boolean before = config.flagOr(true, "do_layer_norm_before");
        boolean bias = config.flagOr(true, "enable_bias");
        Norm norm = Norm.of(NormKind.LAYER, 1e-5,
                config.flagOr(true, "layer_norm_elementwise_affine") ? Affine.GAIN_AND_BIAS : Affine.NONE);
        Mlp mlp = Mlp.plain(config.integerOr(4 * width, "ffn_dim"), Reading.activation(config.textOr("relu", "activation_function")))
                .withBiases(bias, bias);
        int tableWidth = config.integerOr(width, "word_embed_proj_dim");
        int positions = config.integer("max_position_embeddings");
        Embedding.Tokens embedding = Embedding.Tokens.of(config.integer("vocab_size"), tableWidth).withPositions(positions + 2, 2, true);
        Output.Words head = Output.Words.of(Reading.tied(config, true));
        boolean finalNorm = before && !config.flagOr(false, "_remove_final_layer_norm");
        Architecture architecture = Architecture.of("opt", width, positions,
                tableWidth == width ? embedding : embedding.withProjection(Embedding.Projection.TOKENS),
                Reading.repeated(config.integer("num_hidden_layers"), Block.of(before ? Placement.PRE : Placement.POST,
                        Wiring.SEQUENTIAL, norm, Attention.of(heads, Reading.widthOfHead(width, heads)).withBiases(bias, bias), mlp)),
                finalNorm ? Optional.of(norm) : Optional.empty(),
                tableWidth == width ? head : head.withProjection(tableWidth));
        return new Description(architecture, Naming.of(config, tensors, "model.")
                .whole(TOKEN_EMBEDDING, "decoder.embed_tokens")
                .whole(POSITION_EMBEDDING, "decoder.embed_positions")
                .whole(EMBEDDING_PROJECTION, "decoder.project_in")
                .whole(ATTENTION_NORM, "decoder.layers.*.self_attn_layer_norm")
                .separate("decoder.layers.*.self_attn.q_proj", "decoder.layers.*.self_attn.k_proj", "decoder.layers.*.self_attn.v_proj")
                .whole(ATTENTION_OUTPUT, "decoder.layers.*.self_attn.out_proj")
                .whole(MLP_NORM, "decoder.layers.*.final_layer_norm")
                .whole(MLP_UP, "decoder.layers.*.fc1")
                .whole(MLP_DOWN, "decoder.layers.*.fc2")
                .whole(FINAL_NORM, "decoder.final_layer_norm")
                .whole(HEAD_PROJECTION, "decoder.project_out")
                .whole(HEAD, "/lm_head"));
    }
}
