package isonorm.weights;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.weights.Rotation.Kind;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** Bases are orthonormal, where they must they sum to zero, and both ways to multiply by one are the same matrix. */
class BasisTest {

    private static Basis basis(Kind kind, long seed, int from, int to) throws IOException {
        Basis basis = Basis.of(new Rotation(kind, seed, OptionalInt.of(to)), from, to < from);
        basis.prepare();
        return basis;
    }

    /** Q, row after row. */
    private static double[] matrix(Basis basis) {
        double[] identity = new double[basis.from() * basis.from()];
        for (int i = 0; i < basis.from(); i++) {
            identity[i * basis.from() + i] = 1;
        }
        double[] q = new double[basis.from() * basis.to()];
        basis.rows(identity, basis.from(), q);
        return q;
    }

    private static void assertOrthonormal(Basis basis, String what) {
        double[] q = matrix(basis);
        int k = basis.to();
        for (int a = 0; a < k; a++) {
            double sum = 0;
            for (int i = 0; i < basis.from(); i++) {
                sum += q[i * k + a];
            }
            assertTrue(k == basis.from() || Math.abs(sum) < 1e-13, what);
            for (int b = 0; b <= a; b++) {
                double product = 0;
                for (int i = 0; i < basis.from(); i++) {
                    product += q[i * k + a] * q[i * k + b];
                }
                assertEquals(a == b ? 1 : 0, product, 1e-13, what);
            }
        }
    }

    @Test
    void columnsAreOrthonormalAndSumToZeroWhereTheirNumberAsksForIt() throws IOException {
        for (int d : List.of(2, 3, 8, 9, 21, 130, 151)) { // one band of vectors, and several
            assertOrthonormal(basis(Kind.RANDOM, d, d, d), "random " + d);
            assertOrthonormal(basis(Kind.RANDOM, d, d, d - 1), "random " + d + " to " + (d - 1));
        }
        for (int d : List.of(1, 2, 4, 8, 12, 20, 24, 28, 36, 40, 48, 60, 84, 284)) { // Sylvester's, and both of Paley's
            assertOrthonormal(basis(Kind.HADAMARD, 1, d, d), "hadamard " + d);
            assertOrthonormal(basis(Kind.HADAMARD, 1, d + 1, d), "hadamard " + (d + 1) + " to " + d);
        }
    }

    @Test
    void entriesOfAHadamardMatrixAreAllAsLarge() throws IOException {
        assertTrue(Arrays.stream(matrix(basis(Kind.HADAMARD, 3, 48, 48))).allMatch(value -> Math.abs(Math.abs(value) - 1 / Math.sqrt(48)) < 1e-15));
        double[] random = matrix(basis(Kind.RANDOM, 3, 48, 48));
        assertTrue(Arrays.stream(random).map(Math::abs).max().orElseThrow() > 2 / Math.sqrt(48));
    }

    @Test
    void widthsThatModelsHaveAreThereAndOthersAreNamed() {
        assertEquals(List.of(), IntStream.of(64, 192, 384, 512, 640, 768, 896, 1024, 1152, 1280, 1536, 1600, 1792, 2048, 2304, 2560, 3072, 3584, 4096, 4544, 5120, 8192)
                .filter(width -> Hadamard.find(width).isEmpty()).boxed().toList());
        assertEquals(List.of(3, 5, 6, 7, 127, 92, 767),
                IntStream.of(3, 5, 6, 7, 127, 92, 767).filter(width -> Hadamard.find(width).isEmpty()).boxed().toList());
        assertTrue(new Rotation(Kind.HADAMARD, 0, OptionalInt.empty()).obstacle(767).orElseThrow().endsWith("ask for random"));
        assertTrue(new Rotation(Kind.RANDOM, 0, OptionalInt.empty()).obstacle(767).isEmpty());
        assertThrows(IllegalArgumentException.class, () -> Basis.of(new Rotation(Kind.HADAMARD, 0, OptionalInt.empty()), 767, false));
        assertThrows(IllegalArgumentException.class, () -> Basis.of(new Rotation(Kind.RANDOM, 0, OptionalInt.of(46)), 48, true));
        assertThrows(IllegalArgumentException.class, () -> Basis.of(new Rotation(Kind.RANDOM, 0, OptionalInt.of(47)), 48, false));
        assertThrows(IllegalArgumentException.class, () -> Basis.of(new Rotation(Kind.RANDOM, 0, OptionalInt.of(49)), 48, false));
        assertThrows(IllegalArgumentException.class, () -> new Rotation(Kind.RANDOM, 0, OptionalInt.of(0)));
    }

    @Test
    void rowsAndColumnsAreMultipliedByOneMatrix() throws IOException {
        SplittableRandom random = new SplittableRandom(8);
        for (Basis basis : List.of(basis(Kind.RANDOM, 1, 25, 25), basis(Kind.RANDOM, 1, 25, 24), basis(Kind.HADAMARD, 1, 24, 24), basis(Kind.HADAMARD, 1, 25, 24))) {
            int d = basis.from();
            int k = basis.to();
            double[] q = matrix(basis);
            double[] x = random.doubles(d * 7L, -1, 1).toArray();
            double[] turned = new double[k * 7];
            basis.columns(x, 7, 0, k, turned);
            double[] some = new double[5 * 7];
            basis.columns(x, 7, 3, 5, some);
            assertArrayEquals(Arrays.copyOfRange(turned, 21, 56), some);
            for (int c = 0; c < 7; c++) {
                double[] row = new double[d];
                for (int i = 0; i < d; i++) {
                    row[i] = x[i * 7 + c];
                }
                double[] ofRow = new double[k];
                basis.rows(row, 1, ofRow);
                for (int j = 0; j < k; j++) {
                    double sum = 0;
                    for (int i = 0; i < d; i++) {
                        sum += row[i] * q[i * k + j];
                    }
                    assertEquals(sum, turned[j * 7 + c], 1e-13);
                    assertEquals(sum, ofRow[j], 1e-13);
                }
            }
        }
    }

    /** A file says no more than kind and seed, so what they give must stay what it is. */
    @Test
    void aSeedGivesTheSameBasisForEver() throws IOException {
        assertArrayEquals(new double[] {-0.11213889020050276, 0.1631149253030123, 0.32063589088753336, -0.7840782969207323},
                Arrays.copyOf(matrix(basis(Kind.RANDOM, 7, 6, 6)), 4), 1e-14); // as Python computes them by docs/format.md
        double[] signs = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 1, -1, 1, -1, 1, 1, 1, -1, -1, -1, 1, -1};
        assertArrayEquals(Arrays.stream(signs).map(sign -> sign / Math.sqrt(12)).toArray(), Arrays.copyOf(matrix(basis(Kind.HADAMARD, 7, 12, 12)), 24), 1e-15);
        assertFalse(Arrays.equals(matrix(basis(Kind.RANDOM, 7, 6, 6)), matrix(basis(Kind.RANDOM, 8, 6, 6))));
    }

    /** Of vectors that are known combinations of orthogonal directions, these are found, the largest first. */
    @Test
    void principalComponentsAreTheDirectionsOfVectors() throws IOException {
        for (int d : List.of(2, 3, 17, 40)) {
            double[] q = matrix(basis(Kind.RANDOM, 5, d, d));
            Moments moments = new Moments(d);
            for (int j = 0; j < d; j++) {
                double[] vector = new double[d];
                for (int i = 0; i < d; i++) {
                    vector[i] = (d - j) * q[i * d + j];
                }
                moments.add(vector);
            }
            double[] found = moments.principal(d - 1, false);
            assertEquals((d - 1) * d, found.length);
            for (int j = 0; j < d - 1; j++) {
                double product = 0;
                for (int i = 0; i < d; i++) {
                    product += found[j * d + i] * q[i * d + j];
                }
                assertEquals(1, Math.abs(product), 1e-10);
            }
            assertOrthonormal(Basis.given(d, moments.principal(d, false)), "principal " + d);
        }
    }

    /** Where vectors are fewer than dimensions, those that sum to zero still come before the one that does not. */
    @Test
    void ofACentredStreamTheDirectionOfAllOnesIsLast() {
        Moments moments = new Moments(9);
        moments.add(new double[] {1, -1, 0, 0, 0, 0, 0, 0, 0});
        moments.add(new double[] {2, 0, -2, 0, 0, 0, 0, 0, 0});
        double[] found = moments.principal(8, true);
        for (int j = 0; j < 8; j++) {
            assertEquals(0, Arrays.stream(found, 9 * j, 9 * j + 9).sum(), 1e-13);
        }
        assertThrows(IllegalStateException.class, () -> new Moments(3).principal(1, false));
        assertThrows(IllegalArgumentException.class, () -> Basis.given(9, new double[10]));
    }

    @Test
    void theEffectiveRankIsTheNumberOfDirectionsThatAreTakenUpAsMuch() throws IOException {
        double[] q = matrix(basis(Kind.RANDOM, 5, 6, 6));
        Moments moments = new Moments(6);
        for (int j = 0; j < 3; j++) {
            double[] vector = new double[6];
            for (int i = 0; i < 6; i++) {
                vector[i] = 7 * q[i * 6 + j];
            }
            moments.add(vector);
        }
        assertEquals(3, moments.effectiveRank(), 1e-9);
        Moments two = new Moments(2);
        two.add(new double[] {Math.sqrt(3), 0});
        two.add(new double[] {0, 1});
        assertEquals(Math.exp(-.75 * Math.log(.75) - .25 * Math.log(.25)), two.effectiveRank(), 1e-12);
        assertTrue(Double.isNaN(new Moments(2).effectiveRank()));
    }

    @Test
    void zerosStandBehindWhatAPaddedBasisGives() throws IOException {
        for (Kind kind : List.of(Kind.RANDOM, Kind.HADAMARD)) {
            Basis plain = Basis.of(new Rotation(kind, 3, OptionalInt.of(12)), 12, false);
            Basis padded = Basis.of(new Rotation(kind, 3, OptionalInt.of(12), OptionalInt.of(15), false), 12, false);
            plain.prepare();
            padded.prepare();
            assertEquals(15, padded.to());
            double[] x = new SplittableRandom(1).doubles(36).toArray();
            double[] expected = new double[36];
            double[] rows = new double[45];
            Arrays.fill(rows, Double.NaN);
            plain.rows(x, 3, expected);
            padded.rows(x, 3, rows);
            for (int r = 0; r < 3; r++) {
                assertArrayEquals(Arrays.copyOfRange(expected, 12 * r, 12 * r + 12), Arrays.copyOfRange(rows, 15 * r, 15 * r + 12), 0);
                assertArrayEquals(new double[3], Arrays.copyOfRange(rows, 15 * r + 12, 15 * r + 15), 0);
            }
            double[] columns = new double[15];
            Arrays.fill(columns, Double.NaN);
            plain.columns(x, 3, 10, 2, expected);
            padded.columns(x, 3, 10, 5, columns); // two of them and three zeros
            assertArrayEquals(Arrays.copyOf(expected, 6), Arrays.copyOf(columns, 6), 0);
            assertArrayEquals(new double[9], Arrays.copyOfRange(columns, 6, 15), 0);
        }
    }

    @Test
    void eigenvaluesAreThoseOfAHandMadeMatrix() {
        Symmetric two = Symmetric.of(new double[] {2, 0, 0, 0, 3, 4, 0, 4, 9}, 3);
        assertArrayEquals(new double[] {11, 2, 1}, two.values(), 1e-13);
        assertArrayEquals(new double[] {0, 1 / Math.sqrt(5), 2 / Math.sqrt(5)}, Arrays.stream(two.vectors(), 0, 3).map(Math::abs).toArray(), 1e-13);
        SplittableRandom random = new SplittableRandom(6);
        int n = 30;
        double[] matrix = new double[n * n];
        for (int i = 0; i < n; i++) {
            for (int j = 0; j <= i; j++) {
                matrix[i * n + j] = random.nextDouble(-1, 1);
                matrix[j * n + i] = matrix[i * n + j];
            }
        }
        Symmetric all = Symmetric.of(matrix, n);
        for (int k = 0; k < n; k++) {
            for (int i = 0; i < n; i++) {
                double product = 0;
                for (int j = 0; j < n; j++) {
                    product += matrix[i * n + j] * all.vectors()[k * n + j];
                }
                assertEquals(all.values()[k] * all.vectors()[k * n + i], product, 1e-12);
            }
        }
        assertThrows(ArithmeticException.class, () -> Symmetric.of(new double[] {1, Double.NaN, Double.NaN, 1}, 2));
    }

    @Test
    void bothWaysToMultiplyAreOneProduct() {
        SplittableRandom random = new SplittableRandom(2);
        for (int[] shape : new int[][] {{1, 1, 1}, {5, 3, 9}, {4, 300, 17}, {9, 513, 40}}) {
            int rows = shape[0];
            int inner = shape[1];
            int columns = shape[2];
            double[] a = random.doubles((rows + 2L) * inner, -1, 1).toArray();
            double[] b = random.doubles((long) inner * columns, -1, 1).toArray();
            double[] plain = new double[rows * columns];
            double[] vectors = random.doubles(plain.length).toArray(); // what was there counts for nothing
            Product.multiply(a, 2, rows, inner, b, columns, plain, false);
            Product.multiply(a, 2, rows, inner, b, columns, vectors, Numbers.VECTORS);
            for (int r = 0; r < rows; r++) {
                for (int c = 0; c < columns; c++) {
                    double sum = 0;
                    for (int i = 0; i < inner; i++) {
                        sum += a[(r + 2) * inner + i] * b[i * columns + c];
                    }
                    assertEquals(sum, plain[r * columns + c], 1e-12);
                }
            }
            assertArrayEquals(plain, vectors, 1e-12);
        }
    }
}
