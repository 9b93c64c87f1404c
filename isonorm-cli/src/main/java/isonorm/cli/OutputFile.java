package isonorm.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/** A file that is complete or not there: written beside its place and renamed. */
final class OutputFile {

    /** Writes a file that was not there, and syncs it. */
    @FunctionalInterface
    interface Body {
        void write(Path temporary) throws IOException;
    }

    private OutputFile() {}

    static void write(Path file, Body body) throws IOException {
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
