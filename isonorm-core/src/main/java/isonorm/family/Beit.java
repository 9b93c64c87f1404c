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
import isonorm.architecture.RelativeBias;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * BEiT (arXiv 2106.08254) and data2vec for images: ViT with LayerScale, keys without a bias and learned biases of how patches lie to each other, whose
 * pooled vector is the norm of the patches' mean.
 *
 * @param type the model_type
 * @param prefix the name of the model inside a model with a head
 */
record Beit(String type, String prefix) implements Family {

    static final Beit BEIT = new Beit("beit", "beit.");
    static final Beit DATA2VEC_VISION = new Beit("data2vec-vision", "data2vec_vision.");

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        int width = config.integer("hidden_size");
        int heads = config.integer("num_attention_heads");
        config.require("head_dim", Reading.widthOfHead(width, heads));
        int[] image = Reading.sides(config, 224, "image_size");
        Embedding.Patches embedding = Embedding.Patches.of(image[0], image[1], Reading.patch(config, 16), config.integerOr(3, "num_channels"))
                .withPositions(config.flagOr(false, "use_absolute_position_embeddings")).withMaskToken(config.flagOr(false, "use_mask_token"));
        boolean each = config.flagOr(false, "use_relative_position_bias");
        boolean shared = config.flagOr(false, "use_shared_relative_position_bias");
        if (each && shared) {
            throw Config.unsupported("use_shared_relative_position_bias", true, "false beside use_relative_position_bias");
        }
        if ((each || shared) && embedding.rows() != embedding.columns()) {
            throw Config.unsupported("image_size", image[0] + " by " + image[1], "a square, where patches have biases of how they lie to each other");
        }
        boolean scaled = config.numberOr(0.1, "layer_scale_init_value") > 0;
        boolean mean = config.flagOr(true, "use_mean_pooling");
        boolean classifier = tensors.isEmpty() ? config.modelClass().endsWith("ForImageClassification") : tensors.contains("classifier.weight");
        boolean codes = !classifier && (tensors.isEmpty() ? config.modelClass().endsWith("ForMaskedImageModeling") : tensors.contains("lm_head.weight"));
        if (codes) {
            config.requireFlag(true, "use_mean_pooling"); // or there would be two norms in a row
        }
        Norm norm = Reading.layerNorm(config.numberOr(1e-12, "layer_norm_eps"));
        RelativeBias bias = RelativeBias.of(new RelativeBias.Grid(embedding.rows(), embedding.columns()));
        Attention attention = Attention.of(heads, Reading.widthOfHead(width, heads)).bidirectional().withoutKeyBias();
        Mlp mlp = Mlp.plain(config.integer("intermediate_size"), Reading.activation(config.textOr("gelu", "hidden_act")));
        List<Block> blocks = new ArrayList<>();
        for (int l = 0; l < config.integer("num_hidden_layers"); l++) {
            Attention placed = each ? attention.withRelative(bias) : shared ? attention.withRelative(l == 0 ? bias : bias.shared()) : attention;
            Block block = Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, placed, mlp);
            blocks.add(scaled ? block.withScale(BranchScale.VECTOR) : block);
        }
        Architecture architecture = Architecture.of(type, width, embedding.tokens(), embedding, blocks, Optional.of(norm),
                codes ? Output.Labels.of(config.integerOr(8192, "vocab_size"), Output.Pooling.PATCHES) : classifier ? Output.Labels.of(Vit.labels(config), mean ? Output.Pooling.NORMED_MEAN : Output.Pooling.FIRST)
                        : new Output.Hidden(mean ? Output.Pooler.NORMED_MEAN : Output.Pooler.FIRST));
        String table = "relative_position_bias.relative_position_bias_table";
        return new Description(architecture, Vit.names(Naming.of(config, tensors, prefix), width, embedding)
                .bare(RELATIVE_BIAS, shared ? "encoder." + table : "encoder.layer.*.attention.attention." + table)
                .bare(ATTENTION_SCALE, "encoder.layer.*.lambda_1")
                .bare(MLP_SCALE, "encoder.layer.*.lambda_2")
                .whole(FINAL_NORM, codes ? "/layernorm" : mean ? "pooler.layernorm" : "layernorm")
                .whole(HEAD, codes ? "/lm_head" : "/classifier")
                .withoutKeyBias()
                .passingOver(Repetition.BUCKETS, ".*relative_position_index"));
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        int count = config.integer("num_hidden_layers");
        Config fewer = Reading.keeping(config, kept, "num_hidden_layers");
        // The stages of a backbone are made from the number of blocks, and the input is one.
        return config.list("stage_names").size() == count + 1 ? fewer.without("stage_names", "out_features", "out_indices") : fewer;
    }
}
