package isonorm.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import isonorm.cli.terminal.Console;
import isonorm.mutation.CleanLine;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/** One run of the command line in this JVM: its exit code and what it printed; nothing of Java is ever among its errors. */
public record Run(int code, String out, String err) {

    public static final Path HOME = Path.of(System.getProperty("isonorm.home"));

    public static Run of(Object... arguments) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        Console console = new Console(
                new PrintStream(out, true, StandardCharsets.UTF_8), new PrintStream(err, true, StandardCharsets.UTF_8), false, false);
        int code = Main.run(console, Arrays.stream(arguments).map(Object::toString).toArray(String[]::new));
        assertEquals(Optional.empty(), CleanLine.java(err.toString(StandardCharsets.UTF_8)), () -> "stderr: " + err.toString(StandardCharsets.UTF_8));
        return new Run(code, out.toString(StandardCharsets.UTF_8), err.toString(StandardCharsets.UTF_8));
    }

    public static Path fixture(String name) {
        return HOME.resolve("isonorm-core/src/test/resources/fixtures").resolve(name);
    }

    /** A grid of eight tiny runs, which diverge at one of their rates. */
    public static Path tinyGrid(Path folder) throws IOException {
        return Files.writeString(folder.resolve("tiny.yaml"), """
                base:
                  model: {width: 16, heads: 2, blocks: 3}
                  batch: 2
                  sequence: 16
                  steps: 6
                  log.every: 2
                  eval: {every: 3, batches: 1}
                  depth.every: 3
                  checkpoint.every: 0
                  threads: 1
                  stop.above: 1
                strategy: [pre-ln, lns]
                lr: [1e-2, 1e3]
                seed: [1, 2]
                """);
    }

    /** The run, which must have ended with this code. */
    public Run ended(int expected) {
        assertEquals(expected, code, () -> "stdout: " + out + "\nstderr: " + err);
        return this;
    }

    /** The output as JSON; there must be nothing else. */
    public JsonNode json() throws IOException {
        return new ObjectMapper().readTree(out);
    }

    /** What was printed as words with one space between, however its lines are broken. */
    public String words() {
        return out.strip().replaceAll("\\s+", " ");
    }

    /** The lines of stderr. */
    public List<String> errors() {
        return err.lines().toList();
    }

    public static List<String> names(Path folder) throws IOException {
        try (Stream<Path> entries = Files.list(folder)) {
            return entries.map(entry -> entry.getFileName().toString()).sorted().toList();
        }
    }
}
