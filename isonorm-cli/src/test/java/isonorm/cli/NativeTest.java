package isonorm.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.cli.terminal.Console;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Commands that compute nothing load nothing of the engine, but for what tells of a tokenizer whether it can be read. */
class NativeTest {

    @Test
    void infoHelpAndUnverifiedConversionsLoadNoEngine(@TempDir Path folder) throws Exception {
        assertEquals(List.of(), engineClasses(folder, "info|" + Run.fixture("gpt2"), "info|" + Run.HOME.resolve("examples/shakespeare-gpt2"), "--help", "bench|norms|--help",
                "doctor|--help", "convert|" + Run.fixture("gpt2") + "|" + folder.resolve("out") + "|--to|pre-crmsnorm|--no-verify"));
    }

    /** Several commands in a JVM, until one fails. */
    static final class Commands {

        private Commands() {}

        public static void main(String[] lines) {
            for (String line : lines) {
                int code = Main.run(Console.system(), line.split("\\|"));
                if (code != 0) {
                    System.exit(code);
                }
            }
        }
    }

    @Test
    void aLibraryThatCannotBeUnpackedIsNoFaultOfTheFile(@TempDir Path folder) throws Exception {
        ProcessBuilder builder = new ProcessBuilder(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-cp",
                System.getProperty("java.class.path"), "isonorm.cli.Main", "eval", Run.HOME.resolve("examples/shakespeare-gpt2").toString(), "--text",
                Run.HOME.resolve("README.md").toString(), "--quiet");
        builder.environment().put("DJL_CACHE_DIR", Files.createFile(folder.resolve("file")).toString());
        Process process = builder.redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(1, process.waitFor(), output);
        assertTrue(output.contains("isonorm: the native library of the tokenizers cannot be unpacked and loaded; it needs a folder with room"), output);
    }

    private static List<String> engineClasses(Path folder, String... lines) throws IOException, InterruptedException {
        Path log = folder.resolve("classes.log");
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-Xlog:class+load:file=" + log, "-Xshare:auto",
                "-cp", System.getProperty("java.class.path"), Commands.class.getName()));
        command.addAll(List.of(lines));
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), output);
        List<String> loaded = Files.readAllLines(log);
        assertTrue(loaded.stream().anyMatch(line -> line.contains("isonorm.cli.Main")), "the log does not show what was loaded");
        return loaded.stream().filter(line -> line.matches(".*\\b(org\\.bytedeco|ai\\.djl|isonorm\\.(layer|verify|inference|kernel|generate|tensor))\\..*")).toList();
    }
}
