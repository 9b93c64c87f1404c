package isonorm.tensor;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.Optional;

/**
 * Memory for matrices that are read from end to end again and again, on pages of two megabytes where the system gives them: with pages of
 * four kilobytes, finding them takes a part of the time of reading.
 *
 * <p>It is taken in large pieces and given out from their beginning, so that small matrices share pages. It holds zeros, belongs to an
 * arena, and is used by one thread at a time.
 */
@SuppressWarnings("restricted")
public final class LargePages {

    private static final long PAGE = 2L << 20;
    private static final long PIECE = 32 * PAGE;
    private static final long LINE = 64;

    private static final int READ_AND_WRITE = 3;
    private static final int PRIVATE_AND_ANONYMOUS = 0x22;
    private static final int HUGE_PAGES = 14;

    private static final Optional<System> SYSTEM = System.open();

    private final Arena arena;
    private MemorySegment rest = MemorySegment.NULL;

    private LargePages(Arena arena) {
        this.arena = arena;
    }

    /** Memory that is there as long as {@code arena} is open. */
    public static LargePages of(Arena arena) {
        return new LargePages(arena);
    }

    /** Whether the system is asked for such pages. */
    public static boolean asked() {
        return SYSTEM.isPresent();
    }

    /** Zeros, on a boundary of 64 bytes. */
    public MemorySegment allocate(long bytes) {
        long whole = Math.ceilDiv(bytes, LINE) * LINE;
        if (SYSTEM.isEmpty()) {
            return arena.allocate(bytes, LINE);
        }
        if (rest.byteSize() < whole) {
            rest = SYSTEM.get().map(Math.ceilDiv(Math.max(whole, PIECE), PAGE) * PAGE, arena);
        }
        MemorySegment taken = rest.asSlice(0, bytes);
        rest = rest.asSlice(whole);
        return taken;
    }

    /** Linux's functions. */
    private record System(MethodHandle map, MethodHandle advise, MethodHandle unmap) {

        static Optional<System> open() {
            if (!java.lang.System.getProperty("os.name").equals("Linux")) {
                return Optional.empty();
            }
            Linker linker = Linker.nativeLinker();
            return Optional.of(new System(
                    linker.downcallHandle(linker.defaultLookup().findOrThrow("mmap"),
                            FunctionDescriptor.of(ADDRESS, ADDRESS, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG)),
                    linker.downcallHandle(linker.defaultLookup().findOrThrow("madvise"),
                            FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG, JAVA_INT)),
                    linker.downcallHandle(linker.defaultLookup().findOrThrow("munmap"), FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG))));
        }

        /** A piece that begins with a page; what the system gives begins anywhere, so a page more is asked for. */
        MemorySegment map(long bytes, Arena arena) {
            long all = bytes + PAGE;
            MemorySegment start = mapped(all);
            if (start.address() == -1) {
                throw new OutOfMemoryError("the system has no " + bytes + " bytes of memory left to map");
            }
            MemorySegment piece = start.reinterpret(all, arena, segment -> free(segment.address(), all));
            MemorySegment aligned = piece.asSlice(Math.ceilDiv(start.address(), PAGE) * PAGE - start.address(), bytes);
            advise(aligned); // a kernel without such pages refuses, and gives small ones
            return aligned;
        }

        private MemorySegment mapped(long bytes) {
            try {
                return (MemorySegment) map.invokeExact(MemorySegment.NULL, bytes, READ_AND_WRITE, PRIVATE_AND_ANONYMOUS, -1, 0L);
            } catch (Throwable e) {
                throw new AssertionError(e); // functions of C throw nothing
            }
        }

        private void advise(MemorySegment piece) {
            try {
                int _ = (int) advise.invokeExact(piece, piece.byteSize(), HUGE_PAGES);
            } catch (Throwable e) {
                throw new AssertionError(e);
            }
        }

        private void free(long address, long bytes) {
            try {
                int _ = (int) unmap.invokeExact(MemorySegment.ofAddress(address), bytes);
            } catch (Throwable e) {
                throw new AssertionError(e);
            }
        }
    }
}
