package isonorm.weights;

import java.io.IOException;
import java.util.List;

/**
 * A matrix (rows, columns) of float64 values that is computed when it is read; a vector is a matrix of one row.
 *
 * <p>Call {@link #prepare} once before reading, from one thread; then read from any number of threads; then {@link #release}.
 * Preparing does what needs the whole matrix, a column's mean for instance, and is repeated after a release only for what was
 * let go.
 *
 * <p>What is read is a tile, some columns of some rows. Tiles that fit a core's cache make it cheap to read a matrix that a file
 * stores the other way round, and to pass it through several operations.
 */
public interface Matrix {

    int rows();

    int columns();

    /** Maps files and computes what reading needs. */
    void prepare() throws IOException;

    /**
     * Reads a tile to the start of {@code into}, row after row.
     *
     * @throws isonorm.checkpoint.CheckpointException if a stored value is NaN or infinite
     */
    void read(Tile tile, double[] into) throws IOException;

    /** Lets go of mapped files. */
    void release();

    /** Adds what this matrix went through, from the file on, in words. */
    void describe(List<String> steps);

    /**
     * The shape of the tiles that are cheapest to read, 128 KB: long runs of rows where a file stores rows as columns, long runs
     * of columns elsewhere.
     */
    default Tile shape() {
        return new Tile(0, 16, 0, 1024);
    }

    /** Rows {@code row} to {@code row + rows - 1} and columns {@code column} to {@code column + columns - 1}. */
    record Tile(int row, int rows, int column, int columns) {

        /** How many values it has. */
        public int size() {
            return rows * columns;
        }

        /** The same rows of other columns. */
        public Tile withColumns(int from, int count) {
            return new Tile(row, rows, from, count);
        }

        /** The same columns of other rows. */
        public Tile withRows(int from, int count) {
            return new Tile(from, count, column, columns);
        }
    }

    /** Reads {@code count} whole rows from {@code first} on, row after row, to the start of {@code into}. */
    default void read(int first, int count, double[] into) throws IOException {
        read(new Tile(first, count, 0, columns()), into);
    }

    /** All values of a vector. */
    default double[] vector() throws IOException {
        if (rows() != 1) {
            throw new IllegalStateException("a vector has one row, this matrix has " + rows());
        }
        return all();
    }

    /** All values of a small matrix, row after row. */
    default double[] all() throws IOException {
        double[] values = new double[Math.multiplyExact(rows(), columns())];
        prepare();
        try {
            read(0, rows(), values);
        } finally {
            release();
        }
        return values;
    }

    /** Adds {@code sum over c of this[r][c] * by[c]} to {@code into[r]} for the rows of a band; {@code into} has all rows. */
    default void addProduct(int row, int rows, double[] by, double[] into) throws IOException {
        int step = Math.min(shape().columns(), columns());
        try (Scratch scratch = Scratch.borrow(rows * step)) {
            double[] values = scratch.values();
            for (int column = 0; column < columns(); column += step) {
                int columns = Math.min(step, columns() - column);
                read(new Tile(row, rows, column, columns), values);
                for (int r = 0; r < rows; r++) {
                    double sum = 0;
                    for (int c = 0; c < columns; c++) {
                        sum += values[r * columns + c] * by[column + c];
                    }
                    into[row + r] += sum;
                }
            }
        }
    }

    /** Adds {@code sum over r of this[r][c]} to {@code into[c]} for the columns of a band; {@code into} has all columns. */
    default void addColumnSums(int column, int columns, double[] into) throws IOException {
        int step = Math.min(shape().rows(), rows());
        try (Scratch scratch = Scratch.borrow(columns * step)) {
            double[] values = scratch.values();
            for (int row = 0; row < rows(); row += step) {
                int rows = Math.min(step, rows() - row);
                read(new Tile(row, rows, column, columns), values);
                for (int r = 0; r < rows; r++) {
                    for (int c = 0; c < columns; c++) {
                        into[column + c] += values[r * columns + c];
                    }
                }
            }
        }
    }
}
