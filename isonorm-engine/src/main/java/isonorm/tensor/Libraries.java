package isonorm.tensor;

import java.io.IOException;
import java.io.InputStream;
import java.net.JarURLConnection;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Properties;
import java.util.function.Consumer;
import org.bytedeco.javacpp.Loader;

/** The native libraries that come with Isonorm: which of them this process has loaded, and from where. */
public final class Libraries {

    /** JavaCPP's names of the platforms for which there is an isonorm-natives. */
    private static final List<String> PLATFORMS = List.of("linux-x86_64", "linux-arm64", "macosx-arm64", "macosx-x86_64", "windows-x86_64");

    /** Where native code lies unpacked already, under the names that it has in jars; the command line's archive has such a folder. */
    private static final Optional<Path> UNPACKED = Optional.ofNullable(System.getProperty("isonorm.natives")).map(Path::of);

    private static volatile Consumer<Path> listener = _ -> {};

    private Libraries() {}

    /**
     * A native library.
     *
     * @param version that of the jar which brings it for this platform; empty where none is on the class path
     * @param place the file it was loaded from; empty where it is not loaded
     */
    public record Library(String name, Optional<String> version, Optional<Path> place) {}

    /** Those of products, which are loaded as far as {@link Products} uses them. */
    public static List<Library> here() {
        Optional<Path> oneDnn = Multipliers.here().oneDnn().map(OneDnn::place);
        Optional<Path> openBlas = Multipliers.here().openBlas().map(OpenBlas::place);
        return List.of(
                new Library("oneDNN", version("dnnl"), oneDnn),
                new Library("OpenBLAS", OpenBlas.isOnClassPath() ? version("openblas") : Optional.empty(), openBlas));
    }

    /** Who is to be told of the folder, before any native code is unpacked to it. */
    public static void beforeUnpacking(Consumer<Path> listener) {
        Libraries.listener = listener;
    }

    /** The instruction sets oneDNN may use, a bit each, as {@code dnnl_cpu_isa_t} has them; empty where products are not its. */
    public static OptionalInt oneDnnInstructions() {
        return Multipliers.here().oneDnn().map(library -> OptionalInt.of(library.instructions())).orElse(OptionalInt.empty());
    }

    /** The folder into which native code is unpacked. */
    public static Optional<Path> cache() {
        try {
            return Optional.of(Loader.getCacheDir().toPath());
        } catch (IOException | LinkageError e) { // a home that cannot be written
            return Optional.empty();
        }
    }

    /** Why a library is not there that this platform may have, and what brings it. */
    static String missing(String library, String platform) {
        return PLATFORMS.contains(platform)
                ? library + " is not on the class path: io.github.isonorm:isonorm-natives-" + platform + " brings it"
                : library + " is not on this platform";
    }

    /** A file that lies unpacked already. */
    public static Optional<Path> unpacked(String name) {
        return UNPACKED.map(folder -> folder.resolve(name)).filter(Files::exists);
    }

    /** A file of another jar, which a class of a module finds by its class loader alone. */
    static Optional<URL> packed(String name) {
        return Optional.ofNullable(Libraries.class.getClassLoader().getResource(name));
    }

    /** A file as native code is loaded from: where it lies unpacked, or into the cache it is; empty where no jar has it. */
    static Optional<Path> file(String name) throws IOException {
        Optional<Path> unpacked = unpacked(name);
        Optional<URL> packed = packed(name);
        if (unpacked.isPresent() || packed.isEmpty()) {
            return unpacked;
        }
        if (packed.get().openConnection() instanceof JarURLConnection jar) {
            tellBeforeUnpacking(Loader.getCacheDir().toPath().resolve(Path.of(jar.getJarFileURL().getPath()).getFileName()).resolve(name));
        }
        return Optional.of(Loader.cacheResource(packed.get()).toPath());
    }

    /** Once, and where the file is not there yet. */
    static synchronized void tellBeforeUnpacking(Path file) throws IOException {
        if (!Files.exists(file)) {
            listener.accept(Loader.getCacheDir().toPath());
            listener = _ -> {};
        }
    }

    /** The library's own, in front of JavaCPP's. */
    static Optional<String> version(String artifact) {
        String file = "META-INF/maven/org.bytedeco/" + artifact + "/pom.properties";
        try (InputStream in = Libraries.class.getClassLoader().getResourceAsStream(file)) {
            if (in == null) {
                return Optional.empty();
            }
            Properties properties = new Properties();
            properties.load(in);
            return Optional.ofNullable(properties.getProperty("version")).map(version -> version.split("-")[0]);
        } catch (IOException e) {
            return Optional.empty();
        }
    }
}
