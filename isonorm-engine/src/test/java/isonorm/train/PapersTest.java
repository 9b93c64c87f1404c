package isonorm.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import isonorm.architecture.Architecture;
import isonorm.architecture.Parameter;
import isonorm.architecture.Role;
import isonorm.backpropagation.Examples;
import isonorm.backpropagation.Parameters;
import isonorm.backpropagation.Scales;
import isonorm.checkpoint.CheckpointException;
import isonorm.family.Families;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.tensor.Team;
import isonorm.train.BlockStrategy.Scaling;
import isonorm.weights.Seed;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Twenty steps of every strategy, of Muon and of CompleteP give the losses that a program in PyTorch gives, which was written from the papers and apart
 * from this one: isonorm-bench/reference/strategies.py, which also says what the models are.
 */
class PapersTest {

    /** Both sides compute in float64; what 20 steps of an optimizer make of its rounding. */
    private static final double LOSS = 1e-9;

    private static final int VOCABULARY = 13;
    private static final int LENGTH = 10;
    private static final int BATCH = 3;
    private static final int STEPS = 20;
    private static final double RATE = 5e-3;
    private static final OptimizerRule.AdamW ADAMW = new OptimizerRule.AdamW(0.9, 0.95, 1e-8, 0.1);

    private static final Map<String, double[]> KEPT = new HashMap<>();

    @BeforeAll
    static void read() throws IOException {
        JsonNode json = new ObjectMapper().readTree(Path.of("src", "test", "resources", "isonorm", "train", "papers.json").toFile());
        json.properties().forEach(each -> {
            double[] losses = new double[each.getValue().size()];
            for (int i = 0; i < losses.length; i++) {
                losses[i] = each.getValue().get(i).doubleValue();
            }
            KEPT.put(each.getKey(), losses);
        });
    }

    static List<String> strategies() {
        return Strategy.names();
    }

    /** As the program has it. */
    private static double[] numbers(String name, int count) {
        int state = (int) 2166136261L;
        for (byte each : name.getBytes(StandardCharsets.UTF_8)) {
            state = (state ^ each) * 16777619;
        }
        double[] numbers = new double[count];
        for (int i = 0; i < count; i++) {
            state = state * 1664525 + 1013904223;
            int mixed = (state ^ state >>> 16) * 0x45D9F3B;
            numbers[i] = Integer.toUnsignedLong(mixed ^ mixed >>> 16) / 2147483648.0 - 1;
        }
        return numbers;
    }

    private static Examples batch(int step) {
        double[] drawn = numbers("batch." + step, BATCH * (LENGTH + 1));
        int[][] windows = new int[BATCH][LENGTH + 1];
        for (int i = 0; i < drawn.length; i++) {
            windows[i / (LENGTH + 1)][i % (LENGTH + 1)] = (int) ((drawn[i] + 1) / 2 * VOCABULARY);
        }
        return Examples.Tokens.ofWindows(windows);
    }

    private static void fill(Parameters parameters) {
        for (Parameters.Entry entry : parameters.all()) {
            Rows weights = entry.stored(entry.weights());
            double[] drawn = numbers(entry.role().path(), weights.rows() * weights.columns());
            for (int i = 0; i < drawn.length; i++) {
                weights.set(i / weights.columns(), i % weights.columns(), switch (entry.role().field()) {
                    case GAIN -> 1 + 0.2 * drawn[i];
                    case BIAS -> 0.2 * drawn[i];
                    case ALPHA -> 0.5 + 0.1 * drawn[i];
                    default -> 0.4 * drawn[i];
                });
            }
        }
    }

    private static Architecture base(String kind) throws CheckpointException {
        TrainingRun.Start.New model = new TrainingRun.Start.New(kind.equals("gpt2") ? "shakespeare" : "llama-60m", OptionalInt.of(16), OptionalInt.of(4),
                OptionalInt.of(4), OptionalInt.of(24), Strategy.named("pre-ln"), TrainingRun.Initial.of(0.02), Optional.empty());
        return Families.describe(Presets.config(model, VOCABULARY, LENGTH), Set.of()).architecture();
    }

    private static double[] losses(Architecture architecture, Strategy strategy, OptimizerRule rule, Treatment treatment) {
        double[] losses = new double[STEPS];
        try (Team team = Team.of(1);
                Learner learner = new Learner(architecture, strategy.running(), strategy.scales(architecture), rule, treatment, Type.F64, Type.F64, team)) {
            fill(learner.parameters());
            learner.begin();
            for (int step = 0; step < STEPS; step++) {
                losses[step] = learner.step(List.of(batch(step)), RATE, step + 1, 1, Seed.of(0)).loss();
            }
        }
        return losses;
    }

    private static void compare(String what, String kind, double[] found) {
        double[] kept = KEPT.get(what + " " + kind);
        assertTrue(kept != null, "there is nothing kept of " + what + " and " + kind);
        for (int step = 0; step < STEPS; step++) {
            assertEquals(kept[step], found[step], LOSS, what + " of a " + kind + " at step " + (step + 1));
        }
    }

    @ParameterizedTest
    @MethodSource("strategies")
    void everyStrategyIsItsPapers(String name) throws CheckpointException {
        Strategy strategy = Strategy.named(name);
        for (String kind : List.of("gpt2", "llama")) {
            compare(name, kind, losses(strategy.applied(base(kind)), strategy, ADAMW, Treatment.ALIKE));
        }
    }

    /** Table 8 of arXiv 2502.05795. */
    @ParameterizedTest
    @EnumSource(value = Scaling.class, names = {"LNS_BEFORE_NORM", "LNS_BRANCHES", "LNS_RESIDUAL", "LNS_ATTENTION", "LNS_MLP"})
    void layerNormScalingStandsWhereThePaperPutsIt(Scaling place) throws CheckpointException {
        Strategy strategy = Strategy.named("lns").everywhere(block -> block.withScalings(Set.of(place)));
        for (String kind : List.of("gpt2", "llama")) {
            compare(place.label(), kind, losses(strategy.applied(base(kind)), strategy, ADAMW, Treatment.ALIKE));
        }
    }

    @Test
    void muonIsPyTorchsBeforeItRounds() throws CheckpointException {
        Strategy strategy = Strategy.named("pre-ln");
        for (String kind : List.of("gpt2", "llama")) {
            Architecture architecture = strategy.applied(base(kind));
            OptimizerRule.Muon matched = new OptimizerRule.Muon(0.95, OptimizerRule.Muon.Adjustment.MATCH_RMS_ADAMW, 0.1, ADAMW, 1);
            compare("muon", kind, losses(architecture, strategy, matched, Treatment.ALIKE));
            OptimizerRule.Muon original = new OptimizerRule.Muon(0.95, OptimizerRule.Muon.Adjustment.ORIGINAL, 0.1, ADAMW, 0.5);
            compare("muon-original", kind, losses(architecture, strategy, original, Treatment.ALIKE));
        }
    }

    @Test
    void completePIsItsTable() throws CheckpointException {
        Strategy strategy = Strategy.named("pre-ln");
        for (String kind : List.of("gpt2", "llama")) {
            Architecture plain = strategy.applied(base(kind));
            CompleteP rules = CompleteP.of(new TrainingRun.Transfer(8, 2), plain);
            Map<Role, Parameter> parameters = new HashMap<>();
            plain.parameters().forEach(each -> parameters.put(each.role(), each));
            Function<Role, Treatment.Factors> factors = role -> rules.factors(parameters.get(role));
            compare("completep", kind, losses(rules.applied(plain), strategy, ADAMW, new Treatment(_ -> false, factors)));
        }
    }

    /** What is frozen has no part in the norm that is clipped: the rest is made as long as the clip says. */
    @Test
    void aFrozenGradientIsNotInTheNorm() throws CheckpointException {
        Strategy strategy = Strategy.named("peri-ln");
        Architecture architecture = strategy.applied(base("llama"));
        double clip = 1e-3;
        double[] all = clippedNorm(architecture, _ -> false, clip);
        double[] some = clippedNorm(architecture, role -> role.field() == Role.Field.GAIN || role.block() < 0, clip);
        assertEquals(all[1], some[0], LOSS, "the norm of the gradients that are not frozen");
        assertTrue(some[0] < 0.9 * all[0], some[0] + " of " + all[0]);
        assertEquals(RATE * clip, all[2], LOSS);
        assertEquals(RATE * clip, some[2], LOSS);
    }

    /** The norm that a step says, that of the gradients of what is in blocks and no gain, and how far a step of SGD goes. */
    private static double[] clippedNorm(Architecture architecture, Predicate<Role> frozen, double clip) {
        try (Team team = Team.of(1);
                Learner learner = new Learner(architecture, Strategy.Running.PLAIN, Scales.NONE, new OptimizerRule.Sgd(0, 0), new Treatment(frozen, Treatment.ALIKE.factors()),
                        Type.F64, Type.F64, team)) {
            fill(learner.parameters());
            learner.begin();
            List<double[]> before = new ArrayList<>();
            learner.parameters().all().forEach(entry -> before.add(values(entry.stored(entry.weights()))));
            double norm = learner.step(List.of(batch(0)), RATE, 1, clip, Seed.of(0)).gradientNorm();
            double squares = 0;
            double moved = 0;
            int i = 0;
            for (Parameters.Entry entry : learner.parameters().all()) {
                double[] gradient = values(entry.stored(entry.gradient()));
                double[] now = values(entry.stored(entry.weights()));
                boolean counts = entry.role().field() != Role.Field.GAIN && entry.role().block() >= 0;
                squares += counts ? Arrays.stream(gradient).map(g -> g * g).sum() : 0;
                double[] was = before.get(i++);
                moved += IntStream.range(0, now.length).mapToDouble(j -> (now[j] - was[j]) * (now[j] - was[j])).sum();
            }
            return new double[] {norm, Math.sqrt(squares), Math.sqrt(moved)};
        }
    }

    private static double[] values(Rows rows) {
        return IntStream.range(0, rows.rows() * rows.columns()).mapToDouble(i -> rows.get(i / rows.columns(), i % rows.columns())).toArray();
    }

    @Test
    void nothingIsKeptThatIsNotCompared() {
        Set<String> all = new TreeSet<>();
        List<String> names = new ArrayList<>(Strategy.names());
        names.addAll(List.of("muon", "muon-original", "completep", "lns-before-norm", "lns-branches", "lns-residual", "lns-attention", "lns-mlp"));
        names.forEach(name -> List.of("gpt2", "llama").forEach(kind -> all.add(name + " " + kind)));
        assertEquals(all, new TreeSet<>(KEPT.keySet()));
    }
}
