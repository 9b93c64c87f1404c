package isonorm.cli.commands;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import isonorm.cli.Main;
import isonorm.cli.Run;
import isonorm.cli.terminal.Console;
import isonorm.data.RunLock;
import isonorm.data.TokenData;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.stream.Stream;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code isonorm compare} on tiny models, which diverge at one of their rates. */
class CompareTest {

    @TempDir
    Path folder;

    @Test
    void aFolderThatIsNoGridIsLeftAloneAndNothingIsTrained() throws IOException {
        Path checkpoint = Files.createDirectory(folder.resolve("checkpoint"));
        Files.writeString(checkpoint.resolve("config.json"), "{}");
        Path mine = Files.createDirectory(folder.resolve("mine"));
        Files.writeString(mine.resolve("notes.txt"), "mine");
        Path run = Files.createDirectory(folder.resolve("run")); // of isonorm train
        Files.writeString(run.resolve("config.yaml"), "steps: 1");
        for (Path foreign : List.of(checkpoint, mine, run)) {
            List<String> before = Run.names(foreign);
            assertTrue(Run.of("compare", tiny(), "--out", foreign).ended(1).err().contains(foreign + " is not empty and is no report of this command"));
            assertEquals(before, Run.names(foreign));
        }
    }

    @Test
    void whatWasLearnedIsPrintedWhereItCannotBeWritten() throws IOException {
        Path out = folder.resolve("out");
        Object[] command = {"compare", tiny(), "strategy=pre-ln", "lr=1e-2", "seed=1", "--out", out, "--quiet"};
        Run.of(command).ended(0);
        Files.delete(out.resolve("report.html"));
        Files.createDirectories(out.resolve("report.html/in the way"));
        Run run = Run.of(command).ended(1);
        assertTrue(run.out().contains("validation loss"), run.out());
        assertTrue(run.err().contains(out.resolve("report.html") + " cannot be written: "), run.err());
    }

    private Path tiny() throws IOException {
        return Run.tinyGrid(folder);
    }

    @Test
    void theReportHasEveryRunAndPlotAndTheSameCommandKeepsThem() throws Exception {
        Path out = folder.resolve("new/out");
        Run run = Run.of("compare", tiny(), "--out", out).ended(0);
        assertTrue(run.out().contains("8 runs in " + out + ": strategy (pre-ln, lns) x lr (0.01, 1000) x seed (1, 2); 6 steps of 2 examples each"), run.out());
        assertTrue(run.out().contains("1/8  pre-ln, lr 0.01, seed 1: validation loss 5."), run.out());
        assertTrue(run.out().lines().anyMatch(line -> line.matches("  lns +1000 +- +- +- +- +- +2 of 2 +0 of 2")), run.out());
        assertTrue(run.out().contains("Nothing wins: none learned more than how frequent tokens are") && run.out().contains("4 of 8 runs diverged"), run.out());

        JsonNode json = new ObjectMapper().readTree(out.resolve("report.json").toFile());
        assertEquals(8, json.path("runs").size());
        assertEquals(4, json.path("summary").size());
        assertEquals(8 * 2 * 3, json.path("variance").size());
        assertEquals(8 * 2 * 6, json.path("angular_distance").size());
        assertEquals(8 * 3, json.path("gradients").size());
        assertTrue(json.at("/gradients/0/gradient_norm").asDouble() > 0 && json.at("/runs/0/spike_score_loss").isNumber(), json.path("gradients").toString());
        for (String list : List.of("summary", "runs", "curves", "variance", "angular_distance", "gradients")) {
            assertEquals(json.path(list).size() + 1, Files.readAllLines(out.resolve(list + ".csv")).size(), list);
        }

        List<String> plots = new ArrayList<>(List.of("loss-against-learning-rate", "difference-from-the-lowest-validation-loss"));
        for (String where : List.of("each-at-its-best-rate", "lr-0.01", "lr-1000")) {
            for (String what : List.of("validation-loss", "training-loss", "gradient-norm", "variance-of-the-residual-stream", "angular-distance-of-each-block")) {
                plots.add(what + "-" + where);
            }
        }
        for (String rate : List.of("0.01", "1000")) {
            for (String strategy : List.of("pre-ln", "lns")) {
                plots.add("angular-distance-" + strategy + "-lr-" + rate + (rate.equals("1000") ? "-diverged" : ""));
            }
        }
        plots.add("angular-distance-pre-ln-before-training");
        plots.add("angular-distance-lns-before-training");
        Collections.sort(plots);
        assertEquals(plots, Run.names(out).stream().filter(name -> name.endsWith(".svg")).map(name -> name.replace(".svg", "")).sorted().toList());
        for (String plot : plots) {
            DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(new ByteArrayInputStream(Files.readAllBytes(out.resolve(plot + ".svg"))));
        }
        String html = Files.readString(out.resolve("report.html"));
        for (String title : List.of("Validation loss, lr 0.01", "Loss against learning rate", "Variance of the residual stream, lr 1000", "Angular distance, lns, lr 0.01")) {
            assertTrue(html.contains("\"title\":\"" + title + "\""), title);
        }
        assertTrue(html.contains("lns, seed 2, diverged") && html.contains("echarts"), "every run is drawn");
        String learning = html.substring(html.indexOf("<script id=\"plots\""));
        assertTrue(learning.indexOf("\"title\":\"Validation loss, each at its best rate\"") < learning.indexOf("\"title\":\"Validation loss, lr"), "opens on the best rates");
        assertTrue(learning.contains("\"spread\":\"band\"") && learning.contains("\"spread\":\"bars\""), "seeds are a mean with a band, and error bars");
        assertTrue(html.indexOf("<h2>Verdicts</h2>") < html.indexOf("<h2>In sentences</h2>"), "verdicts before sentences");
        String runs = html.substring(html.indexOf("<h2>Runs</h2>"), html.indexOf("How it was made"));
        assertEquals(8 + 1, runs.split("<tr>").length - 1, "a row for each run");
        assertTrue(runs.contains(">pre-ln-lr-0.01-seed-2</td><td class=\"words\">pre-ln</td><td>0.01</td><td>2</td>") && runs.contains(">diverged</td>"), runs);
        assertTrue(html.contains("<title>Comparison of pre-ln, lns</title>"), "who is compared");
        assertEquals(TokenData.shakespeareSha256(), json.path("made").path("read").get(0).path("sha256").asText());

        Run again = Run.of("compare", tiny(), "--out", out).ended(0);
        assertTrue(again.out().contains("8/8  lns, lr 1000, seed 2: diverged at step") && again.out().contains("kept from before"), again.out());
        assertEquals(results(run.out()), results(again.out()));
        assertEquals(json.path("findings"), Run.of("compare", tiny(), "--out", out, "--json").ended(0).json().path("findings"));
    }

    /** The table and what follows. */
    private static String results(String out) {
        return out.substring(out.indexOf("\n\n"));
    }

    @Test
    void onATerminalTheTableChangesAndGoesAway() throws IOException {
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        Console console = new Console(new PrintStream(new ByteArrayOutputStream(), true, StandardCharsets.UTF_8),
                new PrintStream(err, true, StandardCharsets.UTF_8), true, false);
        assertEquals(0, Main.run(console, "compare", tiny().toString(), "lr=0.01", "seed=1", "--out", folder.resolve("out").toString()));
        String shown = err.toString(StandardCharsets.UTF_8);
        assertTrue(shown.contains("0 of 2 runs") && shown.contains("\r\033[K  lns     validation loss") && shown.endsWith("\033[3A\r\033[J"), shown);
    }

    @Test
    void whatIsAskedForInWordsIsAGridToo() {
        String out = Run.of("compare", "strategy=lns,deepnorm", "lr=1e-3", "seed=3", "model.blocks=2,4", "--list").ended(0).out();
        assertEquals(List.of("lns, 2 blocks", "lns, 4 blocks", "deepnorm, 2 blocks", "deepnorm, 4 blocks"), out.lines().toList());
        assertEquals("lns", Run.of("compare", "strategy=lns", "--list").ended(0).out().strip(), "no axis is there that nobody named");
        assertEquals(8, Run.of("compare", "small", "strategy=lns,deepnorm", "--list").ended(0).out().lines().count());
        String yaml = Run.of("compare", "--list").ended(0).out();
        assertTrue(yaml.contains("strategy: [post-ln, pre-ln, peri-ln, lns]") && yaml.contains("# peri-ln, lr"), yaml);
    }

    @Test
    void aRunOfAGridIsWhatTrainDoesWithTheSameWords() throws IOException {
        List<String> words = List.of("strategy=lns", "steps=3", "model.width=16", "model.heads=2", "model.blocks=2", "batch=2", "sequence=16", "lr=1e-2", "log.every=1",
                "eval.every=3", "eval.batches=1", "threads=1");
        Path out = folder.resolve("out");
        Path run = folder.resolve("run");
        Run.of(Stream.of(List.of("compare"), words, List.of("--out", out, "--quiet")).flatMap(List::stream).toArray()).ended(0);
        Run.of(Stream.of(List.of("train"), words, List.of("out=" + run, "--quiet")).flatMap(List::stream).toArray()).ended(0);
        assertArrayEquals(Files.readAllBytes(run.resolve("model/model.safetensors")), Files.readAllBytes(out.resolve("lns/model/model.safetensors")));
        assertEquals(Files.readString(run.resolve("config.yaml")), Files.readString(out.resolve("lns/config.yaml")).replace(out.resolve("lns").toString(), run.toString()));
    }

    @Test
    void aGridIsTrainedOnATextAndOnNoOtherOne() throws IOException {
        Path out = folder.resolve("out");
        Path table = Files.writeString(folder.resolve("a.csv"), "body\n" + "It has some lines and they are much alike.\n".repeat(200));
        Object[] words = {"compare", "strategy=lns", "steps=1", "model.width=16", "model.heads=2", "model.blocks=2", "batch=2", "sequence=16", "eval.every=1", "eval.batches=1",
                "threads=1", "data=" + table, "column=body", "--out", out};
        assertTrue(Run.of(words).ended(0).err().contains(table + " as tokens is in " + out + "-tokens: "));
        assertFalse(Run.of(words).ended(0).err().contains(" as tokens is in "));
        Files.writeString(table, "body\n" + "It has other lines that are much alike too.\n".repeat(200));
        assertTrue(Run.of(words).ended(1).err().contains(out + " has runs on another text than " + table + " is now; take another folder"));
        words[words.length - 1] = Files.move(out, folder.resolve("other")).resolveSibling("out");
        assertTrue(Run.of(words).ended(0).err().contains(" as tokens is in "), "of what it is now");
    }

    @Test
    void whatIsNoGridIsSaidInOneLine() throws IOException {
        Path out = folder.resolve("out");
        refused(2, "there is no key stepz; did you mean steps?", tiny(), "stepz=3");
        refused(2, "there is no key model.blocs; did you mean model.blocks?", Files.writeString(folder.resolve("typo.yaml"), "model: {blocs: [1, 2]}"));
        refused(2, "steps must have one value in a grid, got 2", tiny(), "steps=3,4");
        refused(2, "'nothing' is no file and no key=value", "nothing");
        refused(2, "--jobs must be 1 to", tiny(), "--jobs", 0);
        refused(2, "there is no strategy peri-n; did you mean peri-ln?", tiny(), "strategy=peri-n,lns");
        refused(1, folder.resolve("no.yaml") + " does not exist", folder.resolve("no.yaml"));
        refused(1, "is no YAML", Files.writeString(folder.resolve("broken.yaml"), "lr: [1"));
        assertFalse(Files.exists(out));
        Files.createDirectories(out.resolve("pre-ln-lr-0.01-seed-1/mine"));
        refused(1, "pre-ln-lr-0.01-seed-1 is damaged", tiny());
    }

    @Test
    void aFolderThatAnotherOneIsAtWorkInIsRefused() throws IOException {
        try (RunLock _ = RunLock.of(folder.resolve("out"))) {
            refused(1, "another isonorm is at work in " + folder.resolve("out"), tiny());
        }
    }

    private void refused(int code, String message, Object... arguments) {
        List<Object> all = new ArrayList<>(List.of("compare", "--out", folder.resolve("out")));
        all.addAll(List.of(arguments));
        Run run = Run.of(all.toArray()).ended(code);
        assertEquals("", run.out());
        assertEquals(code, run.errors().size(), run.err()); // wrong usage also points to the help
        assertTrue(run.err().contains(message), run.err());
    }
}
