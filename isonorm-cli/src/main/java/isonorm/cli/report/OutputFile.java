package isonorm.cli.report;

import isonorm.words.SystemFault;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/** A file that is complete or not there: written beside its place and renamed. What cannot be written is named. */
public final class OutputFile {

    /** Writes a file that was not there, and syncs it. */
    @FunctionalInterface
    public interface Body {
        void write(Path temporary) throws IOException;
    }

    private OutputFile() {}

    public static void write(Path file, Body body) throws IOException {
        Path target = file.toAbsolutePath();
        Path temporary = temporary(target);
        temporary.toFile().deleteOnExit(); // an interrupt leaves nothing
        try {
            body.write(temporary);
            Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException e) {
            throw notWritten(file, e);
        } finally {
            temporary.toFile().delete(); // where nothing could be written, why is said already
        }
    }

    /** Refuses a place where nothing can be written: for whoever works for long before there is something to write. Nothing is left. */
    public static void require(Path file) throws IOException {
        Path temporary = temporary(file.toAbsolutePath());
        try {
            Files.createFile(temporary);
            Files.delete(temporary);
        } catch (IOException e) {
            throw notWritten(file, e);
        }
    }

    private static Path temporary(Path target) {
        return target.resolveSibling("." + target.getFileName() + ".tmp-" + ProcessHandle.current().pid());
    }

    /** What the system says of a full disk names no file, and what it says of others the temporary one. */
    static IOException notWritten(Path file, IOException e) {
        return new IOException(file + " cannot be written: " + SystemFault.ofNew(e), e);
    }
}
