package isonorm.measure;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.weights.VectorSupport;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class BandwidthTest {

    private static final long STEP = 4096;

    /** What is filled beside zeros shows where a reader begins and ends. */
    @Test
    void eachReaderReadsEveryNumberOnceAndNoOther() {
        try (Arena arena = Arena.ofConfined()) {
            for (Bandwidth.Reader reader : List.of(new PlainReader(6 * STEP), new VectorReader(arena.allocate(6 * STEP, 64)))) {
                reader.fill(STEP, 4 * STEP);
                long each = STEP / Long.BYTES * Bandwidth.NUMBER;
                for (int first = 0; first < 6; first++) {
                    for (int end = first + 1; end <= 6; end++) {
                        int filled = Math.max(0, Math.min(end, 5) - Math.max(first, 1));
                        assertEquals(filled * each, reader.sum(first * STEP, (end - first) * STEP), reader + " from " + first + " to " + end);
                    }
                }
            }
        }
    }

    @Test
    void eachNumberOfAVectorCounts() {
        SplittableRandom random = new SplittableRandom(1);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment data = arena.allocate(3 * STEP, 64);
            long expected = 0;
            for (long i = 0; i < data.byteSize() / Long.BYTES; i++) {
                long number = random.nextLong();
                data.setAtIndex(ValueLayout.JAVA_LONG, i, number);
                expected += number;
            }
            assertEquals(expected, new VectorReader(data).sum(0, 3 * STEP));
        }
    }

    @Test
    void vectorsAreReadWithWhereNothingSpeaksAgainstThem() {
        try (Arena arena = Arena.ofShared()) {
            assertEquals(VectorSupport.obstacle().isEmpty(), Bandwidth.reader(arena) instanceof VectorReader);
        }
    }

    @Test
    void threadsThatDivideNothingEvenlyReadAll() {
        assertTrue(Bandwidth.with(3).gigabytesPerSecond() > 0);
        assertTrue(Bandwidth.with(3).gigabytesPerSecond(new PlainReader(Bandwidth.BYTES)) > 0);
    }

    @Test
    void aReaderThatLeavesSomethingOutIsNoReader() {
        Bandwidth.Reader lazy = new Bandwidth.Reader() {
            @Override
            public void fill(long first, long bytes) {}

            @Override
            public long sum(long first, long bytes) {
                return (bytes / Long.BYTES - 1) * Bandwidth.NUMBER;
            }
        };
        assertThrows(IllegalStateException.class, () -> Bandwidth.with(1).gigabytesPerSecond(lazy));
    }
}
