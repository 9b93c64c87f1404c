package isonorm.tensor;

import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Optional;

/**
 * A matrix, (inputs, outputs), in the order in which products read it, for what is multiplied again and again.
 *
 * @param order what oneDNN knows it by
 */
public record Packed(MemorySegment values, Type type, int inputs, int outputs, MemorySegment order) {

    /**
     * A copy of {@code w}, (inputs, outputs), or transposed (outputs, inputs), in memory of {@code arena}; nothing where products of its
     * type know no other order.
     */
    public static Optional<Packed> of(Rows w, boolean transposed, Arena arena) {
        return OneDnn.here().flatMap(library -> library.pack(w, transposed, arena));
    }
}
