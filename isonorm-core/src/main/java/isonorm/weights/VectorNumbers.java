package isonorm.weights;

import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.LongVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/**
 * The vector twin of {@link Numbers}' conversions between 16-bit types and float64: the same bits, several values at a time. It
 * leaves what does not fill a vector to the plain twin.
 */
final class VectorNumbers {

    private static final VectorSpecies<Double> DOUBLES = DoubleVector.SPECIES_PREFERRED;
    private static final VectorSpecies<Integer> INTS = VectorSpecies.of(int.class, part(2));
    private static final VectorSpecies<Float> FLOATS = VectorSpecies.of(float.class, part(2));
    private static final VectorSpecies<Short> SHORTS = VectorSpecies.of(short.class, part(4));

    /** What float64 has and float32 has not: the last 29 bits of the fraction. */
    private static final long CUT = (1L << 29) - 1;

    private VectorNumbers() {}

    private static VectorShape part(int of) {
        return VectorShape.forBitSize(Math.max(64, DOUBLES.vectorBitSize() / of));
    }

    /** Whether vectors are wide enough for four 16-bit values beside four float64. */
    static boolean wideEnough() {
        return DoubleVector.SPECIES_PREFERRED.vectorBitSize() >= 256;
    }

    /** Converts whole vectors of float64 to float16; gives how many values that were. */
    static int toFloat16(double[] from, int at, int n, short[] into) {
        int whole = DOUBLES.loopBound(n);
        for (int i = 0; i < whole; i += DOUBLES.length()) {
            IntVector bits = roundedToOdd(from, at + i);
            IntVector sign = bits.lanewise(VectorOperators.LSHR, 16).and(0x8000);
            IntVector size = bits.and(0x7fffffff);
            // Normal float16: move the exponent's bias, then round to nearest even by what the cut bits carry.
            IntVector odd = size.lanewise(VectorOperators.LSHR, 13).and(1);
            IntVector normal = size.sub(0x38000000).add(0xfff).add(odd).lanewise(VectorOperators.LSHR, 13);
            // Subnormal float16: adding one half leaves just their bits at the end of the float32, rounded.
            IntVector subnormal = size.reinterpretAsFloats().add(0.5f).reinterpretAsInts().sub(0x3f000000);
            VectorMask<Integer> small = size.compare(VectorOperators.LT, 0x38800000);
            IntVector half = normal.blend(subnormal, small).min(0x7c00);
            ((ShortVector) half.or(sign).convertShape(VectorOperators.I2S, SHORTS, 0)).intoArray(into, i);
        }
        return whole;
    }

    /** Converts whole vectors of float64 to bfloat16; gives how many values that were. */
    static int toBfloat16(double[] from, int at, int n, short[] into) {
        int whole = DOUBLES.loopBound(n);
        for (int i = 0; i < whole; i += DOUBLES.length()) {
            IntVector bits = roundedToOdd(from, at + i);
            // A NaN of many bits would be rounded up past the last NaN, to -0; all become the one of fewest.
            IntVector size = bits.and(0x7fffffff).min(0x7fc00000);
            IntVector odd = size.lanewise(VectorOperators.LSHR, 16).and(1);
            IntVector brain = bits.and(0x80000000).or(size.add(0x7fff).add(odd)).lanewise(VectorOperators.LSHR, 16);
            ((ShortVector) brain.convertShape(VectorOperators.I2S, SHORTS, 0)).intoArray(into, i);
            // A subnormal float32 has fewer bits, so what was cut is not where it is looked for.
            if (bits.and(0x7fffffff).compare(VectorOperators.LE, 0x00800000).anyTrue()) {
                for (int lane = i; lane < i + DOUBLES.length(); lane++) {
                    into[lane] = Numbers.toBfloat16(from[at + lane]);
                }
            }
        }
        return whole;
    }

    /** The float32 bits next to each value towards zero, the last bit set where anything was cut off. */
    private static IntVector roundedToOdd(double[] from, int at) {
        LongVector bits = DoubleVector.fromArray(DOUBLES, from, at).reinterpretAsLongs();
        LongVector sticky = bits.and(CUT).add(CUT).and(CUT + 1);
        DoubleVector cut = bits.and(~CUT).or(sticky).reinterpretAsDoubles();
        return ((FloatVector) cut.convertShape(VectorOperators.D2F, FLOATS, 0)).reinterpretAsInts();
    }

    /**
     * Converts whole vectors of float16 to float64; gives how many values that were. Infinities and NaN come out as numbers of
     * 65536 and more, which no float16 is.
     */
    static int fromFloat16(short[] from, int n, double[] into, int at) {
        int whole = SHORTS.loopBound(n);
        for (int i = 0; i < whole; i += SHORTS.length()) {
            IntVector bits = (IntVector) ShortVector.fromArray(SHORTS, from, i).convertShape(VectorOperators.S2I, INTS, 0);
            IntVector sign = bits.and(0x8000).lanewise(VectorOperators.LSHL, 16);
            FloatVector size = bits.and(0x7fff).lanewise(VectorOperators.LSHL, 13).reinterpretAsFloats().mul(0x1p112f);
            FloatVector value = size.reinterpretAsInts().or(sign).reinterpretAsFloats();
            ((DoubleVector) value.convertShape(VectorOperators.F2D, DOUBLES, 0)).intoArray(into, at + i);
        }
        return whole;
    }

    /** Converts whole vectors of bfloat16 to float64; gives how many values that were. */
    static int fromBfloat16(short[] from, int n, double[] into, int at) {
        int whole = SHORTS.loopBound(n);
        for (int i = 0; i < whole; i += SHORTS.length()) {
            IntVector bits = (IntVector) ShortVector.fromArray(SHORTS, from, i).convertShape(VectorOperators.S2I, INTS, 0);
            FloatVector value = bits.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats();
            ((DoubleVector) value.convertShape(VectorOperators.F2D, DOUBLES, 0)).intoArray(into, at + i);
        }
        return whole;
    }
}
