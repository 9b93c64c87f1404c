package isonorm.layer;

import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.model.Compute;
import isonorm.model.Result;
import isonorm.tensor.LargePages;
import isonorm.weights.Numbers;
import java.lang.foreign.Arena;
import java.util.Optional;

/** A result in rows, where layers and kernels write it. */
public final class RowsResult implements Result {

    /** What is smaller is no large page's worth. */
    private static final long SMALL = 2L << 20;

    private final Compute compute;
    private final Arena arena;
    private final Rows output;
    private final long[] shape;
    private final Optional<Rows> pooled;
    private final Optional<Result> companion;

    private RowsResult(Compute compute, Arena arena, Rows output, long[] shape, Optional<Rows> pooled, Optional<Result> companion) {
        this.compute = compute;
        this.arena = arena;
        this.output = output;
        this.shape = shape;
        this.pooled = pooled;
        this.companion = companion;
    }

    /** One with room for an output of a shape, whose last dimension is that of the output's rows. */
    public static RowsResult empty(Compute compute, long... shape) {
        Arena arena = Arena.ofShared();
        int columns = Math.toIntExact(shape[shape.length - 1]);
        long rows = 1;
        for (int d = 0; d < shape.length - 1; d++) {
            rows = Math.multiplyExact(rows, shape[d]);
        }
        return new RowsResult(compute, arena, rows(arena, compute, Math.toIntExact(rows), columns), shape, Optional.empty(), Optional.empty());
    }

    private static Rows rows(Arena arena, Compute compute, int rows, int columns) {
        long bytes = (long) rows * columns * compute.bytes();
        return Rows.of(bytes < SMALL ? arena.allocate(bytes, 64) : LargePages.of(arena).allocate(bytes), Type.of(compute), rows, columns);
    }

    static RowsResult of(Compute compute, Tensor output, long... shape) {
        RowsResult result = empty(compute, shape);
        output.copyTo(result.output);
        return result;
    }

    /** The same with pooled vectors; it takes this one's place. */
    RowsResult withPooled(Tensor vectors) {
        Rows copy = rows(arena, compute, vectors.count(), vectors.width());
        vectors.copyTo(copy);
        return new RowsResult(compute, arena, output, shape, Optional.of(copy), companion);
    }

    /** The same with what the second stack gave; it takes this one's place and owns the other. */
    public RowsResult withCompanion(Result other) {
        return new RowsResult(compute, arena, output, shape, pooled, Optional.of(other));
    }

    @Override
    public Optional<Result> companion() {
        return companion;
    }

    @Override
    public Compute compute() {
        return compute;
    }

    /** The output, its last dimension in rows; valid until this is closed. */
    public Rows output() {
        return open(output);
    }

    /** The pooled vectors, where the architecture has any; valid until this is closed. */
    public Optional<Rows> pooled() {
        return pooled.map(this::open);
    }

    @Override
    public long[] outputShape() {
        return shape.clone();
    }

    @Override
    public Optional<long[]> pooledShape() {
        return pooled.map(vectors -> new long[] {vectors.rows(), vectors.columns()});
    }

    @Override
    public double[] outputValues() {
        return values(output());
    }

    @Override
    public Optional<double[]> pooledValues() {
        return pooled().map(RowsResult::values);
    }

    @Override
    public void readOutput(long first, int count, double[] into) {
        read(output(), first, count, into);
    }

    @Override
    public void readPooled(long first, int count, double[] into) {
        read(pooled().orElseThrow(() -> new IllegalStateException("this model pools nothing")), first, count, into);
    }

    private static double[] values(Rows rows) {
        double[] values = new double[Math.multiplyExact(rows.rows(), rows.columns())];
        read(rows, 0, values.length, values);
        return values;
    }

    private static void read(Rows rows, long first, int count, double[] into) {
        Numbers.decode(rows.data(), rows.type().dtype(), first, count, into, 0);
    }

    private Rows open(Rows rows) {
        if (!arena.scope().isAlive()) {
            throw new IllegalStateException("this result was closed, and its memory freed");
        }
        return rows;
    }

    @Override
    public void close() {
        if (arena.scope().isAlive()) {
            arena.close();
        }
        companion.ifPresent(Result::close);
    }
}
