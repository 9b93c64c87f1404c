package isonorm.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.EveryProcessor;
import isonorm.weights.VectorSupport;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** What the JVM needs is said in one file, and who starts a JVM that computes gives it that file. */
class JvmOptionsTest {

    private static final Path ROOT = Path.of("").toAbsolutePath().getParent();
    private static final String FILE = "isonorm-engine/src/main/resources/isonorm/jvm.args";

    /** An option's name: what stands before its value. */
    private static String name(String option) {
        return option.split("=")[0];
    }

    @Test
    @EveryProcessor
    void theseTestsRunWithThem() {
        List<String> here = ManagementFactory.getRuntimeMXBean().getInputArguments();
        assertEquals(List.of(), JvmOptions.all().stream().filter(option -> !here.contains(option)).toList());
        assertTrue(JvmOptions.inlines(here));
        assertFalse(JvmOptions.inlines(here.stream().filter(option -> !option.equals(JvmOptions.all().getLast())).toList()));
    }

    @Test
    void theFileNamesEachOnce() {
        assertEquals(JvmOptions.all().stream().distinct().toList(), JvmOptions.all());
        assertEquals(Set.of("--add-modules", "--enable-native-access", "--sun-misc-unsafe-memory-access", "-XX:CompileCommand"),
                Set.copyOf(JvmOptions.all().stream().map(JvmOptionsTest::name).distinct().toList()));
    }

    /** But for what javac and javadoc are given, and the remedy of who has no vectors. */
    @Test
    void nothingElseInTheProjectNamesThem() throws IOException {
        Pattern copy = Pattern.compile("--add-modules[= ]\\S*jdk.incubator.vector|--enable-native-access|--sun-misc-unsafe|-XX:CompileCommand(File|=\\w)");
        List<String> copies = new ArrayList<>();
        for (Path file : sources()) {
            for (String line : Files.readAllLines(file)) {
                if (copy.matcher(line).find() && !line.strip().matches("<(arg|additionalOptions)>.*")) {
                    copies.add(ROOT.relativize(file) + ": " + line.strip());
                }
            }
        }
        assertEquals(List.of(), copies, "say java @" + FILE + " instead");
        assertTrue(JvmOptions.all().contains(VectorSupport.MODULE), "what the remedy says is no option of ours");
    }

    /** What starts a JVM, configures one or says how to. */
    private static List<Path> sources() throws IOException {
        List<Path> files = new ArrayList<>(List.of(ROOT.resolve("isonorm"), ROOT.resolve("README.md"), ROOT.resolve("pom.xml"), ROOT.resolve(".ci/run"),
                ROOT.resolve("isonorm-bench/run"), ROOT.resolve("isonorm-bench/measure-conversion")));
        for (String module : List.of("isonorm-core", "isonorm-engine", "isonorm-onnx", "isonorm-cli", "isonorm-bench")) {
            files.add(ROOT.resolve(module).resolve("pom.xml"));
            try (Stream<Path> inside = Files.walk(ROOT.resolve(module).resolve("src"))) {
                inside.filter(file -> file.toString().endsWith(".java")).filter(file -> !Set.of("VectorSupport.java", "JvmOptions.java",
                        "JvmOptionsTest.java").contains(file.getFileName().toString())).forEach(files::add);
            }
        }
        return files;
    }
}
