package isonorm.weights;

import java.io.IOException;
import java.util.List;

/**
 * A matrix (rows, columns) of float64 values that is computed when it is read; a vector is a matrix of one row.
 *
 * <p>Call {@link #prepare} once before reading, from one thread; then {@link #read} from any number of threads; then
 * {@link #release}. Preparing does what needs the whole matrix, a column's mean for instance, and is repeated after a release
 * only for what was let go.
 */
public interface Matrix {

    int rows();

    int columns();

    /** Maps files and computes what reading needs. */
    void prepare() throws IOException;

    /**
     * Reads {@code count} rows from {@code first} on, row after row, to the start of {@code into}.
     *
     * @throws isonorm.checkpoint.CheckpointException if a stored value is NaN or infinite
     */
    void read(int first, int count, double[] into) throws IOException;

    /** Lets go of mapped files. */
    void release();

    /** Adds what this matrix went through, from the file on, in words. */
    void describe(List<String> steps);

    /** All values of a vector. */
    default double[] vector() throws IOException {
        if (rows() != 1) {
            throw new IllegalStateException("a vector has one row, this matrix has " + rows());
        }
        double[] values = new double[columns()];
        prepare();
        read(0, 1, values);
        release();
        return values;
    }

    /** How many rows to read at once: as many as fit a core's cache with room for a second copy. */
    default int slabRows() {
        return Math.max(1, Math.min(rows(), 32_768 / Math.max(1, columns())));
    }
}
