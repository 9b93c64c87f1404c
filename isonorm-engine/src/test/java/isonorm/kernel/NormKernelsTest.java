package isonorm.kernel;

import static isonorm.kernel.Sample.assertClose;
import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.EveryProcessor;
import isonorm.architecture.NormKind;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Norms of both twins against the formulas, computed here in float64 from the values as they are stored. */
@EveryProcessor
class NormKernelsTest {

    /**
     * A normalized value in float32 relative to its row: a rounding each for the difference, the factor and the product, and the sum
     * of squares, which grows with the square root of the size over 64 partial sums; up to 4.4 roundings were seen, 8 are allowed.
     */
    private static final double F32_NORM = 8 * Sample.F32;

    record Case(Kernels kernels, Type type, Type branchType, int columns, NormKind kind, double mean, double spread) {}

    static List<Case> cases() {
        List<Case> cases = new ArrayList<>();
        for (Kernels kernels : Sample.twins()) {
            for (NormKind kind : NormKind.values()) {
                for (int columns : Sample.SIZES) {
                    for (Type type : new Type[] {Type.F32, Type.BF16}) {
                        cases.add(new Case(kernels, type, type, columns, kind, 0, 1));
                        cases.add(new Case(kernels, type, type, columns, kind, 1e4, 1));
                        cases.add(new Case(kernels, type, type, columns, kind, 0, 1e-20));
                        cases.add(new Case(kernels, type, type, columns, kind, 1e-20, 1e-18));
                        cases.add(new Case(kernels, type, type, columns, kind, 0, 1e18));
                        cases.add(new Case(kernels, type, type, columns, kind, 3e18, 1e18));
                    }
                    cases.add(new Case(kernels, Type.F32, Type.BF16, columns, kind, 1, 3));
                    cases.add(new Case(kernels, Type.BF16, Type.F32, columns, kind, 1, 3));
                }
            }
        }
        return cases;
    }

    /** One that shows beside the values, or none where it would be all that shows; a single value less its mean needs one. */
    private static double epsilon(Case at) {
        return at.spread == 1 || at.columns == 1 ? 1e-2 : 0;
    }

    /** The norm of a case, its tanh bending where its values are. */
    private static Normalization norm(Case at) {
        return Normalization.of(at.kind, epsilon(at)).withAlpha(0.7 / at.spread);
    }

    @ParameterizedTest
    @MethodSource("cases")
    void normsAreTheirFormulas(Case at) {
        try (Arena arena = Arena.ofConfined()) {
            int C = at.columns;
            boolean crms = at.kind == NormKind.CRMS;
            Rows x = Sample.rows(arena, at.type, 3, C, C + 5, 11, at.mean, at.spread);
            for (boolean affine : new boolean[] {false, true}) {
                int width = affine && crms ? C + 1 : C;
                Normalization norm = norm(at);
                norm = affine ? norm.withGain(Sample.values(width, 3)).withBias(Sample.values(width, 4)) : norm;
                Rows out = Sample.rows(arena, at.branchType, 3, width, width + 2, 12);
                at.kernels.norm(x, norm, out);
                for (int row = 0; row < 3; row++) {
                    assertNorm(x, row, norm, out, at.toString());
                }
                Sample.assertGapsKept(out, crms && !affine ? C + 1 : width, at.toString());
            }
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void addNormAddsRoundsAndNormalizes(Case at) {
        try (Arena arena = Arena.ofConfined()) {
            int C = at.columns;
            int stride = C + 4;
            Normalization norm = norm(at);
            for (boolean biased : new boolean[] {false, true}) {
                Rows stream = Sample.rows(arena, at.type, 3, C, stride, 21, at.mean, at.spread);
                Rows before = Sample.copy(arena, stream);
                // What lies behind a row of the branch must not be added.
                Rows branch = Sample.rows(arena, at.branchType, 3, C, biased ? C : stride, 22, 0, at.spread);
                Values bias = biased ? Sample.values(C, 23) : Values.NONE;
                Rows out = Sample.rows(arena, at.type, 3, C, stride, 24);
                at.kernels.addNorm(stream, branch, bias, norm, out);
                for (int row = 0; row < 3; row++) {
                    for (int c = 0; c < C; c++) {
                        float added = biased ? (float) branch.get(row, c) + (float) bias.get(c) : (float) branch.get(row, c);
                        before.set(row, c, before.get(row, c) + added); // in float32, rounded when stored: the same bits
                        assertEquals(before.get(row, c), stream.get(row, c), at.toString());
                    }
                    assertNorm(stream, row, norm, out, at.toString());
                }
                int kept = at.kind == NormKind.CRMS ? C + 1 : C;
                Sample.assertGapsKept(stream, kept, at.toString());
                Sample.assertGapsKept(out, kept, at.toString());
                if (at.kind == NormKind.CRMS) {
                    assertEquals(0, Rows.of(stream.data(), at.type, 3, stride).get(2, C));
                    assertEquals(0, Rows.of(out.data(), at.type, 3, stride).get(2, C));
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void squaresAreTheScalesOfTheNorm(Case at) {
        if (at.kind == NormKind.LAYER || at.kind == NormKind.DYNAMIC_TANH) {
            return;
        }
        try (Arena arena = Arena.ofConfined()) {
            int C = at.columns;
            Rows stream = Sample.rows(arena, at.type, 3, C, C + 1, 31, at.mean, at.spread);
            Rows same = Sample.copy(arena, stream);
            Rows branch = Sample.rows(arena, at.branchType, 3, C, C, 32, 0, at.spread);
            Values scales = Values.room(5).slice(1, 3);
            Values again = Values.room(3);
            at.kernels.addSquares(stream, branch, Values.NONE, at.kind, epsilon(at), scales);
            at.kernels.squares(stream, at.kind, epsilon(at), again);
            new PlainKernels().addNorm(same, branch, Values.NONE, Normalization.of(at.kind, epsilon(at)),
                    Rows.allocate(arena, Type.F32, 3, C, C + 1));
            for (int row = 0; row < 3; row++) {
                double expected = scale(Sample.doubles(stream, row), at.kind, epsilon(at));
                assertClose(expected, scales.get(row), Sample.LANES * F32_NORM * expected, at.toString());
                assertEquals(scales.get(row), again.get(row));
                for (int c = 0; c < C; c++) {
                    assertEquals(same.get(row, c), stream.get(row, c));
                }
            }
            assertEquals(0, scales.array()[0]);
            assertEquals(0, scales.array()[4]);
        }
    }

    private static void assertNorm(Rows x, int row, Normalization norm, Rows out, String what) {
        double[] values = Sample.doubles(x, row);
        double mean = 0;
        for (double value : values) {
            mean += norm.kind() == NormKind.LAYER ? value / values.length : 0;
        }
        double scale = scale(values, norm.kind(), norm.epsilon());
        double last = 0;
        for (int c = 0; c < out.columns(); c++) {
            double n = norm.kind() == NormKind.DYNAMIC_TANH ? Math.tanh(norm.alpha() * values[c])
                    : c < values.length ? (values[c] - mean) * scale : last;
            last -= n;
            double gain = norm.gain().present() ? norm.gain().get(c) : 1;
            double bias = norm.bias().present() ? norm.bias().get(c) : 0;
            double expected = n * gain + bias;
            // The implied last value is a sum of all of them.
            double size = c < values.length ? Math.abs(n) + 1 : Math.sqrt(values.length) + 1;
            double tolerance = F32_NORM * (size * Math.abs(gain) + Math.abs(bias)) + Sample.rounding(out.type(), expected);
            assertTrue(Double.isFinite(expected));
            assertClose(expected, out.get(row, c), tolerance, what + " column " + c);
        }
    }

    /** By the formulas of the package, the squares of a LayerNorm of centred values. */
    private static double scale(double[] x, NormKind kind, double epsilon) {
        double sum = 0;
        for (double value : x) {
            sum += value;
        }
        double mean = kind == NormKind.LAYER ? sum / x.length : 0;
        double squares = 0;
        for (double value : x) {
            squares += (value - mean) * (value - mean);
        }
        double q = kind == NormKind.CRMS ? (squares + sum * sum) / (x.length + 1) : squares / x.length;
        return 1 / Math.sqrt(q + epsilon);
    }

    /** A vector whose values sum to zero is normalized alike by all three, CRMS being given all but the last value. */
    @Test
    void crmsOfAllButTheLastIsLayerNormOfAZeroMeanVector() {
        try (Arena arena = Arena.ofConfined()) {
            for (Kernels kernels : Sample.twins()) {
                int d = 768;
                Rows x = Sample.rows(arena, Type.F32, 4, d, d, 41, 0, 3);
                for (int row = 0; row < 4; row++) {
                    double sum = 0;
                    for (int c = 0; c < d - 1; c++) {
                        sum += x.get(row, c);
                    }
                    x.set(row, d - 1, -sum);
                }
                Rows layer = Rows.allocate(arena, Type.F32, 4, d, d);
                Rows rms = Rows.allocate(arena, Type.F32, 4, d, d);
                Rows crms = Rows.allocate(arena, Type.F32, 4, d - 1, d);
                Rows whole = Rows.allocate(arena, Type.F32, 4, d, d);
                Values gain = Sample.values(d, 5);
                Values bias = Sample.values(d, 6);
                Rows affine = Rows.allocate(arena, Type.F32, 4, d, d);
                kernels.norm(x, Normalization.of(NormKind.LAYER, 1e-5), layer);
                kernels.norm(x, Normalization.of(NormKind.RMS, 1e-5), rms);
                kernels.norm(x.sliceColumns(0, d - 1), Normalization.of(NormKind.CRMS, 1e-5), crms);
                kernels.norm(x.sliceColumns(0, d - 1), Normalization.of(NormKind.CRMS, 1e-5).withGain(gain).withBias(bias), whole);
                kernels.norm(x, Normalization.of(NormKind.LAYER, 1e-5).withGain(gain).withBias(bias), affine);
                for (int row = 0; row < 4; row++) {
                    for (int c = 0; c < d; c++) {
                        double expected = layer.get(row, c);
                        // The last value was itself rounded, which moves the mean.
                        assertClose(expected, rms.get(row, c), 4e-6, "RMS");
                        assertClose(c < d - 1 ? expected : 0, c < d - 1 ? crms.get(row, c) : 0, 4e-6, "CRMS");
                        assertClose(affine.get(row, c), whole.get(row, c), 4e-5, "CRMS with gain and bias, column " + c);
                    }
                }
            }
        }
    }

    /** Rows of zeros stay zeros with an epsilon, and NaN is not hidden where a row is measured, or where it stands. */
    @Test
    void zerosAndNan() {
        try (Arena arena = Arena.ofConfined()) {
            for (Kernels kernels : Sample.twins()) {
                for (NormKind kind : NormKind.values()) {
                    for (Type type : new Type[] {Type.F32, Type.BF16}) {
                        Rows x = Rows.allocate(arena, type, 2, 33, 34);
                        x.set(1, 32, Double.NaN);
                        Rows out = Sample.rows(arena, type, 2, 33, 34, 1);
                        kernels.norm(x, Normalization.of(kind, 1e-5), out);
                        for (int c = 0; c < 33; c++) {
                            assertEquals(0, out.get(0, c));
                            assertEquals(c == 32 || kind != NormKind.DYNAMIC_TANH, Double.isNaN(out.get(1, c)), kernels + " " + kind);
                        }
                    }
                }
            }
        }
    }

    @Test
    void anyBitsOfNanStayNan() {
        try (Arena arena = Arena.ofConfined()) {
            for (Kernels kernels : Sample.twins()) {
                Rows branch = Rows.allocate(arena, Type.F32, 1, 33, 33);
                branch.data().fill((byte) 0xff); // all ones would round to -0
                Rows stream = Rows.allocate(arena, Type.BF16, 1, 33, 33);
                kernels.addSquares(stream, branch, Values.NONE, NormKind.RMS, 0, Values.room(1));
                for (int c = 0; c < 33; c++) {
                    assertTrue(Double.isNaN(stream.get(0, c)));
                }
            }
        }
    }

    @Test
    void refusesWhatDoesNotFit() {
        try (Arena arena = Arena.ofConfined()) {
            Rows x = Rows.allocate(arena, Type.F32, 2, 8, 8);
            Rows narrow = x.sliceColumns(0, 7);
            Rows last = new Rows(x.data(), Type.F32, 1, 2, 7, 8);
            for (Kernels kernels : Sample.twins()) {
                assertThrows(IllegalArgumentException.class, () -> kernels.norm(x, Normalization.of(NormKind.RMS, 0), narrow));
                assertThrows(IllegalArgumentException.class,
                        () -> kernels.norm(x, Normalization.of(NormKind.RMS, 0).withGain(Values.room(7)), x));
                assertThrows(IllegalArgumentException.class,
                        () -> kernels.norm(narrow, Normalization.of(NormKind.CRMS, 0).withGain(Values.room(7)), narrow));
                assertThrows(IllegalArgumentException.class,
                        () -> kernels.addNorm(last, narrow, Values.NONE, Normalization.of(NormKind.CRMS, 0), narrow));
                assertThrows(IllegalArgumentException.class, () -> kernels.squares(x, NormKind.LAYER, 0, Values.room(2)));
                assertThrows(IllegalArgumentException.class, () -> kernels.squares(x, NormKind.DYNAMIC_TANH, 0, Values.room(2)));
                assertThrows(IllegalArgumentException.class, () -> kernels.squares(x, NormKind.RMS, 0, Values.room(3)));
                assertThrows(IllegalArgumentException.class, () -> kernels.squares(x, NormKind.RMS, -1, Values.room(2)));
            }
        }
    }
}
