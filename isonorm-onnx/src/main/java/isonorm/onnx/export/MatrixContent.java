package isonorm.onnx.export;

import isonorm.checkpoint.Dtype;
import isonorm.onnx.graph.Content;
import isonorm.weights.Matrix;
import isonorm.weights.Numbers;
import isonorm.weights.Scratch;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.WritableByteChannel;

/**
 * The values of a matrix, each rounded once, read band by band while they are written.
 *
 * @param turned whether its columns are written as rows
 */
record MatrixContent(Matrix matrix, boolean turned, Dtype dtype, String what) implements Content {

    /** How many values are in memory at once. */
    private static final int BAND = 1 << 20;

    @Override
    public long length() {
        return (long) matrix.rows() * matrix.columns() * dtype.bytes();
    }

    @Override
    public void writeTo(WritableByteChannel out) throws IOException {
        int across = turned ? matrix.rows() : matrix.columns();
        int down = turned ? matrix.columns() : matrix.rows();
        int step = Math.max(1, BAND / across);
        byte[] bytes = new byte[Math.multiplyExact(across, Math.min(step, down)) * dtype.bytes()];
        matrix.prepare();
        try (Scratch read = Scratch.borrow(across * Math.min(step, down)); Scratch laid = Scratch.borrow(across * Math.min(step, down))) {
            for (int from = 0; from < down; from += step) {
                int count = Math.min(step, down - from);
                double[] values = read.values();
                if (turned) {
                    matrix.read(new Matrix.Tile(0, across, from, count), values);
                    for (int r = 0; r < across; r++) {
                        for (int c = 0; c < count; c++) {
                            laid.values()[c * across + r] = values[r * count + c];
                        }
                    }
                    values = laid.values();
                } else {
                    matrix.read(from, count, values);
                }
                double largest = Numbers.encode(values, 0, across * count, MemorySegment.ofArray(bytes), dtype, 0);
                if (!(largest < Double.POSITIVE_INFINITY)) { // also NaN
                    throw new IOException(what + " has a value that does not fit " + dtype + "; export it in f32");
                }
                Content.write(out, ByteBuffer.wrap(bytes, 0, across * count * dtype.bytes()));
            }
        } finally {
            matrix.release();
        }
    }
}
