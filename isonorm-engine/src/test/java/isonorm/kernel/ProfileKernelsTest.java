package isonorm.kernel;

import static isonorm.kernel.Sample.assertClose;
import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.EveryProcessor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What is measured on rows, by both twins, against its definition in float64. */
@EveryProcessor
class ProfileKernelsTest {

    /** Sums of four thousand values of one sign in float64, relative to the sum of their magnitudes. */
    private static final double SUM = 1e-12;

    record Case(Kernels kernels, Type type, int columns, boolean shaped, boolean implied) {}

    static List<Case> cases() {
        List<Case> cases = new ArrayList<>();
        for (Kernels kernels : Sample.twins()) {
            for (Type type : List.of(Type.F32, Type.BF16, Type.F16)) {
                for (int columns : Sample.SIZES) {
                    for (int kind = 0; kind < 4; kind++) {
                        cases.add(new Case(kernels, type, columns, kind % 2 == 1, kind / 2 == 1));
                    }
                }
            }
        }
        return cases;
    }

    @ParameterizedTest
    @MethodSource("cases")
    void profilesAreSumsOfPowersAndCountsOfMagnitudes(Case at) {
        try (Arena arena = Arena.ofConfined()) {
            Rows x = Sample.rows(arena, at.type, 3, at.columns, at.columns + 5, 31, 0.5, 300);
            Values scales = at.shaped ? Sample.values(3, 32) : Values.NONE;
            Values bias = at.shaped ? Sample.values(at.columns, 33) : Values.NONE;
            Profile profile = new Profile(3);
            at.kernels.profile(x, scales, bias, at.implied, profile);
            int[] bins = new int[Magnitudes.BINS];
            long beyond = 0;
            for (int r = 0; r < 3; r++) {
                float[] values = new float[at.columns + (at.implied ? 1 : 0)];
                double sum = 0;
                for (int c = 0; c < at.columns; c++) {
                    float value = (float) x.get(r, c);
                    values[c] = at.shaped ? (float) scales.get(r) * value + (float) bias.get(c) : value;
                    sum += values[c];
                }
                if (at.implied) {
                    values[at.columns] = (float) -sum;
                }
                float largest = 0;
                for (float value : values) {
                    bins[Magnitudes.bin(value)]++;
                    largest = Math.max(largest, Math.abs(value));
                    beyond += Math.abs(value) > 448 ? 1 : 0;
                }
                assertEquals(largest, profile.largest(r), at.toString());
                for (int power = 1; power <= 4; power++) {
                    double expected = 0;
                    double scale = 0;
                    for (float value : values) {
                        expected += Math.pow(value, power);
                        scale += Math.abs(Math.pow(value, power));
                    }
                    assertClose(expected, profile.sum(r, power), scale * SUM, at + ", power " + power);
                }
            }
            if (!at.shaped) {
                double[] squares = new double[3];
                at.kernels.sumsOfSquares(x, at.implied, squares);
                for (int r = 0; r < 3; r++) {
                    assertClose(profile.sum(r, 2), squares[r], profile.sum(r, 2) * SUM, at + ", squares");
                }
            }
            assertArrayEquals(bins, profile.bins(), at.toString());
            assertEquals(beyond, profile.beyond(Profile.Limit.FP8_E4M3), at.toString());
            assertEquals(0, profile.infinite());
        }
    }

    /** A profile that is made empty holds what comes next alone, of fewer rows too. */
    @Test
    void aProfileIsUsedAgain() {
        for (Kernels kernels : Sample.twins()) {
            try (Arena arena = Arena.ofConfined()) {
                Rows x = Sample.rows(arena, Type.F32, 3, 40, 40, 61, 0.5, 300);
                Profile again = new Profile(3);
                x.set(1, 7, Double.NaN);
                x.set(1, 8, 1e30);
                kernels.profile(x, Values.NONE, Values.NONE, false, again);
                again.clear();
                Rows last = x.slice(2, 1);
                kernels.profile(last, Values.NONE, Values.NONE, false, again);
                Profile once = new Profile(1);
                kernels.profile(last, Values.NONE, Values.NONE, false, once);
                assertArrayEquals(once.bins(), again.bins());
                long[] counts = new long[Magnitudes.BINS];
                again.addBins(counts);
                again.addBins(counts);
                assertArrayEquals(Arrays.stream(once.bins()).mapToLong(count -> 2L * count).toArray(), counts);
                double[] sums = new double[6];
                again.sums(1, sums, 2);
                assertArrayEquals(new double[] {0, 0, once.sum(0, 1), once.sum(0, 2), once.sum(0, 3), once.sum(0, 4)}, sums);
                assertEquals(0, again.infinite());
                assertEquals(once.beyond(Profile.Limit.FP8_E4M3), again.beyond(Profile.Limit.FP8_E4M3));
            }
        }
    }

    @Test
    void limitsAreTheLargestNumbersAndNotBeyondThemselves() {
        for (Kernels kernels : Sample.twins()) {
            try (Arena arena = Arena.ofConfined()) {
                Rows x = Sample.rows(arena, Type.F32, 1, 40, 40, 1);
                for (int i = 0; i < 8; i++) {
                    x.set(0, i, new double[] {448, -448.1, 57344, 57345, -65504, 65505, 1e9, -3e38}[i]);
                }
                Profile profile = new Profile(1);
                kernels.profile(x, Values.NONE, Values.NONE, false, profile);
                assertEquals(7, profile.beyond(Profile.Limit.FP8_E4M3));
                assertEquals(5, profile.beyond(Profile.Limit.FP8_E5M2));
                assertEquals(3, profile.beyond(Profile.Limit.FP16));
            }
        }
    }

    @Test
    void valuesThatAreNotFiniteAreCountedAndLeftOut() {
        for (Kernels kernels : Sample.twins()) {
            try (Arena arena = Arena.ofConfined()) {
                Rows x = Rows.allocate(arena, Type.F32, 2, 20, 20);
                x.set(0, 3, Double.NaN);
                x.set(0, 7, Double.NEGATIVE_INFINITY);
                x.set(0, 9, -2);
                x.set(1, 0, 3);
                Profile profile = new Profile(2);
                kernels.profile(x, Values.NONE, Values.NONE, false, profile);
                assertEquals(2, profile.infinite());
                assertEquals(-2, profile.sum(0, 1));
                assertEquals(16, profile.sum(0, 4));
                assertEquals(2, profile.largest(0));
                assertEquals(27, profile.sum(1, 3));
                assertEquals(38, Arrays.stream(profile.bins()).sum());
            }
        }
    }

    @Test
    void binsAreNarrowAndFollowEachOther() {
        for (float value = 0x1p-31f; value < 0x1p31f; value *= 1.013f) {
            int bin = Magnitudes.bin(-value);
            assertTrue(Magnitudes.start(bin) <= value && value < Magnitudes.start(bin + 1), "bin " + bin + " of " + value);
            assertTrue(Magnitudes.start(bin + 1) <= Magnitudes.start(bin) * (1 + 1 / 64.0), "width of bin " + bin);
        }
        assertEquals(0, Magnitudes.bin(0));
        assertEquals(Magnitudes.BINS - 1, Magnitudes.bin(Float.MAX_VALUE));
    }

    @Test
    void quantilesLieWhereTheirPartOfTheMagnitudesEnds() {
        long[] counts = new long[Magnitudes.BINS];
        for (int i = 1; i <= 100_000; i++) {
            counts[Magnitudes.bin(i / 1000f)]++;
        }
        for (double part : new double[] {0.001, 0.5, 0.99, 0.999}) {
            assertClose(100 * part, Magnitudes.quantile(counts, part), 100 * part / 64, "quantile " + part);
        }
    }

    @Test
    void anglesAreThoseBetweenRows() {
        for (Kernels kernels : Sample.twins()) {
            for (int columns : new int[] {2, 15, 16, 191, 768}) {
                for (Type type : List.of(Type.F32, Type.BF16, Type.F16)) {
                    try (Arena arena = Arena.ofConfined()) {
                        for (int n : new int[] {1, 2, 3, 7, 9}) {
                            requireAngles(kernels, Sample.rows(arena, type, 2 * n, columns, columns + 1, 41), n);
                        }
                    }
                }
            }
        }
    }

    /** The angles between rows of n matrices of two rows each, behind one row that was there before. */
    private static void requireAngles(Kernels kernels, Rows x, int n) {
        List<Rows> all = IntStream.range(0, n).mapToObj(i -> x.slice(2 * i, 2)).toList();
        int pairs = Kernels.pair(n, 0);
        double[] cosines = new double[3 * pairs];
        double[] angles = new double[3 * pairs];
        kernels.angles(all, 1, cosines, angles);
        for (int r = 0; r < 2; r++) {
            for (int a = 0; a < n; a++) {
                for (int b = 0; b < a; b++) {
                    int pair = (1 + r) * pairs + Kernels.pair(a, b);
                    double expected = cosine(Sample.doubles(all.get(a), r), Sample.doubles(all.get(b), r));
                    String what = n + " of " + x;
                    assertClose(expected, cosines[pair], 1e-14, "cosine, " + what);
                    assertClose(Math.acos(expected), angles[pair], 1e-12, "angle, " + what);
                }
            }
        }
        for (int pair = 0; pair < pairs; pair++) {
            assertEquals(0, cosines[pair] + angles[pair], "what was there before");
        }
    }

    @Test
    void gramsAreTheProductsOfRows() {
        for (Kernels kernels : Sample.twins()) {
            for (int columns : new int[] {3, 16, 191, 768}) {
                try (Arena arena = Arena.ofConfined()) {
                    Rows x = Sample.rows(arena, Type.F32, 7, columns, columns + 3, 51);
                    double[] products = new double[49];
                    kernels.gram(x, products);
                    for (int at = 0; at < 49; at++) {
                        double[] a = Sample.doubles(x, at / 7);
                        double[] b = Sample.doubles(x, at % 7);
                        double expected = 0;
                        for (int i = 0; i < columns; i++) {
                            expected += a[i] * b[i];
                        }
                        assertClose(expected, products[at], columns * SUM, "product " + at + " of " + columns);
                    }
                    assertThrows(IllegalArgumentException.class, () -> kernels.gram(x, new double[48]));
                }
            }
        }
    }

    /** A row and the same row turned by an angle whose cosine is 1 in float64. */
    @Test
    void smallAnglesKeepTheirDigits() {
        for (Kernels kernels : Sample.twins()) {
            for (double angle : new double[] {0, 1e-6, 1e-4, 1e-2}) {
                try (Arena arena = Arena.ofConfined()) {
                    Rows x = Rows.allocate(arena, Type.F32, 2, 40, 40);
                    x.set(0, 3, 1000);
                    x.set(1, 3, 1000 * 7);
                    x.set(1, 30, 7000 * Math.tan(angle));
                    double[] angles = new double[1];
                    kernels.angles(List.of(x.slice(0, 1), x.slice(1, 1)), 0, new double[1], angles);
                    assertClose(Math.atan(x.get(1, 30) / 7000.0), angles[0], angle * 1e-9, "angle " + angle);
                }
            }
        }
    }

    @Test
    void aRowOfZerosHasNoDirection() {
        for (Kernels kernels : Sample.twins()) {
            try (Arena arena = Arena.ofConfined()) {
                Rows x = Rows.allocate(arena, Type.F32, 2, 17, 17);
                x.set(0, 5, 1);
                double[] cosines = new double[1];
                double[] angles = new double[1];
                kernels.angles(List.of(x.slice(0, 1), x.slice(1, 1)), 0, cosines, angles);
                assertTrue(Double.isNaN(cosines[0]) && Double.isNaN(angles[0]));
            }
        }
    }

    @Test
    void wrongSizesAreRefused() {
        try (Arena arena = Arena.ofConfined()) {
            Rows x = Rows.allocate(arena, Type.F32, 3, 17, 17);
            for (Kernels kernels : Sample.twins()) {
                assertThrows(IllegalArgumentException.class, () -> kernels.profile(x, Values.NONE, Values.NONE, false, new Profile(2)));
                assertThrows(IllegalArgumentException.class, () -> kernels.profile(x, Values.room(2), Values.NONE, false, new Profile(3)));
                assertThrows(IllegalArgumentException.class, () -> kernels.sumsOfSquares(x, false, new double[2]));
                assertThrows(IllegalArgumentException.class, () -> kernels.angles(List.of(x, x), 0, new double[2], new double[3]));
                assertThrows(IllegalArgumentException.class, () -> kernels.angles(List.of(x, x), 1, new double[3], new double[3]));
                assertThrows(IllegalArgumentException.class, () -> kernels.angles(List.of(x, x.slice(0, 2)), 0, new double[3], new double[3]));
                assertThrows(IllegalArgumentException.class, () -> kernels.angles(List.of(), 0, new double[3], new double[3]));
            }
        }
    }

    private static double cosine(double[] a, double[] b) {
        double product = 0;
        double squareA = 0;
        double squareB = 0;
        for (int i = 0; i < a.length; i++) {
            product += a[i] * b[i];
            squareA += a[i] * a[i];
            squareB += b[i] * b[i];
        }
        return product / Math.sqrt(squareA * squareB);
    }
}
