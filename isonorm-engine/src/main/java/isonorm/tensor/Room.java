package isonorm.tensor;

import isonorm.kernel.Panels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** Memory of each thread's own, kept from one use to the next and made larger when it must be; it holds anything. */
public final class Room {

    private final ThreadLocal<MemorySegment> memory = ThreadLocal.withInitial(() -> MemorySegment.NULL);

    /** Rows without gaps. */
    public Rows rows(Type type, int rows, int columns) {
        return Rows.of(bytes((long) rows * columns * type.bytes()), type, rows, columns);
    }

    Panels panels(Type type, int inputs, int outputs) {
        return new Panels(bytes(Panels.bytes(type, inputs, outputs)), type, inputs, outputs);
    }

    private MemorySegment bytes(long count) {
        MemorySegment room = memory.get();
        if (room.byteSize() < count) {
            room = Arena.ofAuto().allocate(count, 64);
            memory.set(room);
        }
        return room;
    }
}
