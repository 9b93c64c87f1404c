package isonorm.layer;

import isonorm.kernel.Type;
import isonorm.model.Compute;
import isonorm.tensor.MatrixReader;
import isonorm.weights.Matrix;
import java.io.IOException;

/** A matrix with a row for each token of the vocabulary: an embedding is looked up in it, a head is multiplied with it. */
sealed interface VocabularyMatrix extends AutoCloseable {

    /** What is done with the rows from {@code first} on. */
    @FunctionalInterface
    interface Body {
        void run(int first, Tensor rows) throws IOException;
    }

    int rows();

    /** The rows of {@code ids}, (ids, columns). */
    Tensor lookUp(long[] ids, Space space) throws IOException;

    /** Runs {@code body} on all rows, {@code most} at a time; what it makes is gone at its end. */
    void forEach(int most, Space space, Body body) throws IOException;

    @Override
    void close();

    /** A table in memory. */
    record Loaded(Tensor weight) implements VocabularyMatrix {
        @Override
        public int rows() {
            return weight.count();
        }

        @Override
        public Tensor lookUp(long[] ids, Space space) {
            Tensor found = space.empty(weight.type(), ids.length, weight.width());
            for (int i = 0; i < ids.length; i++) {
                weight.slice((int) ids[i], 1).copyTo(found.rows().slice(i, 1));
            }
            return found;
        }

        @Override
        public void forEach(int most, Space space, Body body) throws IOException {
            for (int first = 0; first < rows(); first += most) {
                int from = first;
                int count = Math.min(most, rows() - first);
                space.scoped(() -> body.run(from, weight.slice(from, count)));
            }
        }

        @Override
        public void close() {}
    }

    /** A table that stays where it is, of which only the rows in use are in memory. */
    record Streamed(Matrix matrix, Compute compute, String what) implements VocabularyMatrix {

        static Streamed open(Matrix matrix, Compute compute, String what) throws IOException {
            matrix.prepare();
            return new Streamed(matrix, compute, what);
        }

        @Override
        public int rows() {
            return matrix.rows();
        }

        @Override
        public Tensor lookUp(long[] ids, Space space) throws IOException {
            Tensor found = space.empty(Type.of(compute), ids.length, matrix.columns());
            MatrixReader.read(matrix, ids, found.rows(), what);
            return found;
        }

        @Override
        public void forEach(int most, Space space, Body body) throws IOException {
            for (int first = 0; first < rows(); first += most) {
                int from = first;
                int count = Math.min(most, rows() - first);
                space.scoped(() -> {
                    Tensor some = space.empty(Type.of(compute), count, matrix.columns());
                    MatrixReader.read(matrix, from, some.rows(), what);
                    body.run(from, some);
                });
            }
        }

        @Override
        public void close() {
            matrix.release();
        }
    }
}
