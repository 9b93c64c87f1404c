package isonorm.family;

import isonorm.architecture.Activation;
import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Rotary;
import isonorm.architecture.Rotary.Pairing;
import isonorm.architecture.Rotary.Scaling;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import isonorm.weights.Source.Piece;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** What several families' configs say in the same words. */
final class Reading {

    /** Buffers that older checkpoints of many families hold: causal masks and rotary tables. */
    static final String[] BUFFERS = {
        ".*\\.attn\\.bias", ".*\\.attn\\.masked_bias", ".*\\.attention\\.bias", ".*\\.attention\\.masked_bias",
        ".*\\.attn\\.causal_mask", ".*rotary_emb\\.inv_freq", ".*position_ids"
    };

    private Reading() {}

    static Norm layerNorm(double epsilon) {
        return Norm.of(NormKind.LAYER, epsilon, Affine.GAIN_AND_BIAS);
    }

    static Norm rmsNorm(double epsilon) {
        return Norm.of(NormKind.RMS, epsilon, Affine.GAIN);
    }

    static List<Block> repeated(int blocks, Block block) {
        return Collections.nCopies(blocks, block);
    }

    static Activation activation(String name) throws CheckpointException {
        return switch (name) {
            case "gelu", "gelu_python" -> Activation.GELU;
            case "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_accurate", "gelu_python_tanh" -> Activation.GELU_TANH;
            case "quick_gelu" -> Activation.QUICK_GELU;
            case "relu" -> Activation.RELU;
            case "relu2" -> Activation.RELU_SQUARED;
            case "silu", "swish" -> Activation.SILU;
            case "tanh" -> Activation.TANH;
            default -> throw Config.unsupported("the activation", name,
                    "gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, quick_gelu, relu, relu2, silu or tanh");
        };
    }

    /** Whether the head is the token table; {@code otherwise} is the family's default. */
    static boolean tied(Config config, boolean otherwise) throws CheckpointException {
        return config.flagOr(otherwise, "tie_word_embeddings");
    }

    /** The share of a head's width that is turned. */
    static double rotaryShare(Config config, double otherwise, String... oldNames) throws CheckpointException {
        double old = config.numberOr(otherwise, oldNames);
        return rope(config).numberOr(old, "partial_rotary_factor");
    }

    private static Config rope(Config config) {
        return config.find("rope_parameters").isPresent() ? config.object("rope_parameters") : config.object("rope_scaling");
    }

    /** Rotary embedding of the first {@code width} values of a head, with the base and scaling that the config names. */
    static Rotary rotary(Config config, int width, double base, Pairing pairing) throws CheckpointException {
        double named = rope(config).numberOr(config.numberOr(base, "rope_theta", "rotary_emb_base"), "rope_theta");
        return rotary(rope(config), width, named, config, pairing);
    }

    /** Rotary embedding whose parameters are {@code rope}'s. */
    static Rotary rotary(Config rope, int width, double base, Config config, Pairing pairing) throws CheckpointException {
        Rotary plain = Rotary.of(width, base, pairing);
        String type = rope.textOr("default", "rope_type", "type");
        return switch (type) {
            case "default", "mrope" -> plain;
            case "linear" -> plain.withScaling(new Scaling.Linear(rope.numberOr(1, "factor")));
            case "llama3" -> plain.withScaling(new Scaling.Llama3(
                    rope.numberOr(1, "factor"),
                    rope.numberOr(1, "low_freq_factor"),
                    rope.numberOr(4, "high_freq_factor"),
                    rope.integerOr(config.integer("max_position_embeddings"), "original_max_position_embeddings")));
            default -> throw Config.unsupported("rope_type", type, "default, linear or llama3");
        };
    }

    /** Windows of those blocks that the config's layer_types call sliding; {@code otherwise} where it has no such list. */
    static boolean slides(Config config, int block, boolean otherwise) {
        List<String> types = config.words("layer_types");
        return types.size() > block ? types.get(block).equals("sliding_attention") : otherwise;
    }

    /** A config with the layer_types of an architecture of which some blocks have windows; the same config for others. */
    static Config withWindows(Config config, Architecture architecture) {
        List<Boolean> slides = architecture.blocks().stream().map(block -> switch (block.mixer()) {
            case Attention attention -> attention.scores().window().isPresent();
        }).toList();
        return slides.contains(true)
                ? config.with("layer_types", slides.stream().map(each -> each ? "sliding_attention" : "full_attention").toList())
                : config;
    }

    /** A config with fewer blocks: how many there are, under all of {@code names} that it has, and every list with an entry a block. */
    static Config keeping(Config config, List<Integer> kept, String... names) throws CheckpointException {
        int count = config.integer(names);
        Config fewer = config;
        for (String name : names) {
            fewer = fewer.has(name) ? fewer.with(name, kept.size()) : fewer;
        }
        for (String key : config.values().keySet()) {
            List<?> list = config.list(key);
            if (key.contains("layer") && list.size() == count) {
                fewer = fewer.with(key, kept.stream().map(list::get).toList());
            }
        }
        return fewer;
    }

    /** Query, key and value rows of each head together: q k v q k v ... */
    static List<Piece> headByHead(String tensor, Attention attention) {
        return grouped(tensor, attention);
    }

    /** The query heads of a group, its key head, its value head; then the next group's. */
    static List<Piece> grouped(String tensor, Attention attention) {
        int width = attention.heads().width();
        int queries = attention.heads().count() / attention.heads().keyValue();
        int group = (queries + 2) * width;
        List<Piece> pieces = new ArrayList<>();
        for (int g = 0; g < attention.heads().keyValue(); g++) {
            pieces.add(new Piece(tensor, g * group, queries * width));
        }
        for (int part = 0; part < 2; part++) {
            for (int g = 0; g < attention.heads().keyValue(); g++) {
                pieces.add(new Piece(tensor, g * group + (queries + part) * width, width));
            }
        }
        return pieces;
    }
}
