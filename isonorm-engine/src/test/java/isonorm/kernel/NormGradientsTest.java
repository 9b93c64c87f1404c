package isonorm.kernel;

import static isonorm.kernel.Sample.assertClose;
import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.EveryProcessor;
import isonorm.architecture.NormKind;
import isonorm.kernel.Gradients.NormSums;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The backward passes through norms: the vector twin agrees with the plain one, whose formulas {@link GradientDirectionsTest} checks. */
@EveryProcessor
class NormGradientsTest {

    /**
     * A gradient in float32 relative to the sizes of its terms: those of {@link NormKernelsTest} for n, as many for the sum of g n, a
     * rounding each for the products and sums behind; up to 3.6 roundings were seen.
     */
    private static final double F32_GRADIENT = 12 * Sample.F32;

    private static final Gradients PLAIN = new PlainGradients();
    private static final Gradients VECTOR = new VectorGradients();

    record Types(Type x, Type dy, Type dx) {}

    record Case(Types types, int columns, NormKind kind, double mean, double spread) {}

    static List<Case> cases() {
        List<Case> cases = new ArrayList<>();
        for (NormKind kind : new NormKind[] {NormKind.RMS, NormKind.LAYER, NormKind.CRMS}) {
            for (int columns : Sample.SIZES) {
                for (Type type : new Type[] {Type.F32, Type.BF16}) {
                    Types types = new Types(type, type, type);
                    cases.add(new Case(types, columns, kind, 0, 1));
                    cases.add(new Case(types, columns, kind, 1e4, 1));
                    cases.add(new Case(types, columns, kind, 0, 1e-20));
                    cases.add(new Case(types, columns, kind, 1e-12, 1e-12));
                    cases.add(new Case(types, columns, kind, 0, 1e18));
                    cases.add(new Case(types, columns, kind, 3e18, 1e18));
                }
                cases.add(new Case(new Types(Type.F32, Type.BF16, Type.F32), columns, kind, 1, 3));
                cases.add(new Case(new Types(Type.BF16, Type.F32, Type.BF16), columns, kind, 1, 3));
            }
        }
        return cases;
    }

    /** As {@link NormKernelsTest} has it. */
    private static double epsilon(Case at) {
        return at.spread == 1 || at.columns == 1 ? 1e-2 : 0;
    }

    @ParameterizedTest
    @MethodSource("cases")
    void twinsAgree(Case at) {
        try (Arena arena = Arena.ofConfined()) {
            int C = at.columns;
            Rows x = Sample.rows(arena, at.types.x, 3, C, C + 5, 11, at.mean, at.spread);
            Rows dy = Sample.rows(arena, at.types.dy, 3, C, C + 3, 12);
            for (boolean affine : at.kind == NormKind.CRMS ? new boolean[] {false} : new boolean[] {false, true}) {
                Normalization norm = Normalization.of(at.kind, epsilon(at));
                norm = affine ? norm.withGain(Sample.values(C, 3)).withBias(Sample.values(C, 4)) : norm;
                for (boolean adds : new boolean[] {false, true}) {
                    assertTwins(arena, at, x, norm, dy, affine, adds);
                }
            }
        }
    }

    private static void assertTwins(Arena arena, Case at, Rows x, Normalization norm, Rows dy, boolean affine, boolean adds) {
        int C = at.columns;
        Rows before = Sample.rows(arena, at.types.dx, 3, C, C + 2, 13);
        Rows expected = Sample.copy(arena, before);
        Rows actual = Sample.copy(arena, before);
        NormSums expectedSums = sums(arena, C, affine, Type.F64);
        NormSums actualSums = sums(arena, C, affine, Type.F32);
        if (adds) {
            PLAIN.addNorm(x, norm, dy, expected, expectedSums);
            VECTOR.addNorm(x, norm, dy, actual, actualSums);
        } else {
            PLAIN.norm(x, norm, dy, expected, expectedSums);
            VECTOR.norm(x, norm, dy, actual, actualSums);
        }
        double[] gains = new double[C];
        double[] biases = new double[C];
        for (int r = 0; r < 3; r++) {
            double[] sizes = sizes(x, r, norm, dy, gains, biases);
            for (int c = 0; c < C; c++) {
                double value = expected.get(r, c);
                double more = adds ? Math.abs(before.get(r, c)) : 0;
                assertTrue(Double.isFinite(value), at.toString());
                double tolerance = F32_GRADIENT * (sizes[c] + more) + 2 * Sample.rounding(at.types.dx, value);
                assertClose(value, actual.get(r, c), tolerance, at + " column " + c);
            }
        }
        for (int c = 0; affine && c < C; c++) {
            assertClose(expectedSums.gain().get(0, c), actualSums.gain().get(0, c), F32_GRADIENT * (gains[c] + 3), at + " gain");
            assertClose(expectedSums.bias().get(0, c), actualSums.bias().get(0, c), F32_GRADIENT * (biases[c] + 3), at + " bias");
        }
        int kept = at.kind == NormKind.CRMS ? C + 1 : C;
        for (Rows each : new Rows[] {expected, actual}) {
            Sample.assertGapsKept(each, kept, at.toString());
            if (at.kind == NormKind.CRMS) {
                assertEquals(0, Rows.of(each.data(), each.type(), 3, C + 2).get(2, C));
            }
        }
    }

    /** Sums that something has been added to before. */
    private static NormSums sums(Arena arena, int columns, boolean affine, Type type) {
        if (!affine) {
            return NormSums.NONE;
        }
        Rows[] rows = new Rows[2];
        for (int i = 0; i < 2; i++) {
            rows[i] = Rows.allocate(arena, type, 1, columns, columns);
            for (int c = 0; c < columns; c++) {
                rows[i].set(0, c, c % 5 - 2);
            }
        }
        return new NormSums(rows[0], rows[1]);
    }

    /** How large the terms of each column of a row's gradient are; adds up those of the sums. */
    private static double[] sizes(Rows x, int row, Normalization norm, Rows dy, double[] gains, double[] biases) {
        int C = x.columns();
        double[] values = Sample.doubles(x, row);
        double sum = 0;
        for (double value : values) {
            sum += value;
        }
        double mean = norm.kind() == NormKind.LAYER ? sum / C : 0;
        double squares = 0;
        for (double value : values) {
            squares += (value - mean) * (value - mean);
        }
        double q = norm.kind() == NormKind.CRMS ? (squares + sum * sum) / (C + 1) : squares / C;
        double scale = 1 / Math.sqrt(q + norm.epsilon());
        double dot = 0;
        double total = 0;
        double[] n = new double[C];
        double[] g = new double[C];
        for (int c = 0; c < C; c++) {
            double d = Math.abs(dy.get(row, c));
            n[c] = Math.abs(values[c] - mean) * scale;
            g[c] = d * (norm.gain().present() ? Math.abs(norm.gain().get(c)) : 1);
            total += g[c];
            dot += (n[c] + 1) * g[c];
            gains[c] += (n[c] + 1) * d;
            biases[c] += d;
        }
        double implied = norm.kind() == NormKind.CRMS ? Math.abs(sum) * scale + 1 : 0;
        double[] sizes = new double[C];
        for (int c = 0; c < C; c++) {
            sizes[c] = scale * (g[c] + total / C + (n[c] + implied + 1) * dot / C);
        }
        return sizes;
    }

    /** More rows than are summed up at a time. */
    @Test
    void sumsOfManyRows() {
        try (Arena arena = Arena.ofConfined()) {
            int C = 33;
            Rows x = Sample.rows(arena, Type.F32, 1000, C, C, 1, 2, 1);
            Rows dy = Sample.rows(arena, Type.BF16, 1000, C, C, 2, 1, 1);
            Normalization norm = Normalization.of(NormKind.LAYER, 1e-5).withGain(Sample.values(C, 3)).withBias(Sample.values(C, 4));
            for (Type type : new Type[] {Type.F32, Type.F64}) {
                NormSums expected = sums(arena, C, true, Type.F64);
                NormSums actual = sums(arena, C, true, type);
                PLAIN.norm(x, norm, dy, Rows.allocate(arena, Type.F32, 1000, C, C), expected);
                VECTOR.norm(x, norm, dy, Rows.allocate(arena, Type.F32, 1000, C, C), actual);
                for (int c = 0; c < C; c++) {
                    assertClose(expected.gain().get(0, c), actual.gain().get(0, c), 1000 * F32_GRADIENT, "gain");
                    assertClose(expected.bias().get(0, c), actual.bias().get(0, c), 1000 * F32_GRADIENT, "bias");
                }
            }
        }
    }

    /** The gradient of what a norm gave may be where that of what it read goes. */
    @Test
    void inPlaceIsTheSame() {
        try (Arena arena = Arena.ofConfined()) {
            Rows x = Sample.rows(arena, Type.F32, 3, 77, 77, 1);
            Normalization norm = Normalization.of(NormKind.LAYER, 1e-5).withGain(Sample.values(77, 3));
            for (Gradients gradients : Sample.gradientTwins()) {
                Rows dy = Sample.rows(arena, Type.F32, 3, 77, 77, 2);
                Rows apart = Rows.allocate(arena, Type.F32, 3, 77, 77);
                gradients.norm(x, norm, dy, apart, NormSums.NONE);
                gradients.norm(x, norm, dy, dy, NormSums.NONE);
                assertEquals(-1, apart.data().mismatch(dy.data()));
            }
        }
    }

    @Test
    void dynamicTanh() {
        try (Arena arena = Arena.ofConfined()) {
            for (int columns : Sample.SIZES) {
                for (Type type : new Type[] {Type.F32, Type.BF16}) {
                    for (boolean affine : new boolean[] {false, true}) {
                        Rows x = Sample.rows(arena, type, 3, columns, columns + 1, 1, 0, 4);
                        Rows dy = Sample.rows(arena, Type.BF16, 3, columns, columns, 2);
                        Normalization norm = Normalization.of(NormKind.DYNAMIC_TANH, 0).withAlpha(0.6);
                        norm = affine ? norm.withGain(Sample.values(columns, 3)).withBias(Sample.values(columns, 4)) : norm;
                        Rows expected = Sample.rows(arena, Type.F32, 3, columns, columns + 2, 5);
                        Rows actual = Sample.copy(arena, expected);
                        NormSums expectedSums = sums(arena, columns, affine, Type.F64);
                        NormSums actualSums = sums(arena, columns, affine, Type.F32);
                        Rows expectedAlpha = Rows.allocate(arena, Type.F64, 1, 1, 1);
                        Rows actualAlpha = Rows.allocate(arena, Type.F32, 1, 1, 1);
                        PLAIN.addDynamicTanh(x, norm, dy, expected, expectedSums, expectedAlpha);
                        VECTOR.addDynamicTanh(x, norm, dy, actual, actualSums, actualAlpha);
                        for (int r = 0; r < 3; r++) {
                            for (int c = 0; c < columns; c++) {
                                assertClose(expected.get(r, c), actual.get(r, c), 32 * F32_GRADIENT, "DyT");
                            }
                        }
                        Sample.assertGapsKept(actual, columns, "DyT");
                        assertClose(expectedAlpha.get(0, 0), actualAlpha.get(0, 0), F32_GRADIENT * 8 * columns, "alpha");
                        for (int c = 0; affine && c < columns; c++) {
                            assertClose(expectedSums.gain().get(0, c), actualSums.gain().get(0, c), 8 * F32_GRADIENT, "gain");
                            assertClose(expectedSums.bias().get(0, c), actualSums.bias().get(0, c), 8 * F32_GRADIENT, "bias");
                        }
                    }
                }
            }
        }
    }

    @Test
    void refusesWhatDoesNotFit() {
        try (Arena arena = Arena.ofConfined()) {
            Rows x = Rows.allocate(arena, Type.F32, 2, 8, 8);
            Rows narrow = x.sliceColumns(0, 7);
            Rows wide = Rows.allocate(arena, Type.F64, 2, 8, 8);
            Rows one = Rows.allocate(arena, Type.F32, 1, 7, 7);
            Normalization rms = Normalization.of(NormKind.RMS, 0);
            for (Gradients gradients : Sample.gradientTwins()) {
                assertThrows(IllegalArgumentException.class, () -> gradients.norm(x, rms, narrow, x, NormSums.NONE));
                assertThrows(IllegalArgumentException.class, () -> gradients.norm(x, rms, x, narrow, NormSums.NONE));
                assertThrows(IllegalArgumentException.class, () -> gradients.norm(x, rms, x, x, new NormSums(one, null)));
                assertThrows(IllegalArgumentException.class, () -> gradients.norm(x, rms.withGain(Values.room(7)), x, x, NormSums.NONE));
                assertThrows(IllegalArgumentException.class, () -> gradients.norm(
                        x, Normalization.of(NormKind.CRMS, 0).withGain(Values.room(9)), x, x, NormSums.NONE));
                assertThrows(IllegalArgumentException.class, () -> gradients.norm(
                        x, Normalization.of(NormKind.DYNAMIC_TANH, 0), x, x, NormSums.NONE));
            }
            for (Gradients gradients : Sample.gradientTwins()) {
                assertThrows(IllegalArgumentException.class, () -> gradients.addDynamicTanh(
                        x, Normalization.of(NormKind.DYNAMIC_TANH, 0), x, x, NormSums.NONE, one));
            }
            assertThrows(IllegalArgumentException.class, () -> VECTOR.norm(wide, rms, wide, wide, NormSums.NONE));
        }
    }
}
