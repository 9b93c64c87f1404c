package isonorm.weights;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Arrays;
import java.util.stream.IntStream;

/** Runs over a matrix in parts, on all cores, with results that do not depend on how many there are. */
public final class Slabs {

    /** What is done with one part: {@code count} rows or columns from {@code first} on. */
    @FunctionalInterface
    public interface Body {
        void run(int first, int count) throws IOException;
    }

    /** A task with a number. */
    @FunctionalInterface
    public interface Task {
        void run(int index) throws IOException;
    }

    private Slabs() {}

    /** Runs {@code body} on every run of {@code step} out of {@code total}, in any order, on several threads. */
    public static void forEach(int total, int step, Body body) throws IOException {
        parallel(Math.ceilDiv(total, step), slab -> {
            int first = slab * step;
            body.run(first, Math.min(step, total - first));
        });
    }

    /** Runs tasks 0 to {@code count - 1} on several threads. */
    public static void parallel(int count, Task task) throws IOException {
        if (count == 1) {
            task.run(0);
            return;
        }
        try {
            IntStream.range(0, count).parallel().forEach(index -> {
                try {
                    task.run(index);
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            });
        } catch (UncheckedIOException e) {
            throw e.getCause();
        }
    }

    /** What is done with one tile. */
    @FunctionalInterface
    public interface TileBody {
        void run(Matrix.Tile tile) throws IOException;
    }

    /** Runs {@code body} on rows {@code first} to {@code first + rows - 1} of so many columns, tile by tile of a shape, in any order, on several threads. */
    public static void forEachTile(int first, int rows, int columns, Matrix.Tile shape, TileBody body) throws IOException {
        int across = Math.ceilDiv(columns, shape.columns());
        parallel(Math.multiplyExact(Math.ceilDiv(rows, shape.rows()), across), index -> {
            int row = index / across * shape.rows();
            int column = index % across * shape.columns();
            body.run(new Matrix.Tile(first + row, Math.min(shape.rows(), rows - row), column, Math.min(shape.columns(), columns - column)));
        });
    }

    /** {@code matrix by}: one value a row. The matrix must be prepared. */
    public static double[] product(Matrix matrix, double[] by) throws IOException {
        double[] product = new double[matrix.rows()];
        forEach(matrix.rows(), matrix.shape().rows(), (first, count) -> matrix.addProduct(first, count, by, product));
        return product;
    }

    /** The sum of every row. The matrix must be prepared. */
    public static double[] rowSums(Matrix matrix) throws IOException {
        double[] ones = new double[matrix.columns()];
        Arrays.fill(ones, 1);
        return product(matrix, ones);
    }

    /** The sum of every column. The matrix must be prepared. */
    public static double[] columnSums(Matrix matrix) throws IOException {
        double[] sums = new double[matrix.columns()];
        forEach(matrix.columns(), matrix.shape().columns(), (first, count) -> matrix.addColumnSums(first, count, sums));
        return sums;
    }
}
