package isonorm.rewrite;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.model.ConversionRefused;
import isonorm.weights.Dense;
import isonorm.weights.Matrix;
import isonorm.weights.Matrix.Tile;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.ForkJoinPool;
import java.util.function.Function;
import org.junit.jupiter.api.Test;

/** Each operation against its definition, element by element, whatever part of it is read. */
class OperationTest {

    private static final int[][] SIZES = {{1, 2}, {3, 5}, {64, 64}, {257, 65}, {300, 129}, {18, 1030}, {530, 33}};

    /** Sums of up to 300 values of about 1, in another order. */
    private static final double ROUNDING = 1e-12;

    private final SplittableRandom random = new SplittableRandom(11);

    private double[] values(int count) {
        return random.doubles(count, -1, 1).toArray();
    }

    private interface Value {
        double at(int r, int c);
    }

    /** Reads all of it, every edge, and tiles of odd places and sizes; then once more after a release. */
    private void assertIs(int rows, int columns, Value wanted, Matrix matrix, String name) throws IOException {
        String at = name + " to " + rows + "x" + columns;
        assertEquals(rows, matrix.rows(), at);
        assertEquals(columns, matrix.columns(), at);
        List<Tile> tiles = new ArrayList<>(List.of(new Tile(0, rows, 0, columns), new Tile(rows - 1, 1, 0, columns),
                new Tile(0, rows, columns - 1, 1), new Tile(rows - 1, 1, columns - 1, 1), new Tile(0, 1, 0, 1)));
        for (int i = 0; i < 12; i++) {
            int row = random.nextInt(rows);
            int column = random.nextInt(columns);
            tiles.add(new Tile(row, 1 + random.nextInt(rows - row), column, 1 + random.nextInt(columns - column)));
        }
        for (int use = 0; use < 2; use++) {
            matrix.prepare();
            for (Tile tile : tiles) {
                double[] into = new double[tile.size() + 1];
                into[tile.size()] = 42;
                matrix.read(tile, into);
                for (int i = 0; i < tile.size(); i++) {
                    int r = tile.row() + i / tile.columns();
                    int c = tile.column() + i % tile.columns();
                    assertEquals(wanted.at(r, c), into[i], ROUNDING, () -> at + " at " + r + ", " + c + " in " + tile);
                }
                assertEquals(42, into[tile.size()], at);
            }
            matrix.release();
        }
        List<String> steps = new ArrayList<>();
        matrix.describe(steps);
        assertEquals("given", steps.getFirst());
        assertTrue(steps.size() > 1, at + " must say what it does");
    }

    private static double rowSum(double[] a, int columns, int r) {
        double sum = 0;
        for (int c = 0; c < columns; c++) {
            sum += a[r * columns + c];
        }
        return sum;
    }

    private static double columnSum(double[] a, int columns, int c) {
        double sum = 0;
        for (int r = 0; r < a.length / columns; r++) {
            sum += a[r * columns + c];
        }
        return sum;
    }

    @Test
    void everyOperationIsItsDefinition() throws IOException {
        for (int[] size : SIZES) {
            int m = size[0];
            int n = size[1];
            double[] a = values(m * n);
            double[] byColumn = values(n);
            double[] byRow = values(m);
            double[] rowSums = new double[m];
            double[] columnSums = new double[n];
            double[] products = new double[m];
            for (int r = 0; r < m; r++) {
                rowSums[r] = rowSum(a, n, r);
                for (int c = 0; c < n; c++) {
                    products[r] += a[r * n + c] * byColumn[c];
                }
            }
            for (int c = 0; c < n; c++) {
                columnSums[c] = columnSum(a, n, c);
            }
            Matrix of = Dense.of(m, n, a);
            Matrix rowVector = Dense.of(1, n, byColumn);
            Matrix columnVector = Dense.of(1, m, byRow);
            Matrix zeros = Dense.constant(n, 0);
            assertIs(m, n, (r, c) -> a[r * n + c] * byColumn[c], Operation.scaleColumns(of, rowVector), "scaleColumns");
            assertIs(m, n, (r, c) -> a[r * n + c] / byColumn[c], Operation.unscaleColumns(
                    Operation.scaleColumns(Operation.unscaleColumns(of, rowVector, zeros), rowVector), rowVector, zeros), "unscaleColumns");
            assertIs(m, n, (r, c) -> byRow[r] * a[r * n + c], Operation.scaleRows(of, columnVector), "scaleRows");
            assertIs(1, n, (_, c) -> byColumn[c] * a[c], Operation.scaleValues(Dense.of(1, n, Arrays.copyOf(a, n)), rowVector), "scaleValues");
            assertIs(m, n, (r, c) -> a[r * n + c] - columnSums[c] / m, Operation.centreColumns(of), "centreColumns");
            assertIs(m, n, (r, c) -> a[r * n + c] - rowSums[r] / n, Operation.centreRows(of), "centreRows");
            assertIs(m, n, (r, c) -> a[r * n + c] + byRow[r], Operation.plusMeans(of, columnVector), "plusMeans");
            assertIs(1, m, (_, c) -> rowSums[c] / n, Operation.rowMeans(of), "rowMeans");
            assertIs(1, m, (_, c) -> byRow[c] + products[c], Operation.biasPlus(of, columnVector, rowVector), "biasPlus");
            assertIs(1, m, (_, c) -> byRow[c] - products[c], Operation.biasMinus(of, columnVector, rowVector), "biasMinus");
            assertIs(1, m, (_, c) -> a[c * n + n - 1], Operation.lastColumn(of), "lastColumn");
            if (m > 1) {
                assertIs(m - 1, n, (r, c) -> a[r * n + c], Operation.dropLastRow(of), "dropLastRow");
            }
            assertIs(m, n - 1, (r, c) -> a[r * n + c], Operation.dropLastColumn(of), "dropLastColumn");
            assertIs(m, n - 1, (r, c) -> a[r * n + c] - a[r * n + n - 1], Operation.subtractLastColumn(of), "subtractLastColumn");
            assertIs(m, n + 1, (r, c) -> c == n ? byRow[r] : a[r * n + c] + byRow[r], Operation.restoreLastColumn(of, columnVector), "restoreLastColumn");
            assertIs(m, n + 1, (r, c) -> c == n ? -rowSums[r] : a[r * n + c], Operation.appendNegativeSum(of), "appendNegativeSum");
            assertIs(m, n + 1, (r, c) -> c == n ? 0 : a[r * n + c], Operation.appendZeroColumn(of), "appendZeroColumn");
            assertIs(m + 1, n, (r, c) -> r == m ? -columnSums[c] : a[r * n + c], Operation.appendNegativeSumRow(of), "appendNegativeSumRow");
        }
    }

    @Test
    void inversesComposeToTheIdentity() throws IOException {
        for (int[] size : SIZES) {
            int m = size[0];
            int n = size[1];
            double[] a = values(m * n);
            Matrix of = Dense.of(m, n, a);
            Value same = (r, c) -> a[r * n + c];
            assertIs(m, n, same, Operation.restoreLastColumn(Operation.subtractLastColumn(of), Operation.lastColumn(of)), "restore(subtract)");
            assertIs(m, n, same, Operation.plusMeans(Operation.centreRows(of), Operation.rowMeans(of)), "plusMeans(centreRows)");
            double[] byRow = new double[m * n];
            double[] byColumn = new double[m * n];
            for (int i = 0; i < a.length; i++) {
                byRow[i] = a[i] - rowSum(a, n, i / n) / n;
                byColumn[i] = a[i] - columnSum(a, n, i % n) / m;
            }
            assertIs(m, n, (r, c) -> byRow[r * n + c], Operation.appendNegativeSum(Operation.dropLastColumn(Dense.of(m, n, byRow))), "append(drop) of a row");
            if (m > 1) {
                assertIs(m, n, (r, c) -> byColumn[r * n + c],
                        Operation.appendNegativeSumRow(Operation.dropLastRow(Dense.of(m, n, byColumn))), "append(drop) of a column");
            }
            double[] bias = values(m);
            Matrix shift = Dense.of(1, n, values(n));
            assertIs(1, m, (_, c) -> bias[c], Operation.biasMinus(of, Operation.biasPlus(of, Dense.of(1, m, bias), shift), shift), "minus(plus)");
        }
    }

    @Test
    void unscalingUndoesScalingExceptWhereTheGainIsZero() throws IOException {
        double[] a = values(30 * 70);
        double[] gain = random.doubles(70, 0.5, 2).toArray();
        gain[0] = 0;
        gain[33] = -0.0;
        double[] bias = values(70);
        bias[0] = 0;
        bias[33] = 0;
        Matrix scaled = Operation.scaleColumns(Dense.of(30, 70, a), Dense.of(1, 70, gain));
        assertIs(30, 70, (r, c) -> c == 0 || c == 33 ? 0 : a[r * 70 + c],
                Operation.unscaleColumns(scaled, Dense.of(1, 70, gain), Dense.of(1, 70, bias)), "unscaleColumns");
        bias[33] = 0.25;
        Matrix lost = Operation.unscaleColumns(scaled, Dense.of(1, 70, gain), Dense.of(1, 70, bias));
        ConversionRefused refused = assertThrows(ConversionRefused.class, lost::prepare);
        assertTrue(refused.getMessage().contains("gain 0 and bias 0.25 at value 33"), refused.getMessage());
    }

    @Test
    void whatIsCentredSumsToZero() throws IOException {
        double[] a = values(300 * 129);
        double[] into = new double[300 * 129];
        Matrix columns = Operation.centreColumns(Dense.of(300, 129, a));
        columns.prepare();
        columns.read(0, 300, into);
        for (int c = 0; c < 129; c++) {
            assertEquals(0, columnSum(into, 129, c), ROUNDING);
        }
        Matrix rows = Operation.centreRows(Dense.of(300, 129, a));
        rows.prepare();
        rows.read(0, 300, into);
        for (int r = 0; r < 300; r++) {
            assertEquals(0, rowSum(into, 129, r), ROUNDING);
        }
    }

    private static final List<Function<Matrix, Matrix>> SUMMING = List.of(Operation::centreColumns, Operation::centreRows,
            Operation::rowMeans, Operation::appendNegativeSum, Operation::appendNegativeSumRow,
            of -> Operation.biasPlus(of, Dense.constant(of.rows(), 0.3), Dense.constant(of.columns(), 1 / 3.0)));

    private static double[] all(Matrix matrix) throws IOException {
        double[] into = new double[matrix.rows() * matrix.columns()];
        matrix.prepare();
        matrix.read(0, matrix.rows(), into);
        matrix.release();
        return into;
    }

    @Test
    void resultsDoNotDependOnHowManyThreadsThereAre() throws Exception {
        Matrix of = Dense.of(1100, 260, values(1100 * 260));
        for (Function<Matrix, Matrix> operation : SUMMING) {
            double[] first = all(operation.apply(of));
            for (int threads : new int[] {1, 3, 7}) {
                try (ForkJoinPool pool = new ForkJoinPool(threads)) {
                    for (int repeat = 0; repeat < 3; repeat++) {
                        assertArrayEquals(first, pool.submit(() -> all(operation.apply(of))).get()); // to the last bit
                    }
                }
            }
        }
    }

    @Test
    void aMatrixUsedByTwoIsReadableUntilBothReleaseIt() throws IOException {
        double[] a = values(9 * 5);
        for (Function<Matrix, Matrix> operation : SUMMING) {
            double[] wanted = all(operation.apply(Dense.of(9, 5, a)));
            Matrix shared = operation.apply(Dense.of(9, 5, a));
            shared.prepare();
            shared.prepare();
            shared.release();
            double[] into = new double[wanted.length];
            shared.read(0, shared.rows(), into);
            assertArrayEquals(wanted, into);
            shared.release();
            assertArrayEquals(wanted, all(shared));
        }
    }

    @Test
    void aVectorComputedFromAMatrixInUseLeavesItInUse() throws IOException {
        Matrix scaled = Operation.scaleColumns(Dense.of(2, 3, 1, 2, 3, 4, 5, 6), Dense.of(1, 3, 2, 3, 4));
        Matrix both = Operation.restoreLastColumn(Operation.subtractLastColumn(scaled), Operation.lastColumn(scaled));
        assertArrayEquals(new double[] {2, 6, 12, 8, 15, 24}, all(both));
    }

    @Test
    void stepsAreToldInOrder() {
        List<String> steps = new ArrayList<>();
        Operation.dropLastRow(Operation.centreColumns(Operation.scaleRows(Dense.of(2, 1, 1, 2), Dense.constant(2, 1)))).describe(steps);
        assertEquals(List.of("given", "multiplied each row by LayerScale", "took the mean out of each column", "dropped the last row"), steps);
    }
}
