package isonorm.weights;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.stream.IntStream;

/** Runs over the rows of a matrix in slabs, on all cores. */
public final class Slabs {

    /** What is done with one slab: its rows from {@code first} on, {@code count} of them. */
    @FunctionalInterface
    public interface Body {
        void run(int first, int count) throws IOException;
    }

    private Slabs() {}

    /** Runs {@code body} on every slab of {@code rows} rows, in any order, on several threads. */
    public static void forEach(int rows, int slabRows, Body body) throws IOException {
        int slabs = Math.ceilDiv(rows, slabRows);
        parallel(slabs, slab -> {
            int first = slab * slabRows;
            body.run(first, Math.min(slabRows, rows - first));
        });
    }

    /** A task with a number. */
    @FunctionalInterface
    public interface Task {
        void run(int index) throws IOException;
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

    /**
     * The sum of every column of {@code matrix} over its rows, each row multiplied by its factor where there are factors. The
     * order of the additions does not depend on the number of threads.
     */
    public static double[] columnSums(Matrix matrix) throws IOException {
        int rows = matrix.rows();
        int columns = matrix.columns();
        // A fixed number of runs of rows, each summed in order, then added in order.
        int runs = Math.min(rows, 16);
        double[][] partial = new double[runs][];
        parallel(runs, run -> {
            int from = (int) ((long) rows * run / runs);
            int to = (int) ((long) rows * (run + 1) / runs);
            int slab = matrix.slabRows();
            double[] sums = new double[columns];
            try (Scratch scratch = Scratch.borrow(slab * columns)) {
                double[] values = scratch.values();
                double[] row = new double[columns];
                for (int first = from; first < to; first += slab) {
                    int count = Math.min(slab, to - first);
                    matrix.read(first, count, values);
                    for (int r = 0; r < count; r++) {
                        System.arraycopy(values, r * columns, row, 0, columns);
                        for (int c = 0; c < columns; c++) {
                            sums[c] += row[c];
                        }
                    }
                }
            }
            partial[run] = sums;
        });
        double[] sums = partial[0];
        for (int run = 1; run < runs; run++) {
            for (int c = 0; c < columns; c++) {
                sums[c] += partial[run][c];
            }
        }
        return sums;
    }
}
