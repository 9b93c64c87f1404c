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
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.Optional;
import java.util.Set;

/** InternVL's vision tower (arXiv 2312.14238): ViT with LayerScale, and LayerNorms or RMSNorms in its blocks. A norm behind them is a LayerNorm, where there is one. */
final class InternVlVision implements Family {

    private static final String TYPE = "internvl_vision";

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        int width = config.integer("hidden_size");
        int heads = config.integer("num_attention_heads");
        double epsilon = config.numberOr(1e-6, "layer_norm_eps");
        Norm norm = switch (config.textOr("layer_norm", "norm_type")) {
            case "layer_norm" -> Reading.layerNorm(epsilon);
            case "rms_norm" -> Reading.rmsNorm(epsilon);
            default -> throw Config.unsupported("norm_type", config.textOr("", "norm_type"), "layer_norm or rms_norm");
        };
        int[] image = Reading.sides(config, 448, "image_size");
        Embedding.Patches embedding = Embedding.Patches.of(image[0], image[1], Reading.patch(config, 14), config.integerOr(3, "num_channels"))
                .withPositions(config.flagOr(true, "use_absolute_position_embeddings")).withMaskToken(config.flagOr(false, "use_mask_token"));
        boolean bias = config.flagOr(false, "attention_bias");
        Attention plain = Attention.of(heads, Reading.widthOfHead(width, heads)).bidirectional().withBiases(bias, true);
        Attention attention = config.flagOr(false, "use_qk_norm")
                ? plain.withQueryKeyNorm(new QueryKeyNorm(Reading.rmsNorm(1e-6), QueryKeyNorm.Span.PROJECTION)) : plain;
        Block block = Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, attention,
                Mlp.plain(config.integer("intermediate_size"), Reading.activation(config.textOr("gelu", "hidden_act")))).withScale(BranchScale.VECTOR);
        Architecture architecture = Architecture.of(TYPE, width, embedding.tokens(), embedding, Reading.repeated(config.integer("num_hidden_layers"), block),
                config.flagOr(true, "use_mean_pooling") ? Optional.empty() : Optional.of(Reading.layerNorm(epsilon)), new Output.Hidden(Output.Pooler.NONE));
        return new Description(architecture, Vit.patches(Naming.of(config, tensors, TYPE + "."), width, embedding)
                .whole(ATTENTION_NORM, "encoder.layer.*.layernorm_before")
                .separate("encoder.layer.*.attention.q_proj", "encoder.layer.*.attention.k_proj", "encoder.layer.*.attention.v_proj")
                .whole(QUERY_NORM, "encoder.layer.*.attention.q_norm")
                .whole(KEY_NORM, "encoder.layer.*.attention.k_norm")
                .whole(ATTENTION_OUTPUT, "encoder.layer.*.attention.projection_layer")
                .bare(ATTENTION_SCALE, "encoder.layer.*.lambda_1")
                .whole(MLP_NORM, "encoder.layer.*.layernorm_after")
                .whole(MLP_UP, "encoder.layer.*.mlp.fc1")
                .whole(MLP_DOWN, "encoder.layer.*.mlp.fc2")
                .bare(MLP_SCALE, "encoder.layer.*.lambda_2")
                .whole(FINAL_NORM, "layernorm"));
    }

    @Override
    public Optional<Stock> stock() {
        return Optional.of(new StockTower(TYPE, "InternVLVisionModel"));
    }
}
