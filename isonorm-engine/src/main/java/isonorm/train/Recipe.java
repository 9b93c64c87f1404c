package isonorm.train;

import isonorm.architecture.Architecture;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.backpropagation.Parameters;
import isonorm.backpropagation.Scales;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import isonorm.convert.LoadedModel;
import isonorm.family.Families;
import isonorm.family.Family;
import isonorm.family.Isonorm;
import isonorm.family.Naming;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.tensor.Products;
import isonorm.tensor.Team;
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

/**
 * What a run is told, worked out: a model, how it is trained, and the config.json of its checkpoints. A model that its family can say is
 * written in the family's format, which every other tool reads; one that it cannot, in Isonorm's.
 */
record Recipe(
        Architecture architecture,
        Strategy strategy,
        Scales scales,
        OptimizerRule rule,
        Schedule schedule,
        Type type,
        Type compute,
        Config config,
        Naming naming,
        Optional<Model> from) {

    static Recipe of(TrainingRun run, TrainingData data) throws IOException {
        return of(run, data, 1);
    }

    /** What is told to several ranks, each of which has some rows of a batch and some of the optimizer's moments. */
    static Recipe of(TrainingRun run, TrainingData data, int ranks) throws IOException {
        Recipe recipe = switch (run.start()) {
            case TrainingRun.Start.New model -> ofNew(model, run.learning(), data);
            case TrainingRun.Start.Checkpoint checkpoint -> ofCheckpoint(checkpoint, run.learning(), data);
        };
        long positions = data instanceof Pictures ? recipe.architecture().context() : data.context();
        Need.of(recipe, run.learning().recompute(), Math.ceilDiv(run.reading().batch(), ranks) * positions, ranks).require();
        return recipe;
    }

    private static void requireKind(boolean images, TrainingData data) {
        if (images != data instanceof Pictures) {
            throw new IllegalArgumentException("the model reads " + (images ? "images" : "tokens") + ", and the data has "
                    + (images ? "tokens" : "images") + "; take another model.preset or other data");
        }
    }

    private static Recipe ofNew(TrainingRun.Start.New model, TrainingRun.Learning learning, TrainingData data) throws CheckpointException {
        Config config = Presets.config(model, data.vocabulary(), data.context());
        requireKind(config.has("image_size"), data);
        if (data instanceof Pictures pictures) {
            Map<String, String> names = new LinkedHashMap<>();
            for (String name : pictures.images().classes()) {
                names.put(Integer.toString(names.size()), name);
            }
            config = config.with("id2label", names);
        }
        Map<String, Object> ends = new LinkedHashMap<>();
        if (data instanceof Windows windows) { // what stands behind every text stands before the next one too
            ends.put("bos_token_id", windows.tokens().endOfText());
            ends.put("eos_token_id", windows.tokens().endOfText());
        }
        Family.Description family = Families.describe(config, Set.of());
        Strategy strategy = model.strategy();
        Architecture architecture = strategy.applied(family.architecture());
        boolean ordinary = architecture.equals(family.architecture());
        Config written = ordinary ? config : Isonorm.config(architecture, Isonorm.VERSION);
        for (Map.Entry<String, Object> end : ends.entrySet()) {
            written = written.with(end.getKey(), end.getValue());
        }
        Scales scales = strategy.scales(architecture, learning.dropout(), learning.stochasticDepth());
        double[] constants = scales.norms().length > 0 ? scales.norms() : scales.branches();
        return recipe(learning, architecture, strategy, scales, constants.length > 0 ? Isonorm.withConstants(written, constants) : written,
                ordinary ? family.naming() : Isonorm.naming(), Optional.empty());
    }

    private static Recipe ofCheckpoint(TrainingRun.Start.Checkpoint checkpoint, TrainingRun.Learning learning, TrainingData data) throws IOException {
        LoadedModel loaded = LoadedModel.open(checkpoint.folder());
        Model model = Model.of(loaded.model());
        Architecture architecture = model.architecture();
        requireKind(architecture.embedding() instanceof Embedding.Patches, data);
        if (architecture.embedding() instanceof Embedding.Tokens tokens && tokens.vocabulary() < data.vocabulary()) {
            throw new IllegalArgumentException("the data has " + data.vocabulary() + " tokens, more than the " + tokens.vocabulary()
                    + " of the model; build it with the model's tokenizer.json");
        }
        requireTokenizer(loaded, data);
        int sequence = data.context();
        if (architecture.embedding() instanceof Embedding.Tokens && sequence > architecture.steadySequence()) {
            throw new IllegalArgumentException("the model was made for " + architecture.steadySequence() + " tokens, fewer than a sequence of " + sequence
                    + "; make sequence smaller");
        }
        Strategy strategy = Strategy.named("pre-ln").withName(architecture.family()).withRunning(checkpoint.running());
        Config config = loaded.config().without("dtype", "torch_dtype"); // they say what the file had, and what is written has the run's
        double[] constants = Isonorm.constants(config, architecture.blocks().size());
        Scales scales = Strategy.scales(architecture, constants, learning.dropout(), learning.stochasticDepth());
        return recipe(learning, architecture, strategy, scales, config, Families.describe(loaded.config(), loaded.checkpoint().names()).naming(), Optional.of(model));
    }

    /** The same number means another word to another tokenizer. */
    private static void requireTokenizer(LoadedModel loaded, TrainingData data) throws IOException {
        Path own = loaded.checkpoint().folder().resolve("tokenizer.json");
        if (data.tokenizer().isPresent() && Files.isRegularFile(own) && !Arrays.equals(data.tokenizer().get(), Files.readAllBytes(own))) {
            throw new IllegalArgumentException("the data was not tokenized as the model's texts were; build it with --tokenizer " + own);
        }
    }

    private static Recipe recipe(TrainingRun.Learning learning, Architecture architecture, Strategy strategy, Scales scales, Config config, Naming naming,
            Optional<Model> from) {
        if (strategy.running() != Strategy.Running.PLAIN) {
            Equivalent.requirePreLn(architecture, scales.dropout()); // here too, so that a grid is refused before its first run
        }
        return new Recipe(architecture, strategy, scales, learning.optimizer(), learning.schedule(), learning.precision().type(),
                learning.precision().compute(), config, naming, from);
    }

    /** Gives a learner its first weights. */
    void begin(TrainingRun run, Learner learner, Team team) throws IOException {
        switch (run.start()) {
            case TrainingRun.Start.New model ->
                    Beginning.of(strategy, architecture, model.deviation(), run.seed()).fill(learner.parameters(), architecture, team);
            case TrainingRun.Start.Checkpoint _ -> {
                for (Parameters.Entry entry : learner.parameters().all()) {
                    entry.take(from.orElseThrow().weight(entry.role()));
                    divide(entry.stored(entry.weights()), constant(entry.role()));
                }
            }
        }
        learner.begin();
    }

    private static void divide(Rows weights, double constant) {
        for (int r = 0; r < weights.rows() && constant != 1; r++) {
            for (int c = 0; c < weights.columns(); c++) {
                weights.set(r, c, weights.get(r, c) / constant);
            }
        }
    }

    /**
     * What a parameter is multiplied with in files, and divided by where one is gone on from: LayerNorm Scaling's constant, which goes into the gain and
     * the bias of its norm, or into what writes last in a branch.
     */
    double constant(Role role) {
        if (role.block() < 0 || role.field() == Role.Field.ALPHA) {
            return 1;
        }
        Block block = architecture.blocks().get(role.block());
        boolean writes = switch (role.part()) {
            case ATTENTION_OUTPUT -> !block.attentionPlacement().normalizesBranch();
            case ATTENTION_OUTPUT_NORM -> block.attentionPlacement().normalizesBranch();
            case MLP_DOWN -> !block.mlpPlacement().normalizesBranch();
            case MLP_OUTPUT_NORM -> block.mlpPlacement().normalizesBranch();
            default -> false;
        };
        boolean reads = role.part() == Part.ATTENTION_NORM || role.part() == Part.MLP_NORM;
        return reads ? scales.norm(role.block()) : writes ? scales.branch(role.block()) : 1;
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
