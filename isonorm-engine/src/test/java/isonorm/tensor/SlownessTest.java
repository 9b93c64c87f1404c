package isonorm.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.EveryProcessor;
import isonorm.kernel.Kernels;
import isonorm.weights.VectorSupport;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What uses the engine as a library is told once, by a logger, why it is slow and what to do; each time in a JVM of its own. */
class SlownessTest {

    private static final String ENGINE = "@src/main/resources/isonorm/jvm.args";

    /** What a JVM with these options prints: first what computes, then what was logged. */
    private static List<String> said(String... options) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Djava.util.logging.SimpleFormatter.format=%3$s %4$s %5$s%n"));
        command.addAll(List.of(options));
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), SlownessTest.class.getName()));
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        List<String> output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).lines()
                .filter(line -> line.matches("(isonorm|plain|vector) .*")).sorted().toList();
        assertEquals(0, process.waitFor(), output.toString());
        return output;
    }

    /** Computes nothing, but asks twice who would. */
    public static void main(String[] arguments) {
        Products.byLibrary();
        Slowness.here();
        System.out.println(Kernels.reason());
    }

    private static void warned(String why, List<String> said) {
        assertEquals(2, said.size(), said.toString());
        assertTrue(said.getFirst().startsWith("isonorm WARNING slow here: ") && said.getFirst().contains(why), said.toString());
        assertTrue(said.getLast().startsWith(said.getFirst().contains("plain") ? "plain kernels: " : "vector kernels: "), said.toString());
    }

    @Test
    @EveryProcessor
    void thisJvmIsSlowWhereAnythingPlainOrOwnComputes() {
        assertEquals(Kernels.vectorized() && Products.byLibrary(), Slowness.here().isEmpty(), Slowness.here().toString());
    }

    @ParameterizedTest
    @ValueSource(strings = {"-Xint", "-XX:TieredStopAtLevel=1", "-XX:+NeverActAsServerClassMachine", "-XX:CompilationMode=quick-only", "-XX:-UseCompiler"})
    void withoutTheOptimizingCompilerKernelsArePlain(String option) throws Exception {
        List<String> said = said(ENGINE, option);
        warned("plain kernels: this JVM runs without its optimizing compiler", said);
        assertTrue(said.getFirst().contains(option.split("=")[0]), "the remedy names it: " + said);
    }

    @Test
    void withoutTheVectorApiKernelsArePlain() throws Exception {
        warned("plain kernels: the Vector API is missing; add " + VectorSupport.MODULE, said());
    }

    @Test
    void nothingIsSaidWhereAllIsWellOrWasAskedFor() throws Exception {
        for (String option : List.of("-Disonorm.kernels=plain", "-Disonorm.products=own")) {
            assertEquals(1, said(ENGINE, option).size());
        }
    }

    @Test
    void whatIsNotToldWhatToInlineIsWarned() throws Exception {
        boolean best = Slowness.here().isEmpty();
        List<String> well = said(ENGINE);
        assertEquals(best ? 1 : 2, well.size(), well.toString());
        if (best) {
            warned("java @jvm.args", said(VectorSupport.MODULE));
        }
    }
}
