package isonorm.train;

import static java.util.Objects.requireNonNull;

import isonorm.architecture.Architecture;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
import isonorm.architecture.LayerNormScaling;
import isonorm.architecture.Parameter;
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
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;

/**
 * What a run is told, worked out: a model, how it is trained, and the config.json of its checkpoints. A model that its family can say is
 * written in the family's format, which every other tool reads; one that it cannot, in Isonorm's.
 */
record Recipe(
        Architecture architecture,
        Strategy strategy,
        Scales scales,
        OptimizerRule rule,
        Treatment treatment,
        Schedule schedule,
        Type type,
        Type compute,
        Config config,
        Naming naming,
        Optional<Origin> from) {

    private static final double DEVIATION = 0.02; // of matrices that a strategy has besides a checkpoint's

    /** A model whose weights are gone on with, and what they contain of its LayerNorm Scaling. */
    record Origin(Model model, LayerNormScaling constants) {}

    static Recipe of(TrainingRun run, TrainingData data) throws IOException {
        return of(run, data, 1);
    }

    /** What is told to several ranks, each of which has some rows of a batch and some of the optimizer's moments. */
    static Recipe of(TrainingRun run, TrainingData data, int ranks) throws IOException {
        if (ranks > 1 && run.learning().optimizer() instanceof OptimizerRule.Muon) {
            throw new IllegalArgumentException("Muon makes whole matrices orthogonal, and each of " + ranks + " ranks changes a part of one; take optimizer=adamw,"
                    + " or train in one process");
        }
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
        Architecture plain = strategy.applied(family.architecture());
        Optional<CompleteP> transfer = model.transfer().map(base -> CompleteP.of(base, plain));
        Architecture architecture = transfer.map(rules -> rules.applied(plain)).orElse(plain);
        Optional<Format> format = format(config, architecture);
        Config written = format.map(Format::config).orElseGet(() -> Isonorm.config(architecture, Isonorm.VERSION));
        for (Map.Entry<String, Object> end : ends.entrySet()) {
            written = written.with(end.getKey(), end.getValue());
        }
        Scales scales = strategy.scales(architecture, learning.dropout());
        if (transfer.isPresent() && !(learning.optimizer() instanceof OptimizerRule.AdamW || learning.optimizer() instanceof OptimizerRule.Adam)) {
            throw new IllegalArgumentException("CompleteP says how Adam's rate, decay and epsilon change with a model's size, and nothing of another optimizer;"
                    + " take optimizer=adamw, or leave transfer out");
        }
        return recipe(learning, architecture, strategy, transfer, scales, Isonorm.withConstants(written, scales.constants(), data instanceof Pictures),
                format.map(Format::naming).orElseGet(Isonorm::naming), Optional.empty());
    }

    /** How a family writes a model. */
    private record Format(Config config, Naming naming) {}

    /** What other families call a Llama with other norms: OLMo 2 normalizes what sub-layers write, Qwen 3 queries and keys. */
    private static final Map<String, String> RELATIVES = Map.of("olmo2", "Olmo2ForCausalLM", "qwen3", "Qwen3ForCausalLM");

    /** The format of the preset's family where that can say the architecture, or else of one that differs in norms alone; empty where none can. */
    private static Optional<Format> format(Config config, Architecture architecture) throws CheckpointException {
        List<Config> configs = new ArrayList<>(List.of(config));
        if (config.textOr("", "model_type").equals("llama")) {
            int head = architecture.width() / config.integer("num_attention_heads");
            RELATIVES.forEach((type, model) -> configs.add(config.with("model_type", type).with("architectures", List.of(model)).with("head_dim", head)));
        }
        for (Config each : configs) {
            Family.Description family = Families.describe(each, Set.of());
            if (family.architecture().equals(architecture.withFamily(family.architecture().family()))) {
                return Optional.of(new Format(each, family.naming()));
            }
        }
        return Optional.empty();
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
        boolean images = data instanceof Pictures;
        Config config = loaded.config().without("dtype", "torch_dtype"); // they say what the file had, and what is written has the run's
        Origin origin = new Origin(model, Isonorm.constants(config, architecture.blocks().size(), images));
        if (checkpoint.strategy().isPresent()) {
            return ofStrategy(checkpoint.strategy().get().withRunning(checkpoint.running()), origin, loaded, config, learning, images);
        }
        Strategy strategy = Strategy.named("pre-ln").withName(architecture.family()).withRunning(checkpoint.running());
        Scales scales = new Scales(origin.constants(), learning.dropout().stream(), learning.dropout().attention(), learning.dropout().lastBlock());
        return recipe(learning, architecture, strategy, Optional.empty(), scales, config, Families.describe(loaded.config(), loaded.checkpoint().names()).naming(), Optional.of(origin));
    }

    /** The weights of a model in one that normalizes otherwise. */
    private static Recipe ofStrategy(Strategy strategy, Origin origin, LoadedModel loaded, Config config, TrainingRun.Learning learning, boolean images) throws CheckpointException {
        Architecture architecture = strategy.applied(origin.model().architecture());
        requirePlaces(origin.model().architecture(), architecture, strategy);
        Config plain = Isonorm.withConstants(config, LayerNormScaling.NONE, images);
        Family.Description family = Families.describe(loaded.config(), loaded.checkpoint().names());
        Optional<Format> format = family.architecture().equals(architecture) ? Optional.of(new Format(plain, family.naming())) : format(plain, architecture);
        Config source = config.has("source_config") ? config.object("source_config") : plain;
        Config written = format.map(Format::config).orElseGet(() -> Isonorm.config(architecture, Isonorm.VERSION).with("source_config", source));
        Scales scales = strategy.scales(architecture, learning.dropout());
        return recipe(learning, architecture, strategy, Optional.empty(), scales, Isonorm.withConstants(written, scales.constants(), images),
                format.map(Format::naming).orElseGet(Isonorm::naming), Optional.of(origin));
    }

    /** Nothing that a model has learned is left out. */
    private static void requirePlaces(Architecture from, Architecture to, Strategy strategy) {
        Map<Role, Parameter> places = new LinkedHashMap<>();
        to.parameters().forEach(each -> places.put(each.role(), each));
        for (Parameter each : from.parameters()) {
            Parameter place = places.get(each.role());
            if (place == null || place.rows() != each.rows() || place.columns() != each.columns()) {
                throw new IllegalArgumentException("the checkpoint's " + each.role().path() + ", " + shape(each) + ", has no place in a model of strategy " + strategy.name()
                        + (place == null ? "" : ", which has " + shape(place)) + "; take another, or give it the checkpoint's norms by strategy.kind="
                        + from.blocks().getFirst().norm().kind().label());
            }
        }
    }

    private static String shape(Parameter parameter) {
        return parameter.rows() == 0 ? parameter.columns() + " values" : parameter.rows() + " x " + parameter.columns();
    }

    /** The same number means another word to another tokenizer. */
    private static void requireTokenizer(LoadedModel loaded, TrainingData data) throws IOException {
        Path own = loaded.checkpoint().folder().resolve("tokenizer.json");
        if (data.tokenizer().isPresent() && Files.isRegularFile(own) && !Arrays.equals(data.tokenizer().get(), Files.readAllBytes(own))) {
            throw new IllegalArgumentException("the data was not tokenized as the model's texts were; build it with --tokenizer " + own);
        }
    }

    private static Recipe recipe(TrainingRun.Learning learning, Architecture architecture, Strategy strategy, Optional<CompleteP> transfer, Scales scales,
            Config config, Naming naming, Optional<Origin> from) {
        if (strategy.running() != Strategy.Running.PLAIN) {
            Equivalent.requirePreLn(architecture, scales.dropout()); // here too, so that a grid is refused before its first run
        }
        return new Recipe(architecture, strategy, scales, learning.optimizer(), treatment(learning.freeze(), transfer, architecture), learning.schedule(), learning.precision().type(),
                learning.precision().compute(), config, naming, from);
    }

    private static Treatment treatment(List<String> freeze, Optional<CompleteP> transfer, Architecture architecture) {
        Map<Role, Parameter> parameters = new LinkedHashMap<>();
        architecture.parameters().forEach(each -> parameters.put(each.role(), each));
        Set<Role> frozen = new HashSet<>();
        for (String name : freeze) {
            List<Role> fit = parameters.keySet().stream().filter(role -> isCalled(role, name)).toList();
            if (fit.isEmpty()) {
                throw new IllegalArgumentException("no parameter that could be frozen is called " + name + "; one is called "
                        + parameters.keySet().iterator().next().path());
            }
            frozen.addAll(fit);
        }
        if (frozen.size() == parameters.size()) {
            throw new IllegalArgumentException("freeze names every parameter of the model, so nothing would be learned; leave some out");
        }
        Function<Role, Treatment.Factors> factors = transfer.<Function<Role, Treatment.Factors>>map(
                rules -> role -> rules.factors(requireNonNull(parameters.get(role)))).orElse(Treatment.ALIKE.factors());
        return new Treatment(frozen::contains, factors);
    }

    /** Whether a name is the end of a parameter's: {@code output-norm.gain}, {@code bias}, {@code blocks.3.mlp.up.weight}. */
    private static boolean isCalled(Role role, String name) {
        String path = role.path();
        String end = name.replace('-', '_');
        int before = path.length() - end.length() - 1;
        return path.endsWith(end) && (before < 0 || path.charAt(before) == '.' || path.charAt(before) == '_');
    }

    /** Gives a learner its first weights. */
    void begin(TrainingRun run, Learner learner, Team team) throws IOException {
        switch (run.start()) {
            case TrainingRun.Start.New model ->
                    Beginning.of(model, strategy, architecture, run.seed()).fill(learner.parameters(), architecture, team);
            case TrainingRun.Start.Checkpoint _ -> {
                Origin origin = from.orElseThrow();
                Beginning beginning = Beginning.of(strategy, architecture, DEVIATION, run.seed());
                for (Parameters.Entry entry : learner.parameters().all()) {
                    if (origin.model().weights().containsKey(entry.role())) {
                        entry.take(origin.model().weight(entry.role()));
                        divide(entry.stored(entry.weights()), constant(origin.model().architecture(), origin.constants(), entry.role()));
                    } else {
                        beginning.fill(entry, architecture);
                    }
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
        return constant(architecture, scales.constants(), role);
    }

    private static double constant(Architecture architecture, LayerNormScaling constants, Role role) {
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
        return reads ? constants.norm(role.block(), role.part() == Part.ATTENTION_NORM) : writes ? constants.branch(role.block()) : 1;
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
