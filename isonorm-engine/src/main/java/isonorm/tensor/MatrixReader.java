package isonorm.tensor;

import isonorm.checkpoint.CheckpointException;
import isonorm.kernel.Rows;
import isonorm.weights.Matrix;
import isonorm.weights.Matrix.Tile;
import isonorm.weights.Numbers;
import isonorm.weights.Scratch;
import isonorm.weights.Slabs;
import java.io.IOException;
import java.util.Locale;

/** Reads weights into native memory, each rounded once to the type of the memory, on all cores. */
public final class MatrixReader {

    private MatrixReader() {}

    /**
     * Reads as many rows of a prepared matrix as {@code into} has, from {@code first} on.
     *
     * @param into with the matrix's columns
     * @param what the name of the matrix, for errors
     */
    public static void read(Matrix matrix, int first, Rows into, String what) throws IOException {
        int columns = matrix.columns();
        Tile shape = matrix.shape();
        Slabs.forEach(into.rows(), shape.rows(), (from, rows) -> {
            try (Scratch scratch = Scratch.borrow(rows * Math.min(shape.columns(), columns))) {
                double[] values = scratch.values();
                for (int column = 0; column < columns; column += shape.columns()) {
                    int width = Math.min(shape.columns(), columns - column);
                    matrix.read(new Tile(first + from, rows, column, width), values);
                    for (int r = 0; r < rows; r++) {
                        encode(values, r * width, width, into, from + r, column, what);
                    }
                }
            }
        });
    }

    /** Reads single rows of a prepared matrix, in the order of {@code ids}. */
    public static void read(Matrix matrix, long[] ids, Rows into, String what) throws IOException {
        int columns = matrix.columns();
        Slabs.forEach(ids.length, 64, (from, count) -> {
            try (Scratch scratch = Scratch.borrow(columns)) {
                for (int i = from; i < from + count; i++) {
                    matrix.read((int) ids[i], 1, scratch.values());
                    encode(scratch.values(), 0, columns, into, i, 0, what);
                }
            }
        });
    }

    private static void encode(double[] values, int at, int count, Rows into, int row, int column, String what) throws CheckpointException {
        long first = into.offset() + (long) row * into.stride() + column;
        double largest = Numbers.encode(values, at, count, into.data(), into.type().dtype(), first);
        if (!(largest < Double.POSITIVE_INFINITY)) { // also NaN
            throw new CheckpointException(CheckpointException.Reason.OVERFLOW,
                    what + " holds a value that does not fit " + into.type().name().toLowerCase(Locale.ROOT) + "; compute in f32 or f64");
        }
    }
}
