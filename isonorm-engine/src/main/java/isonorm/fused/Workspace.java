package isonorm.fused;

import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import java.lang.foreign.Arena;
import java.util.EnumMap;
import java.util.Map;

/** Memory for what a forward pass computes in between, kept from one pass to the next and made larger when it must be. */
final class Workspace implements AutoCloseable {

    /** What a piece of it is for. */
    enum Use {
        STREAM,
        NORMALIZED,
        PROJECTED,
        RELATIVE_GATES,
        ATTENDED,
        ATTENTION_BRANCH,
        CROSS_QUERIES,
        CROSS_ATTENDED,
        CROSS_BRANCH,
        MLP_BRANCH,
        INNER,
        GATE,
        LATENT,
        LATENT_QUERIES,
        LATENT_KEYS,
        LATENT_VALUES,
        ROUTER,
        SHARED_WEIGHT,
        GATHERED,
        GIVEN,
        PARTIAL,
        EMBEDDED,
        CHANGED_BASIS,
        LAST,
        LOOKED_UP,
        READ,
        LOGITS
    }

    private record Room(Arena arena, Rows rows) {}

    private final Type type;
    private final Map<Use, Room> rooms = new EnumMap<>(Use.class);

    /** @param type of activations */
    Workspace(Type type) {
        this.type = type;
    }

    Type type() {
        return type;
    }

    /** Rows without gaps in the type of activations, holding anything. */
    Rows rows(Use use, int rows, int columns) {
        return rows(use, type, rows, columns);
    }

    /** Rows without gaps, holding anything. */
    Rows rows(Use use, Type of, int rows, int columns) {
        Room room = rooms.get(use);
        long bytes = (long) rows * columns * of.bytes();
        if (room == null || room.rows.data().byteSize() < bytes) {
            if (room != null) {
                room.arena.close();
            }
            Arena arena = Arena.ofShared();
            room = new Room(arena, Rows.allocate(arena, of, rows, columns, columns));
            rooms.put(use, room);
        }
        return Rows.of(room.rows.data(), of, rows, columns);
    }

    @Override
    public void close() {
        rooms.values().forEach(room -> room.arena.close());
        rooms.clear();
    }
}
