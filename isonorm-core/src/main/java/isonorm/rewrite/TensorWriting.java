package isonorm.rewrite;

import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.CheckpointException.Reason;
import isonorm.checkpoint.Dtype;
import isonorm.checkpoint.SafetensorsWriter;
import isonorm.weights.Matrix;
import isonorm.weights.Matrix.Tile;
import isonorm.weights.Numbers;
import isonorm.weights.Scratch;
import isonorm.weights.Slabs;
import isonorm.weights.Source.Piece;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/** Computes the values of one tensor in float64, rounds them once, and writes them. */
public final class TensorWriting {

    private TensorWriting() {}

    public static void write(TensorPlan plan, SafetensorsWriter writer) throws IOException {
        List<Matrix> prepared = new ArrayList<>();
        try {
            for (TensorPlan.Part part : plan.parts()) {
                part.matrix().prepare();
                prepared.add(part.matrix());
            }
            if (plan.inRows()) {
                writeRows(plan, writer);
            } else {
                writeWhole(plan, writer);
            }
        } finally {
            prepared.forEach(Matrix::release);
        }
    }

    /** How many bytes of whole rows are put together before they are written. */
    private static final int BAND_BYTES = 4 << 20;

    /** Memory of one thread, native so that the file system takes it as it is. */
    private static final class Buffer {
        private MemorySegment bytes = MemorySegment.NULL;

        MemorySegment of(long size) {
            if (bytes.byteSize() < size) {
                bytes = Arena.ofAuto().allocate(size);
            }
            return bytes.asSlice(0, size);
        }
    }

    private static final ThreadLocal<Buffer> BAND = ThreadLocal.withInitial(Buffer::new);
    private static final ThreadLocal<Buffer> TILE = ThreadLocal.withInitial(Buffer::new);

    /** Band of rows after band, each written where it belongs, so that no tensor is ever in memory as a whole. */
    private static void writeRows(TensorPlan plan, SafetensorsWriter writer) throws IOException {
        Dtype dtype = plan.info().dtype();
        int rowBytes = plan.columns() * dtype.bytes();
        for (TensorPlan.Part part : plan.parts()) {
            if (part.matrix().shape().rows() >= part.matrix().rows() && part.piece().step() == 1) {
                writeColumns(plan, part, writer);
                continue;
            }
            int band = part.piece().step() > 1 ? 1 : Math.max(1, Math.min(Math.max(64, part.matrix().shape().rows()), BAND_BYTES / rowBytes));
            Slabs.forEach(part.count(), band, (first, count) -> {
                MemorySegment bytes = BAND.get().of((long) count * rowBytes);
                forEachTile(plan, part, first, count, (tile, values) -> {
                    MemorySegment encoded = TILE.get().of((long) tile.size() * dtype.bytes());
                    requireFits(plan, Numbers.encode(values, 0, tile.size(), encoded, dtype, 0));
                    int run = tile.columns() * dtype.bytes();
                    long to = (long) (tile.row() - part.from() - first) * rowBytes + (long) tile.column() * dtype.bytes();
                    for (int r = 0; r < tile.rows(); r++) {
                        MemorySegment.copy(encoded, (long) r * run, bytes, to + (long) r * rowBytes, run);
                    }
                });
                writer.write(plan.info().name(), plan.rowOf(part, first) * rowBytes, bytes);
            });
        }
    }

    /** Columns after columns, put together in memory, of a matrix whose tiles have all rows. */
    private static void writeColumns(TensorPlan plan, TensorPlan.Part part, SafetensorsWriter writer) throws IOException {
        Dtype dtype = plan.info().dtype();
        long rowBytes = (long) plan.columns() * dtype.bytes();
        try (Arena arena = Arena.ofShared()) {
            MemorySegment whole = arena.allocate(part.count() * rowBytes);
            Slabs.forEachTile(part.from(), part.count(), plan.columns(), part.matrix().shape(), tile -> {
                try (Scratch scratch = Scratch.borrow(tile.size())) {
                    double[] values = scratch.values();
                    part.matrix().read(tile, values);
                    takeOff(plan.offset(), values, tile.size());
                    for (int r = 0; r < tile.rows(); r++) {
                        long to = ((long) (tile.row() - part.from() + r) * plan.columns()) + tile.column();
                        requireFits(plan, Numbers.encode(values, r * tile.columns(), tile.columns(), whole, dtype, to));
                    }
                }
            });
            writer.write(plan.info().name(), plan.rowOf(part, 0) * rowBytes, whole);
        }
    }

    private interface TileBody {
        void run(Tile tile, double[] values) throws IOException;
    }

    /** Reads rows {@code first} to {@code first + count - 1} of a part in tiles, what is stored off them taken off. */
    private static void forEachTile(TensorPlan plan, TensorPlan.Part part, int first, int count, TileBody body) throws IOException {
        int columns = plan.columns();
        Tile shape = part.matrix().shape();
        try (Scratch scratch = Scratch.borrow(Math.min(count, shape.rows()) * Math.min(columns, shape.columns()))) {
            double[] values = scratch.values();
            for (int row = 0; row < count; row += shape.rows()) {
                int rows = Math.min(shape.rows(), count - row);
                for (int column = 0; column < columns; column += shape.columns()) {
                    Tile tile = new Tile(part.from() + first + row, rows, column, Math.min(shape.columns(), columns - column));
                    part.matrix().read(tile, values);
                    takeOff(plan.offset(), values, tile.size());
                    body.run(tile, values);
                }
            }
        }
    }

    /** Vectors, and tensors whose columns are rows of matrices: put together in memory first. */
    private static void writeWhole(TensorPlan plan, SafetensorsWriter writer) throws IOException {
        try (Arena arena = Arena.ofShared()) {
            MemorySegment whole = arena.allocate(Math.max(1, plan.info().bytes()));
            for (TensorPlan.Part part : plan.parts()) {
                if (plan.vector()) {
                    double[] values = new double[part.matrix().columns()];
                    part.matrix().read(0, 1, values);
                    takeOff(plan.offset(), values, values.length);
                    write(plan, values, part.from(), part.count(), whole, plan.rowOf(part, 0), part.piece().step());
                } else {
                    Slabs.forEach(part.count(), part.matrix().shape().rows(), (first, count) -> forEachTile(plan, part, first, count,
                            (tile, values) -> writeTransposed(plan, part, tile, values, whole)));
                }
            }
            writer.write(plan.info().name(), 0, whole.asSlice(0, plan.info().bytes()));
        }
    }

    /** Writes {@code count} values, each {@code step} behind the one before. */
    private static void write(TensorPlan plan, double[] values, int at, int count, MemorySegment whole, long first, int step) throws IOException {
        if (step == 1) {
            requireFits(plan, Numbers.encode(values, at, count, whole, plan.info().dtype(), first));
            return;
        }
        for (int i = 0; i < count; i++) {
            requireFits(plan, Numbers.encode(values, at + i, 1, whole, plan.info().dtype(), first + (long) i * step));
        }
    }

    private static void writeTransposed(TensorPlan plan, TensorPlan.Part part, Tile tile, double[] values, MemorySegment whole) throws IOException {
        Piece piece = part.piece();
        long rows = plan.rows() / piece.matrices();
        long base = rows * plan.columns() * piece.matrix() + piece.from() + (long) (tile.row() - part.from()) * piece.step();
        try (Scratch scratch = Scratch.borrow(tile.rows())) {
            double[] column = scratch.values();
            for (int c = 0; c < tile.columns(); c++) {
                for (int r = 0; r < tile.rows(); r++) {
                    column[r] = values[r * tile.columns() + c];
                }
                write(plan, column, 0, tile.rows(), whole, base + (tile.column() + c) * rows, piece.step());
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
