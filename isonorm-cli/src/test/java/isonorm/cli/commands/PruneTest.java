package isonorm.cli.commands;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import isonorm.architecture.Embedding;
import isonorm.cli.Run;
import isonorm.convert.Conversion;
import isonorm.convert.Form;
import isonorm.convert.LoadedModel;
import isonorm.convert.Pruning;
import isonorm.layer.ForwardPass;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Result;
import isonorm.weights.Model;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.IntPredicate;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@code isonorm prune}: what is left is the model with blocks passed over, and says so in its family's words. */
class PruneTest {

    private static final Path EXAMPLE = Run.HOME.resolve("examples/shakespeare-gpt2");

    @TempDir
    Path folder;

    private static double[] outputs(LoadedModel model, IntPredicate some) throws IOException {
        Batch batch = switch (Model.of(model.model()).architecture().embedding()) {
            case Embedding.Tokens tokens -> Batch.Tokens.of(LongStream.range(1, 12).map(i -> i * i % tokens.vocabulary()).toArray());
            case Embedding.Patches patches -> new Batch.Images(image(patches.channels() * patches.height() * patches.width()), 1, patches.channels(),
                    patches.height(), patches.width());
            case Embedding.Sound sound -> throw new IllegalArgumentException("sounds are not pruned here: " + sound);
        };
        try (ForwardPass pass = ForwardPass.resident(Model.of(model.model()), Compute.F64); Result result = pass.run(batch, some)) {
            return result.outputValues();
        }
    }

    private static float[] image(int size) {
        float[] values = new float[size];
        for (int i = 0; i < size; i++) {
            values[i] = (float) Math.sin(i);
        }
        return values;
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            gpt2         | 1   | n_layer: 2
            gpt2-bf16    | 0,2 | n_layer: 1
            gpt_neo      | 0,2 | num_layers: 2; attention_layers: ["local","local"]; attention_types: [[["local","local"],1]]
            gpt_neox-sharded | 2 | num_hidden_layers: 2
            bloom        | 1   | n_layer: 2
            llama        | 0   | num_hidden_layers: 2
            qwen2-window | 0   | num_hidden_layers: 2; max_window_layers: 0; layer_types: ["sliding_attention","sliding_attention"]
            gemma2       | 1,2 | num_hidden_layers: 2; layer_types: ["sliding_attention","full_attention"]
            gemma3_text  | 2,4 | num_hidden_layers: 4; layer_types: ["sliding_attention","sliding_attention","sliding_attention","full_attention"]
            olmo2        | 1   | num_hidden_layers: 2
            mpt          | 1   | n_layers: 2
            falcon       | 1   | num_hidden_layers: 2
            opt          | 0   | num_hidden_layers: 2
            bert         | 1   | num_hidden_layers: 2
            vit          | 1   | num_hidden_layers: 2
            """)
    void whatIsLeftIsTheModelWithItsBlocksPassedOver(String name, String blocks, String keys) throws IOException {
        LoadedModel source = LoadedModel.open(Run.fixture(name));
        Set<Integer> removed = new TreeSet<>(List.of(blocks.split(",")).stream().map(Integer::valueOf).toList());
        Path out = folder.resolve("out");
        Run.of("prune", Run.fixture(name), out, "--blocks", blocks, "--quiet").ended(0);
        LoadedModel pruned = LoadedModel.open(out);
        double[] left = outputs(pruned, _ -> true);
        assertArrayEquals(outputs(source, block -> !removed.contains(block)), left);
        assertFalse(Arrays.equals(outputs(source, _ -> true), left), "something was removed");
        JsonNode config = new ObjectMapper().readTree(out.resolve("config.json").toFile());
        for (String key : keys.split("; ")) {
            assertEquals(key.split(": ")[1], config.path(key.split(": ")[0]).toString(), key);
        }
        assertEquals(source.config().textOr("", "model_type"), config.path("model_type").asText());
        for (Path companion : source.checkpoint().companionFiles()) {
            assertArrayEquals(Files.readAllBytes(companion), Files.readAllBytes(out.resolve(companion.getFileName())));
        }
    }

    @Test
    void aBackboneNamesNoStageThatIsGone() throws IOException {
        Path out = folder.resolve("out");
        Run.of("prune", Run.fixture("dinov2"), out, "--blocks", 2, "--quiet").ended(0);
        JsonNode config = new ObjectMapper().readTree(out.resolve("config.json").toFile());
        assertFalse(config.has("stage_names") || config.has("out_features") || config.has("out_indices"), config.toString());
    }

    @Test
    void aConvertedModelIsPrunedInItsForm() throws IOException {
        Path converted = folder.resolve("converted");
        Conversion.of(LoadedModel.open(EXAMPLE), Form.PRE_CRMSNORM).writeTo(converted, Progress.NONE);
        Path out = folder.resolve("out");
        Run.of("prune", converted, out, "--blocks", "3,5-6", "--tokens", 256, "--quiet").ended(0);
        Set<Integer> removed = Set.of(3, 5, 6);
        assertArrayEquals(outputs(LoadedModel.open(converted), block -> !removed.contains(block)), outputs(LoadedModel.open(out), _ -> true));
        Run.of("convert", out, folder.resolve("back"), "--to", "pre-ln", "--no-verify", "--quiet").ended(0);
        assertEquals(5, Model.of(LoadedModel.open(folder.resolve("back")).model()).architecture().blocks().size());
    }

    @Test
    void theTextIsReadInWindowsOfALengthThatIsSaid() throws IOException {
        Run run = Run.of("prune", EXAMPLE, folder.resolve("a"), "--blocks", 6, "--tokens", 257, "--quiet").ended(0);
        assertTrue(run.out().contains(" in windows of 256"), run.out());
        assertTrue(run.words().contains("Perplexity does not show what generation loses: each token is predicted from a text that is right until there"), run.out());
        JsonNode json = Run.of("prune", EXAMPLE, folder.resolve("b"), "--blocks", 6, "--tokens", 257, "--window", 64, "--json").ended(0).json();
        assertEquals(64, json.path("window").asInt());
        assertEquals(256, json.path("predicted_tokens").asInt());
        assertTrue(Run.of("prune", EXAMPLE, folder.resolve("c"), "--blocks", 6, "--window", 257).ended(1).err()
                .contains("this model has 256 positions, got a window of 257"));
        assertTrue(Run.of("prune", EXAMPLE, folder.resolve("c"), "--blocks", 6, "--window", 64, "--tokens", 63).ended(2).err().contains("--window must be"));
    }

    @Test
    @EnabledOnOs(OS.LINUX)
    void aPlaceThatCannotBeWrittenIsFoundBeforeTheWork() {
        Run run = Run.of("prune", EXAMPLE, "/proc/isonorm/out", "--count", 2).ended(1);
        assertEquals("", run.out());
        assertEquals(1, run.errors().size(), run.err());
        assertTrue(run.err().contains("/proc/isonorm/out cannot be written: "), run.err());
    }

    /** A limit of the size of files stands for a full disk. */
    @Test
    @DisabledOnOs(OS.WINDOWS)
    void whatWasMeasuredIsPrintedWhereItCannotBeWritten() throws IOException, InterruptedException {
        Path out = folder.resolve("out");
        Process process = new ProcessBuilder("sh", "-c", "ulimit -f 2048; exec \"$@\"", "sh", Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "@" + Run.HOME.resolve("isonorm-engine/src/main/resources/isonorm/jvm.args"), "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-cp", System.getProperty("java.class.path"),
                "isonorm.cli.Main", "prune", EXAMPLE.toString(), out.toString(), "--count", "2", "--tokens", "128", "--window", "64", "--quiet").redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(1, process.waitFor(), output);
        assertTrue(output.contains("to be removed") && output.contains("chosen by angular") && output.contains(" after"), output);
        assertTrue(output.contains(".out.tmp-") && output.contains("model.safetensors") && output.contains("File too large"), output);
        assertFalse(Files.exists(out));
    }

    /** Attention in gpt2-untied is scaled by one over the block's number, and no other number has the same scale. */
    @Test
    void whatFollowsFromABlocksNumberIsKeptOrRefused() throws IOException {
        LoadedModel source = LoadedModel.open(Run.fixture("gpt2-untied"));
        assertArrayEquals(outputs(source, block -> block < 2), outputs(opened(Pruning.of(source, List.of(2))), _ -> true));
        String err = Run.of("prune", Run.fixture("gpt2-untied"), folder.resolve("no"), "--blocks", 0).ended(1).err();
        assertTrue(err.contains("says what block 1 is by its number, and as block 0 it would be another") && err.lines().count() == 1, err);
        assertFalse(Files.exists(folder.resolve("no")));
    }

    private LoadedModel opened(Pruning pruning) throws IOException {
        pruning.writeTo(folder.resolve("pruned"), Progress.NONE);
        return LoadedModel.open(folder.resolve("pruned"));
    }

    @Test
    void blocksAreChosenByEachMeasure() throws IOException {
        JsonNode depth = Run.of("depth", EXAMPLE, "--tokens", 256, "--sensitivity", "--sensitivity-tokens", 256, "--span", 4, "--json").ended(0).json();
        int nearest = -1;
        double distance = 1;
        for (JsonNode row : depth.path("angular_distance")) {
            if (row.path("span").asInt() == 4 && row.path("distance").asDouble() < distance) {
                distance = row.path("distance").asDouble();
                nearest = row.path("block").asInt();
            }
        }
        int cheapest = -1;
        double lowest = Double.POSITIVE_INFINITY;
        for (JsonNode row : depth.path("sensitivity")) {
            if (row.path("span").asInt() == 4 && row.path("perplexity").asDouble() < lowest) {
                lowest = row.path("perplexity").asDouble();
                cheapest = row.path("block").asInt();
            }
        }
        JsonNode angular = Run.of("prune", EXAMPLE, folder.resolve("a"), "--count", 4, "--tokens", 256, "--json").ended(0).json();
        assertEquals(four(nearest), angular.path("removed_blocks").toString());
        JsonNode sensitivity =
                Run.of("prune", EXAMPLE, folder.resolve("s"), "--count", 4, "--by", "sensitivity", "--tokens", 256, "--json").ended(0).json();
        assertEquals(four(cheapest), sensitivity.path("removed_blocks").toString());
        assertEquals(lowest, sensitivity.path("perplexity_after").asDouble(), 1e-4 * lowest);
        Run influence = Run.of("prune", EXAMPLE, folder.resolve("i"), "--count", 4, "--by", "influence", "--tokens", 256, "--quiet").ended(0);
        assertTrue(influence.out().contains("chosen by influence") && influence.out().contains("255 tokens of the embedded sample"), influence.out());
    }

    private static String four(int first) {
        return "[" + first + "," + (first + 1) + "," + (first + 2) + "," + (first + 3) + "]";
    }

    @Test
    void whatWasPrunedIsHealed() throws IOException {
        Path text = Run.HOME.resolve("examples/tinyshakespeare-heldout.txt");
        JsonNode healed = Run.of("prune", EXAMPLE, folder.resolve("out"), "--blocks", 1, "--text", text, "--tokens", 256, "--heal", 1, "--json").ended(0).json();
        assertTrue(healed.path("perplexity_healed").asDouble() < healed.path("perplexity_after").asDouble(), healed.toString());
        assertEquals(7, Model.of(LoadedModel.open(folder.resolve("out")).model()).architecture().blocks().size());
        assertEquals("[config.json, generation_config.json, model.safetensors, report.json, tokenizer.json, tokenizer_config.json]",
                Run.names(folder.resolve("out")).stream().filter(name -> !name.equals("training.json")).toList().toString());
    }

    /** Perplexities of what is healed are of the last tenth of the text, and blocks are chosen on the rest. */
    @Test
    void whatIsHealedIsMeasuredOnWhatItNeverLearnedFrom() throws IOException {
        String lines = Files.readString(Run.HOME.resolve("examples/tinyshakespeare-heldout.txt")).substring(0, 20_000);
        Path noise = Files.writeString(folder.resolve("noise.txt"), lines + "z q x j k v w ".repeat(1000));
        JsonNode ofNoise = healed(noise, folder.resolve("a"));
        Path own = Files.writeString(folder.resolve("own.txt"), lines);
        JsonNode ofOwn = healed(own, folder.resolve("b"));
        assertTrue(ofNoise.path("perplexity_before").asDouble() > 10 * ofOwn.path("perplexity_before").asDouble(), ofNoise + " and " + ofOwn);
        assertEquals(List.of("a", "b", "noise.txt", "own.txt"), Run.names(folder));
        Path tokens = folder.resolve("tokens");
        Run.of("data", "build", own, "--tokenizer", EXAMPLE, "--out", tokens, "--validation", "0", "--quiet").ended(0);
        refused(1, tokens + " has 0 tokens for validation", EXAMPLE, folder.resolve("c"), "--blocks", 1, "--text", tokens, "--heal", 1);
    }

    @Test
    @DisabledOnOs(OS.WINDOWS) // which ends a process at once
    void aSignalLeavesWhatIsHealedUntilThen() throws Exception {
        Path out = folder.resolve("out");
        Path text = Files.writeString(folder.resolve("text.txt"), Files.readString(Run.HOME.resolve("examples/tinyshakespeare-heldout.txt")).substring(0, 20_000));
        Process process = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "@" + Run.HOME.resolve("isonorm-engine/src/main/resources/isonorm/jvm.args"), "-XX:TieredStopAtLevel=1", "-cp",
                System.getProperty("java.class.path"), "isonorm.cli.Main", "prune", EXAMPLE.toString(), out.toString(), "--blocks", "1", "--text", text.toString(),
                "--tokens", "128", "--window", "64", "--heal", "1000000").redirectErrorStream(true).start();
        for (int wait = 0; wait < 600 && process.isAlive() && !begun(); wait++) {
            Thread.sleep(50);
        }
        process.toHandle().destroy(); // SIGTERM; that of the process would close its output too
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(143, process.waitFor(), said);
        assertTrue(said.contains("ending with the next step of healing"), said);
        assertTrue(said.replaceAll("\\s+", " ").matches("(?s).*Interrupted: \\d+ of 1000000 steps. More of them: isonorm train --from " + out
                + " data=" + text + " steps=\\d+ lr=0.0001 ?"), said);
        Run.of("info", out).ended(0);
    }

    /** Whether there is a run in any folder. */
    private boolean begun() throws IOException {
        try (Stream<Path> files = Files.find(folder, 5, (file, _) -> file.endsWith("config.yaml"))) {
            return files.findAny().isPresent();
        } catch (UncheckedIOException e) {
            return false; // a folder went away meanwhile
        }
    }

    /** A folder of tokens is a text too, and the tokens are the same. */
    @Test
    void whatWasPrunedIsHealedOnTokens() throws IOException {
        Path text = Run.HOME.resolve("examples/tinyshakespeare-heldout.txt");
        Path tokens = folder.resolve("tokens");
        Run.of("data", "build", text, "--tokenizer", EXAMPLE, "--out", tokens, "--validation", "0.1", "--quiet").ended(0);
        JsonNode ofTokens = healed(tokens, folder.resolve("a"));
        assertTrue(ofTokens.path("perplexity_healed").asDouble() < ofTokens.path("perplexity_after").asDouble(), ofTokens.toString());
        JsonNode ofText = healed(text, folder.resolve("b"));
        assertEquals(ofText.path("perplexity_after"), ofTokens.path("perplexity_after"));
        assertEquals(7, Model.of(LoadedModel.open(folder.resolve("a")).model()).architecture().blocks().size());
        Run.of("data", "build", text, "--tokenizer", "bytes", "--out", folder.resolve("bytes"), "--quiet").ended(0);
        refused(1, "was not tokenized as the model's texts were", EXAMPLE, folder.resolve("c"), "--blocks", 1, "--text", folder.resolve("bytes"), "--heal", 1);
    }

    private static JsonNode healed(Path text, Path out) throws IOException {
        return Run.of("prune", EXAMPLE, out, "--blocks", 1, "--text", text, "--tokens", 256, "--heal", 1, "--json").ended(0).json();
    }

    @Test
    void whatCannotBePrunedIsSaidInOneLine() throws IOException {
        Path out = folder.resolve("out");
        refused(1, "this bart model has two: name blocks of its decoder with --blocks, without --text", Run.fixture("bart"), out, "--count", 1);
        refused(1, "this clip model has two: name blocks of its text tower with --blocks", Run.fixture("clip"), out, "--count", 1);
        refused(1, "there is no block 8; this model has blocks 0 to 7", EXAMPLE, out, "--blocks", "6-8");
        refused(1, "no block would be left; this model has 8", EXAMPLE, out, "--blocks", "0-7");
        refused(1, "no block would be left; this model has 8", EXAMPLE, out, "--count", 8);
        refused(2, "name the blocks with --blocks, or have them chosen with --count", EXAMPLE, out);
        refused(2, "not both", EXAMPLE, out, "--count", 2, "--blocks", 1);
        refused(2, "--blocks must be numbers and ranges such as 3,5,9-11, got '5-3'", EXAMPLE, out, "--blocks", "5-3");
        refused(2, "got '1,,2'", EXAMPLE, out, "--blocks", "1,,2");
        refused(2, "got 'angulr'; did you mean angular?", EXAMPLE, out, "--count", 2, "--by", "angulr");
        refused(2, "--by says how --count chooses", EXAMPLE, out, "--blocks", 2, "--by", "angular");
        refused(2, "--heal learns from a text", EXAMPLE, out, "--blocks", 2, "--heal", 5);
        refused(1, folder + " exists already", EXAMPLE, folder, "--blocks", 2);
        refused(1, "this vit model reads images", Run.fixture("vit"), out, "--count", 1);
        refused(1, "no-text.txt does not exist", EXAMPLE, out, "--blocks", 1, "--text", folder.resolve("no-text.txt"));
        assertFalse(Files.exists(out));
    }

    private static void refused(int code, String message, Object... arguments) {
        Object[] all = new Object[arguments.length + 1];
        all[0] = "prune";
        System.arraycopy(arguments, 0, all, 1, arguments.length);
        Run run = Run.of(all).ended(code);
        assertEquals("", run.out());
        assertEquals(code, run.errors().size(), run.err()); // wrong usage also points to the help
        assertTrue(run.err().contains(message), run.err());
    }
}
