package isonorm.weights;

import static java.util.Objects.requireNonNull;

import isonorm.checkpoint.Checkpoint;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.CheckpointException.Reason;
import isonorm.checkpoint.Dtype;
import isonorm.checkpoint.TensorInfo;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/** A matrix or vector in a checkpoint, found through a {@link Source}. */
public final class Stored implements Matrix {

    /** Eight float64 fill a cache line. */
    private static final int LINE = 8;

    private static final AtomicReference<Stored> USED_LAST = new AtomicReference<>();

    private final Checkpoint checkpoint;
    private final Source source;
    private final int rows; // of the source: elements, for a vector
    private final int columns; // of the source: 1, for a vector
    private final boolean vector;
    private final int[] pieceStarts;

    private int uses;
    private @Nullable Arena arena;
    private final Map<String, MemorySegment> mapped = new HashMap<>();

    private Stored(Checkpoint checkpoint, Source source, int rows, int columns, boolean vector) {
        this.checkpoint = checkpoint;
        this.source = source;
        this.rows = rows;
        this.columns = columns;
        this.vector = vector;
        this.pieceStarts = new int[source.pieces().size() + 1];
        for (int p = 0; p < source.pieces().size(); p++) {
            pieceStarts[p + 1] = pieceStarts[p] + source.pieces().get(p).count();
        }
    }

    /**
     * The matrix (rows, columns) or, with {@code rows} 0, the vector of {@code columns} values that {@code source} describes.
     *
     * @throws CheckpointException if a tensor is missing, or its size or type is not what the source and the shape need
     */
    public static Stored open(Checkpoint checkpoint, Source source, int rows, int columns) throws CheckpointException {
        boolean vector = rows == 0;
        Stored stored = new Stored(checkpoint, source, vector ? columns : rows, vector ? 1 : columns, vector);
        stored.check();
        return stored;
    }

    private void check() throws CheckpointException {
        for (String name : source.tensors()) {
            TensorInfo info = checkpoint.info(name);
            List<Long> wanted = source.shapeOf(name, columns, vector);
            boolean fits = source.shape().isEmpty() ? squeezed(info.shape()).equals(squeezed(wanted)) : info.shape().equals(wanted);
            if (!fits) {
                throw new CheckpointException(Reason.CONFIG_DISAGREES, checkpoint.folder() + ": tensor " + name + " has shape "
                        + info.shape() + " where config.json needs " + wanted);
            }
            if (!Numbers.readable(info.dtype())) {
                throw new CheckpointException(Reason.WRONG_DTYPE, checkpoint.folder() + ": tensor " + name + " has type "
                        + info.dtype() + "; weights must be F64, F32, F16 or BF16");
            }
        }
        if (pieceStarts[pieceStarts.length - 1] != rows) {
            throw new IllegalArgumentException("the pieces of " + source.tensors() + " have "
                    + pieceStarts[pieceStarts.length - 1] + " rows, the matrix has " + rows);
        }
    }

    private static List<Long> squeezed(List<Long> shape) {
        return shape.stream().filter(dimension -> dimension != 1).toList();
    }

    /** Where this matrix comes from. */
    public Source source() {
        return source;
    }

    /** Whether it is a vector: the rows of its source are then its values. */
    public boolean isVector() {
        return vector;
    }

    /** The type its values are stored in. */
    public Dtype dtype() throws CheckpointException {
        return checkpoint.info(source.tensors().getFirst()).dtype();
    }

    /**
     * A part of this matrix where it lies in a file: {@code rows} of its rows from {@code row} on.
     *
     * @param values the whole tensor
     * @param transposed whether the tensor holds them as columns
     * @param offset of the first value in the tensor, in values
     * @param stride from one row of the tensor to the next, in values
     */
    public record Region(MemorySegment values, Dtype dtype, boolean transposed, int row, int rows, long offset, int stride) {}

    /** Maps the files for as long as {@code arena} is open; none where what is stored is not yet the matrix. */
    public List<Region> regions(Arena arena) throws IOException {
        if (vector || source.offset() != 0 || source.transposed() && !runs()) {
            return List.of();
        }
        Map<String, MemorySegment> tensors = new HashMap<>();
        for (String name : source.tensors()) {
            tensors.put(name, checkpoint.map(name, arena));
        }
        List<Region> regions = new ArrayList<>();
        forEachSpan(0, rows, (piece, from, row, count) -> {
            int stride = source.transposed() ? Math.toIntExact(storedRows(piece)) : columns * piece.step();
            long offset = base(piece) + (source.transposed() ? from : (long) from * columns);
            regions.add(new Region(requireNonNull(tensors.get(piece.tensor())), dtypeOf(piece), source.transposed(), row, count, offset, stride));
        });
        return regions;
    }

    @Override
    public int rows() {
        return vector ? 1 : rows;
    }

    @Override
    public int columns() {
        return vector ? rows : columns;
    }

    @Override
    public Tile shape() {
        return source.transposed() ? new Tile(0, 256, 0, 64) : Matrix.super.shape();
    }

    @Override
    public synchronized void prepare() throws IOException {
        uses++;
        if (arena != null) {
            return;
        }
        Arena opened = Arena.ofShared();
        try {
            for (String name : source.tensors()) {
                mapped.put(name, checkpoint.map(name, opened));
            }
        } catch (IOException | RuntimeException e) {
            mapped.clear();
            opened.close();
            uses--;
            throw e;
        }
        arena = opened;
    }

    /**
     * Keeps the mapping of what was used last until something else was: a bias is computed from the weight that was just written,
     * and touching pages anew costs as much as reading them.
     */
    @Override
    public void release() {
        synchronized (this) {
            if (--uses > 0) {
                return;
            }
        }
        Stored before = USED_LAST.getAndSet(this);
        if (before != null && before != this) {
            before.unmapUnused();
        }
    }

    /** Unmaps what {@link #release} kept, so that nothing holds on to a file any more. */
    public static void unmapLast() {
        Stored last = USED_LAST.getAndSet(null);
        if (last != null) {
            last.unmapUnused();
        }
    }

    private synchronized void unmapUnused() {
        if (uses == 0 && arena != null) {
            mapped.clear();
            arena.close();
            arena = null;
        }
    }

    @Override
    public void read(Tile tile, double[] into) throws IOException {
        if (vector) {
            readRows(new Tile(tile.column(), tile.columns(), 0, 1), into);
        } else {
            readRows(tile, into);
        }
        if (source.offset() != 0) {
            for (int i = 0; i < tile.size(); i++) {
                into[i] += source.offset();
            }
        }
    }

    /** Whether the rows of every piece follow each other. */
    private boolean runs() {
        return source.pieces().stream().allMatch(piece -> piece.step() == 1);
    }

    /** What is done with {@code count} rows of a piece's matrix from {@code from} on, which are rows {@code row} on here. */
    private interface Span {
        void run(Source.Piece piece, int from, int row, int count) throws IOException;
    }

    private void forEachSpan(int row, int rows, Span span) throws IOException {
        int piece = 0;
        while (pieceStarts[piece + 1] <= row) {
            piece++;
        }
        for (int done = 0; done < rows; piece++) {
            Source.Piece from = source.pieces().get(piece);
            int skipped = row + done - pieceStarts[piece];
            int count = Math.min(rows - done, from.count() - skipped);
            span.run(from, from.from() + skipped * from.step(), row + done, count);
            done += count;
        }
    }

    private void readRows(Tile tile, double[] into) throws IOException {
        forEachSpan(tile.row(), tile.rows(), (piece, from, row, count) -> {
            Tile part = new Tile(from, count, tile.column(), tile.columns());
            int at = (row - tile.row()) * tile.columns();
            if (source.transposed() && !vector) {
                readTransposed(piece, part, into, at);
            } else {
                readStraight(piece, part, into, at);
            }
        });
    }

    private MemorySegment mappedTensor(Source.Piece piece) {
        return requireNonNull(mapped.get(piece.tensor()), "read before it was prepared");
    }

    private void readStraight(Source.Piece piece, Tile part, double[] into, int at) throws IOException {
        if (piece.isZero()) {
            Arrays.fill(into, at, at + part.size(), 0);
            return;
        }
        MemorySegment segment = mappedTensor(piece);
        Dtype dtype = dtypeOf(piece);
        double largest = 0;
        if (part.columns() == columns && piece.step() == 1) {
            largest = Numbers.decode(segment, dtype, base(piece) + (long) part.row() * columns, part.size(), into, at);
        } else {
            for (int r = 0; r < part.rows(); r++) {
                long first = base(piece) + (long) (part.row() + r * piece.step()) * columns + part.column();
                largest = Math.max(largest, Numbers.decode(segment, dtype, first, part.columns(), into, at + r * part.columns()));
            }
        }
        requireFinite(piece, largest);
    }

    private void readTransposed(Source.Piece piece, Tile part, double[] into, int at) throws IOException {
        MemorySegment segment = mappedTensor(piece);
        Dtype dtype = dtypeOf(piece);
        long stride = storedRows(piece);
        int step = piece.step();
        int n = (part.rows() - 1) * step + 1;
        double largest = 0;
        try (Scratch scratch = Scratch.borrow(LINE * n)) {
            double[] lines = scratch.values();
            for (int c = 0; c < part.columns(); c += LINE) {
                int width = Math.min(LINE, part.columns() - c);
                for (int t = 0; t < width; t++) {
                    long first = base(piece) + (part.column() + c + t) * stride + part.row();
                    largest = Math.max(largest, Numbers.decode(segment, dtype, first, n, lines, t * n));
                }
                for (int r = 0; r < part.rows(); r++) {
                    int to = at + r * part.columns() + c;
                    for (int t = 0; t < width; t++) {
                        into[to + t] = lines[t * n + r * step];
                    }
                }
            }
        }
        requireFinite(piece, largest);
    }

    /** Where the file holds (in, out), a stored row times one value of {@code by} is added to many rows at once. */
    @Override
    public void addProduct(int row, int rows, double[] by, double[] into) throws IOException {
        if (vector || !source.transposed() || source.offset() != 0 || !runs()) {
            Matrix.super.addProduct(row, rows, by, into);
            return;
        }
        forEachSpan(row, rows, (piece, from, first, count) -> {
            MemorySegment segment = mappedTensor(piece);
            Dtype dtype = dtypeOf(piece);
            long stride = storedRows(piece);
            double largest = 0;
            double[] sums = new double[count];
            try (Scratch scratch = Scratch.borrow(count)) {
                double[] values = scratch.values();
                for (int c = 0; c < columns; c++) {
                    largest = Math.max(largest, Numbers.decode(segment, dtype, base(piece) + c * stride + from, count, values, 0));
                    double factor = by[c];
                    for (int r = 0; r < count; r++) {
                        sums[r] += values[r] * factor;
                    }
                }
            }
            requireFinite(piece, largest);
            for (int r = 0; r < count; r++) {
                into[first + r] += sums[r];
            }
        });
    }

    /** Where the file holds (in, out), a column is a stored row. */
    @Override
    public void addColumnSums(int column, int columnCount, double[] into) throws IOException {
        if (vector || !source.transposed() || source.offset() != 0 || !runs()) {
            Matrix.super.addColumnSums(column, columnCount, into);
            return;
        }
        forEachSpan(0, rows, (piece, from, _, count) -> {
            MemorySegment segment = mappedTensor(piece);
            Dtype dtype = dtypeOf(piece);
            long stride = storedRows(piece);
            double largest = 0;
            try (Scratch scratch = Scratch.borrow(count)) {
                double[] values = scratch.values();
                for (int c = column; c < column + columnCount; c++) {
                    largest = Math.max(largest, Numbers.decode(segment, dtype, base(piece) + c * stride + from, count, values, 0));
                    into[c] += sum(values, count);
                }
            }
            requireFinite(piece, largest);
        });
    }

    /** Eight sums side by side, so that they can be added in one instruction. */
    private static double sum(double[] values, int count) {
        double[] lanes = new double[LINE];
        int whole = count - count % LINE;
        for (int i = 0; i < whole; i += LINE) {
            for (int t = 0; t < LINE; t++) {
                lanes[t] += values[i + t];
            }
        }
        double sum = 0;
        for (int i = whole; i < count; i++) {
            sum += values[i];
        }
        for (double lane : lanes) {
            sum += lane;
        }
        return sum;
    }

    /** How many rows the matrix of a piece has in its tensor. */
    private long storedRows(Source.Piece piece) throws CheckpointException {
        return checkpoint.info(piece.tensor()).elements() / piece.matrices() / columns;
    }

    /** Where the matrix of a piece begins in its tensor, in values. */
    private long base(Source.Piece piece) throws CheckpointException {
        return checkpoint.info(piece.tensor()).elements() / piece.matrices() * piece.matrix();
    }

    private Dtype dtypeOf(Source.Piece piece) throws CheckpointException {
        return checkpoint.info(piece.tensor()).dtype();
    }

    private void requireFinite(Source.Piece piece, double largest) throws CheckpointException {
        if (!(largest < Double.POSITIVE_INFINITY)) { // also NaN
            throw new CheckpointException(Reason.NOT_FINITE,
                    checkpoint.folder() + ": tensor " + piece.tensor() + " holds a value that is NaN or infinite");
        }
    }

    @Override
    public void describe(List<String> steps) {
        steps.add(source.inWords());
    }
}
