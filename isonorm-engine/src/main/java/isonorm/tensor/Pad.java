package isonorm.tensor;

import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/**
 * Native memory for what a step of training or a forward pass computes, handed out from one end and taken back from there. It grows in the first
 * step and stays as large as the largest. Only one thread asks for memory.
 */
public final class Pad implements AutoCloseable {

    private static final long PIECE = 64L << 20;
    private static final int LINE = 64;

    /** How much was handed out at a moment. */
    public record Mark(int piece, long end) {}

    private final Arena arena = Arena.ofShared();
    private final LargePages pages = LargePages.of(arena);
    private final List<MemorySegment> pieces = new ArrayList<>();
    private int piece;
    private long end;

    /** Rows without gaps that hold anything. */
    public Rows rows(Type type, int rows, int columns) {
        long bytes = Math.ceilDiv((long) rows * columns * type.bytes(), LINE) * LINE;
        while (piece < pieces.size() && pieces.get(piece).byteSize() - end < bytes) {
            piece++;
            end = 0;
        }
        if (piece == pieces.size()) {
            pieces.add(pages.allocate(Math.max(PIECE, bytes)));
        }
        MemorySegment memory = pieces.get(piece).asSlice(end, bytes);
        end += bytes;
        return Rows.of(memory, type, rows, columns);
    }

    /** How many bytes there are. */
    public long bytes() {
        return pieces.stream().mapToLong(MemorySegment::byteSize).sum();
    }

    public Mark mark() {
        return new Mark(piece, end);
    }

    /** Takes back what was handed out since. */
    public void release(Mark mark) {
        piece = mark.piece;
        end = mark.end;
    }

    @Override
    public void close() {
        arena.close();
    }
}
