package isonorm.cli.terminal;

import isonorm.checkpoint.CheckpointException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;

/** Says in one line what went wrong. */
public final class Failures {

    private Failures() {}

    public static String describe(Throwable thrown) {
        Throwable e = outOfMemory(thrown);
        return switch (e) {
            case CheckpointException wrong -> wrong.getMessage();
            case UncheckedIOException wrapped -> describe(wrapped.getCause());
            case NoSuchFileException missing -> missing.getFile() + " " + (missing.getReason() == null ? "does not exist" : missing.getReason());
            case AccessDeniedException denied -> denied.getFile() + ": permission denied";
            case FileAlreadyExistsException exists -> exists.getFile() + " exists already";
            case FileSystemException failed -> failed.getFile() + ": " + (failed.getReason() == null ? name(failed) : failed.getReason());
            case IOException failed -> said(failed);
            case IllegalArgumentException refused -> said(refused);
            case ExceptionInInitializerError option when option.getCause() instanceof IllegalArgumentException refused -> said(refused); // of java's
            case OutOfMemoryError error when ofSystem(error) -> "out of memory: " + firstLine(error.getMessage())
                    + "; computing in f32 or bf16 takes less";
            case OutOfMemoryError _ -> "out of memory: the Java heap may grow to " + Table.bytes(Runtime.getRuntime().maxMemory())
                    + "; give it more, ISONORM_JAVA_OPTS=-Xmx8g for instance";
            default -> "internal error, " + name(e) + (e.getMessage() == null ? "" : ": " + firstLine(e.getMessage()))
                    + " (ISONORM_DEBUG=1 shows where; please report it, with what isonorm doctor prints)";
        };
    }

    /** The error below what was thrown, if another thread met it; else what was thrown. */
    private static Throwable outOfMemory(Throwable thrown) {
        for (Throwable cause = thrown; cause != null; cause = cause.getCause()) {
            if (cause instanceof OutOfMemoryError) {
                return cause;
            }
        }
        return thrown;
    }

    /** Whether it was the system that had no more memory, and not the heap that may not grow. */
    private static boolean ofSystem(OutOfMemoryError e) {
        String message = String.valueOf(e.getMessage());
        return message.startsWith("the system has no ") || message.startsWith("Unable to allocate ");
    }

    private static String said(Exception e) {
        return e.getMessage() == null ? name(e) : e.getMessage();
    }

    private static String firstLine(String message) {
        return message.lines().findFirst().orElse("");
    }

    private static String name(Throwable e) {
        return e.getClass().getSimpleName();
    }
}
