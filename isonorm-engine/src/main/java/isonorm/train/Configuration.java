package isonorm.train;

import isonorm.architecture.BlockNumbers;
import isonorm.checkpoint.Names;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SortedSet;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * What a run is told: a value for every key, in the order they are documented in, and behind them those of the keys that name blocks. A key that
 * is not known, and a value that makes no sense, are refused when the configuration is made.
 */
public final class Configuration {

    /** A key, its default, and what it means. BLOCKS in its name stands for numbers of blocks, PART for one of the parts of a strategy. */
    public record Key(String name, String standard, String meaning) {}

    private static final Map<String, Key> KEYS = new LinkedHashMap<>();

    /** Keys that begin so go on with the blocks that they are for. */
    private static final String BLOCKS = "strategy.blocks.";

    /** What one block can have of its own. */
    private static final List<String> PARTS = List.of("kind", "placement", "scaling", "inner", "initialization");

    static {
        add("out", "", "the folder of the run");
        add("seed", "1", "of weights, data and dropout");
        add("threads", "0", "0 for one a processor");
        add("steps", "450", "how many steps");
        add("strategy", "pre-ln", "one of the named strategies");
        add("strategy.kind", "", "layernorm, rmsnorm, crmsnorm or dyt in place of the strategy's");
        add("strategy.placement", "", "pre, post, peri, output, both, dual or none in place of the strategy's; pre/post for attention/MLP");
        add("strategy.scaling", "", "none, lns, deepnorm, keel, layerscale, skipinit, heads, gpas, or several as lns+heads, in place of the strategy's");
        add("strategy.inner", "", "none, qk, qk-projection, qkv, sub, hidden, or several as qk+sub, in place of the strategy's");
        add("strategy.embedding-norm", "", "true or false in place of the strategy's");
        add("strategy.initialization", "", "normal, scaled, depth-scaled or deepnorm in place of the strategy's");
        add("strategy.running", "", "plain, equivalent-rmsnorm or equivalent-crmsnorm in place of the strategy's");
        add(BLOCKS + "BLOCKS", "", "a named strategy for some blocks, counted from 0, such as strategy.blocks.0-3 or strategy.blocks.0,6-8");
        add(BLOCKS + "BLOCKS.PART", "", "kind, placement, scaling, inner or initialization of these blocks in place of the strategy's");
        add("model.preset", "shakespeare", "one of the presets");
        add("model.width", "", "in place of the preset's");
        add("model.blocks", "", "in place of the preset's");
        add("model.heads", "", "in place of the preset's");
        add("model.hidden", "", "the MLP's width in place of the preset's");
        add("init.deviation", "0.02", "the standard deviation of matrices and tables");
        add("from", "", "a checkpoint to go on from, in place of a preset");
        add("data", "shakespeare", "shakespeare, a folder that isonorm data build made, a .jsonl file of prompts and completions, or a folder "
                + "with a folder of images for each class");
        add("data.validation", "0.05", "the share of completions or images that is not learned from");
        add("image", "224", "pixels of an image's side");
        add("batch", "16", "sequences a batch");
        add("sequence", "128", "tokens a sequence");
        add("accumulate", "1", "batches a step");
        add("lr", "0.002", "the highest learning rate");
        add("schedule", "cosine", "cosine, wsd, linear or constant");
        add("warmup", "0.05", "steps, or a share of them");
        add("floor", "0.1", "the share of lr that is left at the end");
        add("optimizer", "adamw", "adamw, adam or sgd");
        add("beta1", "0.9", "of AdamW, and the momentum of SGD");
        add("beta2", "0.95", "of AdamW");
        add("epsilon", "1e-8", "of AdamW");
        add("decay", "0.1", "weight decay, of matrices only; adam has none");
        add("clip", "1", "the largest norm of the gradient; 0 for none");
        add("dtype", "f32", "f32, bf16 or f16 with float32 weights, bf16-pure, or f64");
        add("loss-scale", "65536", "with f16: what the loss is multiplied with, at first; halved where a gradient overflows");
        add("loss-scale.every", "2000", "steps without an overflow after which it is doubled");
        add("recompute", "false", "true: what blocks compute is not kept for the way back but computed again (activation checkpointing)");
        add("dropout", "0", "of what enters the stream");
        add("stochastic-depth", "0", "of the last block's branches, less before");
        add("log.every", "10", "steps a line");
        add("depth.every", "100", "steps between measurements of the blocks; 0 for none");
        add("eval.every", "100", "steps between evaluations; 0 for none");
        add("eval.batches", "8", "batches an evaluation");
        add("checkpoint.every", "200", "steps between checkpoints; 0 for one at the end");
        add("checkpoint.keep", "2", "how many of them stay");
        add("stop.above", "3", "ends a run whose loss lies so far above the lowest mean; 0 for never");
        add("stop.patience", "0", "ends a run after so many evaluations without a lower loss; 0 for never");
    }

    private static void add(String name, String standard, String meaning) {
        KEYS.put(name, new Key(name, standard, meaning));
    }

    private final Map<String, String> values;

    private Configuration(Map<String, String> values) {
        this.values = values;
    }

    /** Every key. */
    public static List<Key> keys() {
        return List.copyOf(KEYS.values());
    }

    /**
     * The defaults, and what is given in their place.
     *
     * @throws IllegalArgumentException naming the nearest key for one that is not known, and for blocks that are none or are named twice
     */
    public static Configuration of(Map<String, String> given) {
        Map<String, String> values = new LinkedHashMap<>();
        KEYS.values().stream().filter(key -> !key.name.startsWith(BLOCKS)).forEach(key -> values.put(key.name, key.standard));
        given.forEach((name, value) -> {
            if (name.startsWith(BLOCKS)) {
                requirePart(name);
            } else if (!values.containsKey(name)) {
                throw new IllegalArgumentException("there is no key " + name
                        + (BLOCKS.equals(name + ".") ? "; it goes on with the blocks that it is for, as strategy.blocks.0-3"
                                : Names.nearest(name, KEYS.keySet()).map(near -> "; did you mean " + near + "?").orElse("; isonorm train --keys lists them")));
            }
            values.put(name, value);
        });
        Configuration configuration = new Configuration(values);
        configuration.blocks();
        return configuration;
    }

    /** The key of some blocks' strategy that a key is, or is for a part of. */
    private static String key(String name) {
        int dot = name.indexOf('.', BLOCKS.length());
        return dot < 0 ? name : name.substring(0, dot);
    }

    private static void requirePart(String name) {
        String key = key(name);
        if (!key.equals(name) && !PARTS.contains(name.substring(key.length() + 1))) {
            throw new IllegalArgumentException("there is no key " + name
                    + Names.nearest(name.substring(key.length() + 1), PARTS).map(near -> "; did you mean " + key + "." + near + "?")
                            .orElse("; blocks have " + String.join(", ", PARTS)));
        }
    }

    /**
     * The keys of blocks' strategies, each with the blocks that it names. Parts may have values where it has none.
     *
     * @throws IllegalArgumentException for what names no blocks, and for a block that two keys name
     */
    Map<String, SortedSet<Integer>> blocks() {
        Map<String, SortedSet<Integer>> all = new LinkedHashMap<>();
        Map<Integer, String> named = new HashMap<>();
        values.forEach((name, value) -> {
            if (!name.startsWith(BLOCKS) || value.isEmpty() || all.containsKey(key(name))) {
                return;
            }
            String key = key(name);
            SortedSet<Integer> blocks = BlockNumbers.parse("the blocks of " + name, key.substring(BLOCKS.length()));
            for (int block : blocks) {
                String other = named.putIfAbsent(block, key);
                if (other != null) {
                    throw new IllegalArgumentException("block " + block + " is named by " + other + " and by " + key + "; leave it out of one of them");
                }
            }
            all.put(key, blocks);
        });
        return all;
    }

    /** Every key with its value. */
    public Map<String, String> values() {
        return Collections.unmodifiableMap(values);
    }

    /** The same with another value. */
    public Configuration with(String name, String value) {
        Map<String, String> other = new LinkedHashMap<>(values);
        other.put(name, value);
        return of(other);
    }

    String text(String name) {
        return values.get(name);
    }

    boolean has(String name) {
        return !values.getOrDefault(name, "").isEmpty();
    }

    /** Every key whose value is not the default. */
    List<String> told() {
        return values.keySet().stream().filter(name -> !text(name).equals(KEYS.containsKey(name) ? KEYS.get(name).standard : "")).toList();
    }

    Path path(String name) {
        return Path.of(text(name));
    }

    /** The whole number of a key; refuses any other value, and one below {@code least}. */
    public long whole(String name, long least) {
        try {
            long value = Long.parseLong(text(name).replace("_", ""));
            if (value >= least) {
                return value;
            }
        } catch (NumberFormatException e) {
            // said below
        }
        throw new IllegalArgumentException(name + " must be a whole number of " + least + " or more, got " + text(name));
    }

    int number(String name, int least) {
        return Math.toIntExact(Math.min(Integer.MAX_VALUE, whole(name, least)));
    }

    /** The number of a key; refuses any other value, and one outside. */
    public double real(String name, double least, double below) {
        try {
            double value = Double.parseDouble(text(name));
            if (value >= least && value < below) {
                return value;
            }
        } catch (NumberFormatException e) {
            // said below
        }
        throw new IllegalArgumentException(name + " must be a number from " + least
                + (below == Double.POSITIVE_INFINITY ? " on" : " to below " + below) + ", got " + text(name));
    }

    boolean truth(String name) {
        return switch (text(name)) {
            case "true" -> true;
            case "false" -> false;
            default -> throw new IllegalArgumentException(name + " must be true or false, got " + text(name));
        };
    }

    /** One of some words. */
    <T> T word(String name, T[] all, Function<T, String> label) {
        return word(name, text(name), all, label, "");
    }

    /** One of some words, or two of them with a slash between. */
    <T> List<T> oneOrTwo(String name, T[] all, Function<T, String> label) {
        String more = ", or two for attention and MLP as " + label.apply(all[0]) + "/" + label.apply(all[1]);
        return Stream.of(text(name).split("/", 2)).map(word -> word(name, word, all, label, more)).toList();
    }

    /** Several of some words with a plus between, or "none". */
    <T> Set<T> words(String name, T[] all, Function<T, String> label) {
        if (text(name).equals("none")) {
            return Set.of();
        }
        String more = ", several as " + label.apply(all[0]) + "+" + label.apply(all[all.length - 1]) + ", or none alone";
        Set<T> several = new LinkedHashSet<>();
        for (String word : text(name).split("\\+", -1)) {
            if (!several.add(word(name, word, all, label, more))) {
                throw new IllegalArgumentException(name + " has " + word + " twice, got " + text(name));
            }
        }
        return several;
    }

    private <T> T word(String name, String word, T[] all, Function<T, String> label, String more) {
        return Arrays.stream(all).filter(each -> label.apply(each).equals(word.strip())).findFirst()
                .orElseThrow(() -> new IllegalArgumentException(name + " must be one of "
                        + Arrays.stream(all).map(label).collect(Collectors.joining(", ")) + more + ", got " + text(name)));
    }

    /** What a list says as the value of a key: several words for a key that takes them. */
    static Optional<String> together(String name, List<String> list) {
        boolean several = name.startsWith("strategy.") && (name.endsWith(".scaling") || name.endsWith(".inner"));
        return several ? Optional.of(list.isEmpty() ? "none" : String.join("+", list)) : Optional.empty();
    }

    /** Steps of warm-up: a number of them, or a share of all. */
    long warmup() {
        double value = real("warmup", 0, Double.POSITIVE_INFINITY);
        return value < 1 ? Math.round(value * whole("steps", 1)) : (long) value;
    }
}
