package isonorm.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.EveryProcessor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.Method;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import jdk.incubator.vector.Vector;
import org.junit.jupiter.api.Test;

/** The compiler is told to inline every helper that takes or gives vectors: one that stays a call makes objects of them. */
@EveryProcessor
class InlineCommandsTest {

    private static final String FILE = "isonorm/jvm.args";

    /** What stands behind {@code inline} or {@code dontinline}: a class, with slashes, and a method; each may have a *. */
    private static List<String> patterns(String command) {
        String start = "-XX:CompileCommand=" + command + ",";
        return JvmOptions.all().stream().filter(option -> option.startsWith(start)).map(option -> option.substring(start.length())).toList();
    }

    private static boolean matches(String pattern, String method) {
        return method.matches(Stream.of(pattern.split("\\*", -1)).map(Pattern::quote).collect(Collectors.joining(".*")));
    }

    /** What is synthetic is the body of a lambda, which is called through an object and cannot be inlined by name. */
    private static boolean isHelper(Method method) {
        return !method.isSynthetic()
                && Stream.concat(Stream.of(method.getReturnType()), Stream.of(method.getParameterTypes())).anyMatch(Vector.class::isAssignableFrom);
    }

    /** All classes of the packages that have some to be listed. */
    private static List<Class<?>> kernels() throws IOException, URISyntaxException, ClassNotFoundException {
        Path root = Path.of(Lanes.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        List<Class<?>> classes = new ArrayList<>(List.of(Class.forName("isonorm.weights.VectorNumbers", false, Lanes.class.getClassLoader())));
        try (Stream<Path> files = Stream.of("kernel", "measure", "tensor").flatMap(name -> list(root.resolve("isonorm").resolve(name)))) {
            for (Path file : files.filter(each -> each.toString().endsWith(".class")).toList()) {
                String name = root.relativize(file).toString().replace(".class", "").replace('/', '.').replace('\\', '.');
                if (!name.endsWith("package-info")) {
                    classes.add(Class.forName(name, false, Lanes.class.getClassLoader()));
                }
            }
        }
        return classes;
    }

    private static Stream<Path> list(Path folder) {
        try {
            return Files.list(folder);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String named(Class<?> type, Method method) {
        return type.getName().replace('.', '/') + "." + method.getName();
    }

    @Test
    void everyHelperOfVectorsIsListed() throws Exception {
        List<String> patterns = patterns("inline");
        TreeSet<String> missing = new TreeSet<>();
        int helpers = 0;
        for (Class<?> type : kernels()) {
            for (Method method : type.getDeclaredMethods()) {
                if (isHelper(method)) {
                    helpers++;
                    if (patterns.stream().noneMatch(pattern -> matches(pattern, named(type, method)))) {
                        missing.add("inline " + named(type, method));
                    }
                }
            }
        }
        assertTrue(helpers > 30, "found " + helpers);
        assertEquals("", String.join("\n", missing), "takes or gives vectors; add to " + FILE);
    }

    @Test
    void whatIsListedIsThere() throws Exception {
        List<Class<?>> kernels = kernels();
        for (String pattern : patterns("inline")) {
            assertTrue(kernels.stream().anyMatch(type -> Stream.of(type.getDeclaredMethods()).anyMatch(
                    method -> isHelper(method) && matches(pattern, named(type, method)))), pattern + " is no helper of vectors; take it out of " + FILE);
        }
        List<String> kept = patterns("dontinline");
        assertTrue(kept.size() > 3, kept.toString());
        for (String pattern : kept) {
            assertTrue(kernels.stream().anyMatch(type -> Stream.of(type.getDeclaredMethods()).anyMatch(
                    method -> !isHelper(method) && matches(pattern, named(type, method)))), pattern + " is no kernel; take it out of " + FILE);
        }
    }

    @Test
    void everyCommandIsOneOfThese() {
        assertEquals(List.of("isonorm/kernel/*.*,0.2"), patterns("CompileThresholdScaling"));
        assertEquals(JvmOptions.all().stream().filter(option -> option.startsWith("-XX:CompileCommand=")).count(),
                2 + patterns("inline").size() + patterns("dontinline").size(), "and the one that keeps the compiler quiet");
    }
}
