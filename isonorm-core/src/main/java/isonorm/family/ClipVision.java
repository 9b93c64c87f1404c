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

/** CLIP's image side: a norm behind the embedding; the output is the bare stream, and only its class token passes the final norm. */
final class ClipVision implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        return describe(config, Naming.of(config, tensors, "vision_model."), config.modelClass().endsWith("WithProjection")
                ? Optional.of(new Output.Projection(config.integerOr(512, "projection_dim"), false))
                : Optional.empty());
    }

    /** A tower with names that begin as {@code naming}'s do. */
    static Description describe(Config config, Naming naming, Optional<Output.Projection> projection) throws CheckpointException {
        int width = config.integerOr(768, "hidden_size");
        int heads = config.integerOr(12, "num_attention_heads");
        int patch = Reading.patch(config, 32);
        int[] image = Reading.sides(config, 224, "image_size");
        int channels = config.integerOr(3, "num_channels");
        Norm norm = Reading.layerNorm(config.numberOr(1e-5, "layer_norm_eps"));
        Embedding.Patches embedding = Embedding.Patches.of(image[0], image[1], patch, channels).withBias(false).withNorm(Optional.of(norm), false);
        Architecture architecture = Architecture.of("clip_vision_model", width, embedding.tokens(), embedding,
                Reading.repeated(config.integerOr(12, "num_hidden_layers"), Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm,
                        Attention.of(heads, Reading.widthOfHead(width, heads)).bidirectional(),
                        Mlp.plain(config.integerOr(3072, "intermediate_size"), Reading.activation(config.textOr("quick_gelu", "hidden_act"))))),
                Optional.of(norm), new Output.Hidden(Output.Pooler.NORMED_FIRST, Optional.empty(), projection));
        return new Description(architecture, blocks(naming)
                .bare(CLASS_TOKEN, "embeddings.class_embedding")
                .whole(PATCH_PROJECTION, "embeddings.patch_embedding")
                .shaped(PATCH_PROJECTION, (long) width, (long) channels, (long) patch, (long) patch)
                .whole(POSITION_EMBEDDING, "embeddings.position_embedding")
                .whole(EMBEDDING_NORM, "pre_layrnorm")
                .whole(FINAL_NORM, "post_layernorm")
                .whole(POOLER_PROJECTION, "/visual_projection")
                .passingOver(Repetition.POSITIONS, ".*position_ids"));
    }

    /** The layers of CLIP's blocks, of texts and of images. */
    static Naming blocks(Naming naming) {
        return naming
                .whole(ATTENTION_NORM, "encoder.layers.*.layer_norm1")
                .separate("encoder.layers.*.self_attn.q_proj", "encoder.layers.*.self_attn.k_proj", "encoder.layers.*.self_attn.v_proj")
                .whole(ATTENTION_OUTPUT, "encoder.layers.*.self_attn.out_proj")
                .whole(MLP_NORM, "encoder.layers.*.layer_norm2")
                .whole(MLP_UP, "encoder.layers.*.mlp.fc1")
                .whole(MLP_DOWN, "encoder.layers.*.mlp.fc2");
    }
}
