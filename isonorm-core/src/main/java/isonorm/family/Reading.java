package isonorm.family;

import isonorm.architecture.Activation;
import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
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
import java.util.Optional;
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

    static List<Block> repeated(int blocks, Block block) throws CheckpointException {
        if (blocks < 0) {
            throw new CheckpointException(Reason.CONFIG_UNSUPPORTED, "config.json: a model has 0 blocks or more, got " + blocks);
        }
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

    /**
     * A decoder's heads, without biases and positions.
     *
     * @param headWidth how wide a head is where the config does not say it; 0 for its share of the width, which is also what null says
     * @param keyValueHeads how many there are where the config does not say it; 0 for as many as heads, which is also what null says
     */
    static Attention attention(Config config, int headWidth, int keyValueHeads) throws CheckpointException {
        int heads = config.integer("num_attention_heads");
        int share = widthOfHead(config.integer("hidden_size"), heads);
        return Attention.of(heads, config.integerOr(headWidth == 0 || config.has("head_dim") ? share : headWidth, "head_dim"))
                .withKeyValueHeads(config.integerOr(keyValueHeads == 0 || config.has("num_key_value_heads") ? heads : keyValueHeads, "num_key_value_heads"))
                .withBiases(false, false);
    }

    /** A decoder of these blocks between a token table and a head, sized as most configs say it. */
    static Architecture decoder(Config config, int context, Norm norm, List<Block> blocks, Output.Words head) throws CheckpointException {
        int width = config.integer("hidden_size");
        return Architecture.of(config.textOr("", "model_type"), width, config.integerOr(context, "max_position_embeddings"),
                Embedding.Tokens.of(config.integer("vocab_size"), width), blocks, Optional.of(norm), head);
    }

    /** One of two kinds of blocks, with a window and without. */
    static String kind(boolean slides) {
        return slides ? "sliding_attention" : "full_attention";
    }

    /**
     * Rotary embedding of a block of a kind, where the config has parameters for each kind, or the older rope_scaling, which is of blocks without
     * windows alone.
     */
    static Rotary rotaryOfKind(Config config, boolean slides, int headWidth, double base) throws CheckpointException {
        config.requireNone("original_max_position_embeddings");
        Config parameters = config.object("rope_parameters");
        Config each = parameters.object(kind(slides));
        if (parameters.isEmpty()) {
            each = slides ? parameters : config.object("rope_scaling");
        } else if (parameters.values().keySet().stream().anyMatch(key -> parameters.object(key).isEmpty()) || !config.object("rope_scaling").isEmpty()) {
            throw Config.unsupported("rope_parameters", parameters.values().keySet(), "full_attention and sliding_attention, each with its own, and no rope_scaling beside");
        }
        each.require("partial_rotary_factor", 1);
        if (each.find("type").isPresent() && each.find("rope_type").isEmpty()) {
            throw Config.unsupported("rope_scaling.type", each.textOr("", "type"), "rope_type, for transformers passes the older word over here");
        }
        each.requireFlag(true, "truncate"); // which is passed over here too
        return rotary(each, headWidth, each.numberOr(base, "rope_theta"), config, Pairing.HALVES);
    }

    /** A share of each head turned. */
    static Rotary rotaryOfShare(Config config, int headWidth, double share, Pairing pairing) throws CheckpointException {
        int turned = (int) (headWidth * rotaryShare(config, share, "partial_rotary_factor"));
        if (turned < 2 || turned % 2 != 0) {
            throw Config.unsupported("partial_rotary_factor", turned + " of " + headWidth + " values", "an even number of them");
        }
        return rotary(config, turned, 10000, pairing);
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
        if (rope(config).textOr("default", "rope_type", "type").equals("proportional")) {
            throw Config.unsupported("rope_type", "proportional", "another one in a family that turns a share of each head");
        }
        double share = rope(config).numberOr(config.numberOr(otherwise, names), "partial_rotary_factor");
        if (!(share > 0 && share <= 1)) {
            throw Config.unsupported("partial_rotary_factor", share, "above 0 and at most 1");
        }
        return share;
    }

    /** Refuses another share than the whole head, for families whose code turns all of it. */
    static void requireWholeHead(Config config) throws CheckpointException {
        config.require("partial_rotary_factor", 1);
        Config rope = rope(config);
        if (!rope.textOr("default", "rope_type", "type").equals("proportional")) {
            rope.require("partial_rotary_factor", 1);
        }
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
                    parameter(rope, "factor"), parameter(rope, "low_freq_factor"), parameter(rope, "high_freq_factor"), originalContext(rope, config)));
            case "yarn" -> plain.withScaling(yarn(rope, plain, originalContext(rope, config)));
            case "longrope" -> plain.withScaling(longRope(rope, originalContext(rope, config), config));
            case "dynamic" -> plain.withScaling(new Scaling.Dynamic(parameter(rope, "factor"), config.integer("max_position_embeddings")));
            case "proportional" -> plain.withScaling(new Scaling.Proportional(
                    (int) (rope.numberOr(1, "partial_rotary_factor") * width / 2), rope.find("factor").isPresent() ? parameter(rope, "factor") : 1));
            default -> throw Config.unsupported("rope_type", type, "default, linear, llama3, yarn, longrope, dynamic or proportional");
        };
    }

    /** How long the texts were from which positions were learned, before a scaling; what stands beside the object counts before what is in it. */
    private static int originalContext(Config rope, Config config) throws CheckpointException {
        int context = config.integerOr(rope.integerOr(config.integer("max_position_embeddings"), "original_max_position_embeddings"),
                "original_max_position_embeddings");
        if (context < 2) {
            throw Config.unsupported("original_max_position_embeddings", context, "2 or more");
        }
        return context;
    }

    /** Pairs that turn more than beta_fast times in the original context are kept, those that turn less than beta_slow times divided. */
    private static Scaling yarn(Config rope, Rotary plain, int context) throws CheckpointException {
        double factor = parameter(rope, "factor");
        double low = pair(plain, context, orDefault(rope, 32, "beta_fast"));
        double high = pair(plain, context, orDefault(rope, 1, "beta_slow"));
        boolean whole = rope.flagOr(true, "truncate");
        double from = Math.max(whole ? Math.floor(low) : low, 0);
        double to = Math.min(whole ? Math.ceil(high) : high, plain.width() - 1);
        double numerator = orDefault(rope, 0, "mscale");
        double denominator = orDefault(rope, 0, "mscale_all_dim");
        double magnitude = numerator != 0 && denominator != 0
                ? yarnMagnitude(factor, numerator) / yarnMagnitude(factor, denominator) : yarnMagnitude(factor, 1);
        return new Scaling.Yarn(factor, from, from == to ? to + 0.001 : to, rope.numberOr(magnitude, "attention_factor"));
    }

    /** The pair, between two as it may be, that turns so many times in a context. */
    private static double pair(Rotary plain, int context, double turns) {
        return plain.width() * Math.log(context / (turns * 2 * Math.PI)) / (2 * Math.log(plain.base()));
    }

    /** A number, of which zero is none. */
    private static double orDefault(Config rope, double otherwise, String name) throws CheckpointException {
        double value = rope.numberOr(otherwise, name);
        return value == 0 ? otherwise : value;
    }

    /** What DeepSeek multiplies queries and keys of longer contexts with, each of them, beside the magnitude of their scaling. */
    static double latentMagnitude(Config config) throws CheckpointException {
        Config rope = rope(config);
        double scale = rope.numberOr(0, "mscale_all_dim");
        return rope.textOr("default", "rope_type", "type").equals("default") || scale == 0 ? 1 : yarnMagnitude(parameter(rope, "factor"), scale);
    }

    private static double yarnMagnitude(double factor, double scale) {
        return factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1;
    }

    private static Scaling longRope(Config rope, int context, Config config) throws CheckpointException {
        double factor = rope.numberOr((double) config.integer("max_position_embeddings") / context, "factor");
        double magnitude = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(context));
        return new Scaling.Long(numbers(rope, "short_factor"), numbers(rope, "long_factor"), context, rope.numberOr(magnitude, "attention_factor"));
    }

    /** A list of numbers above 0. */
    static List<Double> numbers(Config config, String name) throws CheckpointException {
        List<Double> numbers = new ArrayList<>();
        for (Object each : config.list(name)) {
            if (!(each instanceof Number number) || !(number.doubleValue() > 0)) {
                throw Config.unsupported(name, "a list with " + each, "a list of numbers above 0");
            }
            numbers.add(number.doubleValue());
        }
        if (numbers.isEmpty()) {
            throw Config.unsupported(name, "no list of numbers", "a list of numbers above 0");
        }
        return numbers;
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
        return architecture.blocks().stream().anyMatch(Reading::slides) ? withKinds(config, architecture) : config;
    }

    /** A config with the layer_types of an architecture. */
    static Config withKinds(Config config, Architecture architecture) {
        return config.with("layer_types", architecture.blocks().stream().map(block -> kind(slides(block))).toList());
    }

    /** Whether a block has a window. */
    static boolean slides(Block block) {
        return block.mixer().attention().scores().window().isPresent();
    }

    /** 1 for each block that turns queries and keys, 0 for others. */
    static List<Integer> turned(Architecture architecture) {
        return architecture.blocks().stream().map(block -> block.mixer().attention().positions().rotary().isPresent() ? 1 : 0).toList();
    }

    /** A config with fewer blocks: how many there are, under all of {@code names} that it has, and every list with an entry a block. */
    static Config keeping(Config config, List<Integer> kept, String... names) throws CheckpointException {
        int count = config.integer(names);
        Config fewer = Isonorm.keepingConstants(config, kept);
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
