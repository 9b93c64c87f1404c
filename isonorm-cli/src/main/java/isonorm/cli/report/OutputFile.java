package isonorm.cli.report;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/** A file that is complete or not there: written beside its place and renamed. */
public final class OutputFile {

    /** Writes a file that was not there, and syncs it. */
    @FunctionalInterface
    public interface Body {
        void write(Path temporary) throws IOException;
    }

    private OutputFile() {}

    public static void write(Path file, Body body) throws IOException {
        Path target = file.toAbsolutePath();
        Path temporary = target.resolveSibling("." + target.getFileName() + ".tmp-" + ProcessHandle.current().pid());
        temporary.toFile().deleteOnExit(); // an interrupt leaves nothing
        try {
            body.write(temporary);
            Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE);
        } finally {
            Files.deleteIfExists(temporary);
        }
    }
}
