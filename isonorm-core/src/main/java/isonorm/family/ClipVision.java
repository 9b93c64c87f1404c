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
        int width = config.integer("hidden_size");
        int heads = config.integer("num_attention_heads");
        int patch = Reading.patch(config, 32);
        int[] image = Reading.sides(config, 224, "image_size");
        int channels = config.integerOr(3, "num_channels");
        Norm norm = Reading.layerNorm(config.numberOr(1e-5, "layer_norm_eps"));
        Embedding.Patches embedding = Embedding.Patches.of(image[0], image[1], patch, channels).withBias(false).withNorm(Optional.of(norm), false);
        Architecture architecture = Architecture.of("clip_vision_model", width, embedding.tokens(), embedding,
                Reading.repeated(config.integer("num_hidden_layers"), Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm,
                        Attention.of(heads, Reading.widthOfHead(width, heads)).bidirectional(),
                        Mlp.plain(config.integer("intermediate_size"), Reading.activation(config.textOr("quick_gelu", "hidden_act"))))),
                Optional.of(norm), new Output.Hidden(Output.Pooler.NORMED_FIRST));
        return new Description(architecture, Naming.of(config, tensors, "vision_model.")
                .bare(CLASS_TOKEN, "embeddings.class_embedding")
                .whole(PATCH_PROJECTION, "embeddings.patch_embedding")
                .shaped(PATCH_PROJECTION, (long) width, (long) channels, (long) patch, (long) patch)
                .whole(POSITION_EMBEDDING, "embeddings.position_embedding")
                .whole(EMBEDDING_NORM, "pre_layrnorm")
                .whole(ATTENTION_NORM, "encoder.layers.*.layer_norm1")
                .separate("encoder.layers.*.self_attn.q_proj", "encoder.layers.*.self_attn.k_proj", "encoder.layers.*.self_attn.v_proj")
                .whole(ATTENTION_OUTPUT, "encoder.layers.*.self_attn.out_proj")
                .whole(MLP_NORM, "encoder.layers.*.layer_norm2")
                .whole(MLP_UP, "encoder.layers.*.mlp.fc1")
                .whole(MLP_DOWN, "encoder.layers.*.mlp.fc2")
                .whole(FINAL_NORM, "post_layernorm")
                .passingOver(Repetition.POSITIONS, ".*position_ids"));
    }
}
