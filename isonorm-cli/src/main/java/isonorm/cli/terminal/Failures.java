package isonorm.cli.terminal;

import static java.util.Objects.requireNonNull;

import isonorm.checkpoint.CheckpointException;
import isonorm.words.SystemFault;
import java.io.IOException;
import java.io.UncheckedIOException;

/** Says in one line what went wrong. */
public final class Failures {

    private Failures() {}

    public static String describe(Throwable thrown) {
        Throwable e = outOfMemory(thrown);
        return switch (e) {
            case CheckpointException wrong -> String.valueOf(wrong.getMessage());
            case UncheckedIOException wrapped -> describe(requireNonNull(wrapped.getCause()));
            case IOException failed -> SystemFault.named(failed);
            case IllegalArgumentException refused when refused.getMessage() != null -> refused.getMessage();
            case ExceptionInInitializerError option when option.getCause() instanceof IllegalArgumentException refused && refused.getMessage() != null ->
                    refused.getMessage(); // of java's
            case UnsatisfiedLinkError library -> "native code cannot be unpacked and loaded: " + firstLine(String.valueOf(library.getMessage()))
                    + "; the home folder and that of temporary files need room, and must allow programs";
            case OutOfMemoryError error when ofSystem(error) -> "out of memory: " + firstLine(String.valueOf(error.getMessage()))
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

    private static String firstLine(String message) {
        return message.lines().findFirst().orElse("");
    }

    private static String name(Throwable e) {
        return e.getClass().getSimpleName();
    }
}
