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
import isonorm.checkpoint.CheckpointException.Reason;
import isonorm.checkpoint.Config;
import isonorm.weights.Source.Piece;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/** What several families' configs say in the same words. */
final class Reading {

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

    /** Height and width, which a config gives as two numbers or, for a square, as one. */
    static int[] sides(Config config, int otherwise, String name) throws CheckpointException {
        List<?> both = config.list(name);
        if (both.isEmpty()) {
            int side = config.integerOr(otherwise, name);
            return new int[] {side, side};
        }
        if (both.size() == 2 && both.getFirst() instanceof Integer height && both.getLast() instanceof Integer width) {
            return new int[] {height, width};
        }
        throw Config.unsupported(name, both, "a whole number, or height and width");
    }

    /** The side of a square patch. */
    static int patch(Config config, int otherwise) throws CheckpointException {
        int[] sides = sides(config, otherwise, "patch_size");
        if (sides[0] != sides[1]) {
            throw Config.unsupported("patch_size", sides[0] + " by " + sides[1], "a square");
        }
        return sides[0];
    }

    /** How wide each head is where all of them share a model's width. */
    static int widthOfHead(int width, int heads) throws CheckpointException {
        if (heads < 1) {
            throw new CheckpointException(Reason.CONFIG_UNSUPPORTED, "config.json: a model must have 1 head or more, got " + heads);
        }
        return width / heads;
    }

    /** How wide a head is where the config may say so, and not only by how many there are. */
    static int headWidth(Config config, int width, int heads) throws CheckpointException {
        return config.integerOr(widthOfHead(width, heads), "head_dim");
    }

    /** How many positions a block sees that has a window; the family's default where the config has no such key. */
    static OptionalInt window(Config config, int otherwise) throws CheckpointException {
        if (config.has("sliding_window") && config.find("sliding_window").isEmpty()) {
            return OptionalInt.empty();
        }
        int window = config.integerOr(otherwise, "sliding_window");
        if (window < 1) {
            throw Config.unsupported("sliding_window", window, "1 or more, or null for none");
        }
        return OptionalInt.of(window);
    }

    /** A number that is put on scores or logits: above 0, or null for none. */
    static OptionalDouble softcap(Config config, double otherwise, String name) throws CheckpointException {
        if (config.find(name).isEmpty() && (config.has(name) || otherwise == 0)) {
            return OptionalDouble.empty();
        }
        double cap = config.numberOr(otherwise, name);
        if (!(cap > 0)) {
            throw Config.unsupported(name, cap, "above 0, or null for none");
        }
        return OptionalDouble.of(cap);
    }

    /** The share of a head's width that is turned. */
    static double rotaryShare(Config config, double otherwise, String... names) throws CheckpointException {
        double share = rope(config).numberOr(config.numberOr(otherwise, names), "partial_rotary_factor");
        if (!(share > 0 && share <= 1)) {
            throw Config.unsupported("partial_rotary_factor", share, "above 0 and at most 1");
        }
        return share;
    }

    /** Refuses another share than the whole head, for families whose code turns all of it. */
    static void requireWholeHead(Config config) throws CheckpointException {
        config.require("partial_rotary_factor", 1);
        rope(config).require("partial_rotary_factor", 1);
    }

    /** The parameters of rotary positions. Both keys mean them; which of two that differ counts is not the same in every version of transformers. */
    private static Config rope(Config config) throws CheckpointException {
        Config scaling = config.object("rope_scaling");
        Config parameters = config.object("rope_parameters");
        if (!scaling.isEmpty() && !parameters.isEmpty() && !scaling.equals(parameters)) {
            throw Config.unsupported("rope_scaling", "other values than rope_parameters", "one of them");
        }
        return scaling.isEmpty() ? parameters : scaling;
    }

    /** Rotary embedding of the first {@code width} values of a head, with the base and scaling that the config names. */
    static Rotary rotary(Config config, int width, double base, Pairing pairing) throws CheckpointException {
        return rotary(config, width, base, pairing, "rope_theta", "rotary_emb_base");
    }

    /** The same, where the base beside the parameters is called {@code name}; the name that other families have for it must not say otherwise. */
    static Rotary rotary(Config config, int width, double base, Pairing pairing, String name, String others) throws CheckpointException {
        Config rope = rope(config);
        double named = rope.numberOr(config.numberOr(base, name), "rope_theta");
        if (rope.find("rope_theta").isEmpty()) {
            config.require(others, named);
        }
        return rotary(rope, width, named, config, pairing);
    }

    /** Rotary embedding whose parameters are {@code rope}'s. */
    static Rotary rotary(Config rope, int width, double base, Config config, Pairing pairing) throws CheckpointException {
        Rotary plain = Rotary.of(width, base, pairing);
        for (String each : rope.values().keySet()) {
            if (!rope.object(each).isEmpty()) {
                throw Config.unsupported("rope_parameters." + each, "settings of its own", "one setting for all blocks");
            }
        }
        String type = rope.textOr("default", "rope_type", "type");
        return switch (type) {
            case "default", "mrope" -> plain; // of text alone, whose three positions are one
            case "linear" -> plain.withScaling(new Scaling.Linear(parameter(rope, "factor")));
            case "llama3" -> plain.withScaling(new Scaling.Llama3(
                    parameter(rope, "factor"), parameter(rope, "low_freq_factor"), parameter(rope, "high_freq_factor"),
                    config.integerOr(rope.integerOr(config.integer("max_position_embeddings"), "original_max_position_embeddings"),
                            "original_max_position_embeddings")));
            default -> throw Config.unsupported("rope_type", type, "default, linear or llama3");
        };
    }

    private static double parameter(Config rope, String name) throws CheckpointException {
        double value = rope.numberOr(0, name);
        if (!(value > 0)) {
            throw Config.unsupported("rope_parameters." + name, rope.find(name).map(Object::toString).orElse("missing"), "a number above 0");
        }
        return value;
    }

    /** Windows of those blocks that the config's layer_types call sliding; {@code otherwise} where it has no such list. */
    static boolean slides(Config config, int block, boolean otherwise) {
        List<String> types = config.words("layer_types");
        return block < types.size() ? types.get(block).equals("sliding_attention") : otherwise;
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
