package isonorm.cli.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import isonorm.cli.Run;
import isonorm.cli.report.DepthReport;
import isonorm.cli.report.Provenance;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.ProgressBar;
import isonorm.cli.terminal.Version;
import isonorm.convert.LoadedModel;
import isonorm.weights.Fingerprint;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** {@code isonorm depth} on the GPT-2 of the examples: what it prints, the files it writes, and what it refuses. */
class DepthCommandTest {

    private static final Path EXAMPLE = Run.HOME.resolve("examples/shakespeare-gpt2");
    private static final int BLOCKS = 8;

    @TempDir
    Path folder;

    @Test
    void theReportHasEveryBlockPositionAndPair() throws Exception {
        Path out = folder.resolve("new/report");
        Run run = Run.of("depth", EXAMPLE, EXAMPLE, "--tokens", 1100, "--window", 128, "--sensitivity", "--sensitivity-tokens", 300, "--span", "2,5",
                "--out", out, "--quiet").ended(0);
        assertEquals("", run.err());
        JsonNode json = new ObjectMapper().readTree(out.resolve("report.json").toFile());
        assertEquals(2, json.path("checkpoints").size());
        assertEquals(1024, json.path("checkpoints").get(0).path("tokens").asLong()); // whole windows
        assertEquals(2 * 5 * BLOCKS, json.path("blocks").size());
        Set<String> positions = new TreeSet<>();
        for (JsonNode row : json.path("blocks")) {
            positions.add(row.path("position").asText());
            for (String name : List.of("mean", "variance", "rms", "max_abs", "p50", "p99", "p99.9", "kurtosis")) {
                assertTrue(row.path(name).isNumber(), name + " of " + row);
            }
            assertEquals(row.path("position").asText().endsWith("_output") && !row.path("position").asText().startsWith("block"), row.has("write_ratio"));
        }
        assertEquals(Set.of("block_input", "attention_norm", "attention_output", "mlp_output", "block_output"), positions);
        assertEquals(BLOCKS * (BLOCKS + 1), json.path("angular_distance").size());
        assertEquals(2 * (BLOCKS + (BLOCKS - 1) + (BLOCKS - 4)), json.path("sensitivity").size());
        assertEquals(2 * BLOCKS, json.path("influence").size());
        assertEquals(json.path("blocks").size() + 1, Files.readAllLines(out.resolve("blocks.csv")).size());
        assertEquals(json.path("angular_distance").size() + 1, Files.readAllLines(out.resolve("angular_distance.csv")).size());
        int images = 0;
        for (String name : Run.names(out)) {
            assertFalse(name.startsWith("."), name);
            if (name.endsWith(".svg")) {
                DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(new ByteArrayInputStream(Files.readAllBytes(out.resolve(name))));
                images++;
            }
        }
        assertEquals(19, images);
        assertTrue(run.out().contains("without it") && run.out().contains("The residual stream's variance"), run.out());
        String html = Files.readString(out.resolve("report.html"), StandardCharsets.UTF_8);
        requireAlone(html);
        requireOrigin(html, json, out);
    }

    /** A report says where it comes from, and leads to its other files and to what its measures are. */
    private static void requireOrigin(String html, JsonNode json, Path out) throws IOException {
        JsonNode made = json.path("made");
        assertEquals("isonorm depth " + EXAMPLE + " " + EXAMPLE + " --tokens 1100 --window 128 --sensitivity --sensitivity-tokens 300 --span 2,5 --out " + out + " --quiet",
                made.path("command").asText());
        assertEquals(Fingerprint.sha256(EXAMPLE.resolve("model.safetensors")), made.path("read").get(0).path("sha256").asText());
        assertEquals(Fingerprint.sha256(Run.HOME.resolve("examples/tinyshakespeare-heldout.txt")), made.path("read").get(2).path("sha256").asText());
        assertTrue(html.contains("<title>Depth of shakespeare-gpt2</title>") || html.contains("<title>Depth of " + EXAMPLE), "the subject's name");
        for (String said : List.of(made.path("command").asText(), made.path("processor").asText(), made.path("read").get(0).path("sha256").asText(), "isonorm " + Version.isonorm(),
                LocalDate.now(ZoneOffset.UTC).toString(), "/docs/depth.md\"")) {
            assertTrue(html.contains(said), said);
        }
        Matcher links = Pattern.compile("href=\"([^\"]+)\"").matcher(html.substring(0, html.indexOf("<script")));
        int terms = 0;
        while (links.find()) {
            String link = links.group(1);
            if (link.startsWith("#")) {
                assertTrue(html.contains("<dt id=\"" + link.substring(1) + "\">"), link);
                terms++;
            } else {
                assertTrue(link.startsWith("https://github.com/isonorm/isonorm/") || Files.exists(out.resolve(link)), link);
            }
        }
        assertTrue(terms > 10, "terms that are explained");
    }

    /** A page needs nothing but itself. */
    private static void requireAlone(String html) {
        assertTrue(html.startsWith("<!doctype html>") && html.endsWith("</html>") && !html.contains("{{"), "a whole page");
        String own = html.substring(0, html.indexOf("<script>")) + html.substring(html.lastIndexOf("<script>"));
        assertFalse(own.contains("src=") || own.contains("http:") || own.contains("url(") || own.contains("<link"), "what a page loads");
        assertTrue(html.contains("default-src 'none'"), "nothing may be loaded");
        for (String holder : List.of("The Apache Software Foundation", "Mike Bostock", "Baidu Inc.", "Microsoft Corporation")) {
            assertTrue(html.contains(holder), "the charts' script comes with the notice of " + holder);
        }
        assertTrue(html.contains("prefers-color-scheme") && html.contains("width=device-width"), "themes and phones");
    }

    @Test
    void oneCheckpointPrintsItsTable() {
        Run run = Run.of("depth", EXAMPLE, "--tokens", 512, "--compute", "bf16", "--quiet").ended(0);
        assertTrue(run.out().contains("512 tokens in windows of 256, computed in bf16"), run.out());
        assertTrue(run.out().lines().anyMatch(line -> line.matches("  7 +[0-9.]+ .*")), run.out());
        assertFalse(run.out().contains("without it"), run.out());
    }

    @Test
    void everyTypeSaysTheSame() throws IOException {
        double[] variance = new double[2];
        for (int i = 0; i < 2; i++) {
            JsonNode json = Run.of("depth", EXAMPLE, "--tokens", 512, "--compute", i == 0 ? "f64" : "f32", "--json").ended(0).json();
            variance[i] = json.path("blocks").get(5 * BLOCKS - 1).path("variance").asDouble();
        }
        assertEquals(variance[0], variance[1], 1e-5 * variance[0]);
    }

    /** The tokens are the text's own, so the numbers are. */
    @Test
    void aFolderOfTokensIsATextToo() throws IOException {
        Path text = Run.HOME.resolve("examples/tinyshakespeare-heldout.txt");
        Path tokens = folder.resolve("tokens");
        Run.of("data", "build", text, "--tokenizer", EXAMPLE, "--out", tokens, "--quiet").ended(0);
        JsonNode ofText = Run.of("depth", EXAMPLE, "--text", text, "--tokens", 512, "--json").ended(0).json();
        JsonNode ofTokens = Run.of("depth", EXAMPLE, "--text", tokens, "--tokens", 512, "--json").ended(0).json();
        assertEquals(ofText.path("blocks"), ofTokens.path("blocks"));
        Run.of("data", "build", text, "--tokenizer", "bytes", "--out", folder.resolve("bytes"), "--quiet").ended(0);
        refused(1, "was not tokenized as the model's texts were", EXAMPLE, "--text", folder.resolve("bytes"), "--tokens", 512);
    }

    @Test
    void theBasisOfEachBlockIsMeasured() throws IOException {
        Path out = folder.resolve("basis");
        JsonNode json = Run.of("depth", EXAMPLE, "--tokens", 256, "--window", 64, "--sensitivity-tokens", 256, "--basis", "--out", out, "--json").ended(0).json();
        assertEquals(BLOCKS + 1, json.path("basis").size());
        json.path("basis").forEach(row -> {
            assertTrue(row.path("effective_rank").asDouble() > 10 && row.path("effective_rank").asDouble() < 128, row.toString());
            assertTrue(row.path("rotated_kurtosis").asDouble() < 3.3 && row.path("largest_over_rms").asDouble() > 3, row.toString());
        });
        assertTrue(Files.exists(out.resolve("basis.csv")) && Files.exists(out.resolve("effective-rank.svg")));
        refused(1, "of a model of one stack", Run.fixture("t5"), "--basis");
    }

    @Test
    void gradientsAreMeasuredOfEveryPartOfEveryBlock() throws IOException {
        Path out = folder.resolve("report");
        JsonNode json = Run.of("depth", EXAMPLE, "--tokens", 256, "--window", 64, "--sensitivity-tokens", 128, "--gradients", "--out", out, "--json")
                .ended(0).json();
        assertEquals(6 * BLOCKS, json.path("gradients").size());
        Set<String> parts = new TreeSet<>();
        json.path("gradients").forEach(row -> {
            parts.add(row.path("parameter").asText());
            assertTrue(row.path("norm").asDouble() > 0, row.toString());
        });
        assertEquals(Set.of("attention.output", "attention.query_key_value", "attention_norm", "mlp.down", "mlp.up", "mlp_norm"), parts);
        assertTrue(Files.exists(out.resolve("gradients.csv")) && Files.exists(out.resolve("gradient-norms.svg")));
        refused(1, "this vit model reads images", Run.fixture("vit"), "--gradients");
    }

    @Test
    void ofExpertsIsSaidHowOftenEachIsChosen() throws IOException {
        Path model = withWords("mixtral", 160);
        Path text = text(160);
        Path out = folder.resolve("report");
        Run run = Run.of("depth", model, "--text", text, "--window", 20, "--out", out, "--quiet").ended(0);
        JsonNode json = new ObjectMapper().readTree(out.resolve("report.json").toFile());
        assertEquals(3 * 4, json.path("experts").size());
        assertEquals(3, json.path("expert_load").size());
        for (JsonNode load : json.path("expert_load")) {
            double shares = 0;
            for (JsonNode expert : json.path("experts")) {
                if (expert.path("block").equals(load.path("block"))) {
                    double share = expert.path("share").asDouble();
                    assertEquals(expert.path("chosen").asInt() / 200., share, 1e-12);
                    assertTrue(share <= load.path("most_share").asDouble() && share >= load.path("least_share").asDouble(), load.toString());
                    shares += share;
                }
            }
            assertEquals(2, shares, 1e-12); // of four, each token chooses two
            assertTrue(load.path("effective").asDouble() > 1 && load.path("effective").asDouble() <= 4, load.toString());
        }
        assertTrue(run.out().contains("most chosen") && run.out().contains("least chosen"), run.out());
        assertTrue(Files.readString(out.resolve("report.html")).contains("experts block by block"), "a table");
        for (String file : List.of("experts.csv", "expert_load.csv", "how-often-experts-are-chosen.svg", "effective-experts.svg")) {
            assertTrue(Files.exists(out.resolve(file)), file);
        }
        assertFalse(Run.of("depth", EXAMPLE, "--tokens", 512, "--quiet").ended(0).out().contains("most chosen"));
    }

    /** A fixture with a tokenizer of as many words as it has. */
    private Path withWords(String fixture, int count) throws IOException {
        Path model = Files.createDirectory(folder.resolve(fixture));
        for (String file : List.of("config.json", "model.safetensors")) {
            Files.copy(Run.fixture(fixture).resolve(file), model.resolve(file));
        }
        String words = IntStream.range(1, count).mapToObj(i -> "\"w" + i + "\": " + i).collect(Collectors.joining(", "));
        Files.writeString(model.resolve("tokenizer.json"), """
                {"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
                 "model": {"type": "WordLevel", "vocab": {"?": 0, %s}, "unk_token": "?"}}""".formatted(words));
        return model;
    }

    /** Two hundred of these words. */
    private Path text(int count) throws IOException {
        return Files.writeString(folder.resolve("text.txt"),
                new SplittableRandom(1).ints(200, 1, count).mapToObj(i -> "w" + i).collect(Collectors.joining(" ")));
    }

    @Test
    void ofTwoStacksEachHasItsRowsAndTables() throws IOException {
        Path out = folder.resolve("report");
        Run run = Run.of("depth", withWords("bart", 160), "--text", text(160), "--window", 21, "--out", out, "--quiet").ended(0);
        JsonNode json = new ObjectMapper().readTree(out.resolve("report.json").toFile());
        JsonNode checkpoints = json.path("checkpoints");
        assertEquals(List.of("encoder", "decoder"), checkpoints.findValuesAsText("stack"));
        assertEquals(List.of("bart", "bart"), checkpoints.findValuesAsText("checkpoint"));
        assertEquals(List.of("2", "3"), checkpoints.findValuesAsText("blocks"));
        assertEquals(List.of("20", "21"), checkpoints.findValuesAsText("window"));
        assertEquals(List.of("200", "210"), checkpoints.findValuesAsText("tokens"));
        assertEquals(List.of("text", "text"), checkpoints.findValuesAsText("read"));
        assertFalse(json.toString().contains("perplexity"), json.toString());
        assertEquals(2 * 5 + 3 * 6, json.path("blocks").size());
        json.path("blocks").forEach(row -> assertTrue(!row.path("position").asText().equals("cross_attention_output")
                || row.path("stack").asText().equals("decoder") && row.path("write_ratio").asDouble() > 0, row.toString()));
        assertEquals(3 + 6, json.path("angular_distance").size());
        assertEquals(9, json.path("angular_distance").findValuesAsText("stack").size());
        assertTrue(Files.readAllLines(out.resolve("blocks.csv")).getFirst().startsWith("checkpoint,stack,block,position"), "columns");
        assertTrue(run.out().contains("bart, encoder (bart, ") && run.out().contains("200 tokens in windows of 20")
                && run.out().contains("210 tokens in windows of 21") && run.out().contains("cross-attention / stream"), run.out());
        assertTrue(Files.readString(out.resolve("report.html")).contains("bart, decoder, block by block"), "a table");
        refused(1, "this bart model is an encoder beside a decoder", folder.resolve("bart"), "--text", folder.resolve("text.txt"), "--sensitivity");
        refused(1, "this model has 64 positions, got a window of 65", folder.resolve("bart"), "--text", folder.resolve("text.txt"), "--window", 65);
    }

    @Test
    void whatReadsImagesOrSoundsBesideATextIsGivenNoiseAndSaysSo() throws IOException {
        Path text = text(64);
        JsonNode towers = Run.of("depth", withWords("clip", 64), "--text", text, "--window", 8, "--json").ended(0).json();
        assertEquals(List.of("image tower", "text tower"), towers.path("checkpoints").findValuesAsText("stack"));
        assertEquals(List.of("noise", "text"), towers.path("checkpoints").findValuesAsText("read"));
        Run run = Run.of("depth", withWords("whisper", 160), "--text", text, "--window", 21, "--quiet").ended(0);
        assertTrue(run.out().contains("whisper, encoder (whisper, pre layernorm) on noise: 300 frames in sounds of 30"), run.out());
        assertTrue(run.out().contains("noise: normal numbers in the place of sounds"), run.out());
        assertTrue(run.out().contains("whisper, decoder (whisper, pre layernorm) on " + text + ": 210 tokens in windows of 21"), run.out());
    }

    @Test
    void namesThatLookLikeMarkupStayText() throws IOException {
        Path odd = folder.resolve("a<b>&c");
        Files.createDirectories(odd);
        for (String file : List.of("config.json", "model.safetensors", "tokenizer.json")) {
            Files.copy(EXAMPLE.resolve(file), odd.resolve(file));
        }
        Path out = folder.resolve("report");
        Run.of("depth", odd, odd, "--tokens", 256, "--out", out, "--quiet").ended(0);
        String html = Files.readString(out.resolve("report.html"));
        assertTrue(html.contains("a&lt;b&gt;&amp;c") && !html.contains("a<b>"), "escaped");
    }

    /** Without a block questions are answered as the model answers them that prune writes without it. */
    @Test
    void accuracyWithoutABlockIsThatOfThePrunedModel() throws IOException {
        StringBuilder lines = new StringBuilder();
        for (String name : List.of("ROMEO", "JULIET", "KING RICHARD III", "GLOUCESTER", "First Citizen", "MENENIUS")) {
            lines.append("{\"context\": \"").append(name).append(":\\nI am\", \"choices\": [\"not\", \"a\", \"zqxj\", \"the king\"], \"answer\": 0}\n");
            lines.append("{\"context\": \"").append(name).append(":\\nO\", \"choices\": [\"me\", \"lord\", \"my lord\"], \"answer\": 1}\n");
        }
        Path questions = Files.writeString(folder.resolve("questions.jsonl"), lines);
        Run run = Run.of("depth", EXAMPLE, "--tokens", 256, "--window", 64, "--sensitivity", "--sensitivity-tokens", 128, "--data", questions, "--delimiter", " ",
                "--out", folder.resolve("out"), "--quiet").ended(0);
        JsonNode json = new ObjectMapper().readTree(folder.resolve("out/report.json").toFile());
        JsonNode whole = Run.of("score", EXAMPLE, "--data", questions, "--delimiter", " ", "--json").ended(0).json();
        assertEquals(12, json.path("checkpoints").get(0).path("questions").asInt());
        assertTrue(run.words().contains(" of 12 questions; lowest without block "), run.out());
        Set<Double> seen = new TreeSet<>();
        for (JsonNode row : json.path("sensitivity")) {
            seen.add(row.path("accuracy").asDouble());
            if (row.path("block").asInt() == 5 && row.path("span").asInt() == 1 || row.path("block").asInt() == 0 && row.path("span").asInt() == 2) {
                Path out = folder.resolve("pruned-" + row.path("block") + "-" + row.path("span"));
                Run.of("prune", EXAMPLE, out, "--blocks", row.path("block").asInt() + "-" + (row.path("block").asInt() + row.path("span").asInt() - 1), "--tokens", 256,
                        "--quiet").ended(0);
                JsonNode pruned = Run.of("score", out, "--data", questions, "--delimiter", " ", "--json").ended(0).json();
                for (String name : List.of("accuracy", "normalized_accuracy")) {
                    assertEquals(whole.path(name), json.path("checkpoints").get(0).path(name));
                    assertEquals(pruned.path(name), row.path(name), name + " of " + row);
                    assertEquals(pruned.path(name).asDouble() - whole.path(name).asDouble(), row.path(name + "_change").asDouble(), 1e-12);
                }
            }
        }
        assertTrue(seen.size() > 1, "blocks do something: " + seen);
    }

    @Test
    void whatCannotBeMeasuredIsSaidInOneLine() throws IOException {
        Path text = Files.writeString(folder.resolve("text.txt"), "To be, or not to be");
        refused(1, "empty.txt is empty", EXAMPLE, "--text", Files.createFile(folder.resolve("empty.txt")));
        refused(1, "fewer than one window of 64; take a shorter window", EXAMPLE, "--text", text, "--window", 64);
        refused(1, "fewer than one window of 256", EXAMPLE, "--text", text);
        refused(1, "this model has 256 positions, got a window of 257", EXAMPLE, "--window", 257);
        refused(1, "this vit model reads images", Run.fixture("vit"));
        refused(1, "tokenizer.json does not exist", Run.fixture("gpt2"));
        refused(1, "no-text.txt does not exist", EXAMPLE, "--text", folder.resolve("no-text.txt"));
        refused(2, "--window must be --tokens at most", EXAMPLE, "--window", 100, "--tokens", 50);
        refused(2, "--data has the questions that --sensitivity asks without blocks; give both", EXAMPLE, "--data", text);
        refused(1, "no-questions.jsonl", EXAMPLE, "--sensitivity", "--data", folder.resolve("no-questions.jsonl"));
        refused(2, "--span says what --sensitivity removes", EXAMPLE, "--span", 2);
        refused(2, "--out must be a folder", EXAMPLE, "--out", text);
        refused(2, "got 'f33'; did you mean f32?", EXAMPLE, "--compute", "f33");
        refused(2, "CHECKPOINT");
    }

    @Test
    void fewTokensGiveNoVerdict() throws IOException {
        Run run = Run.of("depth", EXAMPLE, "--tokens", 10, "--quiet").ended(0);
        assertTrue(run.out().contains("No verdict from 10 tokens") && run.out().contains("it takes 1,000 or more."), run.out());
        assertFalse(run.out().contains("idle") || run.out().contains("sure"), run.out());
        JsonNode json = Run.of("depth", EXAMPLE, "--tokens", 10, "--json").ended(0).json().path("checkpoints").get(0);
        assertEquals("none", json.path("variance_growth").path("certainty").asText());
        assertEquals(0, json.path("idle_blocks").size());
        assertEquals(1000, json.path("tokens_for_a_verdict").asInt());
    }

    @Test
    void aFolderThatIsNoReportIsLeftAlone() throws IOException {
        Path checkpoint = Files.createDirectory(folder.resolve("checkpoint"));
        Files.writeString(checkpoint.resolve("config.json"), "{}");
        Files.writeString(checkpoint.resolve("report.json"), "{\"checkpoints\": []}");
        Files.writeString(checkpoint.resolve("report.html"), "");
        Path mine = Files.createDirectory(folder.resolve("mine"));
        Files.writeString(mine.resolve("notes.txt"), "mine");
        Path grid = Files.createDirectory(folder.resolve("grid")); // of isonorm compare
        Files.writeString(grid.resolve("report.json"), "{\"runs\": []}");
        Files.writeString(grid.resolve("report.html"), "");
        for (Path foreign : List.of(checkpoint, mine, grid)) {
            List<String> before = Run.names(foreign);
            refused(1, foreign + " is not empty and is no report of this command", EXAMPLE, "--out", foreign, "--tokens", 256);
            assertEquals(before, Run.names(foreign));
        }
    }

    @Test
    void whatWasMeasuredIsPrintedWhereItCannotBeWritten() throws IOException {
        Path out = folder.resolve("report");
        Run.of("depth", EXAMPLE, "--tokens", 256, "--out", out, "--quiet").ended(0);
        Run.of("depth", EXAMPLE, "--tokens", 256, "--out", out, "--quiet").ended(0); // its own report is replaced
        Files.delete(out.resolve("report.html"));
        Files.createDirectories(out.resolve("report.html/in the way"));
        Run run = Run.of("depth", EXAMPLE, "--tokens", 256, "--out", out, "--quiet").ended(1);
        assertTrue(run.out().contains("256 tokens in windows of 256") && run.out().contains("kurtosis"), run.out());
        assertFalse(run.out().contains("Written"), run.out());
        assertTrue(run.err().contains(out.resolve("report.html") + " cannot be written: "), run.err());
    }

    /** Not even root can write there. */
    @Test
    @EnabledOnOs(OS.LINUX)
    void aPlaceThatCannotBeWrittenIsFoundBeforeTheWork() {
        refused(1, "/proc/isonorm/report cannot be written: ", EXAMPLE, "--out", "/proc/isonorm/report");
        refused(1, "/ is not empty and is no report", EXAMPLE, "--out", "/");
    }

    @Test
    void positionsThatWereNeverTrainedAreWarnedOf() throws IOException {
        Path half = Run.HOME.resolve("isonorm-cli/src/test/resources/shakespeare-gpt2-by-pytorch"); // on windows of 128, of 256 positions
        Run run = Run.of("depth", half, "--tokens", 256, "--quiet").ended(0);
        assertEquals("warning: shakespeare-gpt2-by-pytorch was never trained on positions 128 and on, and what it computes there is no measure of it; 256 tokens at once reach "
                + "there, 128 do not\n", run.err());
        assertEquals("", Run.of("depth", half, "--tokens", 256, "--window", 128, "--quiet").ended(0).err());
        assertEquals("", Run.of("depth", EXAMPLE, "--tokens", 256, "--quiet").ended(0).err());
        Path text = Run.HOME.resolve("examples/tinyshakespeare-heldout.txt");
        String warning = "was never trained on positions 128 and on";
        for (List<Object> command : List.<List<Object>>of(
                List.of("eval", half, "--text", text, "--tokens", 256),
                List.of("prune", half, folder.resolve("pruned"), "--blocks", 3, "--tokens", 256),
                List.of("verify", half, half, "--text", text, "--tokens", 256),
                List.of("generate", half, "--prompt", "ROMEO:", "--max-tokens", 140, "--ignore-end"))) {
            assertTrue(Run.of(command.toArray()).ended(0).err().contains(warning), command.toString());
        }
        for (List<Object> command : List.<List<Object>>of(
                List.of("eval", half, "--text", text, "--tokens", 256, "--window", 128),
                List.of("prune", half, folder.resolve("other"), "--blocks", 3, "--tokens", 256, "--window", 128),
                List.of("generate", half, "--prompt", "ROMEO:", "--max-tokens", 20))) {
            assertFalse(Run.of(command.toArray()).ended(0).err().contains(warning), command.toString());
        }
    }

    /** Gigabytes of weights are hashed for a report that names them, and for no other one. */
    @Test
    void onlyWhatIsToldIsHashed() throws IOException {
        Depths depths = new Depths(Optional.empty(), 32, Optional.of(16), "f32", false, Optional.empty(), 32, Optional.empty(), "", false, false);
        for (boolean told : new boolean[] {false, true}) {
            DepthReport report = depths.measure(List.of(EXAMPLE.toString()), name -> LoadedModel.open(Path.of(name)), (_, _, _) -> {}, () -> {},
                    ProgressBar.on(Console.system(), true), List.of(), told);
            assertEquals(told ? List.of("checkpoint", "data") : List.of(), report.provenance().sources().stream().map(Provenance.Source::what).toList());
        }
        JsonNode json = Run.of("depth", EXAMPLE, "--tokens", 32, "--window", 16, "--json").ended(0).json();
        assertEquals(Fingerprint.sha256(EXAMPLE.resolve("model.safetensors")), json.path("made").path("read").path(0).path("sha256").asText(), json.path("made").toString());
    }

    private static void refused(int code, String message, Object... arguments) {
        Object[] all = new Object[arguments.length + 1];
        all[0] = "depth";
        System.arraycopy(arguments, 0, all, 1, arguments.length);
        Run run = Run.of(all).ended(code);
        assertEquals("", run.out());
        assertEquals(code, run.errors().size(), run.err()); // wrong usage also points to the help
        assertTrue(run.err().contains(message), run.err());
    }
}
