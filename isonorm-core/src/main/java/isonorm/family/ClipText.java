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
import java.util.OptionalInt;
import java.util.Set;

/**
 * CLIP's side of texts, which is causal and pools where a text ends, and SigLIP's, which is not and pools the last position.
 *
 * @param type the model_type
 */
record ClipText(String type) implements Family {

    static final ClipText CLIP = new ClipText("clip_text_model");
    static final ClipText SIGLIP = new ClipText("siglip_text_model");

    /** What {@code eos_token_id} is in configs that were written before it was read: the end is the highest id then. */
    private static final int UNREAD_END = 2;

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        boolean projected = config.modelClass().endsWith("WithProjection");
        return describe(config, Naming.of(config, tensors, "text_model."),
                this == SIGLIP ? Optional.of(new Output.Projection(config.integerOr(config.integer("hidden_size"), "projection_size"), true))
                        : projected ? Optional.of(new Output.Projection(config.integerOr(512, "projection_dim"), false))
                        : Optional.empty());
    }

    /** A tower with names that begin as {@code naming}'s do. */
    Description describe(Config config, Naming naming, Optional<Output.Projection> projection) throws CheckpointException {
        boolean clip = this == CLIP;
        int width = config.integerOr(clip ? 512 : 768, "hidden_size");
        int heads = config.integerOr(clip ? 8 : 12, "num_attention_heads");
        int rows = config.integerOr(clip ? 77 : 64, "max_position_embeddings");
        Norm norm = Reading.layerNorm(config.numberOr(clip ? 1e-5 : 1e-6, "layer_norm_eps"));
        Attention attention = Attention.of(heads, Reading.widthOfHead(width, heads));
        int end = clip ? config.integerOr(49407, "eos_token_id") : UNREAD_END;
        Embedding.Tokens embedding = Embedding.Tokens.of(config.integerOr(clip ? 49408 : 32000, "vocab_size"), width).withPositions(rows, 0, false)
                .withSpecial(new Embedding.Special(OptionalInt.empty(), OptionalInt.empty(), end == UNREAD_END ? OptionalInt.empty() : OptionalInt.of(end)));
        Architecture architecture = Architecture.of(type, width, rows, embedding,
                Reading.repeated(config.integerOr(12, "num_hidden_layers"), Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm,
                        clip ? attention : attention.bidirectional(),
                        Mlp.plain(config.integerOr(clip ? 2048 : 3072, "intermediate_size"),
                                Reading.activation(config.textOr(clip ? "quick_gelu" : "gelu_pytorch_tanh", "hidden_act"))))),
                Optional.of(norm), new Output.Hidden(clip ? Output.Pooler.END : Output.Pooler.LAST, Optional.empty(), projection));
        return new Description(architecture, ClipVision.blocks(naming)
                .whole(TOKEN_EMBEDDING, "embeddings.token_embedding")
                .whole(POSITION_EMBEDDING, "embeddings.position_embedding")
                .whole(FINAL_NORM, "final_layer_norm")
                .whole(POOLER_PROJECTION, clip ? "/text_projection" : "head")
                .passingOver(Repetition.POSITIONS, ".*position_ids"));
    }
}
