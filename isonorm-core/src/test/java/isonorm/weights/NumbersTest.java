package isonorm.weights;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.checkpoint.Dtype;
import java.lang.foreign.MemorySegment;
import java.math.BigDecimal;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** Against definitions in integers and exact decimals; the 16-bit types have few enough values to try them all. */
class NumbersTest {

    /** What codes in few bits are written as. */
    private static final Set<Dtype> CODES = EnumSet.of(Dtype.I8, Dtype.U8);

    private static final int[] SIZES = {1, 7, 15, 16, 17, 191, 192, 767, 768, 1023, 1025, 4097};
    private static final List<Dtype> TYPES = List.of(Dtype.F64, Dtype.F32, Dtype.F16, Dtype.BF16);

    /** A 16-bit binary type: how many bits its fraction has, and its exponents' bias. */
    private record Format(Dtype dtype, int fraction, int bias) {
        static final Format HALF = new Format(Dtype.F16, 10, 15);
        static final Format BRAIN = new Format(Dtype.BF16, 7, 127);

        int infinity() {
            return 0x7fff >> fraction << fraction;
        }

        /** The value of bits without a sign; what infinity would be if it were the next number, too. */
        double magnitude(int bits) {
            int exponent = bits >> fraction;
            int rest = bits & (1 << fraction) - 1;
            return exponent == 0
                    ? Math.scalb((double) rest, 1 - bias - fraction)
                    : Math.scalb((double) (rest + (1 << fraction)), exponent - bias - fraction);
        }

        /** The value of all 16 bits. */
        double value(int bits) {
            return (bits & 0x8000) == 0 ? magnitude(bits & 0x7fff) : -magnitude(bits & 0x7fff);
        }

        /** The bits of the nearest number, found by comparing exact distances; ties go to the even one. */
        int nearest(double value) {
            int sign = Double.doubleToRawLongBits(value) < 0 ? 0x8000 : 0;
            double size = Math.abs(value);
            if (size >= magnitude(infinity())) {
                return sign | infinity();
            }
            int low = 0;
            int high = infinity();
            while (high - low > 1) {
                int middle = (low + high) / 2;
                if (magnitude(middle) <= size) {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            BigDecimal down = new BigDecimal(size).subtract(new BigDecimal(magnitude(low)));
            BigDecimal up = new BigDecimal(magnitude(high)).subtract(new BigDecimal(size));
            int side = down.compareTo(up);
            return sign | (side < 0 || side == 0 && low % 2 == 0 ? low : high);
        }

        boolean isFinite(int bits) {
            return (bits & 0x7fff) < infinity();
        }

        short encoded(double value) {
            return this == HALF ? Numbers.toFloat16(value) : Numbers.toBfloat16(value);
        }

        void encodeAll(double[] from, int at, int n, short[] into, boolean vectors) {
            if (this == HALF) {
                Numbers.toFloat16(from, at, n, into, vectors);
            } else {
                Numbers.toBfloat16(from, at, n, into, vectors);
            }
        }
    }

    private static final List<Format> FORMATS = List.of(Format.HALF, Format.BRAIN);

    @Test
    void theVectorTwinIsUsedWhereTheModuleIsThere() {
        assertTrue(ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent(), "surefire must add the module");
        assertTrue(Numbers.VECTORS);
    }

    @Test
    void every16BitPatternIsDecodedExactly() {
        for (Format format : FORMATS) {
            short[] all = new short[1 << 16];
            for (int bits = 0; bits < all.length; bits++) {
                all[bits] = (short) (format.isFinite(bits) ? bits : 0);
            }
            double[] values = new double[all.length];
            double largest = Numbers.decode(MemorySegment.ofArray(all), format.dtype(), 0, all.length, values, 0);
            assertEquals(format.magnitude(format.infinity() - 1), largest);
            double[] one = new double[1];
            for (int bits = 0; bits < all.length; bits++) {
                if (format.isFinite(bits)) {
                    // As bits, since -0.0 must stay what it is; alone too, which the plain twin does.
                    assertEquals(Double.doubleToRawLongBits(format.value(bits)), Double.doubleToRawLongBits(values[bits]));
                    Numbers.decode(MemorySegment.ofArray(all), format.dtype(), bits, 1, one, 0);
                    assertEquals(Double.doubleToRawLongBits(format.value(bits)), Double.doubleToRawLongBits(one[0]));
                }
            }
        }
    }

    @Test
    void every16BitPatternIsEncodedAsItself() {
        for (Format format : FORMATS) {
            for (int bits = 0; bits < 1 << 16; bits++) {
                if (format.isFinite(bits)) {
                    assertEquals((short) bits, format.encoded(format.value(bits)));
                }
            }
        }
    }

    /** Values at which rounding could go wrong: ties, their neighbours, subnormals, the edges of overflow, anything. */
    private static double[] difficult(Format format, int count, SplittableRandom random) {
        double[] values = new double[count];
        for (int i = 0; i < count; i++) {
            int bits = switch (random.nextInt(4)) {
                case 0 -> random.nextInt(1 << format.fraction()); // subnormal
                case 1 -> format.infinity() - 1 - random.nextInt(3);
                default -> random.nextInt(format.infinity());
            };
            double low = format.magnitude(bits);
            double tie = low + (format.magnitude(bits + 1) - low) / 2;
            double value = switch (random.nextInt(8)) {
                case 0 -> tie;
                case 1 -> Math.nextUp(tie);
                case 2 -> Math.nextDown(tie);
                case 3 -> tie + Math.ulp((float) tie) / 2; // a float32 tie beside it
                case 4 -> tie - Math.ulp((float) tie) / 2;
                case 5 -> low + (tie - low) * random.nextDouble() * 2;
                case 6 -> Double.longBitsToDouble(random.nextLong());
                default -> random.nextDouble(-70000, 70000) * Math.pow(2, -random.nextInt(40));
            };
            value = Double.isFinite(value) ? value : 0;
            values[i] = random.nextBoolean() ? value : -value;
        }
        return values;
    }

    @Test
    void encodingRoundsOnceToTheNearestAndTiesToEven() {
        for (Format format : FORMATS) {
            for (double value : difficult(format, 20_000, new SplittableRandom(1))) {
                assertEquals((short) format.nearest(value), format.encoded(value), () -> format.dtype() + " of " + new BigDecimal(value));
            }
            for (double value : new double[] {0, -0.0, Double.MIN_VALUE, -Double.MIN_VALUE, Float.MIN_VALUE, 0x1p-134, 0x1.8p-134,
                0x1p-149 * 0.75, 0x1p-25, Math.nextUp(0x1p-25), 65519.999, 65520, 65504, Float.MAX_VALUE, 0x1.ffp127,
                Math.nextDown(0x1.ffp127), 0x1p128, Double.MAX_VALUE}) {
                assertEquals((short) format.nearest(value), format.encoded(value), () -> format.dtype() + " of " + value);
            }
        }
    }

    @Test
    void vectorAndPlainTwinGiveTheSameBits() {
        for (Format format : FORMATS) {
            SplittableRandom random = new SplittableRandom(2);
            for (int size : SIZES) {
                for (int at : new int[] {0, 3}) {
                    double[] values = difficult(format, size + at + 5, random);
                    short[] plain = new short[size + 5];
                    short[] vector = new short[size + 5];
                    Arrays.fill(plain, (short) 0x1234);
                    Arrays.fill(vector, (short) 0x1234);
                    format.encodeAll(values, at, size, plain, false);
                    format.encodeAll(values, at, size, vector, true);
                    for (int i = 0; i < size + 5; i++) {
                        int wanted = i < size ? format.nearest(values[at + i]) : 0x1234;
                        String where = format.dtype() + " " + i + " of " + size;
                        assertEquals((short) wanted, plain[i], where);
                        assertEquals((short) wanted, vector[i], where);
                    }
                }
            }
        }
    }

    @Test
    void whatIsNotFiniteStaysSoInBothTwins() {
        long[] patterns = {0x7ff0000000000000L, 0x7ff8000000000000L, 0x7fffffffffffffffL, 0x7ff0000000000001L, 0x7ff0000020000000L,
            0x7ffffff000000000L, 0x7fefffffffffffffL};
        for (Format format : FORMATS) {
            for (long pattern : patterns) {
                for (long sign : new long[] {0, Long.MIN_VALUE}) {
                    double[] values = new double[16];
                    Arrays.fill(values, Double.longBitsToDouble(pattern | sign));
                    for (boolean vectors : new boolean[] {false, true}) {
                        short[] bits = new short[16];
                        format.encodeAll(values, 0, 16, bits, vectors);
                        for (short each : bits) {
                            assertFalse(format.isFinite(each), () -> format.dtype() + " of " + Long.toHexString(pattern | sign)
                                    + (vectors ? " vector" : " plain") + " gives " + Integer.toHexString(each & 0xffff));
                            assertEquals(sign != 0, each < 0);
                        }
                    }
                }
            }
        }
    }

    @Test
    void decodingReadsItsRangeAndNothingElse() {
        SplittableRandom random = new SplittableRandom(3);
        for (Format format : FORMATS) {
            for (int size : SIZES) {
                short[] bits = new short[size + 9];
                for (int i = 0; i < bits.length; i++) {
                    bits[i] = (short) (random.nextInt(format.infinity()) | (random.nextBoolean() ? 0x8000 : 0));
                }
                double[] into = new double[size + 6];
                Arrays.fill(into, 42);
                double returned = Numbers.decode(MemorySegment.ofArray(bits), format.dtype(), 4, size, into, 2);
                double largest = 0;
                for (int i = 0; i < into.length; i++) {
                    boolean inside = i >= 2 && i < size + 2;
                    assertEquals(inside ? format.value(bits[i + 2]) : 42, into[i]);
                    largest = inside ? Math.max(largest, Math.abs(into[i])) : largest;
                }
                assertEquals(largest, returned);
            }
        }
    }

    @Test
    void float32AndFloat64AreReadAsTheyAreAndWrittenRoundedOnce() {
        SplittableRandom random = new SplittableRandom(4);
        for (int size : SIZES) {
            double[] values = random.doubles(size + 3, -1e6, 1e6).toArray();
            float[] floats = new float[size + 5];
            double[] doubles = new double[size + 5];
            double largest32 = Numbers.encode(values, 3, size, MemorySegment.ofArray(floats), Dtype.F32, 2);
            double largest64 = Numbers.encode(values, 3, size, MemorySegment.ofArray(doubles), Dtype.F64, 2);
            double[] back32 = new double[size + 1];
            double[] back64 = new double[size + 1];
            assertEquals(largest32, Numbers.decode(MemorySegment.ofArray(floats), Dtype.F32, 2, size, back32, 1));
            assertEquals(largest64, Numbers.decode(MemorySegment.ofArray(doubles), Dtype.F64, 2, size, back64, 1));
            double largest = 0;
            for (int i = 0; i < size; i++) {
                assertEquals((float) values[3 + i], floats[2 + i]);
                assertEquals(values[3 + i], doubles[2 + i]);
                assertEquals((float) values[3 + i], back32[1 + i]);
                assertEquals(values[3 + i], back64[1 + i]);
                largest = Math.max(largest, Math.abs(values[3 + i]));
            }
            assertEquals(largest, largest64);
            assertEquals((float) largest, largest32);
            assertEquals(0, Math.abs(floats[0]) + Math.abs(floats[1]) + Math.abs(floats[size + 2]) + Math.abs(doubles[size + 2]));
        }
    }

    @Test
    void aValueThatIsNotFiniteIsReportedInAnyPosition() {
        double[] bad = {Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY};
        for (Dtype dtype : TYPES) {
            for (int size : new int[] {1, 17, 1030}) {
                MemorySegment bytes = MemorySegment.ofArray(new byte[size * dtype.bytes()]);
                double[] values = new double[size];
                double[] back = new double[size];
                for (int i = 0; i < size; i += i < 20 || i > 1010 ? 1 : 31) {
                    for (double value : bad) {
                        values[i] = value;
                        double written = Numbers.encode(values, 0, size, bytes, dtype, 0);
                        double read = Numbers.decode(bytes, dtype, 0, size, back, 0);
                        int at = i;
                        assertFalse(written < Double.POSITIVE_INFINITY, () -> dtype + " writing " + value + " at " + at + " of " + size);
                        assertFalse(read < Double.POSITIVE_INFINITY, () -> dtype + " reading " + value + " at " + at + " of " + size);
                        values[i] = 0;
                    }
                }
            }
        }
    }

    @Test
    void aStoredNanIsReportedWhateverItsBits() {
        for (Format format : FORMATS) {
            for (int nan : new int[] {format.infinity() + 1, 0x7fff, 0xffff, format.infinity() | 0x8001}) {
                short[] bits = new short[33];
                for (int i = 0; i < bits.length; i++) {
                    bits[i] = (short) nan;
                    double read = Numbers.decode(MemorySegment.ofArray(bits), format.dtype(), 0, 33, new double[33], 0);
                    assertTrue(Double.isNaN(read));
                    bits[i] = 0;
                }
            }
        }
    }

    /** The least magnitude that does not fit, and the largest one that does. */
    private record Edge(Dtype dtype, double above, double below) {}

    @Test
    void aValueThatDoesNotFitItsTypeIsReported() {
        List<Edge> edges = List.of(new Edge(Dtype.F32, 0x1.ffffffp127, Math.nextDown(0x1.ffffffp127)),
                new Edge(Dtype.F16, 65520, Math.nextDown(65520.0)), new Edge(Dtype.BF16, 0x1.ffp127, Math.nextDown(0x1.ffp127)));
        for (Edge edge : edges) {
            for (int size : new int[] {1, 33}) {
                MemorySegment bytes = MemorySegment.ofArray(new byte[size * edge.dtype().bytes()]);
                double[] values = new double[size];
                for (double sign : new double[] {1, -1}) {
                    values[size / 2] = sign * edge.above();
                    assertEquals(Double.POSITIVE_INFINITY, Numbers.encode(values, 0, size, bytes, edge.dtype(), 0), edge.toString());
                    values[size / 2] = sign * edge.below();
                    assertTrue(Numbers.encode(values, 0, size, bytes, edge.dtype(), 0) < Double.POSITIVE_INFINITY, edge.toString());
                }
            }
        }
    }

    @Test
    void codesAreWrittenAsTheWholeNumbersThatTheyAre() {
        byte[] bytes = new byte[5];
        assertEquals(255, Numbers.encode(new double[] {9, 0, 200, 255, 128}, 1, 4, MemorySegment.ofArray(bytes), Dtype.U8, 1));
        assertArrayEquals(new byte[] {0, 0, (byte) 200, -1, -128}, bytes);
        Numbers.encode(new double[] {-128, 127}, 0, 2, MemorySegment.ofArray(bytes), Dtype.I8, 0);
        assertArrayEquals(new byte[] {-128, 127, (byte) 200, -1, -128}, bytes);
    }

    @Test
    void onlyFloatingTypesAreWeights() {
        MemorySegment bytes = MemorySegment.ofArray(new byte[64]);
        for (Dtype dtype : Dtype.values()) {
            assertEquals(TYPES.contains(dtype), Numbers.readable(dtype));
            if (!TYPES.contains(dtype)) {
                assertThrows(IllegalArgumentException.class, () -> Numbers.decode(bytes, dtype, 0, 1, new double[1], 0));
            }
            if (!TYPES.contains(dtype) && !CODES.contains(dtype)) {
                assertThrows(IllegalArgumentException.class, () -> Numbers.encode(new double[1], 0, 1, bytes, dtype, 0));
            }
        }
    }
}
