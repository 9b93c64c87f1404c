package isonorm.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.EveryProcessor;
import java.io.IOException;
import java.lang.reflect.Method;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.stream.Stream;
import jdk.incubator.vector.Vector;
import org.junit.jupiter.api.Test;

/** The compiler is told to inline every helper that takes or gives vectors: one that stays a call makes objects of them. */
@EveryProcessor
class InlineCommandsTest {

    private static final Path FILE = Path.of("inline.commands");

    /** What stands behind {@code inline}: a class, with slashes, and a method, or how its name begins. */
    private static List<String> patterns() throws IOException {
        return Files.readAllLines(FILE).stream().filter(line -> line.startsWith("inline ")).map(line -> line.substring("inline ".length())).toList();
    }

    private static boolean matches(String pattern, String method) {
        return pattern.endsWith("*") ? method.startsWith(pattern.substring(0, pattern.length() - 1)) : method.equals(pattern);
    }

    /** What is synthetic is the body of a lambda, which is called through an object and cannot be inlined by name. */
    private static boolean isHelper(Method method) {
        return !method.isSynthetic()
                && Stream.concat(Stream.of(method.getReturnType()), Stream.of(method.getParameterTypes())).anyMatch(Vector.class::isAssignableFrom);
    }

    private static List<Class<?>> kernels() throws IOException, URISyntaxException, ClassNotFoundException {
        Path root = Path.of(Lanes.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        List<Class<?>> classes = new ArrayList<>();
        try (Stream<Path> files = Stream.concat(Files.list(root.resolve("isonorm/kernel")), Files.list(root.resolve("isonorm/measure")))) {
            for (Path file : files.filter(each -> each.toString().endsWith(".class")).toList()) {
                String name = root.relativize(file).toString().replace(".class", "").replace('/', '.').replace('\\', '.');
                if (!name.endsWith("package-info")) {
                    classes.add(Class.forName(name, false, Lanes.class.getClassLoader()));
                }
            }
        }
        return classes;
    }

    private static String named(Class<?> type, Method method) {
        return type.getName().replace('.', '/') + "." + method.getName();
    }

    @Test
    void everyHelperOfVectorsIsListed() throws Exception {
        List<String> patterns = patterns();
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
        assertEquals("", String.join("\n", missing), "takes or gives vectors; add to isonorm-engine/" + FILE);
    }

    @Test
    void whatIsListedIsThere() throws Exception {
        for (String pattern : patterns()) {
            int dot = pattern.lastIndexOf('.');
            Class<?> type = Class.forName(pattern.substring(0, dot).replace('/', '.'), false, Lanes.class.getClassLoader());
            assertTrue(Stream.of(type.getDeclaredMethods()).anyMatch(method -> isHelper(method) && matches(pattern, named(type, method))),
                    pattern + " is no helper of vectors; take it out of isonorm-engine/" + FILE);
        }
    }
}
