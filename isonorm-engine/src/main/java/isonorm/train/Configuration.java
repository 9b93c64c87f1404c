package isonorm.train;

import isonorm.checkpoint.Names;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;

/**
 * What a run is told: a value for every key, in the order they are documented in. A key that is not known, and a value that makes no
 * sense, are refused when the configuration is made.
 */
public final class Configuration {

    /** A key, its default, and what it means. */
    public record Key(String name, String standard, String meaning) {}

    private static final Map<String, Key> KEYS = new LinkedHashMap<>();

    static {
        add("out", "", "the folder of the run");
        add("seed", "1", "of weights, data and dropout");
        add("threads", "0", "0 for one a processor");
        add("steps", "450", "how many steps");
        add("strategy", "pre-ln", "one of the named strategies");
        add("strategy.kind", "", "layernorm, rmsnorm, crmsnorm or dyt in place of the strategy's");
        add("strategy.placement", "", "pre, post, peri, output, both, dual or none in place of the strategy's");
        add("strategy.scaling", "", "none, lns, deepnorm, keel, layerscale, skipinit, heads or gpas in place of the strategy's");
        add("strategy.inner", "", "none, qk, qk-projection, qkv, sub or hidden in place of the strategy's");
        add("strategy.embedding-norm", "", "true or false in place of the strategy's");
        add("strategy.initialization", "", "normal, scaled, depth-scaled or deepnorm in place of the strategy's");
        add("strategy.running", "", "plain, equivalent-rmsnorm or equivalent-crmsnorm in place of the strategy's");
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
     * @throws IllegalArgumentException naming the nearest key for one that is not known
     */
    public static Configuration of(Map<String, String> given) {
        Map<String, String> values = new LinkedHashMap<>();
        KEYS.values().forEach(key -> values.put(key.name, key.standard));
        given.forEach((name, value) -> {
            if (!KEYS.containsKey(name)) {
                throw new IllegalArgumentException("there is no key " + name
                        + Names.nearest(name, KEYS.keySet()).map(near -> "; did you mean " + near + "?").orElse("; isonorm train --keys lists them"));
            }
            values.put(name, value);
        });
        return new Configuration(values);
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
        return !values.get(name).isEmpty();
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
        return Arrays.stream(all).filter(each -> label.apply(each).equals(text(name))).findFirst()
                .orElseThrow(() -> new IllegalArgumentException(name + " must be one of "
                        + Arrays.stream(all).map(label).collect(Collectors.joining(", ")) + ", got " + text(name)));
    }

    /** Steps of warm-up: a number of them, or a share of all. */
    long warmup() {
        double value = real("warmup", 0, Double.POSITIVE_INFINITY);
        return value < 1 ? Math.round(value * whole("steps", 1)) : (long) value;
    }
}
