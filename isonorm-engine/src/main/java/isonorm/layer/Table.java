package isonorm.layer;

import isonorm.tensor.Compute;
import isonorm.tensor.Memory;
import isonorm.weights.Matrix;
import java.io.IOException;
import org.bytedeco.pytorch.Tensor;

/** A matrix with a row for each word: an embedding is looked up in it, a head is multiplied with it. */
sealed interface Table extends AutoCloseable {

    /** What is done with the rows from {@code first} on. */
    @FunctionalInterface
    interface Body {
        void run(int first, Tensor rows) throws IOException;
    }

    int rows();

    /** The rows of {@code ids}, (ids, columns). */
    Tensor lookUp(long[] ids) throws IOException;

    /** Runs {@code body} on all rows, some thousand at a time. */
    void forEach(Body body) throws IOException;

    @Override
    void close();

    /** A table in memory. */
    record Loaded(Tensor weight) implements Table {
        @Override
        public int rows() {
            return (int) weight.size(0);
        }

        @Override
        public Tensor lookUp(long[] ids) {
            return weight.index_select(0, Memory.of(ids));
        }

        @Override
        public void forEach(Body body) throws IOException {
            Memory.scoped(() -> body.run(0, weight));
        }

        @Override
        public void close() {}
    }

    /** A table that stays where it is, of which only the rows in use are in memory. */
    record Streamed(Matrix matrix, Compute compute, String what) implements Table {

        private static final int SLAB_VALUES = 8_000_000;

        static Streamed open(Matrix matrix, Compute compute, String what) throws IOException {
            matrix.prepare();
            return new Streamed(matrix, compute, what);
        }

        @Override
        public int rows() {
            return matrix.rows();
        }

        @Override
        public Tensor lookUp(long[] ids) throws IOException {
            return Memory.rows(matrix, ids, compute, what);
        }

        @Override
        public void forEach(Body body) throws IOException {
            int slab = Math.clamp(SLAB_VALUES / matrix.columns(), 1, 4096);
            for (int first = 0; first < rows(); first += slab) {
                int from = first;
                int count = Math.min(slab, rows() - first);
                Memory.scoped(() -> body.run(from, Memory.rows(matrix, from, count, compute, what)));
            }
        }

        @Override
        public void close() {
            matrix.release();
        }
    }
}
