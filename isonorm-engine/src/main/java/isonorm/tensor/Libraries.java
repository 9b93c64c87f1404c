package isonorm.tensor;

import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Properties;
import org.bytedeco.javacpp.Loader;

/** The native libraries that come with Isonorm: which of them this process has loaded, and from where. */
public final class Libraries {

    /** JavaCPP's names of the platforms for which there is an isonorm-natives. */
    private static final List<String> PLATFORMS = List.of("linux-x86_64", "linux-arm64", "macosx-arm64", "macosx-x86_64", "windows-x86_64");

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

    /** The folder into which the first use of a library will unpack it; nothing where none is on the class path, or one is there already. */
    public static Optional<Path> toUnpack() {
        if (version("dnnl").isEmpty() && !OpenBlas.isOnClassPath()) {
            return Optional.empty();
        }
        return cache().filter(folder -> {
            String[] unpacked = folder.toFile().list((_, name) -> name.startsWith("openblas") || name.startsWith("dnnl"));
            return unpacked == null || unpacked.length == 0;
        });
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

    /** A file of another jar, which a class of a module finds by its class loader alone. */
    static URL resource(String file) {
        return Libraries.class.getClassLoader().getResource(file);
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
