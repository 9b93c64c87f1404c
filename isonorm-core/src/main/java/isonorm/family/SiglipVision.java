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

/** SigLIP's side of images: no class token; a probe asks all patches, behind the final norm. */
final class SiglipVision implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        return describe(config, Naming.of(config, tensors, "vision_model."));
    }

    /** A tower with names that begin as {@code naming}'s do. */
    static Description describe(Config config, Naming naming) throws CheckpointException {
        int width = config.integerOr(768, "hidden_size");
        int heads = config.integerOr(12, "num_attention_heads");
        int patch = Reading.patch(config, 16);
        int[] image = Reading.sides(config, 224, "image_size");
        int channels = config.integerOr(3, "num_channels");
        Norm norm = Reading.layerNorm(config.numberOr(1e-6, "layer_norm_eps"));
        Mlp mlp = Mlp.plain(config.integerOr(3072, "intermediate_size"), Reading.activation(config.textOr("gelu_pytorch_tanh", "hidden_act")));
        Embedding.Patches embedding = Embedding.Patches.of(image[0], image[1], patch, channels).withBeside(0, 0);
        Architecture architecture = Architecture.of("siglip_vision_model", width, embedding.tokens(), embedding,
                Reading.repeated(config.integerOr(12, "num_hidden_layers"), Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm,
                        Attention.of(heads, Reading.widthOfHead(width, heads)).bidirectional(), mlp)),
                Optional.of(norm),
                config.flagOr(true, "vision_use_head") ? Output.Hidden.of(new Output.Probe(heads, norm, mlp)) : new Output.Hidden(Output.Pooler.NONE));
        return new Description(architecture, ClipVision.blocks(naming)
                .whole(PATCH_PROJECTION, "embeddings.patch_embedding")
                .shaped(PATCH_PROJECTION, (long) width, (long) channels, (long) patch, (long) patch)
                .whole(POSITION_EMBEDDING, "embeddings.position_embedding")
                .whole(FINAL_NORM, "post_layernorm")
                .bare(POOLER_PROBE, "head.probe", 1L, 1L, (long) width)
                .part(POOLER_QUERY, "head.attention.in_proj_", 0, 3)
                .part(POOLER_KEY, "head.attention.in_proj_", 1, 3)
                .part(POOLER_VALUE, "head.attention.in_proj_", 2, 3)
                .whole(POOLER_OUTPUT, "head.attention.out_proj")
                .whole(POOLER_NORM, "head.layernorm")
                .whole(POOLER_UP, "head.mlp.fc1")
                .whole(POOLER_DOWN, "head.mlp.fc2")
                .passingOver(Repetition.POSITIONS, ".*position_ids"));
    }
}
