package isonorm.cluster;

import java.io.File;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;

/**
 * Keeps native code from printing: gloo tells on stdout how many peers it found, and c10d prints frames of C++ on stderr before it throws what is then said
 * in a line. Where the system has no {@code dup2}, it prints.
 */
@SuppressWarnings("restricted") // the system's own functions
final class NativeOutput {

    private static final int STDOUT = 1;
    private static final int STDERR = 2;
    private static final int WRITE_ONLY = 1;

    private NativeOutput() {}

    private record Calls(MethodHandle open, MethodHandle dup, MethodHandle dup2, MethodHandle close) {

        static Optional<Calls> find() {
            Linker linker = Linker.nativeLinker();
            SymbolLookup lookup = linker.defaultLookup();
            FunctionDescriptor one = FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT);
            FunctionDescriptor two = FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT, ValueLayout.JAVA_INT);
            FunctionDescriptor path = FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_INT);
            boolean there = List.of("open", "dup", "dup2", "close").stream().allMatch(name -> lookup.find(name).isPresent());
            return there && File.separatorChar == '/'
                    ? Optional.of(new Calls(linker.downcallHandle(lookup.findOrThrow("open"), path, Linker.Option.firstVariadicArg(2)),
                            linker.downcallHandle(lookup.findOrThrow("dup"), one), linker.downcallHandle(lookup.findOrThrow("dup2"), two),
                            linker.downcallHandle(lookup.findOrThrow("close"), one)))
                    : Optional.empty();
        }
    }

    private static final Optional<Calls> CALLS = Calls.find();

    /** Where stdout and stderr went before. */
    private record Kept(int out, int err) {}

    private static int silent;
    private static Kept kept = new Kept(-1, -1);

    /** Runs something while what is printed on stdout and stderr goes nowhere. Only for as long as nobody here has to print. */
    static <T> T silently(Supplier<T> action) {
        if (CALLS.isEmpty()) {
            return action.get();
        }
        begin();
        try {
            return action.get();
        } finally {
            end();
        }
    }

    /** Where several threads are silent, the first of them keeps the streams and the last one gives them back. */
    private static synchronized void begin() {
        if (silent++ == 0) {
            System.out.flush();
            int nowhere = nowhere();
            kept = new Kept(kept(STDOUT, nowhere), kept(STDERR, nowhere));
            call(CALLS.orElseThrow().close, nowhere);
        }
    }

    private static synchronized void end() {
        if (--silent == 0) {
            giveBack(kept.out, STDOUT);
            giveBack(kept.err, STDERR);
        }
    }

    private static int nowhere() {
        try (Arena arena = Arena.ofConfined()) {
            return (int) CALLS.orElseThrow().open.invokeExact(arena.allocateFrom("/dev/null"), WRITE_ONLY);
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    private static int kept(int stream, int nowhere) {
        int kept = call(CALLS.orElseThrow().dup, stream);
        if (kept >= 0 && nowhere >= 0) {
            call2(nowhere, stream);
        }
        return kept;
    }

    private static void giveBack(int kept, int stream) {
        if (kept >= 0) {
            call2(kept, stream);
            call(CALLS.orElseThrow().close, kept);
        }
    }

    private static int call(MethodHandle handle, int number) {
        try {
            return (int) handle.invokeExact(number);
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    private static int call2(int from, int to) {
        try {
            return (int) CALLS.orElseThrow().dup2.invokeExact(from, to);
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }
}
