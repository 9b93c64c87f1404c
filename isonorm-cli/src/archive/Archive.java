import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;

/**
 * Makes the archive of the platform that it runs on, of what the build left in {@code isonorm-cli/target}: the program, a Java runtime of the
 * modules that it needs, native code unpacked and of this platform alone, caches that make starts fast, the example, and all licences.
 *
 * <p>{@code java Archive.java CHECKOUT PLATFORM VERSION STAMP}, as the profile {@code release} calls it.
 */
final class Archive {

    /** What the program and its libraries require of the JDK; java.compiler, jdk.jfr and java.xml are read by libraries that use little of them. */
    private static final List<String> MODULES = List.of("java.base", "java.compiler", "java.desktop", "java.logging", "java.management", "java.net.http",
            "java.xml", "jdk.httpserver", "jdk.incubator.vector", "jdk.jfr", "jdk.management", "jdk.unsupported");

    /** How jars of libraries call the folders of a platform's native code. */
    private static final Map<String, List<String>> FOLDERS = Map.of(
            "linux-x86_64", List.of("linux-x86_64/", "linux/amd64/", "Linux/x86_64/", "linux-x86-64/"),
            "linux-arm64", List.of("linux-arm64/", "linux-aarch64/", "linux/aarch64/", "Linux/aarch64/"),
            "macosx-arm64", List.of("macosx-arm64/", "osx-aarch64/", "darwin/aarch64/", "Mac/aarch64/", "darwin-aarch64/"),
            "macosx-x86_64", List.of("macosx-x86_64/", "osx-x86_64/", "darwin/x86_64/", "Mac/x86_64/", "darwin-x86-64/"),
            "windows-x86_64", List.of("windows-x86_64/", "win-x86_64/", "win/amd64/", "windows/amd64/", "Windows/x86_64/", "win32-x86-64/"));

    private static final Predicate<String> NATIVE = name -> name.matches(".*\\.(so(\\.\\d+)*|dylib|jnilib|dll|a)");

    /** The only file of the charts' library that reports contain, beside its licences. */
    private static final Predicate<String> OF_CHARTS = name -> name.endsWith("/dist/echarts.min.js") || name.contains("LICENSE") || name.endsWith("/NOTICE");

    private final Path checkout;
    private final String platform;
    private final FileTime stamp;
    private final Path target;
    private final Path folder;

    private Archive(Path checkout, String platform, String version, FileTime stamp) {
        this.checkout = checkout;
        this.platform = platform;
        this.stamp = stamp;
        target = checkout.resolve("isonorm-cli/target");
        folder = target.resolve("archive/isonorm-" + version + "-" + platform);
    }

    public static void main(String[] args) throws IOException, InterruptedException {
        Path checkout = Path.of(args[0]).toRealPath();
        if (!FOLDERS.containsKey(args[1])) {
            System.err.println("no archive is made here: there is no isonorm-natives for this platform");
            return;
        }
        new Archive(checkout, args[1], args[2], FileTime.from(Instant.parse(args[3]))).make();
    }

    private boolean windows() {
        return platform.startsWith("windows");
    }

    private void make() throws IOException, InterruptedException {
        delete(target.resolve("archive"));
        Path app = Files.createDirectories(folder.resolve("app/lib"));
        for (Path jar : listed(target.resolve("lib"), ".jar")) {
            pack(jar, app.resolve(jar.getFileName()));
        }
        app = app.getParent();
        Files.copy(target.resolve("isonorm.jar"), app.resolve("isonorm.jar"));
        Files.copy(checkout.resolve("isonorm-engine/src/main/resources/isonorm/jvm.args"), app.resolve("jvm.args"));
        String launcher = windows() ? "isonorm.cmd" : "isonorm";
        Files.copy(checkout.resolve("isonorm-cli/src/archive/" + launcher), folder.resolve(launcher), StandardCopyOption.COPY_ATTRIBUTES);
        for (String file : List.of("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "NOTICE", "docs", "examples/README.md",
                "examples/gradle-project/build.gradle.kts", "examples/gradle-project/settings.gradle.kts", "examples/maven-project/pom.xml",
                "examples/maven-project/src", "examples/shakespeare-gpt2-recipe", "examples/shakespeare-gpt2", "examples/tinyshakespeare-heldout.txt")) {
            copy(checkout.resolve(file), folder.resolve(file));
        }
        copy(checkout.resolve("isonorm-cli/src/archive/licences"), folder.resolve("licences"));
        run(tool("jlink"), "--add-modules", String.join(",", MODULES), "--output", folder.resolve("runtime").toString(),
                "--strip-debug", "--no-header-files", "--no-man-pages", "--compress", "zip-6");
        rename();
        date();
        cache(app);
        pack();
    }

    /** A jar without native code: that of this platform is unpacked beside it where the engine loads it, and stays where others do. */
    private void pack(Path jar, Path to) throws IOException {
        try (ZipFile in = new ZipFile(jar.toFile()); ZipOutputStream out = new ZipOutputStream(Files.newOutputStream(to))) {
            for (ZipEntry entry : in.stream().sorted((a, b) -> a.getName().compareTo(b.getName())).toList()) {
                String name = entry.getName();
                boolean ours = FOLDERS.get(platform).stream().anyMatch(name::contains);
                boolean charts = jar.getFileName().toString().startsWith("echarts-");
                if (entry.isDirectory() || charts && !OF_CHARTS.test(name) || name.contains("/include/") && name.startsWith("org/bytedeco/")) {
                    continue;
                }
                Path unpacked = NATIVE.test(name) && ours ? unpacked(name) : null;
                if (unpacked != null) {
                    Files.createDirectories(unpacked.getParent());
                    try (InputStream bytes = in.getInputStream(entry)) {
                        Files.copy(bytes, unpacked);
                    }
                } else if (!NATIVE.test(name) || ours && !name.startsWith("org/bytedeco/dnnl/") && !name.startsWith("org/bytedeco/openblas/")) {
                    ZipEntry copy = new ZipEntry(name);
                    copy.setLastModifiedTime(stamp);
                    out.putNextEntry(copy);
                    try (InputStream bytes = in.getInputStream(entry)) {
                        bytes.transferTo(out);
                    }
                }
            }
        }
    }

    /** Where the engine looks for it; null for what it does not load itself. */
    private Path unpacked(String name) {
        Path natives = folder.resolve("app/natives");
        if (name.startsWith("native/lib/")) {
            return natives.resolve("tokenizers").resolve(name.substring(name.lastIndexOf('/') + 1));
        }
        boolean products = name.startsWith("org/bytedeco/dnnl/") || name.startsWith("org/bytedeco/openblas/");
        return products && !name.contains("jni") ? natives.resolve(name) : null;
    }

    /** OpenBLAS lies under the name that the engine gives it, so that nobody else's is taken for it: the engine says which bytes these are. */
    private void rename() throws IOException, InterruptedException {
        Path cache = target.resolve("archive/unpacked");
        run(java(), "@" + folder.resolve("app/jvm.args"), "-Dorg.bytedeco.javacpp.cachedir=" + cache, "-cp", target.resolve("isonorm.jar").toString(),
                "isonorm.cli.Main", "doctor", "--quiet");
        try (Stream<Path> files = Files.walk(folder.resolve("app/natives"))) {
            for (Path library : files.filter(file -> file.getFileName().toString().startsWith("libopenblas.")).toList()) {
                List<Path> renamed = listed(cache, "").stream().filter(file -> file.getFileName().toString().startsWith("openblas-")
                        && Files.isRegularFile(file)).toList();
                if (renamed.size() != 1) {
                    throw new IOException("OpenBLAS was not unpacked to " + cache + " alone: " + renamed);
                }
                Files.copy(renamed.getFirst(), library, StandardCopyOption.REPLACE_EXISTING);
            }
        }
        delete(cache);
    }

    /** One time for all: the caches know their jars by it, and archives that are made again do not differ in it. */
    private void date() throws IOException {
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.toList()) {
                Files.setLastModifiedTime(file, stamp);
            }
        }
    }

    /** What was loaded and linked once need not be so again. With the Vector API the JVM keeps less of it, and in the older kind of cache more. */
    private void cache(Path app) throws IOException, InterruptedException {
        String jar = app.resolve("isonorm.jar").toString();
        String example = folder.resolve("examples/shakespeare-gpt2").toString();
        List<String> flags = List.of("-XX:+UseSerialGC", "-XX:-UsePerfData", "-Djava.awt.headless=true", "-Disonorm.natives=" + app.resolve("natives"));
        run(with(flags, "-XX:TieredStopAtLevel=1", "-XX:AOTCacheOutput=" + app.resolve("start.aot"), "-cp", jar, "isonorm.cli.Rehearsal", "start", example));
        Path classes = target.resolve("archive/classes");
        String options = "@" + app.resolve("jvm.args");
        run(with(flags, options, "-Xshare:off", "-XX:DumpLoadedClassList=" + classes, "-cp", jar, "isonorm.cli.Rehearsal", "engine", example));
        run(with(flags, options, "-Xshare:dump", "-XX:SharedClassListFile=" + classes, "-XX:SharedArchiveFile=" + app.resolve("engine.jsa"), "-cp", jar));
        Files.delete(classes);
    }

    private String[] with(List<String> flags, String... arguments) {
        return Stream.of(Stream.of(folder.resolve("runtime/bin/java").toString()), flags.stream(), Arrays.stream(arguments)).flatMap(each -> each).toArray(String[]::new);
    }

    private void pack() throws IOException, InterruptedException {
        String name = folder.getFileName().toString();
        Path packed = target.resolve(name + (windows() ? ".zip" : ".tar.gz"));
        Files.deleteIfExists(packed);
        // Windows has a tar that writes zip files; that of macOS adds files of its own unless told not to.
        List<String> command = new ArrayList<>(windows() ? List.of("tar", "-a", "-cf") : List.of("tar", "-czf"));
        command.addAll(List.of(packed.toString(), "-C", folder.getParent().toString(), name));
        ProcessBuilder builder = new ProcessBuilder(command).inheritIO();
        builder.environment().put("COPYFILE_DISABLE", "1");
        if (builder.start().waitFor() != 0) {
            throw new IOException("failed: " + command);
        }
        System.out.printf("%s, %,d MB, from %s%n", packed, Files.size(packed) / 1_000_000, folder);
    }

    private static String java() {
        return tool("java");
    }

    private static String tool(String name) {
        return Path.of(System.getProperty("java.home"), "bin", name).toString();
    }

    private void run(String... command) throws IOException, InterruptedException {
        Path log = target.resolve("archive.log");
        if (new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log.toFile()).start().waitFor() != 0) {
            throw new IOException("failed: " + String.join(" ", command) + "\n" + Files.readString(log));
        }
    }

    private static List<Path> listed(Path folder, String end) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.filter(file -> file.toString().endsWith(end)).sorted().toList();
        }
    }

    private static void copy(Path from, Path to) throws IOException {
        try (Stream<Path> files = Files.walk(from)) {
            for (Path file : files.toList()) {
                Path copy = to.resolve(from.relativize(file).toString());
                Files.createDirectories(Files.isDirectory(file) ? copy : copy.getParent());
                if (Files.isRegularFile(file)) {
                    Files.copy(file, copy);
                }
            }
        } catch (UncheckedIOException e) {
            throw e.getCause();
        }
    }

    private static void delete(Path folder) throws IOException {
        if (!Files.exists(folder)) {
            return;
        }
        Files.walkFileTree(folder, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                Files.delete(file);
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult postVisitDirectory(Path directory, IOException e) throws IOException {
                Files.delete(directory);
                return FileVisitResult.CONTINUE;
            }
        });
    }
}
