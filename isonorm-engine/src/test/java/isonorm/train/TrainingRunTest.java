package isonorm.train;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.Placement;
import isonorm.train.BlockStrategy.Scaling;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a run is told is a value, and text is another form of it. */
class TrainingRunTest {

    private static String message(Runnable refused) {
        return assertThrows(IllegalArgumentException.class, refused::run).getMessage();
    }

    /** Says how tokens are built from a table, which is done before there is a run. */
    private static final String COLUMN = "data.column";

    /** The run of a text, which must be that of its own text again. */
    private static TrainingRun roundTrip(Map<String, String> values) {
        TrainingRun run = Configuration.of(values).run();
        Configuration text = Configuration.of(run);
        assertEquals(text.values(), Configuration.of(text.run()).values());
        values.forEach((key, value) -> assertEquals(value, text.values().get(key), key));
        return run;
    }

    @Test
    void aModelIsTrainedWithoutAFile(@TempDir Path folder) throws Exception {
        TrainingRun run = TrainingRun.in(folder.resolve("run"))
                .withSize(16, 2, 2)
                .withStrategy(Strategy.named("peri-ln"))
                .withBatch(2).withSequence(12).withSteps(3)
                .withRate(1e-3).withSchedule(Schedule.Course.WSD, 1, 0)
                .withOptimizer(new OptimizerRule.AdamW(0.9, 0.99, 1e-8, 0.01));
        try (Trainer trainer = Trainer.begin(run, new Trainer.Watcher() {})) {
            assertEquals(Trainer.End.FINISHED, trainer.run());
        }
        assertTrue(Files.isRegularFile(folder.resolve("run/model/model.safetensors")));
        assertEquals(Configuration.of(run).values(), Configuration.of(Configuration.ofRun(folder.resolve("run")).run().withFolder(folder.resolve("run")))
                .values());
    }

    @Test
    void theDefaultsAreTheDocumentedOnes() {
        Configuration defaults = Configuration.of(Map.of());
        assertEquals(defaults.values(), Configuration.of(defaults.run()).values());
    }

    @Test
    void everyKeyIsRead() {
        Map<String, String> values = Map.ofEntries(Map.entry("out", "x"), Map.entry("seed", "7"), Map.entry("threads", "3"), Map.entry("group.timeout", "9"), Map.entry("steps", "21"),
                Map.entry("model.preset", "llama-60m"), Map.entry("model.width", "32"), Map.entry("model.blocks", "4"), Map.entry("model.heads", "4"),
                Map.entry("model.hidden", "48"), Map.entry("init.deviation", "0.01"), Map.entry("data", "tokens"), Map.entry("data.validation", "0.1"), Map.entry("data.bos", "never"),
                Map.entry("image", "32"), Map.entry("crop", "random"), Map.entry("mixup", "0.2"), Map.entry("label-smoothing", "0.1"), Map.entry("batch", "3"), Map.entry("sequence", "5"), Map.entry("accumulate", "2"), Map.entry("lr", "0.0005"),
                Map.entry("schedule", "linear"), Map.entry("warmup", "12"), Map.entry("floor", "0.2"), Map.entry("optimizer", "muon"),
                Map.entry("beta1", "0.8"), Map.entry("beta2", "0.9"), Map.entry("epsilon", "1e-7"), Map.entry("decay", "0.3"), Map.entry("clip", "2"),
                Map.entry("dtype", "bf16-pure"), Map.entry("loss-scale", "1024"), Map.entry("loss-scale.every", "9"), Map.entry("recompute", "true"),
                Map.entry("dropout", "0.4"), Map.entry("dropout.attention", "0.3"), Map.entry("stochastic-depth", "0.6"), Map.entry("log.every", "4"), Map.entry("depth.every", "6"),
                Map.entry("eval.every", "8"), Map.entry("eval.batches", "11"), Map.entry("checkpoint.every", "13"), Map.entry("checkpoint.keep", "5"),
                Map.entry("stop.above", "1.5"), Map.entry("stop.patience", "14"), Map.entry("init.embedding", "0.632"), Map.entry("init.alpha", "0.8/0.2"),
                Map.entry("transfer", "completep"), Map.entry("transfer.width", "64"), Map.entry("transfer.blocks", "4"), Map.entry("schedule.zero", "true"),
                Map.entry("freeze", "output-norm.gain+bias"), Map.entry("muon.momentum", "0.9"), Map.entry("muon.adjustment", "original"), Map.entry("muon.rest", "0.5"));
        TrainingRun run = roundTrip(values);
        Set<String> told = new TreeSet<>(values.keySet());
        Configuration.keys().stream().map(Configuration.Key::name).filter(name -> !name.startsWith("strategy") && !Set.of("from", COLUMN).contains(name))
                .forEach(name -> assertTrue(told.contains(name), name));
        Configuration defaults = Configuration.of(Map.of());
        values.forEach((key, value) -> assertTrue(!value.equals(defaults.values().get(key)), key + " is the default"));
        OptimizerRule.AdamW rest = new OptimizerRule.AdamW(0.8, 0.9, 1e-7, 0.3);
        assertEquals(new OptimizerRule.Muon(0.9, OptimizerRule.Muon.Adjustment.ORIGINAL, 0.3, rest, 0.5), run.learning().optimizer());
        assertEquals(rest, roundTrip(Map.of("optimizer", "adamw", "beta1", "0.8", "beta2", "0.9", "epsilon", "1e-7", "decay", "0.3")).learning().optimizer());
        assertEquals(List.of("output-norm.gain", "bias"), run.learning().freeze());
        roundTrip(Map.of("optimizer", "adam", "beta2", "0.9"));
        roundTrip(Map.of("optimizer", "sgd", "beta1", "0.5", "decay", "0"));
        roundTrip(Map.of("from", "gpt2", "strategy.running", "equivalent-rmsnorm"));
        assertThrows(IllegalArgumentException.class, () -> Configuration.of(Map.of("data", "tokens", COLUMN, "speech")).run());
        assertEquals("500000", Configuration.of(Configuration.of(Map.of("steps", "500_000")).run()).values().get("steps"));
    }

    @Test
    void everyStrategyIsTold() {
        for (String name : Strategy.names()) {
            roundTrip(Map.of("strategy", name));
        }
        roundTrip(Map.of("strategy", "mix-ln", "strategy.kind", "rmsnorm", "strategy.placement", "peri/post", "strategy.embedding-norm", "true"));
        roundTrip(Map.of("strategy", "pre-ln", "strategy.scaling", "lns+heads", "strategy.inner", "qk", "strategy.running", "equivalent-rmsnorm"));
        TrainingRun run = roundTrip(Map.of("strategy", "peri-ln", "strategy.blocks.0-1,4.placement", "post", "strategy.blocks.2.scaling", "layerscale",
                "strategy.blocks.2.initialization", "scaled"));
        assertEquals(Placement.POST, ((TrainingRun.Start.New) run.start()).strategy().blocks(6).get(4).attention());
    }

    @Test
    void aCheckpointMayGoOnWithAnotherStrategy() {
        for (String name : Strategy.names()) {
            TrainingRun run = roundTrip(Map.of("from", "gpt2", "strategy", name));
            Optional<Strategy> strategy = ((TrainingRun.Start.Checkpoint) run.start()).strategy();
            assertEquals(name.equals("pre-ln") ? Optional.empty() : Optional.of(name), strategy.map(Strategy::name));
            assertEquals(Strategy.named(name).blocks(6), strategy.orElse(Strategy.named("pre-ln")).blocks(6));
            assertEquals(Strategy.named(name).running(), ((TrainingRun.Start.Checkpoint) run.start()).running());
        }
        roundTrip(Map.of("from", "gpt2", "strategy", "mix-ln", "strategy.kind", "rmsnorm", "strategy.placement", "peri/post", "strategy.embedding-norm", "true"));
        roundTrip(Map.of("from", "gpt2", "strategy.scaling", "lns", "strategy.running", "equivalent-rmsnorm"));
    }

    @Test
    void aStrategyMadeByHandIsTheSameWhenItIsReadAgain() {
        Strategy strategy = Strategy.named("lns").withName("mine").everywhere(block -> block.withScalings(Set.of(Scaling.SKIPINIT)))
                .in(new TreeSet<>(List.of(1, 2)), Strategy.named("keel")).inFirst(0.5, block -> block.withPlacement(Placement.PERI));
        TrainingRun.Start.New model = new TrainingRun.Start.New("shakespeare", OptionalInt.empty(), OptionalInt.of(5), OptionalInt.empty(),
                OptionalInt.empty(), strategy, TrainingRun.Initial.of(0.02), Optional.empty());
        TrainingRun again = Configuration.of(TrainingRun.in(Path.of("x")).withStart(model)).run();
        assertEquals(strategy.blocks(5), ((TrainingRun.Start.New) again.start()).strategy().blocks(5));
    }

    @Test
    void whatMakesNoSenseIsRefusedAsItsTextIs() {
        TrainingRun run = TrainingRun.in(Path.of("x"));
        assertEquals("steps must be a whole number of 1 or more, got 0", message(() -> run.withSteps(0)));
        assertEquals("steps must be a whole number of 1 or more, got 0", message(() -> Configuration.of(Map.of("steps", "0")).run()));
        assertEquals("steps must be a whole number of 1 or more, got many", message(() -> Configuration.of(Map.of("steps", "many")).run()));
        assertEquals("dropout must be a number from 0.0 to below 1.0, got 1.0", message(() -> run.withDropout(1, 0)));
        assertEquals("dropout must be a number from 0.0 to below 1.0, got NaN", message(() -> run.withDropout(Double.NaN, 0)));
        assertEquals("beta2 must be a number from 0.0 to below 1.0, got 1", message(() -> Configuration.of(Map.of("beta2", "1")).run()));
        assertEquals("dtype must be f32, bf16, f16, bf16-pure or f64, got int8", message(() -> Configuration.of(Map.of("dtype", "int8")).run()));
        assertTrue(message(() -> run.withPreset("lama-60m")).startsWith("there is no preset lama-60m; did you mean llama-60m?"));
        assertTrue(message(() -> run.withCheckpoint(Path.of("gpt2")).withInitial(TrainingRun.Initial.of(0.1)))
                .startsWith("an initialization says what a model is, and the one of gpt2 is already what it is"));
        assertEquals("model.width says what a model is, and the one of from is already what it is; leave one of them out",
                message(() -> Configuration.of(Map.of("from", "gpt2", "model.width", "64")).run()));
        assertEquals("some blocks have a strategy of their own in new models alone; name one for all blocks of gpt2",
                message(() -> run.withCheckpoint(Path.of("gpt2")).withStrategy(Strategy.named("lns").in(new TreeSet<>(List.of(1)), Strategy.named("peri-ln")))));
    }
}
