package isonorm.cli.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import isonorm.cli.Run;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** {@code isonorm train} and {@code isonorm bench train}. */
class TrainTest {

    @TempDir
    Path folder;

    private Path tiny() throws IOException {
        return Files.writeString(folder.resolve("tiny.yaml"), """
                strategy: {name: pre-ln, scaling: lns}
                model:
                  width: 16
                  blocks: 2
                  heads: 2
                batch: 2
                sequence: 16
                steps: 6
                log.every: 2
                eval.every: 3
                eval.batches: 1
                checkpoint.every: 3
                threads: 1
                """);
    }

    @Test
    void aRunLeavesAModelThatOtherCommandsRead() throws IOException {
        Path run = folder.resolve("run");
        String out = Run.of("train", tiny(), "out=" + run, "learning_rate=0.01", "max_steps=0.6e1", "dtype=float32", "--quiet").ended(0).out();
        assertTrue(out.contains("validation"), out);
        assertTrue(out.contains("The model is in " + run.resolve("model")), out);
        assertTrue(Files.readString(run.resolve("config.yaml")).contains("strategy.scaling: 'lns'"));
        assertEquals("gpt2", Run.of("info", run.resolve("model"), "--json").ended(0).json().at("/family").asText());
        assertTrue(Run.of("generate", run.resolve("model"), "--prompt", "ROMEO:", "--max-tokens", 5).ended(0).err().contains("generated 5 tokens"));
        Run.of("convert", run.resolve("model"), folder.resolve("converted"), "--to", "pre-crmsnorm", "--quiet").ended(0);
    }

    @Test
    @DisabledOnOs(OS.WINDOWS) // which ends a process at once
    void aSignalLeavesACheckpointAndSaysHowToGoOn() throws Exception {
        Path run = folder.resolve("run");
        Process process = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "@" + Run.HOME.resolve("isonorm-engine/src/main/resources/isonorm/jvm.args"), "-XX:TieredStopAtLevel=1", "-cp",
                System.getProperty("java.class.path"), "isonorm.cli.Main", "train", tiny().toString(), "out=" + run, "steps=1000000", "eval.every=1000", "checkpoint.every=0",
                "--quiet").redirectErrorStream(true).start();
        for (int wait = 0; wait < 600 && process.isAlive() && !(Files.exists(run.resolve("metrics.jsonl")) && Files.size(run.resolve("metrics.jsonl")) > 0); wait++) {
            Thread.sleep(50);
        }
        process.toHandle().destroy(); // SIGTERM; that of the process would close its output too
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(143, process.waitFor(), said);
        assertTrue(said.contains("finishing the step, then writing a checkpoint") && said.contains("isonorm train --resume " + run), said);
        String checkpoint = Run.names(run).stream().filter(name -> name.startsWith("checkpoint-")).findFirst().orElseThrow();
        Files.writeString(run.resolve("config.yaml"), Files.readString(run.resolve("config.yaml")).replaceAll("steps: .*", "steps: "
                + (Long.parseLong(checkpoint.substring("checkpoint-".length())) + 1)));
        assertTrue(Run.of("train", "--resume", run, "--quiet").ended(0).err().contains("going on from " + run.resolve(checkpoint)));
    }

    @Test
    void aFileOfTextIsTrainedOn() throws IOException {
        Path run = folder.resolve("run");
        Path book = Files.writeString(folder.resolve("book.md"), "# A book\n" + "It has some lines, and they are much alike.\n".repeat(200));
        Run first = Run.of("train", tiny(), "data=" + book, "out=" + run).ended(0);
        assertTrue(first.err().contains(book + " as tokens is in " + run + "-tokens: 7,929 bytes to learn from, 881 for validation"), first.err());
        assertTrue(first.out().contains("  isonorm generate " + run.resolve("model") + " --prompt"), first.out());
        Run.of("train", "--resume", run, "--quiet").ended(0);
        List<String> before = Run.names(folder);
        refused(1, run + " exists already", tiny(), "data=" + book, "out=" + run);
        refused(2, "there is no strategy lnz", tiny(), "data=" + book, "strategy=lnz", "out=" + folder.resolve("c"));
        assertEquals(before, Run.names(folder));
        refused(1, "is of no kind that is read; names must end in .txt, .md", tiny(), "data=" + Files.writeString(folder.resolve("book.doc"), "words"), "out=" + folder.resolve("b"));
        Path example = Run.HOME.resolve("examples/shakespeare-gpt2");
        Run.of("train", "data=" + book, "--from", example, "out=" + folder.resolve("more"), "steps=1", "batch=1", "sequence=16", "eval.batches=1", "--quiet").ended(0);
        assertEquals(Files.readString(example.resolve("tokenizer.json")), Files.readString(folder.resolve("more-tokens/tokenizer.json")));
    }

    @Test
    void aColumnOfATableIsTrainedOn() throws IOException {
        Path run = folder.resolve("run");
        Path table = Files.writeString(folder.resolve("mails.csv"), "id,body\n" + "7,\"It has some lines, and they are much alike.\"\n".repeat(200));
        Run first = Run.of("train", tiny(), "data=" + table, "column=body", "out=" + run).ended(0);
        assertTrue(first.err().contains(table + " as tokens is in " + run + "-tokens: "), first.err());
        Run.of("train", "--resume", run, "--quiet").ended(0);
        refused(1, table + " has no column text; its columns are id, body", tiny(), "data=" + table, "out=" + folder.resolve("b"));
        refused(2, "data.column names the text of a .csv or .parquet file, and data is shakespeare; leave it out", tiny(), "column=body", "out=" + folder.resolve("b"));
    }

    @Test
    void blocksOfOneModelNormalizeEachInTheirOwnWay() throws IOException {
        Path run = folder.resolve("run");
        Path yaml = Files.writeString(folder.resolve("blocks.yaml"), Files.readString(tiny()).replace("strategy: {name: pre-ln, scaling: lns}", """
                strategy:
                  name: pre-ln
                  placement: pre/peri
                  scaling: [lns, heads]
                  blocks:
                    0: {name: deepnorm, inner: [qk, sub]}
                    1,3: {kind: rmsnorm}
                """));
        Run.of("train", yaml, "model.blocks=4", "strategy.blocks.2=keel", "out=" + run, "--quiet").ended(0);
        JsonNode norms = Run.of("info", run.resolve("model"), "--json").ended(0).json().path("norms");
        assertEquals("[\"post\",\"pre and peri\",\"both\"]", norms.path("placement").toString());
        assertEquals("[\"layernorm\",\"rmsnorm\"]", norms.path("kind").toString());
        assertTrue(Run.of("generate", run.resolve("model"), "--prompt", "ROMEO:", "--max-tokens", 5).ended(0).err().contains("generated 5 tokens"));
        Run.of("train", "--resume", run, "--quiet").ended(0);
    }

    @Test
    void everyLineIsJsonWhereThatIsAskedFor() throws IOException {
        String out = Run.of("train", tiny(), "out=" + folder.resolve("run"), "--json").ended(0).out();
        assertEquals(4, out.lines().filter(line -> line.startsWith("{\"step\":")).count(), out);
        assertTrue(out.lines().reduce((_, last) -> last).orElse("").startsWith("{\"end\":\"finished\""), out);
    }

    @Test
    void whatCannotBeTrainedIsRefusedInOneLine() throws IOException {
        Path out = folder.resolve("run");
        refused(2, "lr must be a number from 0.0 on, got high", tiny(), "learning_rate=high", "out=" + out);
        refused(2, "steps is given twice, as steps and as max_steps", Files.writeString(folder.resolve("twice.yaml"), "steps: 3\nmax_steps: 1e3"), "out=" + out);
        refused(2, "there is no key stepz; did you mean steps?", tiny(), "stepz=3", "out=" + out);
        refused(2, "there is no key strategy.blocks.0.knd; did you mean strategy.blocks.0.kind?", tiny(), "strategy.blocks.0.knd=rmsnorm", "out=" + out);
        refused(2, "block 1 is named by strategy.blocks.0-1 and by strategy.blocks.1", tiny(), "strategy.blocks.0-1=lns", "strategy.blocks.1=keel", "out=" + out);
        refused(2, "got '1-0'; a range begins with its lower number", tiny(), "strategy.blocks.1-0=lns", "out=" + out);
        refused(1, "there is no block 2 that could have another strategy; the model has blocks 0 to 1", tiny(), "strategy.blocks.0-2=lns", "out=" + out);
        refused(2, "scaling deepnorm and keel both say the factor of the skip", tiny(), "strategy.scaling=deepnorm+keel", "out=" + out);
        refused(2, "steps must be a whole number of 1 or more, got none", tiny(), "steps=none", "out=" + out);
        refused(2, "there is no strategy peri-n; did you mean peri-ln?", tiny(), "strategy=peri-n", "out=" + out);
        refused(2, "'nothing' is no file and no key=value", "nothing");
        refused(1, folder.resolve("no.yaml") + " does not exist", folder.resolve("no.yaml"));
        refused(1, "is no YAML", Files.writeString(folder.resolve("broken.yaml"), "steps: [1"), "out=" + out);
        refused(1, "is a list, a value is needed", Files.writeString(folder.resolve("list.yaml"), "steps: [1]"), "out=" + out);
        refused(1, "data must be shakespeare, a folder", tiny(), "data=" + folder.resolve("none"), "out=" + out);
        refused(1, "the data must be longer than two sequences", tiny(), "sequence=1000000", "out=" + out);
        refused(1, "is no folder of a run", "--resume", folder.resolve("none"));
        refused(2, "--resume goes on with what the run was told", "--resume", out, "steps=3");
        Path example = Run.HOME.resolve("examples/shakespeare-gpt2");
        refused(1, "the data was not tokenized as the model's texts were", "--from", example, "out=" + out);
        Run.of("convert", example, folder.resolve("converted"), "--to", "pre-crmsnorm", "--no-verify", "--quiet").ended(0);
        Run.of("data", "build", Run.HOME.resolve("examples/tinyshakespeare-heldout.txt"), "--tokenizer", example, "--out", folder.resolve("tokens"),
                "--quiet").ended(0);
        refused(1, "a tied head that adds the table's means is a converted model's", "--from", folder.resolve("converted"),
                "data=" + folder.resolve("tokens"), "out=" + out);
        refused(1, "the model was made for 256 tokens", "--from", example, "data=" + folder.resolve("tokens"), "sequence=300", "out=" + out);
        assertFalse(Files.exists(out));
        Files.createDirectories(out.resolve("mine"));
        refused(1, out + " exists already", tiny(), "out=" + out);
    }

    private static void refused(int code, String message, Object... arguments) {
        Object[] all = new Object[arguments.length + 1];
        all[0] = "train";
        System.arraycopy(arguments, 0, all, 1, arguments.length);
        String err = Run.of(all).ended(code).err();
        assertTrue(err.contains(message), err);
    }

    @Test
    void keysStrategiesAndPresetsAreListed() throws IOException {
        String out = Run.of("train", "--keys").ended(0).out();
        JsonNode listed = Run.of("train", "--keys", "--json").ended(0).json();
        listed.path("keys").forEach(key -> assertTrue(out.contains("  " + key.path("name").asText() + " "), key.toString()));
        assertTrue(listed.path("keys").size() > 50 && listed.path("strategies").size() > 20 && !listed.path("presets").isEmpty(), listed.toString());
        assertTrue(out.contains("checkpoint.every") && out.contains("strategy.blocks.BLOCKS.PART") && out.contains("peri-ln") && out.contains("llama-60m"), out);
    }

    @Test
    void aStepIsTimed() throws IOException {
        JsonNode json = Run.of("bench", "train", "--vocab", 64, "--seq", 16, "--batch", 2, "--width", 16, "--layers", 1, "--heads", 2, "--steps", 3,
                "--warmup", 1, "--threads", 1, "--arch", "llama", "--norm", "rms", "--quiet").ended(0).json();
        assertTrue(json.path("median_s").asDouble() > 0);
        assertTrue(json.path("min_s").asDouble() <= json.path("median_s").asDouble());
        assertEquals(2L * 64 * 16 + 4 * 16 * 16 + 3 * 16 * 64 + 3 * 16, json.path("params").asLong());
        Run.of("bench", "train", "--norm", "layer").ended(2);
    }
}
