package isonorm.convert;

import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.CheckpointException.Reason;
import isonorm.checkpoint.Dtype;
import isonorm.checkpoint.SafetensorsWriter;
import isonorm.weights.Matrix;
import isonorm.weights.Numbers;
import isonorm.weights.Scratch;
import isonorm.weights.Slabs;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** Computes the values of one tensor in float64, rounds them once, and writes them. */
final class TensorWriting {

    private TensorWriting() {}

    static void write(TensorPlan plan, SafetensorsWriter writer) throws IOException {
        for (TensorPlan.Part part : plan.parts()) {
            part.matrix().prepare();
        }
        try {
            if (plan.inRows()) {
                writeRows(plan, writer);
            } else {
                writeWhole(plan, writer);
            }
        } finally {
            for (TensorPlan.Part part : plan.parts()) {
                part.matrix().release();
            }
        }
    }

    /** Slab after slab, each written where it belongs, so that no tensor is ever in memory as a whole. */
    private static void writeRows(TensorPlan plan, SafetensorsWriter writer) throws IOException {
        Dtype dtype = plan.info().dtype();
        int columns = plan.columns();
        for (TensorPlan.Part part : plan.parts()) {
            Slabs.forEach(part.count(), part.matrix().slabRows(), (first, count) -> {
                try (Scratch scratch = Scratch.borrow(count * columns)) {
                    double[] values = scratch.values();
                    part.matrix().read(part.from() + first, count, values);
                    takeOff(plan.offset(), values, count * columns);
                    MemorySegment bytes = MemorySegment.ofArray(new byte[count * columns * dtype.bytes()]);
                    requireFits(plan, Numbers.encode(values, 0, count * columns, bytes, dtype, 0));
                    writer.write(plan.info().name(), (long) (part.to() + first) * columns * dtype.bytes(), bytes);
                }
            });
        }
    }

    /** Vectors, and tensors whose columns are rows of matrices: put together in memory first. */
    private static void writeWhole(TensorPlan plan, SafetensorsWriter writer) throws IOException {
        Dtype dtype = plan.info().dtype();
        int columns = plan.columns();
        int rows = plan.rows();
        try (Arena arena = Arena.ofShared()) {
            MemorySegment whole = arena.allocate(Math.max(1, plan.info().bytes()));
            for (TensorPlan.Part part : plan.parts()) {
                if (plan.vector()) {
                    double[] values = new double[part.matrix().columns()];
                    part.matrix().read(0, 1, values);
                    takeOff(plan.offset(), values, values.length);
                    requireFits(plan, Numbers.encode(values, part.from(), part.count(), whole, dtype, part.to()));
                } else {
                    Slabs.forEach(part.count(), part.matrix().slabRows(), (first, count) -> {
                        try (Scratch scratch = Scratch.borrow(count * columns)) {
                            double[] values = scratch.values();
                            part.matrix().read(part.from() + first, count, values);
                            takeOff(plan.offset(), values, count * columns);
                            writeTransposed(plan, values, part.to() + first, count, rows, columns, whole);
                        }
                    });
                }
            }
            writer.write(plan.info().name(), 0, whole.asSlice(0, plan.info().bytes()));
        }
    }

    private static void writeTransposed(
            TensorPlan plan, double[] values, int row, int count, int rows, int columns, MemorySegment whole) throws IOException {
        try (Scratch scratch = Scratch.borrow(count)) {
            double[] column = scratch.values();
            for (int c = 0; c < columns; c++) {
                for (int r = 0; r < count; r++) {
                    column[r] = values[r * columns + c];
                }
                requireFits(plan, Numbers.encode(column, 0, count, whole, plan.info().dtype(), (long) c * rows + row));
            }
        }
    }

    private static void takeOff(double offset, double[] values, int count) {
        if (offset != 0) {
            for (int i = 0; i < count; i++) {
                values[i] -= offset;
            }
        }
    }

    private static void requireFits(TensorPlan plan, double largest) throws CheckpointException {
        if (!(largest < Double.POSITIVE_INFINITY)) { // also NaN
            throw new CheckpointException(Reason.OVERFLOW, "a value of tensor " + plan.info().name() + " does not fit "
                    + plan.info().dtype() + " after the conversion; write a wider type, f32 for instance");
        }
    }
}
