package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.BranchScale;
import isonorm.architecture.Embedding;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.Rotary;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** DINOv3's image encoder: registers, rotary positions of patches, LayerScale, keys without a bias. */
final class Dinov3 implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        int width = config.integerOr(384, "hidden_size");
        int heads = config.integerOr(6, "num_attention_heads");
        int headWidth = Reading.widthOfHead(width, heads);
        int patch = Reading.patch(config, 16);
        int[] image = Reading.sides(config, 224, "image_size");
        int channels = config.integerOr(3, "num_channels");
        Norm norm = Reading.layerNorm(config.numberOr(1e-5, "layer_norm_eps"));
        boolean bias = config.flagOr(true, "query_bias");
        boolean keyBias = bias && config.flagOr(false, "key_bias");
        if (config.flagOr(true, "value_bias") != bias) {
            throw Config.unsupported("value_bias", !bias, "as query_bias, " + bias);
        }
        if (!bias) {
            config.requireFlag(false, "key_bias");
        }
        boolean gated = config.flagOr(false, "use_gated_mlp");
        boolean mlpBias = config.flagOr(true, "mlp_bias");
        int hidden = config.integerOr(1536, "intermediate_size");
        Embedding.Patches embedding = Embedding.Patches.of(image[0], image[1], patch, channels).withPositions(false).withMaskToken(true)
                .withBeside(1, config.integerOr(0, "num_register_tokens"));
        Rotary rotary = Rotary.of(headWidth, config.numberOr(100, "rope_theta"), Rotary.Pairing.HALVES)
                .withGrid(new Rotary.Grid(embedding.rows(), embedding.columns(), embedding.beside().count()));
        Mlp mlp = (gated ? Mlp.gated(hidden, Reading.activation(config.textOr("gelu", "hidden_act")))
                : Mlp.plain(hidden, Reading.activation(config.textOr("gelu", "hidden_act")))).withBiases(mlpBias, mlpBias);
        Attention attention = Attention.of(heads, headWidth).bidirectional().withRotary(rotary).withBiases(bias, config.flagOr(true, "proj_bias"));
        Architecture architecture = Architecture.of("dinov3_vit", width, embedding.tokens(), embedding,
                Reading.repeated(config.integerOr(12, "num_hidden_layers"), Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm,
                        bias && !keyBias ? attention.withoutKeyBias() : attention, mlp).withScale(BranchScale.VECTOR)),
                Optional.of(norm), new Output.Hidden(Output.Pooler.FIRST));
        String block = tensors.stream().anyMatch(name -> name.startsWith("model.layer.")) ? "model.layer.*." : "layer.*.";
        Naming naming = Naming.of(config, tensors, "")
                .bare(CLASS_TOKEN, "embeddings.cls_token", 1L, 1L, (long) width)
                .bare(REGISTERS, "embeddings.register_tokens", 1L, (long) embedding.beside().registers(), (long) width)
                .bare(MASK_TOKEN, "embeddings.mask_token", 1L, 1L, (long) width)
                .whole(PATCH_PROJECTION, "embeddings.patch_embeddings")
                .shaped(PATCH_PROJECTION, (long) width, (long) channels, (long) patch, (long) patch)
                .whole(ATTENTION_NORM, block + "norm1")
                .separate(block + "attention.q_proj", block + "attention.k_proj", block + "attention.v_proj")
                .whole(ATTENTION_OUTPUT, block + "attention.o_proj")
                .bare(ATTENTION_SCALE, block + "layer_scale1.lambda1")
                .whole(MLP_NORM, block + "norm2")
                .whole(MLP_GATE, block + "mlp.gate_proj")
                .whole(MLP_UP, block + "mlp.up_proj")
                .whole(MLP_DOWN, block + "mlp.down_proj")
                .bare(MLP_SCALE, block + "layer_scale2.lambda1")
                .whole(FINAL_NORM, "norm")
                .passingOver(Repetition.OTHER_OUTPUT, embedding.beside().registers() == 0 ? "embeddings\\.register_tokens" : "-");
        if (embedding.beside().registers() == 0) {
            naming.made("embeddings.register_tokens", new double[0], 1L, 0L, (long) width);
        }
        return new Description(architecture, keyBias ? naming : naming.withoutKeyBias());
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        int count = config.integer("num_hidden_layers");
        Config fewer = Reading.keeping(config, kept, "num_hidden_layers");
        // The stages of a backbone are made from the number of blocks, and the input is one.
        return config.list("stage_names").size() == count + 1 ? fewer.without("stage_names", "out_features", "out_indices") : fewer;
    }
}
