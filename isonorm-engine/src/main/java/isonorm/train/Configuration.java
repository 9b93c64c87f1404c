package isonorm.train;

import static java.util.Objects.requireNonNull;

import isonorm.data.Yaml;
import isonorm.text.BeginningToken;
import isonorm.train.TrainingRun.Precision;
import isonorm.words.BlockNumbers;
import isonorm.words.Names;
import java.io.IOException;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.Set;
import java.util.SortedSet;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * The text form of a {@link TrainingRun}: a value for every key, in the order they are documented in, and behind them those of the
 * keys that name blocks. A key that is not known is refused when the configuration is made, and a value that makes no sense by {@link #run}.
 */
public final class Configuration {

    /** A key, its default, and what it means. BLOCKS in its name stands for numbers of blocks, PART for one of the parts of a strategy. */
    public record Key(String name, String standard, String meaning) {}

    /** The data that the engine has in itself. */
    private static final String EMBEDDED = "shakespeare";
    private static final String COLUMN = "data.column";
    private static final String COMPLETEP = "completep";

    private static final Map<String, Key> KEYS = new LinkedHashMap<>();

    /** Keys that begin so go on with the blocks that they are for. */
    private static final String BLOCKS = "strategy.blocks.";

    /** What one block can have of its own. */
    private static final List<String> PARTS = List.of("kind", "placement", "scaling", "inner", "initialization");

    /** Keys whose value is a process's own matter: what is trained is the same with another. */
    private static final Set<String> OWN = Set.of("out", "threads", "group.timeout");

    static {
        add("out", "", "the folder of the run");
        add("seed", "1", "of weights, data and dropout");
        add("threads", "0", "0 for one a processor; ranks on one machine share them");
        add("group.timeout", "60", "seconds that a step of several ranks waits for one of them");
        add("steps", "450", "how many steps");
        add("strategy", "pre-ln", "one of the named strategies");
        add("strategy.kind", "", "layernorm, rmsnorm, crmsnorm or dyt in place of the strategy's");
        add("strategy.placement", "", "pre, post, peri, output, both, dual or none in place of the strategy's; pre/post for attention/MLP");
        add("strategy.scaling", "", "none, lns (or, of its other places, lns-norms, lns-attention, lns-mlp, lns-before-norm, lns-branches, lns-residual), deepnorm, keel, "
                + "layerscale, skipinit, heads, gpas, or several as lns+heads, in place of the strategy's");
        add("strategy.inner", "", "none, qk, qk-projection, qkv, sub, hidden, or several as qk+sub, in place of the strategy's");
        add("strategy.embedding-norm", "", "true or false in place of the strategy's");
        add("strategy.initialization", "", "normal, scaled, depth-scaled, deepnorm, magneto or olmo in place of the strategy's");
        add("strategy.running", "", "plain, equivalent-rmsnorm or equivalent-crmsnorm in place of the strategy's");
        add(BLOCKS + "BLOCKS", "", "a named strategy for some blocks, counted from 0, such as strategy.blocks.0-3 or strategy.blocks.0,6-8");
        add(BLOCKS + "BLOCKS.PART", "", "kind, placement, scaling, inner or initialization of these blocks in place of the strategy's");
        add("model.preset", "shakespeare", "one of the presets");
        add("model.width", "", "in place of the preset's");
        add("model.blocks", "", "in place of the preset's");
        add("model.heads", "", "in place of the preset's");
        add("model.hidden", "", "the MLP's width in place of the preset's");
        add("init.deviation", "0.02", "the standard deviation of matrices and tables");
        add("init.embedding", "", "the standard deviation of tables, where it is another; the Curse of Depth's figures are of 0.632");
        add("init.alpha", "0.5", "DyT's alpha at first, or two for attention and elsewhere as 0.8/0.2");
        add("transfer", "none", "completep: lr, decay, epsilon and init.deviation are those of a base, and follow from them for this size");
        add("transfer.width", "256", "of the base");
        add("transfer.blocks", "2", "of the base");
        add("from", "", "a checkpoint to go on from, in place of a preset; with another strategy than pre-ln if its weights have a place there");
        add("data", EMBEDDED, "shakespeare, a file of text (.txt, .md, .csv, .parquet), a folder that isonorm data build made, a .jsonl or .json file of prompts and completions, of conversations or of instructions, or a folder "
                + "with a folder of images for each class");
        add(COLUMN, "text", "the column of the text in a .csv or .parquet file");
        add("data.bos", "auto", "what stands in front of a prompt whose completion is learned: auto (what its tokenizer puts there), always, never");
        add("data.validation", "0.05", "the share of completions or images that is not learned from");
        add("image", "224", "pixels of an image's side");
        add("crop", "middle", "of images that are learned from: middle, or random (another part in each epoch)");
        add("mixup", "0", "the alpha of mixup, which mixes images of a batch and their labels; 0 for none");
        add("label-smoothing", "0", "the part of an image's label that is spread over all classes");
        add("batch", "16", "sequences a batch");
        add("sequence", "128", "tokens a sequence");
        add("accumulate", "1", "batches a step");
        add("lr", "0.002", "the highest learning rate");
        add("schedule", "cosine", "cosine, wsd, linear or constant");
        add("warmup", "0.05", "steps, or a share of them");
        add("floor", "0.1", "the share of lr that is left at the end");
        add("schedule.zero", "false", "true: the first step has the rate of a step 0, as PyTorch's schedules count");
        add("freeze", "", "the ends of names of parameters that are not learned, with plus between: output-norm.gain, bias, embedding.token.weight");
        add("optimizer", "adamw", "adamw, adam, sgd, or muon for matrices of blocks with AdamW for the rest");
        add("muon.momentum", "0.95", "of Muon");
        add("muon.adjustment", "match-rms-adamw", "match-rms-adamw (one lr serves matrices and the rest) or original");
        add("muon.rest", "1", "with muon: the lr of the rest, as a share of lr");
        add("beta1", "0.9", "of AdamW, and the momentum of SGD");
        add("beta2", "0.95", "of AdamW");
        add("epsilon", "1e-8", "of AdamW");
        add("decay", "0.1", "weight decay, of matrices only; adam has none");
        add("clip", "1", "the largest norm of the gradient; 0 for none");
        add("dtype", "f32", "f32, bf16 or f16 with float32 weights, bf16-pure, or f64");
        add("loss-scale", "65536", "with f16: what the loss is multiplied with, at first; halved where a gradient overflows");
        add("loss-scale.every", "2000", "steps without an overflow after which it is doubled");
        add("recompute", "false", "true: what blocks compute is not kept for the backward pass but computed again (activation checkpointing)");
        add("dropout", "0", "of what enters the stream");
        add("dropout.attention", "0", "of the weights of attention");
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

    /** What other programs call a key. */
    private static final Map<String, String> OTHER_NAMES = Map.ofEntries(Map.entry("output_dir", "out"), Map.entry("output", "out"), Map.entry("max_steps", "steps"),
            Map.entry("max_iters", "steps"), Map.entry("learning_rate", "lr"), Map.entry("lr_scheduler_type", "schedule"), Map.entry("warmup_steps", "warmup"),
            Map.entry("warmup_ratio", "warmup"), Map.entry("weight_decay", "decay"), Map.entry("adam_beta1", "beta1"), Map.entry("adam_beta2", "beta2"),
            Map.entry("adam_epsilon", "epsilon"), Map.entry("eps", "epsilon"), Map.entry("grad_clip", "clip"), Map.entry("max_grad_norm", "clip"),
            Map.entry("batch_size", "batch"), Map.entry("per_device_train_batch_size", "batch"), Map.entry("gradient_accumulation_steps", "accumulate"),
            Map.entry("seq_len", "sequence"), Map.entry("seq_length", "sequence"), Map.entry("sequence_length", "sequence"), Map.entry("max_seq_length", "sequence"),
            Map.entry("block_size", "sequence"), Map.entry("gradient_checkpointing", "recompute"), Map.entry("logging_steps", "log.every"),
            Map.entry("eval_steps", "eval.every"), Map.entry("save_steps", "checkpoint.every"), Map.entry("save_total_limit", "checkpoint.keep"),
            Map.entry("n_layer", "model.blocks"), Map.entry("num_hidden_layers", "model.blocks"), Map.entry("layers", "model.blocks"),
            Map.entry("n_embd", "model.width"), Map.entry("hidden_size", "model.width"), Map.entry("d_model", "model.width"), Map.entry("n_head", "model.heads"),
            Map.entry("num_attention_heads", "model.heads"), Map.entry("intermediate_size", "model.hidden"), Map.entry("preset", "model.preset"), Map.entry("column", COLUMN),
            Map.entry("text_column", COLUMN),
            Map.entry("precision", "dtype"));

    /** The key that a name means, which may be what other programs call it, with hyphens for its underscores; the name itself where it means none. */
    public static String keyOf(String name) {
        return KEYS.containsKey(name) ? name : OTHER_NAMES.getOrDefault(name.replace('-', '_'), name);
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
        Map<String, String> asked = new LinkedHashMap<>();
        given.forEach((name, value) -> {
            if (asked.put(keyOf(name), value) != null) {
                throw new IllegalArgumentException(keyOf(name) + " is given twice, as " + String.join(" and as ", given.keySet().stream().filter(each -> keyOf(each).equals(keyOf(name))).toList())
                        + "; leave one of them out");
            }
        });
        asked.forEach((name, value) -> {
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

    /** The values of a YAML file by dotted keys, lists being several words of a key that takes them. */
    public static Map<String, String> read(Path file) throws IOException {
        Yaml content = Yaml.read(file);
        for (Map.Entry<String, List<String>> list : content.lists().entrySet()) {
            content.values().put(list.getKey(), together(list.getKey(), list.getValue())
                    .orElseThrow(() -> new IOException(file + ": " + list.getKey() + " is a list, a value is needed")));
        }
        return content.values();
    }

    /** The configuration that a run's folder holds. */
    public static Configuration ofRun(Path run) throws IOException {
        if (!Files.isDirectory(run)) {
            throw new IOException(run + " is no folder of a run");
        }
        return of(read(run.resolve("config.yaml")));
    }

    /** The text of a run. A number has one way of writing it, and a strategy is told by what it differs in from a named one. */
    public static Configuration of(TrainingRun run) {
        Map<String, String> values = new LinkedHashMap<>();
        run.folder().ifPresent(folder -> values.put("out", folder.toString()));
        values.put("seed", text(run.seed()));
        values.put("threads", text(run.threads()));
        values.put("group.timeout", text(run.timeout()));
        switch (run.start()) {
            case TrainingRun.Start.New model -> {
                values.putAll(StrategyText.write(model.strategy(), model.depth()));
                values.put("model.preset", model.preset());
                model.width().ifPresent(width -> values.put("model.width", text(width)));
                model.blocks().ifPresent(blocks -> values.put("model.blocks", text(blocks)));
                model.heads().ifPresent(heads -> values.put("model.heads", text(heads)));
                model.hidden().ifPresent(hidden -> values.put("model.hidden", text(hidden)));
                values.put("init.deviation", text(model.initial().deviation()));
                model.initial().embedding().ifPresent(deviation -> values.put("init.embedding", text(deviation)));
                double alpha = model.initial().alpha();
                double attention = model.initial().attentionAlpha();
                values.put("init.alpha", attention == alpha ? text(alpha) : text(attention) + "/" + text(alpha));
                model.transfer().ifPresent(base -> {
                    values.put("transfer", COMPLETEP);
                    values.put("transfer.width", text(base.width()));
                    values.put("transfer.blocks", text(base.blocks()));
                });
            }
            case TrainingRun.Start.Checkpoint(Path folder, Optional<Strategy> strategy, Strategy.Running running) -> {
                values.put("from", folder.toString());
                strategy.ifPresent(other -> values.putAll(StrategyText.write(other.withRunning(running), 0)));
                if (strategy.isEmpty() && running != Strategy.Running.PLAIN) {
                    values.put("strategy.running", running.label());
                }
            }
        }
        TrainingRun.Reading reading = run.reading();
        reading.data().ifPresent(data -> values.put("data", data.toString().equals(EMBEDDED) ? Path.of(".", EMBEDDED).toString() : data.toString()));
        values.put("data.bos", reading.beginning().name().toLowerCase(Locale.ROOT));
        values.put("data.validation", text(reading.validation()));
        values.put("image", text(reading.image()));
        values.put("crop", reading.augmentation().crop().name().toLowerCase(Locale.ROOT));
        values.put("mixup", text(reading.augmentation().mixup()));
        values.put("label-smoothing", text(reading.augmentation().smoothing()));
        values.put("batch", text(reading.batch()));
        values.put("sequence", text(reading.sequence()));
        values.put("accumulate", text(reading.accumulate()));
        TrainingRun.Learning learning = run.learning();
        values.put("steps", text(learning.steps()));
        values.put("lr", text(learning.rate()));
        values.put("schedule", learning.course().name().toLowerCase(Locale.ROOT));
        values.put("warmup", text(learning.warmup()));
        values.put("floor", text(learning.floor()));
        values.put("schedule.zero", Boolean.toString(learning.fromZero()));
        values.put("freeze", String.join("+", learning.freeze()));
        switch (learning.optimizer()) {
            case OptimizerRule.AdamW rule -> {
                values.put("optimizer", "adamw");
                put(rule, values);
            }
            case OptimizerRule.Muon(double momentum, OptimizerRule.Muon.Adjustment adjustment, double decay, OptimizerRule.AdamW rest, double restRate) -> {
                values.put("optimizer", "muon");
                put(rest, values);
                values.put("muon.momentum", text(momentum));
                values.put("muon.adjustment", adjustment.label());
                values.put("muon.rest", text(restRate));
                values.put("decay", text(decay));
            }
            case OptimizerRule.Adam(double beta1, double beta2, double epsilon) -> {
                values.put("optimizer", "adam");
                values.put("beta1", text(beta1));
                values.put("beta2", text(beta2));
                values.put("epsilon", text(epsilon));
            }
            case OptimizerRule.Sgd(double momentum, double decay) -> {
                values.put("optimizer", "sgd");
                values.put("beta1", text(momentum));
                values.put("decay", text(decay));
            }
        }
        values.put("clip", text(learning.clip()));
        values.put("dtype", learning.precision().label());
        values.put("loss-scale", text(learning.lossScale()));
        values.put("loss-scale.every", text(learning.lossScaleEvery()));
        values.put("recompute", Boolean.toString(learning.recompute()));
        values.put("dropout", text(learning.dropout().stream()));
        values.put("dropout.attention", text(learning.dropout().attention()));
        values.put("stochastic-depth", text(learning.dropout().lastBlock()));
        TrainingRun.Watching watching = run.watching();
        values.put("log.every", text(watching.logEvery()));
        values.put("depth.every", text(watching.depthEvery()));
        values.put("eval.every", text(watching.evaluationEvery()));
        values.put("eval.batches", text(watching.evaluationBatches()));
        values.put("checkpoint.every", text(watching.checkpointEvery()));
        values.put("checkpoint.keep", text(watching.checkpointsKept()));
        values.put("stop.above", text(watching.stopAbove()));
        values.put("stop.patience", text(watching.patience()));
        return of(values);
    }

    private static void put(OptimizerRule.AdamW rule, Map<String, String> values) {
        values.put("beta1", text(rule.beta1()));
        values.put("beta2", text(rule.beta2()));
        values.put("epsilon", text(rule.epsilon()));
        values.put("decay", text(rule.decay()));
    }

    private static String text(long number) {
        return Long.toString(number);
    }

    /** 0.002, 65536 and 1e-8. */
    private static String text(double number) {
        if (number != 0 && Math.abs(number) < 1e-6) {
            return Double.toString(number).replace(".0E", "e").replace('E', 'e');
        }
        BigDecimal value = BigDecimal.valueOf(number);
        return number == 0 ? "0" : value.stripTrailingZeros().toPlainString();
    }

    /**
     * The run that this is the text of.
     *
     * @throws IllegalArgumentException naming the key whose value makes no sense
     */
    public TrainingRun run() {
        return new TrainingRun(has("out") ? Optional.of(path("out")) : Optional.empty(), whole(Range.SEED), number(Range.THREADS), number(Range.TIMEOUT),
                has("from") ? ofCheckpoint() : ofPreset(), reading(), learning(),
                new TrainingRun.Watching(whole(Range.LOG), whole(Range.DEPTH), whole(Range.EVALUATION), number(Range.EVALUATION_BATCHES),
                        whole(Range.CHECKPOINT), number(Range.KEEP), real(Range.ABOVE), whole(Range.PATIENCE)));
    }

    private TrainingRun.Start ofPreset() {
        return new TrainingRun.Start.New(text("model.preset"), size(Range.WIDTH), size(Range.BLOCKS), size(Range.HEADS), size(Range.HIDDEN),
                StrategyText.read(this), initial(), transfer());
    }

    private TrainingRun.Initial initial() {
        String[] alphas = text("init.alpha").split("/", 2);
        return new TrainingRun.Initial(real(Range.DEVIATION), has("init.embedding") ? OptionalDouble.of(real(Range.TABLES)) : OptionalDouble.empty(),
                Range.ALPHA.parseReal(alphas[0]), Range.ALPHA.parseReal(alphas[alphas.length - 1]));
    }

    private Optional<TrainingRun.Transfer> transfer() {
        return switch (text("transfer")) {
            case COMPLETEP -> Optional.of(new TrainingRun.Transfer(number(Range.TRANSFER_WIDTH), number(Range.TRANSFER_BLOCKS)));
            case "none" -> Optional.empty();
            default -> throw new IllegalArgumentException("transfer must be " + COMPLETEP + " or none, got " + text("transfer"));
        };
    }

    private TrainingRun.Start ofCheckpoint() {
        values.forEach((key, value) -> {
            boolean told = !value.equals(KEYS.containsKey(key) ? KEYS.get(key).standard : "");
            boolean model = key.startsWith("model.") || key.startsWith("init.") || key.startsWith("transfer") || key.startsWith(BLOCKS);
            if (told && model) {
                throw new IllegalArgumentException(key + " says what a model is, and the one of from is already what it is; leave one of them out");
            }
        });
        Strategy strategy = StrategyText.read(this);
        return new TrainingRun.Start.Checkpoint(path("from"), Optional.of(strategy), strategy.running());
    }

    private TrainingRun.Reading reading() {
        if (!text(COLUMN).equals(requireNonNull(KEYS.get(COLUMN)).standard) && !text("data").matches("(?i).*\\.(csv(\\.(gz|zst))?|parquet)")) {
            throw new IllegalArgumentException(COLUMN + " names the text of a .csv or .parquet file, and data is " + text("data") + "; leave it out");
        }
        return new TrainingRun.Reading(text("data").equals(EMBEDDED) ? Optional.empty() : Optional.of(path("data")), real(Range.VALIDATION),
                word("data.bos", BeginningToken.values(), token -> token.name().toLowerCase(Locale.ROOT)), number(Range.IMAGE), number(Range.BATCH), number(Range.SEQUENCE), number(Range.ACCUMULATE),
                new TrainingRun.Augmentation(word("crop", TrainingRun.Crop.values(), crop -> crop.name().toLowerCase(Locale.ROOT)), real(Range.MIXUP), real(Range.LABEL_SMOOTHING)));
    }

    private TrainingRun.Learning learning() {
        double decay = real(Range.DECAY);
        OptimizerRule.AdamW adamW = new OptimizerRule.AdamW(real(Range.BETA1), real(Range.BETA2), real(Range.EPSILON), decay);
        OptimizerRule optimizer = switch (text("optimizer")) {
            case "adamw" -> adamW;
            case "adam" -> new OptimizerRule.Adam(adamW.beta1(), adamW.beta2(), adamW.epsilon());
            case "sgd" -> new OptimizerRule.Sgd(real(Range.BETA1), decay);
            case "muon" -> new OptimizerRule.Muon(real(Range.MUON_MOMENTUM),
                    word("muon.adjustment", OptimizerRule.Muon.Adjustment.values(), OptimizerRule.Muon.Adjustment::label), decay, adamW, real(Range.MUON_REST));
            default -> throw new IllegalArgumentException("optimizer must be adamw, adam, sgd or muon, got " + text("optimizer"));
        };
        return new TrainingRun.Learning(whole(Range.STEPS), real(Range.RATE),
                word("schedule", Schedule.Course.values(), course -> course.name().toLowerCase(Locale.ROOT)), real(Range.WARMUP), real(Range.FLOOR),
                truth("schedule.zero"), has("freeze") ? List.of(text("freeze").split("\\+")) : List.of(), optimizer, real(Range.CLIP), Precision.named(text("dtype")), real(Range.LOSS_SCALE), whole(Range.LOSS_SCALE_EVERY), truth("recompute"),
                new TrainingRun.Dropout(real(Range.DROPOUT), real(Range.ATTENTION_DROPOUT), real(Range.STOCHASTIC_DEPTH)));
    }

    private long whole(Range range) {
        return range.parseWhole(text(range.key()));
    }

    private int number(Range range) {
        return range.parseInt(text(range.key()));
    }

    private double real(Range range) {
        return range.parseReal(text(range.key()));
    }

    private OptionalInt size(Range range) {
        return has(range.key()) ? OptionalInt.of(number(range)) : OptionalInt.empty();
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

    /** The first key in which another one tells something else to train. */
    public Optional<String> difference(Configuration other) {
        Set<String> keys = new LinkedHashSet<>(values.keySet());
        keys.addAll(other.values.keySet()); // blocks are named by one of them alone
        return keys.stream().filter(key -> !OWN.contains(key) && !shown(key).equals(other.shown(key))).findFirst();
    }

    /** The value of a key as it is told to people. */
    public String shown(String key) {
        String value = values.getOrDefault(key, "");
        return value.isEmpty() ? "as it is" : value;
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

    /** The value of a key, which is there with each configuration. */
    public String text(String name) {
        return requireNonNull(values.get(name), name);
    }

    boolean has(String name) {
        return !values.getOrDefault(name, "").isEmpty();
    }

    private Path path(String name) {
        return Path.of(text(name));
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
        boolean several = name.startsWith("strategy.") && (name.endsWith(".scaling") || name.endsWith(".inner")) || name.equals("freeze");
        return several ? Optional.of(list.isEmpty() ? name.equals("freeze") ? "" : "none" : String.join("+", list)) : Optional.empty();
    }
}
