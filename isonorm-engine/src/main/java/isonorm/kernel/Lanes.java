package isonorm.kernel;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.Arrays;
import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorShuffle;
import jdk.incubator.vector.VectorSpecies;

/**
 * Between native memory and vectors of float32.
 *
 * <p>A row whose length n is no multiple of the lanes ends in a vector that begins at n - lanes and overlaps the one before: what
 * is computed twice is stored twice, the same. Rows shorter than one vector are handled one by one.
 *
 * <p>Types are told apart before a loop, never inside: a path that the profile saw seldom is not inlined, and then every vector
 * of the loop is allocated, on the other path too.
 */
final class Lanes {

    static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;
    static final VectorSpecies<Integer> INTS = IntVector.SPECIES_PREFERRED;
    private static final VectorSpecies<Short> SHORTS =
            VectorSpecies.of(short.class, VectorShape.forBitSize(Math.max(64, FLOATS.vectorBitSize() / 2)));

    static final VectorSpecies<Double> DOUBLES = DoubleVector.SPECIES_PREFERRED;
    /** So many float32 as there are float64 in a vector. */
    private static final VectorSpecies<Float> NARROW =
            VectorSpecies.of(float.class, VectorShape.forBitSize(DOUBLES.vectorBitSize() / 2));

    static final Class<?> FLOAT_VECTOR = FLOATS.vectorType();
    static final Class<?> INT_VECTOR = INTS.vectorType();
    private static final Class<?> SHORT_VECTOR = SHORTS.vectorType();
    private static final Class<?> DOUBLE_VECTOR = DOUBLES.vectorType();
    private static final Class<?> NARROW_VECTOR = NARROW.vectorType();

    /** Lanes of a vector. */
    static final int L = FLOATS.length();

    /** Lanes of a vector of float64. */
    static final int D = DOUBLES.length();

    /**
     * All memory, addressed absolutely. A constant of the global scope leaves no check of liveness or of the segment's kind in the
     * loops; where a kernel may read and write was checked when its {@link Rows} were made.
     */
    @SuppressWarnings("restricted")
    static final MemorySegment ALL = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);

    static final ByteOrder ORDER = ByteOrder.nativeOrder();
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED;
    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED;

    /** A float16's sign, and its exponent and fraction where those of a float32 end and begin. */
    private static final IntVector HALF = IntVector.broadcast(INTS, 0x8fffe000);
    private static final FloatVector HALF_BIAS = FloatVector.broadcast(FLOATS, 0x1p112f);

    private static final Transfer READ_BRAINS = Transfer.of(Lanes::readBrains);
    private static final Transfer WRITE_BRAINS = Transfer.of(Lanes::writeBrains);
    private static final Transfer READ_HALVES = Transfer.of(Lanes::readHalves);
    private static final Transfer WRITE_HALVES = Transfer.of(Lanes::writeHalves);

    /** Lanes moved by so many. */
    private static final VectorShuffle<Float> BY_8 = moved(FLOATS, 8);
    private static final VectorShuffle<Float> BY_4 = moved(FLOATS, 4);
    private static final VectorShuffle<Float> BY_2 = moved(FLOATS, 2);
    private static final VectorShuffle<Float> BY_1 = moved(FLOATS, 1);
    private static final VectorShuffle<Double> WIDE_BY_4 = moved(DOUBLES, 4);
    private static final VectorShuffle<Double> WIDE_BY_2 = moved(DOUBLES, 2);
    private static final VectorShuffle<Double> WIDE_BY_1 = moved(DOUBLES, 1);

    private Lanes() {}

    private static <E> VectorShuffle<E> moved(VectorSpecies<E> species, int by) {
        return VectorShuffle.fromOp(species, lane -> (lane + by) % species.length());
    }

    /** Room for a row, filled up with zeros to whole vectors. */
    static float[] room(int columns) {
        return new float[whole(columns)];
    }

    /** {@code columns} rounded up to whole vectors. */
    static int whole(int columns) {
        return Math.ceilDiv(columns, L) * L;
    }

    /** A copy filled up with {@code rest} to whole vectors; of none, {@code rest} alone. */
    static float[] padded(Values values, int columns, float rest) {
        float[] copy = new float[whole(columns)];
        Arrays.fill(copy, rest);
        System.arraycopy(values.array(), values.first(), copy, 0, values.count());
        return copy;
    }

    static FloatVector floats(long address) {
        return known(FloatVector.fromMemorySegment(FLOATS, ALL, address, ORDER));
    }

    static FloatVector floats(float[] array, int at) {
        return known(FloatVector.fromArray(FLOATS, array, at));
    }

    static FloatVector floats(IntVector bits) {
        return known(bits.reinterpretAsFloats());
    }

    static FloatVector all(float value) {
        return known(FloatVector.broadcast(FLOATS, value));
    }

    static IntVector bits(int[] array, int at) {
        return known(IntVector.fromArray(INTS, array, at));
    }

    static IntVector bits(FloatVector values) {
        return known(values.reinterpretAsInts());
    }

    /**
     * The sum of the lanes, halves added to halves. The Vector API's own adds in one order where it is compiled and in another where it
     * is not, and a run that goes on must give the bits of one that was never stopped.
     */
    static float sum(FloatVector values) {
        FloatVector sum = known(values);
        if (L >= 16) {
            sum = sum.add(sum.rearrange(BY_8));
        }
        if (L >= 8) {
            sum = sum.add(sum.rearrange(BY_4));
        }
        sum = sum.add(sum.rearrange(BY_2));
        return sum.add(sum.rearrange(BY_1)).lane(0);
    }

    static float sum(FloatVector a, FloatVector b, FloatVector c, FloatVector d) {
        return sum(known(a).add(b).add(known(c).add(d)));
    }

    static double sum(DoubleVector values) {
        DoubleVector sum = (DoubleVector) DOUBLE_VECTOR.cast(values);
        if (D >= 8) {
            sum = sum.add(sum.rearrange(WIDE_BY_4));
        }
        if (D >= 4) {
            sum = sum.add(sum.rearrange(WIDE_BY_2));
        }
        return sum.add(sum.rearrange(WIDE_BY_1)).lane(0);
    }

    static DoubleVector wide(double value) {
        return (DoubleVector) DOUBLE_VECTOR.cast(DoubleVector.broadcast(DOUBLES, value));
    }

    static DoubleVector doubles(double[] array, int at) {
        return (DoubleVector) DOUBLE_VECTOR.cast(DoubleVector.fromArray(DOUBLES, array, at));
    }

    /** Values widened. */
    static DoubleVector doubles(float[] array, int at) {
        return widened((FloatVector) NARROW_VECTOR.cast(FloatVector.fromArray(NARROW, array, at)));
    }

    /** Values of float32 widened. */
    static DoubleVector doubles(long address) {
        return widened((FloatVector) NARROW_VECTOR.cast(FloatVector.fromMemorySegment(NARROW, ALL, address, ORDER)));
    }

    private static DoubleVector widened(FloatVector narrow) {
        return (DoubleVector) DOUBLE_VECTOR.cast(narrow.convertShape(VectorOperators.F2D, DOUBLES, 0));
    }

    /**
     * The same vector, of a class that the compiler knows while it reads the code. What is loaded or reinterpreted, and what comes
     * around in a loop, has for it but the declared class, and calls on that are inlined by the profile of the Vector API's own
     * code. Which other lengths of vectors there were in the process, as in conversions of weights, then decides whether operations
     * stay calls and vectors objects. The results of operations on a known vector are known.
     */
    static FloatVector known(FloatVector vector) {
        return (FloatVector) FLOAT_VECTOR.cast(vector);
    }

    static IntVector known(Object vector) {
        return (IntVector) INT_VECTOR.cast(vector);
    }

    private static ShortVector shorts(long address) {
        return (ShortVector) SHORT_VECTOR.cast(ShortVector.fromMemorySegment(SHORTS, ALL, address, ORDER));
    }

    /** Numbers of 16 bits in the lower halves of ints. */
    static IntVector unsigned(long address) {
        return known(shorts(address).convertShape(VectorOperators.ZERO_EXTEND_S2I, INTS, 0));
    }

    static FloatVector brains(long address) {
        return floats(unsigned(address).lanewise(VectorOperators.LSHL, 16));
    }

    /**
     * Float16, exactly. Sign, exponent and fraction moved to their places are too small by {@code 2^-112}, which a product mends, for
     * subnormal numbers too; infinity and NaN need the largest exponent besides.
     */
    static FloatVector halves(long address) {
        ShortVector halves = ShortVector.fromMemorySegment(SHORTS, ALL, address, ORDER);
        IntVector bits = ((IntVector) halves.convertShape(VectorOperators.S2I, INTS, 0)).lanewise(VectorOperators.LSHL, 13).and(HALF);
        IntVector value = bits.reinterpretAsFloats().mul(HALF_BIAS).reinterpretAsInts();
        VectorMask<Integer> infinite = bits.lanewise(VectorOperators.LSHL, 1).compare(VectorOperators.UGE, 0x1f000000);
        return value.blend(value.or(0x7f800000), infinite).reinterpretAsFloats();
    }

    /** Bits whose upper halves are the nearest bfloat16, ties to even; NaN stays NaN. */
    static IntVector toBrains(FloatVector values) {
        IntVector bits = bits(values);
        IntVector odd = bits.lanewise(VectorOperators.LSHR, 16).and(1);
        // All ones for NaN. A mask would do the same, but masks are what HotSpot most often leaves as objects.
        IntVector nan = bits.and(0x7fffffff).neg().add(0x7f800000).lanewise(VectorOperators.ASHR, 31);
        return bits.add(0x7fff).add(odd).or(nan.and(0x7fc00000));
    }

    /** Stores the upper halves. */
    static void store(long address, IntVector brains) {
        IntVector bits = brains.lanewise(VectorOperators.LSHR, 16);
        ((ShortVector) SHORT_VECTOR.cast(bits.convertShape(VectorOperators.I2S, SHORTS, 0))).intoMemorySegment(ALL, address, ORDER);
    }

    /** {@link VectorKernels} lets no float64 in. */
    static AssertionError wide() {
        return new AssertionError("float64 in vector kernels");
    }

    static float get(Type type, long address) {
        return switch (type) {
            case F64 -> throw wide();
            case F32 -> ALL.get(FLOAT, address);
            case BF16 -> Float.intBitsToFloat(ALL.get(SHORT, address) << 16);
            case F16 -> Float.float16ToFloat(ALL.get(SHORT, address));
        };
    }

    static void set(Type type, long address, float value) {
        switch (type) {
            case F64 -> throw wide();
            case F32 -> ALL.set(FLOAT, address, value);
            case BF16 -> ALL.set(SHORT, address, brain(value));
            case F16 -> ALL.set(SHORT, address, Float.floatToFloat16(value));
        }
    }

    private static short brain(float value) {
        int bits = Float.floatToRawIntBits(value);
        return Float.isNaN(value) ? 0x7fc0 : (short) (bits + 0x7fff + (bits >>> 16 & 1) >>> 16);
    }

    /** The value as it is read back after {@link #set}. */
    static float rounded(Type type, float value) {
        return switch (type) {
            case F64 -> throw wide();
            case F32 -> value;
            case BF16 -> Float.intBitsToFloat(brain(value) << 16);
            case F16 -> Float.float16ToFloat(Float.floatToFloat16(value));
        };
    }

    /** Reads {@code n} values. */
    static void read(Type type, long address, int n, float[] into) {
        if (type == Type.F32) {
            MemorySegment.copy(ALL, FLOAT, address, into, 0, n);
        } else if (n < L) {
            for (int i = 0; i < n; i++) {
                into[i] = get(type, address + (long) i * type.bytes());
            }
        } else if (type == Type.BF16) {
            READ_BRAINS.run(address, n, into);
        } else {
            READ_HALVES.run(address, n, into);
        }
    }

    /** {@link #read} of F32, into a part of an array. */
    static void readFloats(long address, int n, float[] into, int at) {
        MemorySegment.copy(ALL, FLOAT, address, into, at, n);
    }

    /** {@link #read} of BF16 and a vector at least, for a loop that does more. */
    static void readBrains(long address, int n, float[] into) {
        for (int i = 0; i < n - L; i += L) {
            brains(address + (long) i * Short.BYTES).intoArray(into, i);
        }
        brains(address + (n - L) * (long) Short.BYTES).intoArray(into, n - L);
    }

    private static void readHalves(long address, int n, float[] into) {
        for (int i = 0; i < n - L; i += L) {
            halves(address + (long) i * Short.BYTES).intoArray(into, i);
        }
        halves(address + (n - L) * (long) Short.BYTES).intoArray(into, n - L);
    }

    /** Writes {@code n} values, rounded. */
    static void write(Type type, long address, int n, float[] from) {
        if (type == Type.F32) {
            MemorySegment.copy(from, 0, ALL, FLOAT, address, n);
        } else if (n < L) {
            for (int i = 0; i < n; i++) {
                set(type, address + (long) i * type.bytes(), from[i]);
            }
        } else if (type == Type.BF16) {
            WRITE_BRAINS.run(address, n, from);
        } else {
            WRITE_HALVES.run(address, n, from);
        }
    }

    /** {@link #write} of BF16 and a vector at least, for a loop that does more. */
    static void writeBrains(long address, int n, float[] from) {
        for (int i = 0; i < n - L; i += L) {
            store(address + (long) i * Short.BYTES, toBrains(floats(from, i)));
        }
        store(address + (n - L) * (long) Short.BYTES, toBrains(floats(from, n - L)));
    }

    /** One by one, which the processor has an instruction for and the compiler makes vectors of. */
    private static void writeHalves(long address, int n, float[] from) {
        for (int i = 0; i < n; i++) {
            ALL.set(SHORT, address + (long) i * Short.BYTES, Float.floatToFloat16(from[i]));
        }
    }

    /** Writes {@code n} values times a factor, rounded once; what is in the array may be changed. */
    static void writeTimes(float factor, Type type, long address, int n, float[] from) {
        if (type == Type.BF16 && n >= L) {
            for (int i = 0; i < n - L; i += L) {
                store(address + (long) i * Short.BYTES, toBrains(floats(from, i).mul(factor)));
            }
            store(address + (n - L) * (long) Short.BYTES, toBrains(floats(from, n - L).mul(factor)));
            return;
        }
        if (type == Type.F32 && n >= L) {
            for (int i = 0; i < n - L; i += L) {
                floats(from, i).mul(factor).intoMemorySegment(ALL, address + (long) i * Float.BYTES, ORDER);
            }
            floats(from, n - L).mul(factor).intoMemorySegment(ALL, address + (n - L) * (long) Float.BYTES, ORDER);
            return;
        }
        for (int i = 0; i < whole(n); i += L) {
            floats(from, i).mul(factor).intoArray(from, i);
        }
        write(type, address, n, from);
    }

    /** Writes {@code n} zeros. */
    static void clear(Type type, long address, int n) {
        if (n == 0) {
            return;
        }
        ALL.asSlice(address, (long) n * type.bytes()).fill((byte) 0);
    }
}
