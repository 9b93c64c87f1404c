package isonorm.weights;

import isonorm.checkpoint.Checkpoint;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.CheckpointException.Reason;
import isonorm.checkpoint.Dtype;
import isonorm.checkpoint.TensorInfo;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** A matrix or vector in a checkpoint, found through a {@link Source}. */
public final class Stored implements Matrix {

    /** How many transposed columns are decoded before they are written as rows: eight float64 fill a cache line. */
    private static final int TILE = 8;

    private final Checkpoint checkpoint;
    private final Source source;
    private final int rows; // of the source: elements, for a vector
    private final int columns; // of the source: 1, for a vector
    private final boolean vector;
    private final int[] pieceStarts;

    private Arena arena;
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

    /** The type its values are stored in. */
    public Dtype dtype() throws CheckpointException {
        return checkpoint.info(source.tensors().getFirst()).dtype();
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
    public synchronized void prepare() throws IOException {
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
            throw e;
        }
        arena = opened;
    }

    @Override
    public synchronized void release() {
        if (arena != null) {
            mapped.clear();
            arena.close();
            arena = null;
        }
    }

    @Override
    public void read(int first, int count, double[] into) throws IOException {
        if (vector) {
            readRows(0, rows, into);
        } else {
            readRows(first, count, into);
        }
        if (source.offset() != 0) {
            int values = vector ? rows : count * columns;
            for (int i = 0; i < values; i++) {
                into[i] += source.offset();
            }
        }
    }

    private void readRows(int first, int count, double[] into) throws IOException {
        int piece = pieceOf(first);
        for (int done = 0; done < count; piece++) {
            Source.Piece from = source.pieces().get(piece);
            int skipped = first + done - pieceStarts[piece];
            int n = Math.min(count - done, from.count() - skipped);
            if (source.transposed() && !vector) {
                readTransposed(from, from.from() + skipped, n, into, done * columns);
            } else {
                readStraight(from, from.from() + skipped, n, into, done * columns);
            }
            done += n;
        }
    }

    private int pieceOf(int row) {
        int piece = 0;
        while (pieceStarts[piece + 1] <= row) {
            piece++;
        }
        return piece;
    }

    private void readStraight(Source.Piece piece, int row, int n, double[] into, int at) throws IOException {
        double largest = Numbers.decode(
                mapped.get(piece.tensor()), dtypeOf(piece), (long) row * columns, n * columns, into, at);
        requireFinite(piece, largest);
    }

    private void readTransposed(Source.Piece piece, int row, int n, double[] into, int at) throws IOException {
        MemorySegment segment = mapped.get(piece.tensor());
        Dtype dtype = dtypeOf(piece);
        long stride = storedRows(piece);
        double largest = 0;
        try (Scratch scratch = Scratch.borrow(TILE * n)) {
            double[] tile = scratch.values();
            for (int c = 0; c < columns; c += TILE) {
                int width = Math.min(TILE, columns - c);
                for (int t = 0; t < width; t++) {
                    largest = Math.max(largest, Numbers.decode(segment, dtype, (c + t) * stride + row, n, tile, t * n));
                }
                for (int r = 0; r < n; r++) {
                    int to = at + r * columns + c;
                    for (int t = 0; t < width; t++) {
                        into[to + t] = tile[t * n + r];
                    }
                }
            }
        }
        requireFinite(piece, largest);
    }

    private long storedRows(Source.Piece piece) throws CheckpointException {
        return checkpoint.info(piece.tensor()).elements() / columns;
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
