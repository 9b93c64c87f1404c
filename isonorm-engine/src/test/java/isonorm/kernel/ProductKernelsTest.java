package isonorm.kernel;

import static isonorm.kernel.Sample.assertClose;
import static isonorm.mutation.CleanLine.assertThrows;

import isonorm.EveryProcessor;
import java.lang.foreign.Arena;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Products with few vectors, and attention of one query, of both twins against sums in float64. */
@EveryProcessor
class ProductKernelsTest {

    /** A sum of n products in float32 over 16 and more partial sums, relative to the sum of the products' sizes. */
    private static final double F32_SUM = 6 * Sample.F32;

    @ParameterizedTest
    @EnumSource(value = Type.class, names = "F64", mode = EnumSource.Mode.EXCLUDE)
    void products(Type type) {
        try (Arena arena = Arena.ofConfined()) {
            for (Kernels kernels : Sample.twins()) {
                for (int columns : Sample.SIZES) {
                    for (int rows : new int[] {1, 2, 3, 4, 5, 9}) {
                        for (int n : new int[] {1, 2, 3, 4, 7}) {
                            Rows weights = Sample.rows(arena, type, rows, columns, columns + 3, columns);
                            Rows x = Sample.rows(arena, n == 2 ? Type.BF16 : Type.F32, n, columns, columns + 1, 5);
                            Rows y = Sample.rows(arena, n == 3 ? Type.BF16 : Type.F32, n, rows, rows + 2, 6);
                            kernels.matrixVectors(weights, x, y);
                            assertProducts(weights, x, y);
                            Sample.assertGapsKept(y, rows, "product");
                        }
                    }
                }
            }
        }
    }

    /** Large, tiny and subnormal weights all count. */
    @ParameterizedTest
    @EnumSource(value = Type.class, names = "F64", mode = EnumSource.Mode.EXCLUDE)
    void weightsOfEverySize(Type type) {
        double[] sizes = type == Type.F16 ? new double[] {65504, 1, 6.2e-5, 6e-8} : new double[] {1e18, 1, 1e-20, 1e-39};
        SplittableRandom random = new SplittableRandom(8);
        try (Arena arena = Arena.ofConfined()) {
            for (Kernels kernels : Sample.twins()) {
                for (double size : sizes) {
                    Rows weights = Rows.allocate(arena, type, 4, 77, 77);
                    for (int i = 0; i < 4 * 77; i++) {
                        weights.set(i / 77, i % 77, size * (random.nextBoolean() ? 1 : -0.5));
                    }
                    for (int n = 1; n <= 4; n++) {
                        Rows x = Sample.rows(arena, Type.F32, n, 77, 77, 9);
                        Rows y = Rows.allocate(arena, Type.F32, n, 4, 4);
                        kernels.matrixVectors(weights, x, y);
                        assertProducts(weights, x, y);
                        assertOtherOrientation(kernels, arena, weights, n);
                    }
                }
            }
        }
    }

    /** Float16 is unpacked with a power of two missing, which x makes up for, whatever its size. */
    @Test
    void vectorsOfEverySize() {
        try (Arena arena = Arena.ofConfined()) {
            for (Kernels kernels : Sample.twins()) {
                for (double size : new double[] {0, 1e-40, 1e-30, 1, 1e5, 1e30}) {
                    Rows weights = Sample.rows(arena, Type.F16, 5, 77, 77, 1);
                    Rows x = Sample.rows(arena, Type.F32, 3, 77, 77, 2, 0, size);
                    Rows y = Rows.allocate(arena, Type.F32, 3, 5, 5);
                    kernels.matrixVectors(weights, x, y);
                    assertProducts(weights, x, y);
                    Rows across = Sample.rows(arena, Type.F32, 3, 5, 5, 2, 0, size);
                    Rows out = Rows.allocate(arena, Type.F32, 3, 77, 77);
                    kernels.vectorMatrices(across, weights, out);
                    for (int c = 0; c < 77; c++) {
                        double sum = 0;
                        double sizes = 0;
                        for (int row = 0; row < 5; row++) {
                            sum += across.get(2, row) * weights.get(row, c);
                            sizes += Math.abs(across.get(2, row) * weights.get(row, c));
                        }
                        assertClose(sum, out.get(2, c), F32_SUM * sizes + 64 * Float.MIN_VALUE, "x of " + size);
                    }
                }
            }
        }
    }

    /** Of a matrix stored (in, out): y = x weights, with weights and y being columns of wider ones. */
    @ParameterizedTest
    @EnumSource(value = Type.class, names = "F64", mode = EnumSource.Mode.EXCLUDE)
    void productsOfTheOtherOrientation(Type type) {
        try (Arena arena = Arena.ofConfined()) {
            for (Kernels kernels : Sample.twins()) {
                for (int columns : Sample.SIZES) {
                    for (int rows : new int[] {1, 3, 4, 5, 9}) {
                        for (int n : new int[] {1, 2, 3, 4, 7}) {
                            Rows weights = Sample.rows(arena, type, rows, columns + 3, columns + 8, columns).sliceColumns(2, columns);
                            assertOtherOrientation(kernels, arena, weights, n);
                        }
                    }
                }
            }
        }
    }

    /** Many rows are added in parts, and many columns are done one part after the other. */
    @ParameterizedTest
    @EnumSource(value = Type.class, names = "F64", mode = EnumSource.Mode.EXCLUDE)
    void largeProductsOfTheOtherOrientation(Type type) {
        try (Arena arena = Arena.ofConfined()) {
            Kernels kernels = new VectorKernels();
            for (int n : new int[] {1, 3}) {
                for (double mean : new double[] {0, 30}) {
                    assertOtherOrientation(kernels, arena, Sample.rows(arena, type, 4097, 49, 49, 3, mean, 1), n);
                    assertOtherOrientation(kernels, arena, Sample.rows(arena, type, 5, 3 * 4096 + 7, 3 * 4096 + 7, 3, mean, 1), n);
                }
            }
        }
    }

    private static void assertOtherOrientation(Kernels kernels, Arena arena, Rows weights, int n) {
        int rows = weights.rows();
        int columns = weights.columns();
        Rows x = Sample.rows(arena, n == 2 ? Type.BF16 : Type.F32, n, rows, rows + 1, 5);
        Rows y = Sample.rows(arena, n == 3 ? Type.BF16 : Type.F32, n, columns, columns + 2, 6);
        kernels.vectorMatrices(x, weights, y);
        for (int i = 0; i < n; i++) {
            for (int c = 0; c < columns; c++) {
                double sum = 0;
                double size = 0;
                for (int row = 0; row < rows; row++) {
                    double product = x.get(i, row) * weights.get(row, c);
                    sum += product;
                    size += Math.abs(product);
                }
                double smallest = y.type() == Type.BF16 ? 0x1p-133 : 64 * Float.MIN_VALUE; // there are no numbers below it
                assertClose(sum, y.get(i, c), F32_SUM * size + Sample.rounding(y.type(), sum) + smallest,
                        kernels + " " + weights + " " + i + ", " + c);
            }
        }
        Sample.assertGapsKept(y, columns, "product");
    }

    private static void assertProducts(Rows weights, Rows x, Rows y) {
        for (int i = 0; i < x.rows(); i++) {
            for (int row = 0; row < weights.rows(); row++) {
                double sum = 0;
                double size = 0;
                for (int c = 0; c < x.columns(); c++) {
                    double product = weights.get(row, c) * x.get(i, c);
                    sum += product;
                    size += Math.abs(product);
                }
                // The last summand: float32 has no numbers between zero and that.
                assertClose(sum, y.get(i, row), F32_SUM * size + Sample.rounding(y.type(), sum) + 64 * Float.MIN_VALUE,
                        weights + " " + i + ", " + row);
            }
        }
    }

    @Test
    void refusesWhatDoesNotFit() {
        try (Arena arena = Arena.ofConfined()) {
            Rows a = Rows.allocate(arena, Type.F32, 4, 8, 8);
            Rows b = Rows.allocate(arena, Type.F32, 6, 8, 8);
            for (Kernels kernels : Sample.twins()) {
                assertThrows(IllegalArgumentException.class, () -> kernels.matrixVectors(a, b, b));
                assertThrows(IllegalArgumentException.class, () -> kernels.matrixVectors(a, a.sliceColumns(0, 7), a.sliceColumns(0, 4)));
                assertThrows(IllegalArgumentException.class, () -> kernels.vectorMatrices(b, a, b));
                assertThrows(IllegalArgumentException.class, () -> kernels.vectorMatrices(a.sliceColumns(0, 4), a, a.sliceColumns(0, 7)));
            }
        }
    }
}
