package isonorm.kernel;

import static org.junit.jupiter.api.Assertions.assertThrows;

import isonorm.architecture.NormKind;
import java.lang.foreign.Arena;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.EnumSource.Mode;

/** The vector twin of the norms' backward kernels against the plain one. */
class NormGradientsTest {

    /** Relative to the largest value of the row or sum: sums of up to 4097 products in float32, 16 lanes side by side, of normalized values. */
    private static final double F32 = 64 * Sample.F32;

    @ParameterizedTest
    @EnumSource(value = NormKind.class, names = "DYNAMIC_TANH", mode = Mode.EXCLUDE)
    void twinsAgree(NormKind kind) {
        for (int C : Sample.SIZES) {
            for (double mean : new double[] {0, 1000}) {
                for (Type type : new Type[] {Type.F32, Type.BF16}) {
                    for (int variant = 0; variant < 4; variant++) {
                        agree(kind, C, mean, type, variant % 2 == 1, variant >= 2);
                    }
                }
            }
        }
    }

    private static void agree(NormKind kind, int C, double mean, Type type, boolean affine, boolean adds) {
        try (Arena arena = Arena.ofConfined()) {
            String what = kind + " " + C + " " + mean + " " + type + " " + affine + " " + adds;
            boolean gains = affine && kind != NormKind.CRMS;
            Rows x = Sample.rows(arena, Type.F32, 3, C, C + 3, 1, mean, 1);
            Rows dy = Sample.rows(arena, type, 3, C, C + 2, 2);
            Normalization norm = Normalization.of(kind, 1e-2);
            norm = gains ? norm.withGain(Sample.values(C, 3)) : norm;
            Rows[] dx = new Rows[2];
            Gradients.NormSums[] sums = new Gradients.NormSums[2];
            for (int i = 0; i < 2; i++) {
                dx[i] = Sample.rows(arena, Type.F32, 3, C, C + 4, 4);
                sums[i] = gains ? new Gradients.NormSums(Sample.rows(arena, Type.F32, 1, C, C, 5), Sample.rows(arena, Type.F32, 1, C, C, 6))
                        : Gradients.NormSums.NONE;
                Gradients gradients = i == 0 ? new PlainGradients() : new VectorGradients();
                if (adds) {
                    gradients.addNorm(x, norm, dy, dx[i], sums[i]);
                } else {
                    gradients.norm(x, norm, dy, dx[i], sums[i]);
                }
            }
            close(dx[0], dx[1], what);
            Sample.assertGapsKept(dx[1], kind == NormKind.CRMS ? C + 1 : C, what);
            if (gains) {
                close(sums[0].gain(), sums[1].gain(), what);
                close(sums[0].bias(), sums[1].bias(), what);
            }
        }
    }

    private static void close(Rows expected, Rows actual, String what) {
        for (int r = 0; r < expected.rows(); r++) {
            double size = 1;
            for (double value : Sample.doubles(expected, r)) {
                size = Math.max(size, Math.abs(value));
            }
            for (int c = 0; c < expected.columns(); c++) {
                Sample.assertClose(expected.get(r, c), actual.get(r, c), F32 * size, what);
            }
        }
    }

    @ParameterizedTest
    @EnumSource(value = Type.class, names = {"F64", "F16"})
    void otherTypesAreRefused(Type type) {
        try (Arena arena = Arena.ofConfined()) {
            Rows x = Rows.allocate(arena, type, 2, 8, 8);
            Normalization norm = Normalization.of(NormKind.RMS, 1e-5);
            assertThrows(IllegalArgumentException.class, () -> new VectorGradients().norm(x, norm, x, x, Gradients.NormSums.NONE));
        }
    }
}
