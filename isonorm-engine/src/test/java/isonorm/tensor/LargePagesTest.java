package isonorm.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.EveryProcessor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

@EveryProcessor
class LargePagesTest {

    /** Small ones share a piece, and one is larger than a piece. */
    @Test
    void memoryIsZeroOnLinesAndNobodyElses() {
        MemorySegment kept;
        try (Arena arena = Arena.ofShared()) {
            LargePages pages = LargePages.of(arena);
            List<MemorySegment> all = new ArrayList<>();
            for (long bytes : new long[] {1, 63, 64, 65, 1000, 3 << 20, 70L << 20, 5, 4096}) {
                MemorySegment given = pages.allocate(bytes);
                assertEquals(bytes, given.byteSize());
                assertEquals(0, given.address() % 64);
                for (long at = 0; at < bytes; at += Math.max(1, bytes / 7)) {
                    assertEquals(0, given.get(ValueLayout.JAVA_BYTE, at));
                }
                given.fill((byte) (all.size() + 1));
                all.add(given);
            }
            for (int i = 0; i < all.size(); i++) {
                assertEquals(i + 1, all.get(i).get(ValueLayout.JAVA_BYTE, 0));
                assertEquals(i + 1, all.get(i).get(ValueLayout.JAVA_BYTE, all.get(i).byteSize() - 1));
            }
            kept = all.getFirst();
            assertTrue(kept.scope().isAlive());
        }
        assertFalse(kept.scope().isAlive(), "the memory goes with its arena");
    }
}
