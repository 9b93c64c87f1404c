package isonorm.weights;

import isonorm.checkpoint.Dtype;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * Stored numbers to float64 and back. Reading is exact; writing rounds once, to nearest, ties to even.
 *
 * <p>Float64 to a 16-bit type must not pass through float32 as it is: a value just beside the middle of two 16-bit values would
 * be rounded onto the middle and then to the wrong side. It passes through float32 rounded to odd, which keeps the side.
 */
public final class Numbers {

    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED;
    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED;
    private static final ValueLayout.OfDouble DOUBLE = ValueLayout.JAVA_DOUBLE_UNALIGNED;

    private static final int CHUNK = 1024;


    /** What one thread needs for one chunk. */
    private static final class Buffers {
        private static final ThreadLocal<Buffers> OWN = ThreadLocal.withInitial(Buffers::new);

        private final float[] floats = new float[CHUNK];
        private final short[] halves = new short[CHUNK];
        private final MemorySegment chunk = MemorySegment.ofArray(new byte[CHUNK * Double.BYTES]);
    }

    private Numbers() {}

    /** Whether the vector twin converts 16-bit types; the plain one does where vectors would be slow or are short. */
    static final boolean VECTORS = VectorSupport.obstacle().isEmpty() && VectorNumbers.wideEnough();

    /** Whether values of this type can be weights. */
    public static boolean readable(Dtype dtype) {
        return switch (dtype) {
            case F64, F32, F16, BF16 -> true;
            default -> false;
        };
    }

    /**
     * Reads {@code count} values from element {@code first} of {@code from} on into {@code into}, from {@code at} on.
     *
     * @return the largest magnitude read; infinite or NaN if one of the values is
     */
    public static double decode(MemorySegment from, Dtype dtype, long first, int count, double[] into, int at) {
        return switch (dtype) {
            case F64 -> {
                MemorySegment.copy(from, DOUBLE, first * Double.BYTES, into, at, count);
                yield largest(into, at, count);
            }
            case F32 -> decodeFloats(from, first, count, into, at);
            case F16, BF16 -> decodeHalves(from, dtype, first, count, into, at);
            default -> throw new IllegalArgumentException("weights cannot be of type " + dtype);
        };
    }

    private static double decodeFloats(MemorySegment from, long first, int count, double[] into, int at) {
        float[] floats = Buffers.OWN.get().floats;
        float largest = 0;
        for (int done = 0; done < count; done += CHUNK) {
            int n = Math.min(CHUNK, count - done);
            MemorySegment.copy(from, FLOAT, (first + done) * Float.BYTES, floats, 0, n);
            for (int i = 0; i < n; i++) {
                largest = Math.max(largest, Math.abs(floats[i]));
            }
            for (int i = 0; i < n; i++) {
                into[at + done + i] = floats[i];
            }
        }
        return largest;
    }

    private static double decodeHalves(MemorySegment from, Dtype dtype, long first, int count, double[] into, int at) {
        short[] halves = Buffers.OWN.get().halves;
        int largest = 0;
        for (int done = 0; done < count; done += CHUNK) {
            int n = Math.min(CHUNK, count - done);
            MemorySegment.copy(from, SHORT, (first + done) * Short.BYTES, halves, 0, n);
            largest = Math.max(largest, largestSize(halves, n));
            if (dtype == Dtype.F16) {
                int i = VECTORS ? VectorNumbers.fromFloat16(halves, n, into, at + done) : 0;
                for (; i < n; i++) {
                    into[at + done + i] = Float.float16ToFloat(halves[i]);
                }
            } else {
                int i = VECTORS ? VectorNumbers.fromBfloat16(halves, n, into, at + done) : 0;
                for (; i < n; i++) {
                    into[at + done + i] = Float.intBitsToFloat(halves[i] << 16);
                }
            }
        }
        return magnitude(largest, dtype);
    }

    /** The largest of the bits without their signs, which are ordered as the magnitudes are. */
    private static int largestSize(short[] halves, int n) {
        int largest = 0;
        for (int i = 0; i < n; i++) {
            largest = Math.max(largest, halves[i] & 0x7fff);
        }
        return largest;
    }

    private static double magnitude(int bits, Dtype dtype) {
        return dtype == Dtype.F16 ? Float.float16ToFloat((short) bits) : Float.intBitsToFloat(bits << 16);
    }

    private static double largest(double[] values, int at, int count) {
        double largest = 0;
        for (int i = at; i < at + count; i++) {
            largest = Math.max(largest, Math.abs(values[i]));
        }
        return largest;
    }

    /**
     * Writes {@code count} values from {@code at} on to element {@code first} of {@code into} on.
     *
     * @return the largest magnitude written; infinite or NaN if one of the values is or does not fit the type
     */
    public static double encode(double[] from, int at, int count, MemorySegment into, Dtype dtype, long first) {
        if (dtype == Dtype.F64) {
            MemorySegment.copy(from, at, into, DOUBLE, first * Double.BYTES, count);
            return largest(from, at, count);
        }
        if (dtype == Dtype.F32) {
            return encodeFloats(from, at, count, into, first);
        }
        if (dtype == Dtype.I8 || dtype == Dtype.U8) {
            return encodeBytes(from, at, count, into, first);
        }
        short[] halves = Buffers.OWN.get().halves;
        int largest = 0;
        for (int done = 0; done < count; done += CHUNK) {
            int n = Math.min(CHUNK, count - done);
            switch (dtype) {
                case F16 -> toFloat16(from, at + done, n, halves, VECTORS);
                case BF16 -> toBfloat16(from, at + done, n, halves, VECTORS);
                default -> throw new IllegalArgumentException("weights cannot be of type " + dtype);
            }
            largest = Math.max(largest, largestSize(halves, n));
            MemorySegment.copy(halves, 0, into, SHORT, (first + done) * Short.BYTES, n);
        }
        return magnitude(largest, dtype);
    }

    /** Whole numbers of codes, which fit. */
    private static double encodeBytes(double[] from, int at, int count, MemorySegment into, long first) {
        for (int i = 0; i < count; i++) {
            into.set(ValueLayout.JAVA_BYTE, first + i, (byte) (int) from[at + i]);
        }
        return largest(from, at, count);
    }

    private static double encodeFloats(double[] from, int at, int count, MemorySegment into, long first) {
        float[] floats = Buffers.OWN.get().floats;
        float largest = 0;
        for (int done = 0; done < count; done += CHUNK) {
            int n = Math.min(CHUNK, count - done);
            for (int i = 0; i < n; i++) {
                floats[i] = (float) from[at + done + i];
            }
            for (int i = 0; i < n; i++) {
                largest = Math.max(largest, Math.abs(floats[i]));
            }
            MemorySegment.copy(floats, 0, into, FLOAT, (first + done) * Float.BYTES, n);
        }
        return largest;
    }

    /**
     * What {@code count} values become when they are stored in a type and read again: each rounded once. Of values that do not fit the
     * result is infinite.
     */
    public static void round(double[] from, int count, Dtype dtype, double[] into) {
        MemorySegment stored = Buffers.OWN.get().chunk;
        for (int done = 0; done < count; done += CHUNK) {
            int n = Math.min(CHUNK, count - done);
            encode(from, done, n, stored, dtype, 0);
            decode(stored, dtype, 0, n, into, done);
        }
    }

    /** How many binary digits a value of a type has. */
    static int digits(Dtype dtype) {
        return switch (dtype) {
            case F64 -> 53;
            case F32 -> 24;
            case F16 -> 11;
            case BF16 -> 8;
            default -> throw new IllegalArgumentException("weights cannot be of type " + dtype);
        };
    }

    /** Half a unit in the last place that a value has in a type: the most that rounding moves it. */
    public static double halfUnit(double value, Dtype dtype) {
        if (dtype == Dtype.F64) {
            return Math.ulp(value) / 2;
        }
        int smallest = dtype == Dtype.F16 ? -14 : Float.MIN_EXPONENT;
        int exponent = Math.max(Math.getExponent(value), smallest) - digits(dtype);
        return Double.longBitsToDouble((long) (exponent + Double.MAX_EXPONENT) << 52);
    }

    static void toFloat16(double[] from, int at, int n, short[] into, boolean vectors) {
        for (int i = vectors ? VectorNumbers.toFloat16(from, at, n, into) : 0; i < n; i++) {
            into[i] = toFloat16(from[at + i]);
        }
    }

    static void toBfloat16(double[] from, int at, int n, short[] into, boolean vectors) {
        for (int i = vectors ? VectorNumbers.toBfloat16(from, at, n, into) : 0; i < n; i++) {
            into[i] = toBfloat16(from[at + i]);
        }
    }

    /** The nearest float16, ties to even. */
    public static short toFloat16(double value) {
        return Float.floatToFloat16(roundToOdd(value));
    }

    /** The nearest bfloat16, ties to even. */
    public static short toBfloat16(double value) {
        float odd = roundToOdd(value);
        int bits = Float.floatToRawIntBits(odd);
        if (Float.isNaN(odd)) {
            return (short) (bits >>> 16 | 0x40);
        }
        return (short) (bits + 0x7fff + (bits >>> 16 & 1) >>> 16);
    }

    /** The float32 next to {@code value} towards zero, its last bit set where anything was cut off. */
    private static float roundToOdd(double value) {
        float near = (float) value;
        double back = near;
        int bits = Float.floatToRawIntBits(near);
        bits -= Math.abs(back) > Math.abs(value) ? 1 : 0;
        bits |= back != value ? 1 : 0;
        return Float.intBitsToFloat(bits);
    }
}
