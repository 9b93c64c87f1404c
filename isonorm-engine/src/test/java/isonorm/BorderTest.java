package isonorm;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.convert.Conversion;
import isonorm.inference.Inference;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.lang.module.ModuleDescriptor;
import java.lang.reflect.Modifier;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.tools.Diagnostic;
import javax.tools.DiagnosticCollector;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What users of the library see is little, and the rest cannot be used. That nothing they see needs what they don't, javac checks. */
class BorderTest {

    /** How many public types users may have to know. */
    private static final int TYPES = 53;

    @TempDir
    Path folder;

    /** Reads the module that a class is in: a folder while it is built, or a jar. */
    private interface Reading<T> {
        T read(Path root) throws IOException;
    }

    private static <T> T inModuleOf(Class<?> type, Reading<T> reading) throws IOException {
        Path place = place(type);
        if (Files.isDirectory(place)) {
            return reading.read(place);
        }
        try (FileSystem jar = FileSystems.newFileSystem(place)) {
            return reading.read(jar.getPath("/"));
        }
    }

    private static Path place(Class<?> type) {
        try {
            return Path.of(type.getProtectionDomain().getCodeSource().getLocation().toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    private static ModuleDescriptor descriptor(Path root) throws IOException {
        try (InputStream in = Files.newInputStream(root.resolve("module-info.class"))) {
            return ModuleDescriptor.read(in);
        }
    }

    /** The packages that everybody is given. */
    private static Set<String> exported(Class<?> type) throws IOException {
        return inModuleOf(type, root -> descriptor(root).exports().stream().filter(exports -> !exports.isQualified())
                .map(ModuleDescriptor.Exports::source).collect(Collectors.toCollection(TreeSet::new)));
    }

    private static List<String> publicTypes(Class<?> type) throws IOException {
        List<String> names = inModuleOf(type, root -> {
            List<String> all = new ArrayList<>();
            for (String exported : descriptor(root).exports().stream().filter(exports -> !exports.isQualified())
                    .map(ModuleDescriptor.Exports::source).toList()) {
                try (Stream<Path> files = Files.list(root.resolve(exported.replace('.', '/')))) {
                    files.map(file -> file.getFileName().toString()).filter(name -> name.endsWith(".class") && !name.contains("$") && !name.contains("-"))
                            .forEach(name -> all.add(exported + "." + name.substring(0, name.length() - ".class".length())));
                }
            }
            return all;
        });
        return names.stream().filter(BorderTest::isPublic).sorted().toList();
    }

    private static boolean isPublic(String name) {
        try {
            return Modifier.isPublic(Class.forName(name, false, BorderTest.class.getClassLoader()).getModifiers());
        } catch (ClassNotFoundException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void usersSeeFewTypes() throws IOException {
        List<String> all = new ArrayList<>(publicTypes(Conversion.class));
        all.addAll(publicTypes(Inference.class));
        assertTrue(all.containsAll(List.of("isonorm.convert.Conversion", "isonorm.inference.Inference", "isonorm.train.Trainer")), all::toString);
        assertTrue(all.size() <= TYPES, () -> all.size() + " public types are exported, and " + TYPES + " may be:\n" + String.join("\n", all));
    }

    @Test
    void whatComputesIsNotExported() throws IOException {
        assertEquals(Set.of("isonorm.checkpoint", "isonorm.convert", "isonorm.model"), exported(Conversion.class));
        assertEquals(Set.of("isonorm.depth", "isonorm.generate", "isonorm.inference", "isonorm.text", "isonorm.train", "isonorm.verify"),
                exported(Inference.class));
    }

    @Test
    void whatIsNotExportedDoesNotCompile() throws IOException {
        assertEquals(List.of(), errors("isonorm.model.Compute.F32.label()"));
        for (String hidden : List.of("isonorm.kernel.Kernels.provider()", "isonorm.tensor.Libraries.here()", "isonorm.layer.Tolerance.WRITTEN_F64",
                "isonorm.weights.VectorSupport.obstacle()", "isonorm.architecture.NormKind.LAYER")) {
            List<String> errors = errors(hidden);
            assertFalse(errors.isEmpty(), hidden + " compiles");
            assertTrue(errors.getFirst().contains("not visible"), errors.toString());
        }
    }

    /** What javac has against an expression in a module that uses the engine. */
    private List<String> errors(String expression) throws IOException {
        JavaCompiler javac = ToolProvider.getSystemJavaCompiler();
        DiagnosticCollector<JavaFileObject> found = new DiagnosticCollector<>();
        String modules = Stream.of(System.getProperty("java.class.path").split(File.pathSeparator)).filter(entry -> entry.endsWith(".jar")
                && !entry.contains("tests") || Path.of(entry).equals(place(Conversion.class)) || Path.of(entry).equals(place(Inference.class)))
                .collect(Collectors.joining(File.pathSeparator));
        javac.getTask(null, null, found, List.of("--module-path", modules, "-d", folder.toString(), "-proc:none"), null, List.of(
                source("module-info", "module user { requires isonorm.engine; }"),
                source("user/User", "package user; class User { Object it = " + expression + "; }"))).call();
        return found.getDiagnostics().stream().filter(each -> each.getKind() == Diagnostic.Kind.ERROR).map(each -> each.getMessage(Locale.ROOT)).toList();
    }

    private static JavaFileObject source(String name, String text) {
        return new SimpleJavaFileObject(URI.create("string:///" + name + ".java"), JavaFileObject.Kind.SOURCE) {
            @Override
            public CharSequence getCharContent(boolean ignoreEncodingErrors) {
                return text;
            }
        };
    }
}
