package isonorm.onnx.rewrite;

import isonorm.checkpoint.Dtype;
import isonorm.onnx.graph.Content;
import isonorm.onnx.graph.Tensor;
import isonorm.weights.Numbers;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.WritableByteChannel;
import java.util.List;

/** A constant that is computed of another one when it is written: in float64, rounded once. */
record Computed(Tensor of, Change change, long length) implements Content {

    /** What is done to a constant's elements. */
    @FunctionalInterface
    interface Change {
        double[] of(double[] values) throws IOException;
    }

    @Override
    public void writeTo(WritableByteChannel out) throws IOException {
        double[] values = change.of(of.reals());
        Dtype dtype = of.type().dtype().orElseThrow();
        byte[] bytes = new byte[Math.multiplyExact(values.length, dtype.bytes())];
        double largest = Numbers.encode(values, 0, values.length, MemorySegment.ofArray(bytes), dtype, 0);
        if (!(largest < Double.POSITIVE_INFINITY)) { // also NaN
            throw new IOException("constant " + of.name() + " becomes a value that does not fit " + dtype);
        }
        Content.write(out, ByteBuffer.wrap(bytes));
    }

    static Tensor tensor(String name, Tensor of, Change change) {
        return tensor(name, of, of.shape(), change);
    }

    private static Tensor tensor(String name, Tensor of, List<Long> shape, Change change) {
        return new Tensor(name, of.type(), shape, new Computed(of, change, Tensor.elements(shape) * of.type().bytes()));
    }

    /** Without the mean along an axis. */
    static Tensor centred(String name, Tensor of, int axis) {
        int size = Math.toIntExact(of.shape().get(axis));
        int behind = Math.toIntExact(Tensor.elements(of.shape().subList(axis + 1, of.shape().size())));
        return tensor(name, of, values -> {
            for (int line = 0; line < values.length / size; line++) {
                int first = line / behind * behind * size + line % behind;
                double sum = 0;
                for (int i = 0; i < size; i++) {
                    sum += values[first + i * behind];
                }
                for (int i = 0; i < size; i++) {
                    values[first + i * behind] -= sum / size;
                }
            }
            return values;
        });
    }

    /** Times a vector along an axis. */
    static Tensor times(String name, Tensor of, int axis, Tensor factors) {
        int size = Math.toIntExact(of.shape().get(axis));
        int behind = Math.toIntExact(Tensor.elements(of.shape().subList(axis + 1, of.shape().size())));
        return tensor(name, of, values -> {
            double[] by = factors.reals();
            for (int i = 0; i < values.length; i++) {
                values[i] *= by[i / behind % size];
            }
            return values;
        });
    }

    /** Rows as columns. */
    static Tensor turned(String name, Tensor of) {
        int rows = Math.toIntExact(of.shape().get(0));
        int columns = Math.toIntExact(of.shape().get(1));
        return tensor(name, of, List.of((long) columns, (long) rows), values -> {
            double[] turned = new double[values.length];
            for (int r = 0; r < rows; r++) {
                for (int c = 0; c < columns; c++) {
                    turned[c * rows + r] = values[r * columns + c];
                }
            }
            return turned;
        });
    }

    /** A vector and, added to it, a matrix times another one: {@code base + by W}, or {@code base + W by} where outputs are rows. */
    static Tensor plusProduct(String name, Tensor base, Tensor matrix, boolean outputsAreRows, Tensor by) {
        return tensor(name, base, values -> {
            double[] w = matrix.reals();
            double[] b = by.reals();
            int outputs = values.length;
            for (int in = 0; in < b.length; in++) {
                for (int out = 0; out < outputs; out++) {
                    values[out] += b[in] * (outputsAreRows ? w[out * b.length + in] : w[in * outputs + out]);
                }
            }
            return values;
        });
    }
}
