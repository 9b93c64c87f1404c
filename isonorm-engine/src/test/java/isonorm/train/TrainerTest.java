package isonorm.train;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.EveryProcessor;
import isonorm.architecture.Activation;
import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
import isonorm.architecture.LayerNormScaling;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Part;
import isonorm.architecture.Placement;
import isonorm.architecture.Role;
import isonorm.architecture.Stream;
import isonorm.architecture.Wiring;
import isonorm.backpropagation.Examples;
import isonorm.backpropagation.Parameters;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import isonorm.checkpoint.Dtype;
import isonorm.checkpoint.SafetensorsFile;
import isonorm.convert.LoadedModel;
import isonorm.convert.Strategies;
import isonorm.data.RunLock;
import isonorm.data.TokenData;
import isonorm.depth.Activations;
import isonorm.depth.Depth;
import isonorm.depth.DepthSurvey;
import isonorm.depth.Position;
import isonorm.family.Isonorm;
import isonorm.family.RemoteCode;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.layer.ForwardPass;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Result;
import isonorm.rewrite.ModelWriter;
import isonorm.tensor.Team;
import isonorm.weights.Model;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class TrainerTest {

    /** Training computes in float32, the other side in float64. */
    private static final double LOSS = 2e-5;

    private static final Windows DATA = data();

    @TempDir
    Path folder;

    private static Windows data() {
        try {
            return new Windows(TokenData.shakespeare(), 12, 1);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Remembers what it is told, and kills the run behind a step. */
    private static final class Memory implements Trainer.Watcher {

        private final long last;
        private final List<Metrics.Line> lines = new ArrayList<>();
        private final List<String> notes = new ArrayList<>();

        private Memory(long last) {
            this.last = last;
        }

        @Override
        public void metrics(Metrics.Line line) {
            lines.add(line);
        }

        @Override
        public void note(String text) {
            notes.add(text);
        }

        @Override
        public void step(long done, long total) {
            if (done == last) {
                throw new IllegalStateException("killed");
            }
        }
    }

    @Test
    void anInterruptedRunEndsWithACheckpointAndGoesOnAsIfItHadNot() throws IOException {
        Map<String, String> values = small(folder.resolve("whole"));
        try (Trainer trainer = Trainer.begin(Configuration.of(values).run(), Trainer.NOBODY)) {
            assertEquals(Trainer.End.FINISHED, trainer.run());
        }
        Path run = folder.resolve("run");
        values.put("out", run.toString());
        values.put("checkpoint.every", "0");
        Trainer.Watcher impatient = new Trainer.Watcher() {
            private long at;

            @Override
            public void step(long done, long total) {
                at = done;
            }

            @Override
            public boolean interrupts() {
                return at == 5;
            }
        };
        try (Trainer trainer = Trainer.begin(Configuration.of(values).run(), impatient)) {
            assertEquals(Trainer.End.INTERRUPTED, trainer.run());
        }
        assertTrue(Files.exists(run.resolve("checkpoint-0000005")) && !Files.exists(run.resolve("model")));
        assertEquals("going on from " + run.resolve("checkpoint-0000005"), resume(run).notes.getFirst());
        assertArrayEquals(Files.readAllBytes(folder.resolve("whole/model/model.safetensors")), Files.readAllBytes(run.resolve("model/model.safetensors")));
        assertEquals(Metrics.read(folder.resolve("whole")).stream().map(Metrics.Line::loss).toList(), Metrics.read(run).stream().map(Metrics.Line::loss).toList());
    }

    static Map<String, String> small(Path out) {
        Map<String, String> values = new LinkedHashMap<>();
        values.put("out", out.toString());
        values.put("threads", "1");
        values.put("steps", "8");
        values.put("model.width", "16");
        values.put("model.blocks", "2");
        values.put("model.heads", "2");
        values.put("batch", "2");
        values.put("sequence", "12");
        values.put("log.every", "2");
        values.put("eval.every", "4");
        values.put("eval.batches", "2");
        values.put("depth.every", "0");
        values.put("checkpoint.every", "3");
        return values;
    }

    private Memory run(Map<String, String> values) throws IOException {
        Memory memory = new Memory(-1);
        try (Trainer trainer = Trainer.begin(Configuration.of(values).run(), memory)) {
            assertEquals(Trainer.End.FINISHED, trainer.run());
        }
        return memory;
    }

    private void runAndKill(Map<String, String> values, long step) throws IOException {
        try (Trainer trainer = Trainer.begin(Configuration.of(values).run(), new Memory(step))) {
            assertThrows(IllegalStateException.class, trainer::run);
        }
    }

    private static Memory resume(Path run) throws IOException {
        Memory memory = new Memory(-1);
        try (Trainer trainer = Trainer.resume(run, memory)) {
            assertEquals(Trainer.End.FINISHED, trainer.run());
        }
        return memory;
    }

    /** Every named strategy, every scaling with every placement that can have it, several of them, and strategies of single blocks. */
    static List<String> strategies() {
        List<String> all = new ArrayList<>(Strategy.names());
        for (String placement : List.of("pre", "peri", "output", "post", "both", "dual", "none")) {
            for (BlockStrategy.Scaling scaling : BlockStrategy.Scaling.values()) {
                boolean behindASum = List.of("post", "both", "dual").contains(placement);
                boolean elsewhere = scaling.isLayerNormScaling() && scaling != BlockStrategy.Scaling.LAYERNORM_SCALING;
                if (!(scaling == BlockStrategy.Scaling.GPAS && behindASum) && !(elsewhere && !placement.equals("pre"))) {
                    all.add("pre-rmsnorm strategy.placement=" + placement + " strategy.scaling=" + scaling.label());
                }
            }
        }
        all.add("peri-ln strategy.scaling=lns-branches strategy.blocks.1.scaling=lns-residual");
        all.add("dyt strategy.scaling=lns init.alpha=0.8/0.2");
        all.add("pre-ln transfer=completep transfer.width=8 transfer.blocks=1");
        all.add("peri-ln transfer=completep transfer.width=8 transfer.blocks=1");
        all.add("lns optimizer=muon init.embedding=0.632");
        all.add("pre-crmsnorm strategy.scaling=skipinit");
        all.add("sub-ln strategy.scaling=heads");
        all.add("peri-ln strategy.scaling=lns+layerscale+heads+gpas strategy.inner=qk+sub");
        all.add("pre-ln strategy.placement=peri/post strategy.scaling=lns+keel+skipinit strategy.inner=qk-projection+hidden");
        for (String placement : List.of("peri", "output", "post", "both")) {
            all.add("pre-crmsnorm strategy.placement=" + placement);
        }
        all.add("pre-crmsnorm strategy.embedding-norm=true");
        all.add("pre-crmsnorm strategy.inner=qkv+sub strategy.blocks.1=no-norm");
        all.add("pre-ln strategy.blocks.0=keel strategy.blocks.1=gpas strategy.blocks.1.scaling=lns+gpas+heads");
        all.add("peri-ln strategy.blocks.0=dyt strategy.blocks.1=deepnorm strategy.blocks.1.inner=sub");
        all.add("mix-ln model.blocks=4 strategy.blocks.0,2-3.scaling=lns+deepnorm strategy.blocks.1=hybridnorm");
        return all;
    }

    @ParameterizedTest
    @MethodSource("strategies")
    void whatWasTrainedIsTheModelThatIsWritten(String strategy) throws IOException {
        Path run = folder.resolve("run");
        Map<String, String> values = small(run);
        String[] words = strategy.split(" ");
        values.put("strategy", words[0]);
        for (String word : List.of(words).subList(1, words.length)) {
            values.put(word.substring(0, word.indexOf('=')), word.substring(word.indexOf('=') + 1));
        }
        values.put("steps", "4");
        values.put("checkpoint.every", "0");
        values.put("init.deviation", "0.2");
        Memory memory = run(values);
        double trained = memory.lines.getLast().validation();
        assertEquals(loss(LoadedModel.open(run.resolve("model"))), trained, LOSS);
    }

    /** Of the layers in float64, on what a small run evaluates. */
    private static double loss(LoadedModel written) throws IOException {
        double loss = 0;
        int targets = 0;
        try (ForwardPass pass = ForwardPass.streaming(Model.of(written.model()), Compute.F64)) {
            for (Examples examples : DATA.validation(2, 2)) {
                Examples.Tokens tokens = (Examples.Tokens) examples;
                long[][] ids = new long[tokens.count()][];
                for (int row = 0; row < ids.length; row++) {
                    ids[row] = Arrays.stream(tokens.ids()[row]).asLongStream().toArray();
                }
                try (Result result = pass.run(Batch.Tokens.of(ids))) {
                    double[] logits = result.outputValues();
                    for (int row = 0; row < ids.length; row++) {
                        for (int t = 0; t < 12; t++) {
                            loss += crossEntropy(logits, (row * 12 + t) * DATA.vocabulary(), tokens.following()[row][t]);
                            targets++;
                        }
                    }
                }
            }
        }
        return loss / targets;
    }

    /** The last block included, and of a compressed stream the value that it implies. */
    @ParameterizedTest
    @ValueSource(strings = {"pre-ln", "pre-crmsnorm", "residual", "lns"})
    void aRunMeasuresTheStreamAsDepthDoes(String strategy) throws IOException {
        Path run = folder.resolve("run");
        Map<String, String> values = small(run);
        values.put("strategy", strategy);
        values.put("init.deviation", "0.3");
        values.put("steps", "1");
        values.put("lr", "1e-30"); // what is measured before the step is then what is written behind it
        values.put("depth.every", "1");
        run(values);
        TrainingRun told = Configuration.of(values).run();
        List<Metrics.BlockLine> measured = MetricsTail.of(run).read().entries().stream().filter(MetricsTail.Blocks.class::isInstance)
                .map(each -> ((MetricsTail.Blocks) each).blocks()).findFirst().orElseThrow();
        Examples.Tokens batch = (Examples.Tokens) DataOfRun.of(told).batch(0, 2);
        try (DepthSurvey survey = DepthSurvey.of(LoadedModel.open(run.resolve("model")).model(), Compute.F64)) {
            Depth depth = survey.measure(List.of(batch.batch()).iterator(), 24, Progress.NONE);
            assertEquals(depth.blocks() + 1, measured.size());
            for (int l = 0; l <= depth.blocks(); l++) {
                Activations stream = l < depth.blocks() ? depth.activations().get(l).get(Position.BLOCK_INPUT)
                        : depth.activations().getLast().get(Position.BLOCK_OUTPUT);
                assertEquals(stream.variance(), measured.get(l).variance(), LOSS * stream.variance(), strategy + " at " + l);
                assertEquals(stream.maxAbs(), measured.get(l).largest(), LOSS * stream.maxAbs(), strategy + " at " + l);
                assertEquals(stream.beyondFp16(), measured.get(l).beyond());
                assertEquals(l == depth.blocks(), Double.isNaN(measured.get(l).gradientNorm()));
            }
        }
    }

    /** Weights contain them in files, and not while they are learned. */
    @ParameterizedTest
    @CsvSource({"llama-60m, lns", "shakespeare, lns", "llama-60m, lns-mlp", "shakespeare, lns-branches"})
    void layerNormScalingIsGoneOnWith(String preset, String place) throws IOException {
        Map<String, String> values = small(folder.resolve("first"));
        values.put("model.preset", preset);
        values.put("strategy", "lns");
        values.put("strategy.scaling", place);
        values.put("model.blocks", "3");
        run(values);
        Path model = folder.resolve("first/model");
        double[] constants = {1, 1 / Math.sqrt(2), 1 / Math.sqrt(3)};
        requireConstants(place, constants, Isonorm.constants(LoadedModel.open(model).config(), 3, false));
        Map<String, String> further = small(folder.resolve("second"));
        List.of("model.width", "model.blocks", "model.heads").forEach(further::remove);
        further.put("from", model.toString());
        further.put("steps", "1");
        further.put("lr", "1e-30");
        run(further);
        TrainingRun told = Configuration.of(further).run();
        requireConstants(place, constants, Recipe.of(told, DataOfRun.of(told)).scales().constants());
        for (String part : List.of("attention_norm.gain", "mlp_norm.gain", "attention.output.weight", "mlp.down.weight")) {
            String name = "weights.blocks.2." + part;
            float[] expected = values(folder.resolve("first/checkpoint-0000008/trainer.safetensors"), name);
            float[] found = values(folder.resolve("second/checkpoint-0000001/trainer.safetensors"), name);
            assertArrayEquals(expected, found, 1e-6f);
        }
        requireConstants(place, constants, Isonorm.constants(LoadedModel.open(folder.resolve("second/model")).config(), 3, false));
        Config longer = Isonorm.withConstants(LoadedModel.open(model).config(), LayerNormScaling.ofNorms(new double[] {1, 0.5}), false);
        assertEquals("config.json has layernorm_scaling = [1.0, 0.5]; supported is a positive number for each of 3 blocks",
                assertThrows(CheckpointException.class, () -> Isonorm.constants(longer, 3, false)).getMessage());
    }

    /** Its matrices have a place in many, and norms that it lacks begin as those of new models do. */
    @Test
    void aCheckpointIsGoneOnWithInAnotherStrategy() throws IOException {
        Map<String, String> values = small(folder.resolve("first"));
        values.put("model.blocks", "3");
        run(values);
        Path model = folder.resolve("first/model");
        for (String strategy : List.of("lns", "peri-ln", "post-ln")) {
            Path out = folder.resolve(strategy);
            Map<String, String> further = small(out);
            List.of("model.width", "model.blocks", "model.heads").forEach(further::remove);
            further.putAll(Map.of("from", model.toString(), "strategy", strategy, "steps", "1", "lr", "1e-30"));
            if (strategy.equals("peri-ln")) {
                assertEquals("the checkpoint's blocks.0.attention_norm.bias, 16 values, has no place in a model of strategy peri-ln; take another, or give it"
                        + " the checkpoint's norms by strategy.kind=layernorm", assertThrows(IllegalArgumentException.class, () -> run(further)).getMessage());
                further.put("strategy.kind", "layernorm");
            }
            run(further);
            for (String part : List.of("attention_norm.gain", "mlp_norm.bias", "attention.output.weight", "mlp.down.weight")) {
                String name = "weights.blocks.2." + part;
                assertArrayEquals(values(folder.resolve("first/checkpoint-0000008/trainer.safetensors"), name), values(out.resolve("checkpoint-0000001/trainer.safetensors"), name), 1e-6f);
            }
            LoadedModel written = LoadedModel.open(out.resolve("model"));
            double[] constants = {1, 1 / Math.sqrt(2), 1 / Math.sqrt(3)};
            requireConstants("lns", strategy.equals("lns") ? constants : new double[0], Isonorm.constants(written.config(), 3, false));
            Architecture plain = Model.of(LoadedModel.open(model).model()).architecture();
            assertEquals(Strategy.named(strategy).everywhere(block -> block.withKind(NormKind.LAYER)).applied(plain).withFamily("any"), Model.of(written.model()).architecture().withFamily("any"));
            assertEquals(strategy.equals("lns") ? "gpt2" : "isonorm", written.config().textOr("", "model_type"));
        }
        float[] gains = values(folder.resolve("peri-ln/checkpoint-0000001/trainer.safetensors"), "weights.blocks.2.mlp_output_norm.gain");
        assertArrayEquals(new float[] {1, 1, 1}, Arrays.copyOf(gains, 3), 1e-6f);
        Map<String, String> back = small(folder.resolve("back"));
        List.of("model.width", "model.blocks", "model.heads").forEach(back::remove);
        back.putAll(Map.of("from", folder.resolve("lns/model").toString(), "strategy", "lns", "strategy.scaling", "none", "steps", "1", "lr", "1e-30"));
        run(back);
        String name = "weights.blocks.2.mlp_norm.gain";
        assertArrayEquals(values(folder.resolve("first/checkpoint-0000008/trainer.safetensors"), name), values(folder.resolve("back/checkpoint-0000001/trainer.safetensors"), name), 1e-6f);
        assertTrue(Isonorm.constants(LoadedModel.open(folder.resolve("back/model")).config(), 3, false).none());
    }

    private static void requireConstants(String place, double[] constants, LayerNormScaling found) {
        double[] ones = {};
        assertArrayEquals(place.equals("lns") ? constants : ones, found.attention());
        assertArrayEquals(place.equals("lns-branches") ? ones : constants, found.mlp());
        assertArrayEquals(place.equals("lns-branches") ? constants : ones, found.branches());
    }

    /** A Llama with norms of another family is written as that family's, which other tools read. */
    @ParameterizedTest
    @CsvSource({"output-norm, none, olmo2", "pre-rmsnorm, qk, qwen3", "pre-rmsnorm, none, llama", "peri-ln, none, isonorm"})
    void modelsAreWrittenInTheFormatThatCanSayThem(String strategy, String inner, String type) throws IOException {
        Map<String, String> values = small(folder.resolve("run"));
        values.put("model.preset", "llama-60m");
        values.put("checkpoint.every", "0");
        values.put("strategy", strategy);
        if (!inner.equals("none")) {
            values.put("strategy.inner", inner);
        }
        values.put("init.deviation", "0.2");
        double trained = run(values).lines.getLast().validation();
        LoadedModel written = LoadedModel.open(folder.resolve("run/model"));
        assertEquals(type, written.config().textOr("", "model_type"));
        assertEquals(trained, loss(written), LOSS);
        Map<String, String> further = small(folder.resolve("further"));
        List.of("model.width", "model.blocks", "model.heads").forEach(further::remove);
        further.put("from", folder.resolve("run/model").toString());
        further.put("steps", "1");
        run(further);
        assertEquals(type, LoadedModel.open(folder.resolve("further/model")).config().textOr("", "model_type"));
    }

    /** What is frozen is what it was, and its gradient is none that could be clipped by. */
    @Test
    void whatIsFrozenStays() throws IOException {
        for (String optimizer : List.of("adamw", "muon")) {
            Map<String, String> values = small(folder.resolve(optimizer));
            values.put("strategy", "peri-ln");
            values.put("optimizer", optimizer);
            values.put("freeze", "output-norm.gain+attention.output.weight+blocks.1.mlp.up.bias");
            values.put("steps", "2");
            run(values);
            Path state = folder.resolve(optimizer + "/checkpoint-0000002/trainer.safetensors");
            for (float gain : values(state, "weights.blocks.1.mlp_output_norm.gain")) {
                assertEquals(1, gain);
            }
            float[] begun = new float[16 * 16];
            TrainingRun told = Configuration.of(values).run();
            Recipe recipe = Recipe.of(told, DataOfRun.of(told));
            try (Team team = Team.of(1); Parameters parameters = Parameters.of(recipe.architecture(), Type.F32, Type.F32)) {
                Beginning.of((TrainingRun.Start.New) told.start(), recipe.strategy(), recipe.architecture(), told.seed()).fill(parameters, recipe.architecture(), team);
                Rows weights = parameters.get(Part.ATTENTION_OUTPUT, 1, Role.Field.WEIGHT).weights();
                for (int i = 0; i < begun.length; i++) {
                    begun[i] = (float) weights.get(i / 16, i % 16);
                }
            }
            assertArrayEquals(begun, values(state, "weights.blocks.1.attention.output.weight"));
            assertEquals(0, values(state, "weights.blocks.1.mlp.up.bias")[0]);
            assertTrue(values(state, "weights.blocks.0.mlp.up.bias")[0] != 0 && values(state, "weights.blocks.1.attention_norm.gain")[0] != 1);
        }
        assertTrue(refusal(Map.of("freeze", "outputnorm.gain")).startsWith("no parameter that could be frozen is called outputnorm.gain; one is called "));
        assertTrue(refusal(Map.of("freeze", "weight+gain+bias")).startsWith("freeze names every parameter"));
    }

    @Test
    void aScheduleCanBeginAtZero() {
        Schedule counted = new Schedule(Schedule.Course.COSINE, 2, 10, 4, 0.1, false);
        Schedule fromZero = new Schedule(Schedule.Course.COSINE, 2, 10, 4, 0.1, true);
        assertEquals(0, fromZero.rate(1));
        for (int step = 1; step < 10; step++) {
            assertEquals(counted.rate(step), fromZero.rate(step + 1));
        }
        assertEquals(2, new Schedule(Schedule.Course.LINEAR, 2, 10, 0, 0, true).rate(1));
    }

    private static float[] values(Path file, String name) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            return SafetensorsFile.open(file).map(name, arena).toArray(ValueLayout.JAVA_FLOAT_UNALIGNED);
        }
    }

    private static double crossEntropy(double[] logits, int from, int target) {
        double sum = 0;
        for (int word = 0; word < DATA.vocabulary(); word++) {
            sum += Math.exp(logits[from + word]);
        }
        return Math.log(sum) - logits[from + target];
    }

    @ParameterizedTest
    @CsvSource({"2, f32", "3, f32", "5, f32", "7, f32", "5, bf16", "5, bf16-pure", "5, f16"})
    void aRunThatWasKilledEndsAsOneLeftAlone(long step, String dtype) throws IOException {
        Map<String, String> values = small(folder.resolve("alone"));
        values.put("dtype", dtype);
        values.put("loss-scale", "4e6");
        values.put("loss-scale.every", "1"); // it changes all the time
        values.put("strategy", "peri-ln");
        values.put("dropout", "0.1");
        values.put("accumulate", "2");
        run(values);
        values.put("out", folder.resolve("killed").toString());
        runAndKill(values, step);
        resume(folder.resolve("killed"));
        for (String file : List.of("model/model.safetensors", "model/config.json", "checkpoint-0000008/trainer.safetensors")) {
            assertArrayEquals(Files.readAllBytes(folder.resolve("alone").resolve(file)), Files.readAllBytes(folder.resolve("killed").resolve(file)), file);
        }
        assertEquals(steps(folder.resolve("alone")), steps(folder.resolve("killed")));
    }

    /** What config.yaml holds is the model that is gone on with. */
    @EveryProcessor
    @Test
    void aRunWhoseBlocksDifferGoesOnAsOneLeftAlone() throws IOException {
        Map<String, String> values = small(folder.resolve("alone"));
        values.put("model.blocks", "4");
        values.put("strategy", "pre-ln");
        values.put("strategy.scaling", "lns+heads");
        values.put("strategy.blocks.0-1", "deepnorm");
        values.put("strategy.blocks.3.kind", "rmsnorm");
        values.put("strategy.blocks.3.placement", "peri/output");
        run(values);
        values.put("out", folder.resolve("killed").toString());
        runAndKill(values, 5);
        resume(folder.resolve("killed"));
        for (String file : List.of("config.yaml", "model/model.safetensors", "model/config.json", "checkpoint-0000008/trainer.safetensors")) {
            assertArrayEquals(Files.readAllBytes(folder.resolve("alone").resolve(file)), Files.readAllBytes(folder.resolve("killed").resolve(file)), file);
        }
        LoadedModel written = LoadedModel.open(folder.resolve("killed/model"));
        assertTrue(RemoteCode.isNamedBy(written.config()) && Files.exists(folder.resolve("killed/model").resolve(RemoteCode.FILES.getLast())));
        assertEquals(List.of("post", "post", "pre", "peri"), Model.of(written.model()).architecture().blocks().stream()
                .map(block -> block.attentionPlacement().label()).toList());
    }

    private static List<String> steps(Path run) throws IOException {
        return Files.readAllLines(run.resolve("metrics.jsonl")).stream().map(line -> line.replaceAll(",\"tokens_per_second.*", "")).toList();
    }

    @Test
    void aDamagedCheckpointIsLeftOutForTheOneBefore() throws IOException {
        Map<String, String> values = small(folder.resolve("alone"));
        run(values);
        values.put("out", folder.resolve("damaged").toString());
        runAndKill(values, 7);
        Path newest = folder.resolve("damaged/checkpoint-0000006/trainer.safetensors");
        byte[] bytes = Files.readAllBytes(newest);
        bytes[bytes.length / 2] ^= 1;
        Files.write(newest, bytes);
        Memory memory = resume(folder.resolve("damaged"));
        assertTrue(memory.notes.getFirst().contains("checkpoint-0000006 is damaged and left out"), memory.notes.toString());
        assertTrue(memory.notes.get(1).endsWith("checkpoint-0000003"), memory.notes.toString());
        assertArrayEquals(Files.readAllBytes(folder.resolve("alone/model/model.safetensors")),
                Files.readAllBytes(folder.resolve("damaged/model/model.safetensors")));
    }

    /** Whatever a checkpoint says of itself is what was written, or it is damaged. */
    @Test
    void aCheckpointThatSaysAnythingElseIsDamaged() throws IOException {
        run(small(folder.resolve("run")));
        Path checkpoint = folder.resolve("run/checkpoint-0000006");
        Path state = checkpoint.resolve("trainer.json");
        String written = Files.readString(state);
        assertEquals(6, RunCheckpoints.position(checkpoint).step());
        ObjectMapper json = new ObjectMapper();
        List<String> names = new ArrayList<>();
        json.readTree(written).fieldNames().forEachRemaining(names::add);
        int damages = 0;
        for (boolean old : List.of(false, true)) { // older versions wrote no hash of the position
            for (String name : names) {
                for (String value : List.of("", "null", "21", "1e18", "-1", "\"6\"", "[]", "{}")) {
                    ObjectNode changed = (ObjectNode) json.readTree(written);
                    if (old) {
                        ((ObjectNode) changed.get("sha256")).remove("position");
                    }
                    changed.remove(name);
                    if (!value.isEmpty()) {
                        changed.set(name, json.readTree(value));
                    }
                    boolean isANumber = value.equals("21") || value.equals("1e18") || value.equals("-1") && !name.equals("step");
                    if (!old || !isANumber || name.equals("step") || name.equals("scale") || name.equals("sha256")) {
                        Files.writeString(state, changed.toString());
                        assertThrows(IOException.class, () -> RunCheckpoints.position(checkpoint), name + " " + value + " " + old);
                        damages++;
                    }
                }
            }
        }
        assertTrue(damages > 100, damages + "");
        Files.writeString(state, written);
        List<Path> files;
        try (var all = Files.list(checkpoint)) {
            files = all.filter(file -> !file.equals(state)).toList();
        }
        for (Path file : files) {
            byte[] bytes = Files.readAllBytes(file);
            Files.write(file, Arrays.copyOf(bytes, bytes.length - 1));
            assertEquals(file + " is not what was written", assertThrows(IOException.class, () -> RunCheckpoints.position(checkpoint)).getMessage());
            Files.delete(file);
            assertThrows(IOException.class, () -> RunCheckpoints.position(checkpoint), file.toString());
            Files.write(file, bytes);
        }
        assertEquals(6, RunCheckpoints.position(checkpoint).step());
    }

    @Test
    void aDamagedFolderIsPutAsideAndItsStepWrittenAgain() throws IOException {
        Map<String, String> values = small(folder.resolve("alone"));
        run(values);
        values.put("out", folder.resolve("damaged").toString());
        runAndKill(values, 7);
        Path newest = folder.resolve("damaged/checkpoint-0000006");
        Files.delete(newest.resolve("config.json"));
        Memory memory = resume(folder.resolve("damaged"));
        assertTrue(memory.notes.getFirst().endsWith("; it is checkpoint-0000006.damaged now"), memory.notes.toString());
        assertArrayEquals(Files.readAllBytes(folder.resolve("alone/checkpoint-0000006/trainer.json")), Files.readAllBytes(newest.resolve("trainer.json")));
        assertTrue(Files.exists(folder.resolve("damaged/checkpoint-0000006.damaged/trainer.safetensors")));
    }

    @Test
    void whatAKilledRunHadBegunToWriteIsTakenAway() throws IOException {
        Map<String, String> values = small(folder.resolve("run"));
        runAndKill(values, 5);
        Path begun = Files.createDirectories(folder.resolve("run/.checkpoint-0000006.tmp-0123"));
        Files.writeString(begun.resolve("config.json"), "{");
        Path doomed = Files.createDirectories(folder.resolve("run/.model.old-0123"));
        resume(folder.resolve("run"));
        assertFalse(Files.exists(begun) || Files.exists(doomed));
    }

    @Test
    void oldCheckpointsAreTakenAwayAndNothingHalfWrittenIsLeft() throws IOException {
        Map<String, String> values = small(folder.resolve("run"));
        values.put("checkpoint.every", "1");
        values.put("checkpoint.keep", "2");
        run(values);
        try (var files = Files.list(folder.resolve("run"))) {
            assertEquals(List.of(RunLock.FILE, "checkpoint-0000007", "checkpoint-0000008", "config.yaml", "metrics.jsonl", "model"),
                    files.map(file -> file.getFileName().toString()).filter(name -> !name.startsWith("events")).sorted().toList());
        }
    }

    @Test
    void trainingGoesOnFromACheckpoint() throws IOException {
        Map<String, String> values = small(folder.resolve("first"));
        values.put("steps", "60");
        values.put("checkpoint.every", "0");
        values.put("lr", "0.01");
        Memory first = run(values);
        Map<String, String> further = new LinkedHashMap<>(small(folder.resolve("second")));
        further.keySet().removeIf(key -> key.startsWith("model."));
        further.put("from", folder.resolve("first/model").toString());
        further.put("strategy.blocks.0", "lns");
        assertEquals("strategy.blocks.0 says what a model is, and the one of from is already what it is; leave one of them out",
                assertThrows(IllegalArgumentException.class, () -> run(further)).getMessage());
        further.remove("strategy.blocks.0");
        Memory second = run(further);
        assertTrue(first.lines.getLast().validation() < first.lines.getFirst().loss() - 0.5);
        assertEquals(first.lines.getLast().validation(), second.lines.getFirst().loss(), 0.4);
    }

    @Test
    void aLossScaleThatIsTooLargeFindsItsPlace() throws IOException {
        Map<String, String> values = small(folder.resolve("run"));
        values.put("steps", "60");
        values.put("checkpoint.every", "0");
        values.put("lr", "0.01");
        values.put("dtype", "f16");
        values.put("loss-scale", "1e15");
        values.put("loss-scale.every", "20");
        Memory memory = run(values);
        Metrics.Line last = memory.lines.getLast();
        assertTrue(last.lossScale() < 1e15 && last.lossScale() > 1, "the scale is " + last.lossScale());
        assertTrue(last.skipped() > 3 && last.skipped() < 40, last.skipped() + " steps were skipped");
        assertTrue(last.validation() < memory.lines.getFirst().loss() - 0.5, "it must learn");
        String line = Files.readAllLines(folder.resolve("run/metrics.jsonl")).getLast();
        assertTrue(line.contains("\"loss_scale\":" + last.lossScale() + ",\"skipped_steps\":" + last.skipped()), line);
    }

    @Test
    void aGradientThatOverflowsAtAnyScaleEndsTheRun() throws IOException {
        Map<String, String> values = small(folder.resolve("run"));
        values.put("dtype", "f16");
        values.put("steps", "200");
        values.put("init.deviation", "300"); // the way forward stays finite
        values.put("loss-scale", "1e-3");
        Memory memory = new Memory(-1);
        try (Trainer trainer = Trainer.begin(Configuration.of(values).run(), memory)) {
            assertEquals(Trainer.End.DIVERGED, trainer.run(), memory.notes.toString());
        }
    }

    static Map<String, Architecture> untrained() {
        Norm layer = Norm.of(NormKind.LAYER, 1e-5, Affine.GAIN_AND_BIAS);
        Norm rms = Norm.of(NormKind.RMS, 1e-5, Affine.GAIN);
        Norm bare = Norm.of(NormKind.CRMS, 1e-5, Affine.NONE);
        Embedding.Tokens tokens = Embedding.Tokens.of(DATA.vocabulary(), 8);
        Output.Words own = Output.Words.of(false);
        Block post = Block.of(Placement.POST, Wiring.SEQUENTIAL, rms, Attention.of(2, 4), Mlp.plain(12, Activation.GELU));
        Block pre = post.withPlacements(Placement.PRE, Placement.PRE).withNorm(bare);
        Architecture original = Architecture.of("test", 8, 12, tokens, List.of(post, post), Optional.of(rms), own);
        Architecture compressed = original.withBlocks(List.of(pre)).withStream(Stream.COMPRESSED).withFinalNorm(Optional.of(bare));
        Map<String, Architecture> all = new LinkedHashMap<>();
        all.put("a block that recentres its skip is a converted model's; train the original",
                original.withBlocks(List.of(post.withRecentre(true))));
        all.put("an embedding that is recentred behind its norm is a converted model's; train the original",
                original.withEmbedding(tokens.withNorm(Optional.of(layer), true)));
        all.put("a tied head that adds the table's means is a converted model's; train the original, or convert it with --untie",
                compressed.withEmbedding(tokens.withMeans(true)).withOutput(Output.Words.of(true)));
        all.put("a CRMSNorm with a gain gives more values than it takes and is not trained; train the original, or convert it with --untie",
                compressed.withFinalNorm(Optional.of(bare.withAffine(Affine.GAIN))));
        return all;
    }

    static Set<String> reasons() {
        return untrained().keySet();
    }

    /** What training would change in a converted model, or cannot go back through. */
    @ParameterizedTest
    @MethodSource("reasons")
    void aConvertedModelThatIsNotTrainedIsRefused(String reason) throws IOException {
        Architecture architecture = untrained().get(reason);
        Path model = Files.createDirectories(folder.resolve("model"));
        ModelWriter.write(model, Strategies.random(architecture), Isonorm.config(architecture, "test"), Isonorm.naming(), Dtype.F32);
        Map<String, String> values = small(folder.resolve("refused"));
        values.keySet().removeIf(key -> key.startsWith("model."));
        values.put("from", model.toString());
        String message = assertThrows(IllegalArgumentException.class, () -> Trainer.begin(Configuration.of(values).run(), new Memory(1)).close()).getMessage();
        assertEquals(reason, message);
        assertFalse(Files.exists(folder.resolve("refused")));
    }

    @Test
    void aRunThatDivergesEndsAndKeepsWhatItSaw() throws IOException {
        Map<String, String> values = small(folder.resolve("run"));
        values.put("lr", "1e6");
        values.put("clip", "0");
        values.put("warmup", "0");
        values.put("steps", "200");
        Memory memory = new Memory(-1);
        try (Trainer trainer = Trainer.begin(Configuration.of(values).run(), memory)) {
            assertEquals(Trainer.End.DIVERGED, trainer.run());
        }
        assertFalse(memory.notes.isEmpty());
        assertTrue(Files.size(folder.resolve("run/metrics.jsonl")) > 0);
    }

    @Test
    void combinationsThatSpoilEachOtherAreWarnedOf() throws IOException {
        Map<String, String> values = small(folder.resolve("run"));
        values.put("strategy", "lns");
        values.put("strategy.initialization", "scaled");
        Memory memory = new Memory(1);
        try (Trainer _ = Trainer.begin(Configuration.of(values).run(), memory)) {
            assertTrue(memory.notes.getFirst().startsWith("LayerNorm Scaling with scaled initialization loses its gain"), memory.notes.toString());
        }
    }

    @Test
    void wrongConfigurationsAreRefusedInOneLine() {
        assertEquals("there is no key stepz; did you mean steps?", refusal(Map.of("stepz", "3")));
        assertEquals("steps must be a whole number of 1 or more, got 0", refusal(Map.of("steps", "0")));
        assertEquals("optimizer must be adamw, adam, sgd or muon, got lion", refusal(Map.of("optimizer", "lion")));
        assertEquals("transfer must be completep or none, got mup", refusal(Map.of("transfer", "mup")));
        assertTrue(refusal(Map.of("transfer", "completep", "optimizer", "muon")).startsWith("CompleteP says how Adam's rate"));
        assertEquals("lr must be a number from 0.0 on, got fast", refusal(Map.of("lr", "fast")));
        assertTrue(refusal(Map.of("strategy", "peri-n")).startsWith("there is no strategy peri-n; did you mean peri-ln?"));
        assertTrue(refusal(Map.of("model.preset", "lama-60m")).startsWith("there is no preset lama-60m; did you mean llama-60m?"));
        assertEquals("model.width must be a multiple of model.heads, got 16 and 3", refusal(Map.of("model.heads", "3")));
        assertTrue(refusal(Map.of("strategy", "pre-crmsnorm", "strategy.scaling", "layerscale")).endsWith("take kind rmsnorm, or scaling skipinit"));
        assertEquals("there is no block 2 that could have another strategy; the model has blocks 0 to 1", refusal(Map.of("strategy.blocks.0,2", "lns")));
        assertTrue(refusal(Map.of("strategy", "pre-rmsnorm-equivalent", "strategy.blocks.1", "peri-ln"))
                .startsWith("equivalent training is for a Pre-LN model"));
        assertTrue(refusal(Map.of("dtype", "f8")).startsWith("dtype must be f32, bf16, f16, bf16-pure or f64, got f8"));
    }

    private String refusal(Map<String, String> other) {
        Map<String, String> values = small(folder.resolve("refused"));
        values.putAll(other);
        String message = assertThrows(IllegalArgumentException.class, () -> Trainer.begin(Configuration.of(values).run(), new Memory(1)).close()).getMessage();
        assertFalse(Files.exists(folder.resolve("refused")), "nothing is left of a run that could not begin");
        return message;
    }
}
