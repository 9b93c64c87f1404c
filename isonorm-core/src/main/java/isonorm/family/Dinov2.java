package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Activation;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.BranchScale;
import isonorm.architecture.Embedding;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** DINOv2, with registers or without: ViT with LayerScale and, in the largest size, a gated MLP; its classifier reads the class token and the mean of the patches. */
final class Dinov2 implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        config.requireFlag(true, "apply_layernorm");
        int width = config.integer("hidden_size");
        int heads = config.integer("num_attention_heads");
        boolean registers = config.textOr("", "model_type").equals("dinov2_with_registers");
        int patch = Reading.patch(config, registers ? 16 : 14);
        int[] image = Reading.sides(config, 224, "image_size");
        int channels = config.integerOr(3, "num_channels");
        config.require("head_dim", Reading.widthOfHead(width, heads));
        boolean bias = config.flagOr(true, "qkv_bias");
        boolean gated = config.flagOr(false, "use_swiglu_ffn");
        Norm norm = Reading.layerNorm(config.numberOr(1e-6, "layer_norm_eps"));
        boolean classifier = tensors.isEmpty() ? config.modelClass().endsWith("ForImageClassification") : tensors.contains("classifier.weight");
        boolean masked = tensors.isEmpty()
                ? registers || config.flagOr(true, "use_mask_token")
                : tensors.stream().anyMatch(name -> name.endsWith("embeddings.mask_token"));
        int hidden = (int) (width * config.numberOr(4, "mlp_ratio"));
        Mlp mlp = gated
                ? Mlp.gated((hidden * 2 / 3 + 7) / 8 * 8, Activation.SILU).withBiases(true, true)
                : Mlp.plain(hidden, Reading.activation(config.textOr("gelu", "hidden_act")));
        Embedding.Patches embedding = Embedding.Patches.of(image[0], image[1], patch, channels).withMaskToken(masked)
                .withBeside(1, registers ? config.integerOr(4, "num_register_tokens") : 0);
        Architecture architecture = Architecture.of(config.textOr("", "model_type"), width, embedding.tokens(), embedding,
                Reading.repeated(config.integer("num_hidden_layers"), Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm,
                        Attention.of(heads, Reading.widthOfHead(width, heads)).bidirectional().withBiases(bias, true), mlp).withScale(BranchScale.VECTOR)),
                Optional.of(norm),
                classifier
                        ? Output.Labels.of(Vit.labels(config), Output.Pooling.FIRST_AND_MEAN)
                        : new Output.Hidden(Output.Pooler.FIRST));
        Naming naming = Vit.patches(Naming.of(config, tensors, registers ? "dinov2_with_registers." : "dinov2."), width, embedding)
                .bare(MASK_TOKEN, "embeddings.mask_token", 1L, (long) width)
                .whole(ATTENTION_NORM, "encoder.layer.*.norm1")
                .separate("encoder.layer.*.attention.attention.query", "encoder.layer.*.attention.attention.key",
                        "encoder.layer.*.attention.attention.value")
                .whole(ATTENTION_OUTPUT, "encoder.layer.*.attention.output.dense")
                .bare(ATTENTION_SCALE, "encoder.layer.*.layer_scale1.lambda1")
                .whole(MLP_NORM, "encoder.layer.*.norm2")
                .whole(MLP_DOWN, gated ? "encoder.layer.*.mlp.weights_out" : "encoder.layer.*.mlp.fc2")
                .bare(MLP_SCALE, "encoder.layer.*.layer_scale2.lambda1")
                .whole(FINAL_NORM, "layernorm")
                .whole(HEAD, "/classifier");
        return new Description(architecture, gated
                ? naming.part(MLP_GATE, "encoder.layer.*.mlp.weights_in", 0, 2).part(MLP_UP, "encoder.layer.*.mlp.weights_in", 1, 2)
                : naming.whole(MLP_UP, "encoder.layer.*.mlp.fc1"));
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        int count = config.integer("num_hidden_layers");
        Config fewer = Reading.keeping(config, kept, "num_hidden_layers");
        // The stages of a backbone are made from the number of blocks, and the input is one.
        return config.list("stage_names").size() == count + 1 ? fewer.without("stage_names", "out_features", "out_indices") : fewer;
    }
}
