package isonorm.measure;

import java.lang.foreign.MemorySegment;
import java.lang.ref.Reference;
import java.nio.ByteOrder;
import jdk.incubator.vector.LongVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * Reads with vectors, from four places at once, two vectors of each, and adds what it reads to a sum for each of these. More
 * places at once were slower, and so was one.
 */
final class VectorReader implements Bandwidth.Reader {

    private static final int PLACES = 4;
    private static final VectorSpecies<Long> LONGS = LongVector.SPECIES_PREFERRED;
    private static final Class<?> LONG_VECTOR = LONGS.vectorType();
    private static final long VECTOR = LONGS.vectorByteSize();

    /** All memory, addressed absolutely, so that no check is left in the loop. */
    @SuppressWarnings("restricted")
    private static final MemorySegment ALL = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);

    private final MemorySegment data;

    VectorReader(MemorySegment data) {
        this.data = data;
    }

    @Override
    public void fill(long first, long bytes) {
        data.asSlice(first, bytes).fill((byte) Bandwidth.NUMBER);
    }

    @Override
    public long sum(long first, long bytes) {
        long sum = fromFourPlaces(data.asSlice(first, bytes).address(), bytes / PLACES);
        Reference.reachabilityFence(data);
        return sum;
    }

    private static long fromFourPlaces(long a, long bytes) {
        long b = a + bytes;
        long c = b + bytes;
        long d = c + bytes;
        LongVector a0 = LongVector.zero(LONGS);
        LongVector a1 = a0;
        LongVector b0 = a0;
        LongVector b1 = a0;
        LongVector c0 = a0;
        LongVector c1 = a0;
        LongVector d0 = a0;
        LongVector d1 = a0;
        for (long at = 0; at < bytes; at += 2 * VECTOR) {
            a0 = known(a0).add(longs(a + at));
            b0 = known(b0).add(longs(b + at));
            c0 = known(c0).add(longs(c + at));
            d0 = known(d0).add(longs(d + at));
            a1 = known(a1).add(longs(a + at + VECTOR));
            b1 = known(b1).add(longs(b + at + VECTOR));
            c1 = known(c1).add(longs(c + at + VECTOR));
            d1 = known(d1).add(longs(d + at + VECTOR));
        }
        LongVector first = known(a0).add(a1).add(known(b0).add(b1));
        LongVector last = known(c0).add(c1).add(known(d0).add(d1));
        return first.add(last).reduceLanes(VectorOperators.ADD);
    }

    private static LongVector longs(long address) {
        return known(LongVector.fromMemorySegment(LONGS, ALL, address, ByteOrder.nativeOrder()));
    }

    /**
     * The same vector, of a class that the compiler knows: without that, what else the process computed decides whether it stays an
     * object.
     */
    private static LongVector known(LongVector vector) {
        return (LongVector) LONG_VECTOR.cast(vector);
    }
}
