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

/** ViT: image patches and a class token, attention in both directions, a classifier or a pooler. */
final class Vit implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        int width = config.integer("hidden_size");
        int heads = config.integer("num_attention_heads");
        int patch = Reading.patch(config, 16);
        int[] image = Reading.sides(config, 224, "image_size");
        int channels = config.integerOr(3, "num_channels");
        config.require("head_dim", Reading.widthOfHead(width, heads));
        boolean bias = config.flagOr(true, "qkv_bias");
        Norm norm = Reading.layerNorm(config.numberOr(1e-12, "layer_norm_eps"));
        boolean classifier = tensors.isEmpty() ? config.modelClass().endsWith("ForImageClassification") : tensors.contains("classifier.weight");
        boolean pooler = tensors.isEmpty() ? !classifier : tensors.stream().anyMatch(name -> name.endsWith("pooler.dense.weight"));
        boolean masked = tensors.stream().anyMatch(name -> name.endsWith("embeddings.mask_token"));
        config.require("pooler_output_size", width);
        if (pooler && !classifier && !config.textOr("tanh", "pooler_act").equals("tanh")) {
            throw Config.unsupported("pooler_act", config.textOr("", "pooler_act"), "tanh");
        }
        Embedding.Patches embedding = new Embedding.Patches(image[0], image[1], patch, channels, true, masked, Optional.empty(), false);
        Architecture architecture = Architecture.of("vit", width, embedding.tokens(), embedding,
                Reading.repeated(config.integer("num_hidden_layers"), Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm,
                        Attention.of(heads, Reading.widthOfHead(width, heads)).bidirectional().withBiases(bias, true),
                        Mlp.plain(config.integer("intermediate_size"), Reading.activation(config.textOr("gelu", "hidden_act"))))),
                Optional.of(norm),
                classifier
                        ? new Output.Labels(labels(config), Output.Pooling.FIRST, true)
                        : new Output.Hidden(pooler ? Output.Pooler.DENSE_TANH : Output.Pooler.NONE));
        return new Description(architecture, Naming.of(config, tensors, "vit.")
                .bare(CLASS_TOKEN, "embeddings.cls_token", 1L, 1L, (long) width)
                .bare(MASK_TOKEN, "embeddings.mask_token", 1L, 1L, (long) width)
                .whole(PATCH_PROJECTION, "embeddings.patch_embeddings.projection")
                .shaped(PATCH_PROJECTION, (long) width, (long) channels, (long) patch, (long) patch)
                .bare(POSITION_EMBEDDING, "embeddings.position_embeddings", 1L, (long) embedding.tokens(), (long) width)
                .whole(ATTENTION_NORM, "encoder.layer.*.layernorm_before")
                .separate("encoder.layer.*.attention.attention.query", "encoder.layer.*.attention.attention.key",
                        "encoder.layer.*.attention.attention.value")
                .whole(ATTENTION_OUTPUT, "encoder.layer.*.attention.output.dense")
                .whole(MLP_NORM, "encoder.layer.*.layernorm_after")
                .whole(MLP_UP, "encoder.layer.*.intermediate.dense")
                .whole(MLP_DOWN, "encoder.layer.*.output.dense")
                .whole(FINAL_NORM, "layernorm")
                .whole(HEAD, "/classifier")
                .whole(POOLER, "pooler.dense")
                .passingOver(Repetition.OTHER_OUTPUT, "(vit\\.)?pooler\\..*"));
    }

    /** How many labels a classifier has: the size of id2label, which is 2 where the config does not say. */
    static int labels(Config config) throws CheckpointException {
        int named = config.object("id2label").values().size();
        return config.integerOr(named > 0 ? named : 2, "num_labels");
    }
}
