package isonorm.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.weights.VectorSupport;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Nothing is slow silently: a JVM without vectors or a platform without native products is told so once, with the reason. */
class SlownessNoticeTest {

    private static final String ENGINE = "@" + Run.HOME.resolve("isonorm-engine/src/main/resources/isonorm/jvm.args");

    private static String said(String... options) throws IOException, InterruptedException {
        return said(0, options);
    }

    /** What stderr and stdout have; a reason is said once, and in no other way. */
    private static String said(int code, String... options) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp", System.getProperty("java.class.path")));
        command.addAll(Arrays.asList(options));
        command.addAll(List.of("isonorm.cli.Main", "generate", Path.of("..", "examples", "shakespeare-gpt2").toString(), "--prompt", "A", "--max-tokens", "1"));
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(code, process.waitFor(), output);
        assertTrue(output.split("slow here", -1).length <= 2 && !output.contains("WARNING: slow here"), output);
        return output;
    }

    @Test
    void plainKernelsSayWhyAndWhatToDo() throws Exception {
        assertTrue(said().contains("slow here: plain kernels: the Vector API is missing; add " + VectorSupport.MODULE));
        assertTrue(said(ENGINE, "-XX:TieredStopAtLevel=1").contains("without its optimizing compiler"));
    }

    @Test
    void productsWithoutANativeLibrarySayWhy() throws Exception {
        assertTrue(said(ENGINE, "-Disonorm.products=own")
                .contains("slow here: products by Isonorm's vector kernels: -Disonorm.products=own asks for it"));
        assertFalse(said(ENGINE).contains("slow here"));
    }

    @Test
    void anOptionThatNamesNothingIsRefusedInOneLine() throws Exception {
        assertEquals("isonorm: isonorm.products must be one of onednn, openblas, own, got mkl",
                said(1, ENGINE, "-Disonorm.products=mkl").lines()
                        .filter(line -> !line.startsWith("WARNING")).toList().getLast());
    }
}
