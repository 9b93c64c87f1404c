package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.Rotary.Pairing;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * Command R and R7B: LayerNorm with a gain only, parallel branches behind one norm, scaled logits of a tied head. In the later one three of four blocks have
 * a window, and only they know positions. Of the one with experts, whose norms may be RMSNorms, models in which no block has any.
 */
final class Cohere implements Family {

    private static final String DENSE = "cohere2_moe";

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        String type = config.textOr("", "model_type");
        boolean dense = type.equals(DENSE);
        boolean second = type.equals("cohere2") || dense;
        Reading.requireWholeHead(config);
        boolean bias = config.flagOr(false, "attention_bias");
        Norm norm = dense && config.find("rms_norm_eps").isPresent() ? Reading.rmsNorm(config.numberOr(1e-6, "rms_norm_eps"))
                : Norm.of(NormKind.LAYER, config.numberOr(1e-5, "layer_norm_eps"), Affine.GAIN);
        Attention.Heads heads = Reading.attention(config, dense ? 128 : 0, 0).heads();
        if (dense) {
            requireDense(config);
        } else if (second) {
            config.require("head_dim", Reading.widthOfHead(config.integer("hidden_size"), heads.count()));
        }
        Attention plain = Attention.of(heads.count(), heads.width()).withKeyValueHeads(heads.keyValue()).withBiases(bias, bias);
        Attention everywhere = !second && config.flagOr(false, "use_qk_norm")
                ? plain.withQueryKeyNorm(new QueryKeyNorm(norm, QueryKeyNorm.Span.EACH_HEAD))
                : plain;
        Attention turned = everywhere.withRotary(Reading.rotary(config, heads.width(), second ? 10_000 : 500_000, Pairing.NEIGHBOURS));
        if (config.has("logit_scale") && config.find("logit_scale").isEmpty()) {
            throw Config.unsupported("logit_scale", "null", "a number");
        }
        boolean everyTurned = !second || dense && config.integerOr(1, "prefix_dense_sliding_window_pattern") == 1;
        String hidden = dense && config.find("prefix_dense_intermediate_size").isPresent() ? "prefix_dense_intermediate_size" : "intermediate_size";
        Mlp mlp = Mlp.gated(config.integer(hidden), Reading.activation(config.textOr("silu", "hidden_act")));
        List<Block> blocks = new ArrayList<>();
        for (int l = 0; l < config.integer("num_hidden_layers"); l++) {
            Attention attention = second && slides(config, l, dense) ? turned.withWindow(window(config)) : everyTurned ? turned : everywhere;
            blocks.add(Block.of(Placement.PRE, Wiring.PARALLEL_ONE_NORM, norm, attention, mlp));
        }
        Architecture architecture = Reading.decoder(config, 8192, norm, blocks,
                Output.Words.of(Reading.tied(config, true)).withScale(config.numberOr(0.0625, "logit_scale")));
        return new Description(architecture, LlamaNames.of(config, tensors)
                .shaped(QUERY_NORM, (long) heads.count(), (long) heads.width())
                .shaped(KEY_NORM, (long) heads.keyValue(), (long) heads.width()));
    }

    /** A block with experts is none of those that are read. */
    private static void requireDense(Config config) throws CheckpointException {
        int layers = config.integer("num_hidden_layers");
        List<String> kinds = config.words("mlp_layer_types");
        int first = config.integerOr(0, "first_k_dense_replace"); // which says nothing beside a list
        int dense = kinds.isEmpty() ? first : (int) kinds.stream().filter("dense"::equals).count();
        if (dense < layers || !kinds.isEmpty() && kinds.size() != layers) {
            throw Config.unsupported("mlp_layer_types", dense + " of " + layers + " blocks dense", "dense for all of them: this family's experts are not read");
        }
    }

    private static boolean slides(Config config, int l, boolean dense) throws CheckpointException {
        if (!config.list("layer_types").isEmpty()) {
            return Reading.slides(config, l, false);
        }
        String name = dense ? "prefix_dense_sliding_window_pattern" : "sliding_window_pattern";
        int pattern = config.integerOr(dense ? 1 : 4, name);
        if (pattern < 1) {
            throw Config.unsupported(name, pattern, "1 or more");
        }
        return (l + 1) % pattern != 0;
    }

    private static int window(Config config) throws CheckpointException {
        return Reading.window(config, 4096).orElseThrow(() -> Config.unsupported("sliding_window", "null", "a number, because some blocks have a window"));
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        Config fewer = Reading.keeping(config, kept, "num_hidden_layers");
        return switch (left.family()) {
            case "cohere2" -> Reading.withKinds(fewer, left);
            case DENSE -> Reading.withKinds(fewer, left).with("mlp_layer_types", kept.stream().map(_ -> "dense").toList());
            default -> fewer;
        };
    }

    @Override
    public Optional<Stock> stock() {
        return Optional.of(new StockDecoder(DENSE, "Cohere2Moe", Wiring.PARALLEL_ONE_NORM, Pairing.NEIGHBOURS, Set.of(StockDecoder.Place.WINDOWS, StockDecoder.Place.LOGIT_SCALE, StockDecoder.Place.ANY_WIDTH)));
    }
}
