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

/**
 * ViT and those that are ViT but for what stands before the patches: image patches, attention in both directions, a classifier or a pooler.
 *
 * @param type the model_type
 * @param prefix the name of the model inside a model with a head
 * @param classTokens none, a class token, or it and a distillation token
 * @param epsilon the default of the norms' epsilon
 * @param pools whether there is a pooler where a model has no head
 */
record Vit(String type, String prefix, int classTokens, double epsilon, boolean pools) implements Family {

    static final Vit VIT = new Vit("vit", "vit.", 1, 1e-12, true);
    static final Vit DEIT = new Vit("deit", "deit.", 2, 1e-12, true);
    static final Vit IJEPA = new Vit("ijepa", "ijepa.", 0, 1e-12, false);
    static final Vit VIT_MAE = new Vit("vit_mae", "vit.", 1, 1e-12, false);
    static final Vit VIT_MSN = new Vit("vit_msn", "vit.", 1, 1e-6, false);

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        int width = config.integer("hidden_size");
        int patch = Reading.patch(config, 16);
        int[] image = Reading.sides(config, 224, "image_size");
        int channels = config.integerOr(3, "num_channels");
        boolean teacher = this == DEIT && (config.modelClass().endsWith("WithTeacher") || tensors.contains("cls_classifier.weight"));
        boolean classifier = this != VIT_MAE && (tensors.isEmpty() ? config.modelClass().endsWith("ForImageClassification") : tensors.contains("classifier.weight"));
        boolean pixels = pools && !teacher && !classifier && (tensors.isEmpty() ? config.modelClass().endsWith("ForMaskedImageModeling") : tensors.contains("decoder.0.weight"));
        boolean headless = !teacher && !classifier && !pixels;
        boolean pooler = pools && headless && (tensors.isEmpty() || tensors.stream().anyMatch(name -> name.endsWith("pooler.dense.weight")));
        boolean masked = tensors.isEmpty() ? pixels : tensors.stream().anyMatch(name -> name.endsWith("embeddings.mask_token"));
        if (pools) {
            config.require("pooler_output_size", width);
        }
        if (pooler && !config.textOr("tanh", "pooler_act").equals("tanh")) {
            throw Config.unsupported("pooler_act", config.textOr("", "pooler_act"), "tanh");
        }
        Embedding.Patches embedding = Embedding.Patches.of(image[0], image[1], patch, channels).withBeside(classTokens, 0).withMaskToken(masked);
        Norm norm = Reading.layerNorm(config.numberOr(epsilon, "layer_norm_eps"));
        Architecture architecture = Architecture.of(type, width, embedding.tokens(), embedding,
                Reading.repeated(config.integer("num_hidden_layers"), block(config, width, norm)), Optional.of(norm),
                pixels ? Output.Labels.of(ofPatch(config, channels), Output.Pooling.PATCHES)
                        : teacher ? Output.Labels.of(labels(config), Output.Pooling.EACH_OF_TWO)
                        : classifier ? Output.Labels.of(labels(config), classTokens == 0 ? Output.Pooling.MEAN : Output.Pooling.FIRST)
                        : new Output.Hidden(pooler ? Output.Pooler.DENSE_TANH : Output.Pooler.NONE));
        Naming naming = names(Naming.of(config, tensors, prefix), width, embedding);
        return new Description(architecture, (pixels ? naming.shaped(HEAD, (long) ofPatch(config, channels), (long) width, 1L, 1L) : naming)
                .whole(HEAD, pixels ? "/decoder.0" : teacher ? "/cls_classifier" : "/classifier")
                .whole(DISTILLED_HEAD, "/distillation_classifier")
                .whole(POOLER, "pooler.dense")
                .passingOver(Repetition.OTHER_OUTPUT, "(" + prefix.replace(".", "\\.") + ")?pooler\\..*"));
    }

    /** How many values a model of masked images gives for each patch: those of its pixels, channel by channel (SimMIM). */
    private static int ofPatch(Config config, int channels) throws CheckpointException {
        int side = config.integerOr(16, "encoder_stride");
        return Math.multiplyExact(Math.multiplyExact(side, side), channels);
    }

    /** A block of ViT. */
    static Block block(Config config, int width, Norm norm) throws CheckpointException {
        int heads = config.integer("num_attention_heads");
        config.require("head_dim", Reading.widthOfHead(width, heads));
        return Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm,
                Attention.of(heads, Reading.widthOfHead(width, heads)).bidirectional().withBiases(config.flagOr(true, "qkv_bias"), true),
                Mlp.plain(config.integer("intermediate_size"), Reading.activation(config.textOr("gelu", "hidden_act"))));
    }

    /** ViT's names of what is before the heads. */
    static Naming names(Naming naming, int width, Embedding.Patches embedding) {
        return patches(naming, width, embedding)
                .whole(ATTENTION_NORM, "encoder.layer.*.layernorm_before")
                .separate("encoder.layer.*.attention.attention.query", "encoder.layer.*.attention.attention.key",
                        "encoder.layer.*.attention.attention.value")
                .whole(ATTENTION_OUTPUT, "encoder.layer.*.attention.output.dense")
                .whole(MLP_NORM, "encoder.layer.*.layernorm_after")
                .whole(MLP_UP, "encoder.layer.*.intermediate.dense")
                .whole(MLP_DOWN, "encoder.layer.*.output.dense")
                .whole(FINAL_NORM, "layernorm");
    }

    /** ViT's names of what enters the stream. */
    static Naming patches(Naming naming, int width, Embedding.Patches embedding) {
        return naming
                .bare(CLASS_TOKEN, "embeddings.cls_token", 1L, 1L, (long) width)
                .bare(DISTILLATION_TOKEN, "embeddings.distillation_token", 1L, 1L, (long) width)
                .bare(REGISTERS, "embeddings.register_tokens", 1L, (long) embedding.beside().registers(), (long) width)
                .bare(MASK_TOKEN, "embeddings.mask_token", 1L, 1L, (long) width)
                .whole(PATCH_PROJECTION, "embeddings.patch_embeddings.projection")
                .shaped(PATCH_PROJECTION, (long) width, (long) embedding.channels(), (long) embedding.patch(), (long) embedding.patch())
                .bare(POSITION_EMBEDDING, "embeddings.position_embeddings", 1L, (long) embedding.places(), (long) width);
    }

    /** How many labels a classifier has: the size of id2label, which is 2 where the config does not say. */
    static int labels(Config config) throws CheckpointException {
        int named = config.object("id2label").values().size();
        return config.integerOr(named > 0 ? named : 2, "num_labels");
    }
}
