package isonorm.tensor;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.stream.Stream;

/** How much memory this process has. Linux says it of every process; elsewhere nobody does. */
public final class ProcessMemory {

    private ProcessMemory() {}

    /** The bytes that are resident now. */
    public static OptionalLong resident() throws IOException {
        return status("VmRSS:");
    }

    /** The bytes that were resident at most. */
    public static OptionalLong peak() throws IOException {
        return status("VmHWM:");
    }

    private static OptionalLong status(String key) throws IOException {
        Path status = Path.of("/proc/self/status");
        if (!Files.isReadable(status)) {
            return OptionalLong.empty();
        }
        try (Stream<String> lines = Files.lines(status)) {
            Optional<String> found = lines.filter(line -> line.startsWith(key)).findFirst();
            return found.isPresent() ? OptionalLong.of(1024 * Long.parseLong(found.get().replaceAll("\\D", ""))) : OptionalLong.empty();
        }
    }
}
