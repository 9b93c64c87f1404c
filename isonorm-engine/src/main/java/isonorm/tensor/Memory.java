package isonorm.tensor;

import isonorm.checkpoint.CheckpointException;
import isonorm.weights.Matrix;
import isonorm.weights.Matrix.Tile;
import isonorm.weights.Numbers;
import isonorm.weights.Scratch;
import isonorm.weights.Slabs;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.MemoryFormatOptional;
import org.bytedeco.pytorch.NoGradGuard;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * The one place that knows how libtorch's memory is made, filled, read and let go.
 *
 * <p>A tensor made inside {@link #kept} or {@link #scoped} is freed at its end. What {@code kept} returns lives on and
 * belongs to the caller, who hands it to {@link #free}.
 */
public final class Memory {

    /** Makes tensors; may read files. */
    @FunctionalInterface
    public interface Body {
        Tensor run() throws IOException;
    }

    /** Uses tensors; may read files. */
    @FunctionalInterface
    public interface Task {
        void run() throws IOException;
    }

    private Memory() {}

    /** Frees everything that {@code body} made, but for the tensor it returns. */
    public static Tensor kept(Body body) throws IOException {
        Threads.share(); // settles this thread's settings
        try (PointerScope _ = new PointerScope()) {
            new NoGradGuard();
            Tensor result = body.run();
            result.retainReference();
            return result;
        }
    }

    /** Frees everything that {@code task} made. */
    public static void scoped(Task task) throws IOException {
        Threads.share();
        try (PointerScope _ = new PointerScope()) {
            new NoGradGuard();
            task.run();
        }
    }

    /** Frees a tensor that {@link #kept} returned. */
    public static void free(Tensor tensor) {
        tensor.releaseReference();
    }

    /** A tensor of whatever its memory held. */
    public static Tensor empty(Compute compute, long... shape) {
        return empty(compute.type(), shape);
    }

    private static Tensor empty(ScalarType type, long... shape) {
        return torch.empty(shape, new TensorOptions(type), new MemoryFormatOptional());
    }

    /** The bytes of a contiguous tensor; valid while the tensor lives. */
    @SuppressWarnings("restricted")
    public static MemorySegment bytes(Tensor tensor) {
        return MemorySegment.ofAddress(tensor.data_ptr().address()).reinterpret(tensor.numel() * tensor.element_size());
    }

    /** The rows {@code first} to {@code first + count - 1} of a prepared matrix, (count, columns). */
    public static Tensor rows(Matrix matrix, int first, int count, Compute compute, String what) throws IOException {
        Tensor tensor = empty(compute, count, matrix.columns());
        read(matrix, first, count, compute, bytes(tensor), matrix.columns(), what);
        return tensor;
    }

    /** Reads rows of a prepared matrix into memory, where one begins {@code stride} values behind the other. */
    public static void read(Matrix matrix, int first, int count, Compute compute, MemorySegment into, int stride, String what)
            throws IOException {
        int columns = matrix.columns();
        Tile shape = matrix.shape();
        Slabs.forEach(count, shape.rows(), (from, rows) -> {
            try (Scratch scratch = Scratch.borrow(rows * Math.min(shape.columns(), columns))) {
                double[] values = scratch.values();
                for (int column = 0; column < columns; column += shape.columns()) {
                    int width = Math.min(shape.columns(), columns - column);
                    matrix.read(new Tile(first + from, rows, column, width), values);
                    for (int r = 0; r < rows; r++) {
                        encode(values, r * width, width, into, compute, (long) (from + r) * stride + column, what);
                    }
                }
            }
        });
    }

    /** Single rows of a prepared matrix, in the order of {@code ids}, (ids, columns). */
    public static Tensor rows(Matrix matrix, long[] ids, Compute compute, String what) throws IOException {
        int columns = matrix.columns();
        Tensor tensor = empty(compute, ids.length, columns);
        MemorySegment bytes = bytes(tensor);
        Slabs.forEach(ids.length, 64, (from, count) -> {
            try (Scratch scratch = Scratch.borrow(columns)) {
                for (int i = from; i < from + count; i++) {
                    matrix.read((int) ids[i], 1, scratch.values());
                    encode(scratch.values(), 0, columns, bytes, compute, (long) i * columns, what);
                }
            }
        });
        return tensor;
    }

    private static void encode(
            double[] values, int at, int count, MemorySegment bytes, Compute compute, long first, String what)
            throws CheckpointException {
        double largest = Numbers.encode(values, at, count, bytes, compute.dtype(), first);
        if (!(largest < Double.POSITIVE_INFINITY)) { // also NaN
            throw new CheckpointException(CheckpointException.Reason.OVERFLOW,
                    what + " holds a value that does not fit " + compute.label() + "; compute in f32 or f64");
        }
    }

    /** Given values. */
    public static Tensor of(Compute compute, double[] values, long... shape) {
        Tensor tensor = empty(compute, shape);
        Numbers.encode(values, 0, values.length, bytes(tensor), compute.dtype(), 0);
        return tensor;
    }

    /** Given indices. */
    public static Tensor of(long[] values) {
        Tensor tensor = empty(ScalarType.Long, values.length);
        MemorySegment.copy(values, 0, bytes(tensor), ValueLayout.JAVA_LONG, 0, values.length);
        return tensor;
    }

    /** Given truths, 1 for true. */
    public static Tensor of(byte[] values, long... shape) {
        Tensor tensor = empty(ScalarType.Bool, shape);
        MemorySegment.copy(values, 0, bytes(tensor), ValueLayout.JAVA_BYTE, 0, values.length);
        return tensor;
    }
}
