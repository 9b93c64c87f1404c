package isonorm.kernel;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * The options of java for a JVM that runs the engine: the lines of {@code isonorm/jvm.args}, which is in the engine's jar and is what
 * {@code java @jvm.args} reads.
 */
public final class JvmOptions {

    private static final String FILE = "/isonorm/jvm.args";

    /** What tells the compiler to inline a method, or not to. */
    private static final String COMMAND = "-XX:CompileCommand=";

    private static final List<String> ALL = read();

    private JvmOptions() {}

    /** All of them, in the file's order. */
    public static List<String> all() {
        return ALL;
    }

    /** Those of them that a JVM needs which runs native code and none of our kernels. */
    public static List<String> nativeAccess() {
        return ALL.stream().filter(option -> option.startsWith("--enable-native")).toList();
    }

    /** Whether a JVM with these options is told what to inline; without it, HotSpot may leave vectors as objects. */
    public static boolean inlines(List<String> options) {
        return ALL.stream().filter(option -> option.startsWith(COMMAND)).allMatch(options::contains);
    }

    private static List<String> read() {
        try (InputStream in = JvmOptions.class.getResourceAsStream(FILE);
                BufferedReader lines = new BufferedReader(new InputStreamReader(in, StandardCharsets.UTF_8))) {
            return lines.lines().map(String::strip).filter(line -> !line.isEmpty() && !line.startsWith("#")).toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
