package isonorm.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

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
        assertEquals(List.of(), engineClasses(folder, "info", Run.fixture("gpt2")));
        assertEquals(List.of(), engineClasses(folder, "info", Run.HOME.resolve("examples/shakespeare-gpt2")));
        assertEquals(List.of(), engineClasses(folder, "--help"));
        assertEquals(List.of(), engineClasses(folder, "bench", "norms", "--help"));
        assertEquals(List.of(), engineClasses(folder, "doctor", "--help"));
        assertEquals(List.of(), engineClasses(folder, "convert", Run.fixture("gpt2"), folder.resolve("out"), "--to", "pre-crmsnorm", "--no-verify"));
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

    private static List<String> engineClasses(Path folder, Object... arguments) throws IOException, InterruptedException {
        Path log = folder.resolve("classes.log");
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-Xlog:class+load:file=" + log, "-Xshare:auto",
                "-cp", System.getProperty("java.class.path"), "isonorm.cli.Main"));
        for (Object argument : arguments) {
            command.add(argument.toString());
        }
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), output);
        List<String> loaded = Files.readAllLines(log);
        assertTrue(loaded.stream().anyMatch(line -> line.contains("isonorm.cli.Main")), "the log does not show what was loaded");
        return loaded.stream().filter(line -> line.matches(".*\\b(org\\.bytedeco|ai\\.djl|isonorm\\.(layer|verify|inference|kernel|generate|tensor))\\..*")).toList();
    }
}
