package isonorm.train;

import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.architecture.NormKind;
import isonorm.architecture.Placement;
import isonorm.backpropagation.Parameters;
import isonorm.backpropagation.Scales;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import isonorm.family.Families;
import isonorm.family.Family;
import isonorm.family.Isonorm;
import isonorm.family.LoadedModel;
import isonorm.family.Naming;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.tensor.Products;
import isonorm.tensor.Team;
import isonorm.train.BlockStrategy.Initialization;
import isonorm.train.BlockStrategy.Inner;
import isonorm.train.BlockStrategy.Scaling;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SortedSet;

/**
 * What a configuration asks for: a model, how it is trained, and the config.json of its checkpoints. A model that its family can say is
 * written in the family's format, which every other tool reads; one that it cannot, in Isonorm's.
 */
record Recipe(
        Architecture architecture,
        Strategy strategy,
        Scales scales,
        Optimizer.Rule rule,
        Schedule schedule,
        Type type,
        Type compute,
        Config config,
        Naming naming,
        Optional<Model> from) {

    static Recipe of(Configuration configuration, TrainingData data) throws IOException {
        return configuration.has("from") ? ofCheckpoint(configuration, data) : ofPreset(configuration, data);
    }

    private static void requireKind(boolean images, TrainingData data) {
        if (images != data instanceof Pictures) {
            throw new IllegalArgumentException("the model reads " + (images ? "images" : "tokens") + ", and the data has "
                    + (images ? "tokens" : "images") + "; take another model.preset or other data");
        }
    }

    private static Recipe ofPreset(Configuration configuration, TrainingData data) throws CheckpointException {
        Config config = Presets.config(configuration, data.vocabulary(), data.context());
        requireKind(config.has("image_size"), data);
        if (data instanceof Pictures pictures) {
            Map<String, String> names = new LinkedHashMap<>();
            for (String name : pictures.images().classes()) {
                names.put(Integer.toString(names.size()), name);
            }
            config = config.with("id2label", names);
        }
        Family.Description family = Families.describe(config, Set.of());
        Strategy strategy = strategy(configuration);
        Architecture architecture = strategy.applied(family.architecture());
        boolean ordinary = architecture.equals(family.architecture());
        return recipe(configuration, architecture, strategy,
                ordinary ? config : Isonorm.config(architecture, Isonorm.VERSION),
                ordinary ? family.naming() : Isonorm.naming(), Optional.empty());
    }

    private static Recipe ofCheckpoint(Configuration configuration, TrainingData data) throws IOException {
        configuration.told().forEach(key -> {
            if (key.startsWith("model.") || key.startsWith("strategy") && !key.equals("strategy.running")) {
                throw new IllegalArgumentException(key + " says what a model is, and the one of from is already what it is; leave one of them out");
            }
        });
        LoadedModel loaded = LoadedModel.open(configuration.path("from"));
        Architecture architecture = loaded.model().architecture();
        requireKind(architecture.embedding() instanceof Embedding.Patches, data);
        if (architecture.embedding() instanceof Embedding.Tokens tokens && tokens.vocabulary() < data.vocabulary()) {
            throw new IllegalArgumentException("the data has " + data.vocabulary() + " words, more than the " + tokens.vocabulary()
                    + " of the model; build it with the model's tokenizer.json");
        }
        requireTokenizer(loaded, data);
        int sequence = data.context();
        if (architecture.embedding() instanceof Embedding.Tokens && sequence > architecture.context()) {
            throw new IllegalArgumentException("the model was made for " + architecture.context() + " tokens, fewer than a sequence of " + sequence
                    + "; make sequence smaller");
        }
        Strategy strategy = running(Strategy.named("pre-ln").withName(architecture.family()), configuration);
        Config config = loaded.config().without("dtype", "torch_dtype"); // they say what the file had, and what is written has the run's
        return recipe(configuration, architecture, strategy, config, loaded.naming(), Optional.of(loaded.model()));
    }

    /** The same number means another word to another tokenizer. */
    private static void requireTokenizer(LoadedModel loaded, TrainingData data) throws IOException {
        Path own = loaded.checkpoint().folder().resolve("tokenizer.json");
        if (data.tokenizer().isPresent() && Files.isRegularFile(own) && !Arrays.equals(data.tokenizer().get(), Files.readAllBytes(own))) {
            throw new IllegalArgumentException("the data was not tokenized as the model's texts were; build it with --tokenizer " + own);
        }
    }

    private static Recipe recipe(Configuration configuration, Architecture architecture, Strategy strategy, Config config, Naming naming,
            Optional<Model> from) {
        Scales scales = strategy.scales(architecture,
                configuration.real("dropout", 0, 1), configuration.real("stochastic-depth", 0, 1));
        if (strategy.running() != Strategy.Running.PLAIN) {
            Equivalent.requirePreLn(architecture, scales.dropout()); // here too, so that a grid is refused before its first run
        }
        String dtype = configuration.text("dtype");
        Type type = switch (dtype) {
            case "f32", "bf16", "f16" -> Type.F32;
            case "bf16-pure" -> Type.BF16;
            case "f64" -> Type.F64;
            default -> throw new IllegalArgumentException("dtype must be f32, bf16, f16, bf16-pure or f64, got " + dtype);
        };
        Type compute = switch (dtype) {
            case "bf16" -> Type.BF16;
            case "f16" -> Type.F16;
            default -> type;
        };
        double infinity = Double.POSITIVE_INFINITY;
        double decay = configuration.real("decay", 0, infinity);
        Optimizer.Rule rule = switch (configuration.text("optimizer")) {
            case "adamw" -> adam(configuration, decay);
            case "adam" -> adam(configuration, 0);
            case "sgd" -> new Optimizer.Rule.Sgd(configuration.real("beta1", 0, 1), decay);
            default -> throw new IllegalArgumentException("optimizer must be adamw, adam or sgd, got " + configuration.text("optimizer"));
        };
        Schedule schedule = new Schedule(
                configuration.word("schedule", Schedule.Course.values(), course -> course.name().toLowerCase(Locale.ROOT)),
                configuration.real("lr", 0, infinity), configuration.whole("steps", 1), configuration.warmup(), configuration.real("floor", 0, infinity));
        return new Recipe(architecture, strategy, scales, rule, schedule, type, compute, config, naming, from);
    }

    private static Optimizer.Rule adam(Configuration configuration, double decay) {
        return new Optimizer.Rule.AdamW(configuration.real("beta1", 0, 1), configuration.real("beta2", 0, 1),
                configuration.real("epsilon", 0, Double.POSITIVE_INFINITY), decay);
    }

    /** The strategy that a configuration of a new model asks for. */
    static Strategy strategy(Configuration configuration) {
        Strategy strategy = Strategy.named(configuration.text("strategy")).everywhere(block -> changed(block, "strategy", configuration));
        for (Map.Entry<String, SortedSet<Integer>> some : configuration.blocks().entrySet()) {
            String key = some.getKey();
            if (configuration.has(key)) {
                strategy = strategy.in(some.getValue(), Strategy.named(configuration.text(key)));
            }
            strategy = strategy.in(some.getValue(), block -> changed(block, key, configuration));
        }
        if (configuration.has("strategy.embedding-norm")) {
            strategy = strategy.withEmbeddingNorm(configuration.truth("strategy.embedding-norm"));
        }
        return running(strategy, configuration);
    }

    /** What single values below a key make of a block. */
    private static BlockStrategy changed(BlockStrategy block, String key, Configuration configuration) {
        BlockStrategy changed = block;
        if (configuration.has(key + ".kind")) {
            changed = changed.withKind(configuration.word(key + ".kind", NormKind.values(), NormKind::label));
        }
        if (configuration.has(key + ".placement")) {
            List<Placement> both = configuration.oneOrTwo(key + ".placement", Placement.values(), Placement::label);
            changed = changed.withPlacements(both.getFirst(), both.getLast());
        }
        if (configuration.has(key + ".scaling")) {
            changed = changed.withScalings(configuration.words(key + ".scaling", Scaling.values(), Scaling::label));
        }
        if (configuration.has(key + ".inner")) {
            changed = changed.withInner(configuration.words(key + ".inner", Inner.values(), Inner::label));
        }
        if (configuration.has(key + ".initialization")) {
            changed = changed.withInitialization(configuration.word(key + ".initialization", Initialization.values(), Initialization::label));
        }
        return changed;
    }

    private static Strategy running(Strategy strategy, Configuration configuration) {
        return configuration.has("strategy.running")
                ? strategy.withRunning(configuration.word("strategy.running", Strategy.Running.values(), Strategy.Running::label)) : strategy;
    }

    /** Gives a learner its first weights. */
    void begin(Configuration configuration, Learner learner, Team team) throws IOException {
        if (from.isEmpty()) {
            Beginning.of(strategy, architecture, configuration.real("init.deviation", 0, Double.POSITIVE_INFINITY), configuration.whole("seed", 0))
                    .fill(learner.parameters(), architecture, team);
        } else {
            for (Parameters.Entry entry : learner.parameters().all()) {
                copy(from.get().weight(entry.role()), entry);
            }
        }
        learner.begin();
    }

    static void copy(Matrix matrix, Parameters.Entry entry) throws IOException {
        Rows to = entry.stored(entry.weights());
        double[] row = new double[matrix.columns()];
        matrix.prepare();
        try {
            for (int r = 0; r < matrix.rows(); r++) {
                matrix.read(r, 1, row);
                for (int c = 0; c < row.length; c++) {
                    to.set(r, c, row[c]);
                }
            }
        } finally {
            matrix.release();
        }
    }

    /** What speaks against it, which is done all the same. */
    List<String> warnings() {
        List<String> warnings = new ArrayList<>(strategy.warnings(architecture.blocks().size()));
        if (compute.bytes() == 2 && !Products.multiplies(compute)) {
            warnings.add("products of " + compute.name().toLowerCase(Locale.ROOT) + " are taken in float32, since this processor has none of that type:"
                    + " activations take half the memory, and a step about as long as with dtype=f32");
        }
        return warnings;
    }
}
