package isonorm.kernel;

import static isonorm.kernel.Lanes.L;

import java.lang.ref.Reference;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;

/**
 * Sums over rows, one a column, in float32: those of a block of rows first, then those of the blocks, so that a column of n rows has the
 * error of {@code 64 + n / 64} additions.
 */
final class ColumnSums {

    private static final int BLOCK = 64;

    private static final Loop<ColumnSums> ADD = Loop.of((sums, n) -> add(sums.row, sums.block, n));
    private static final Loop<ColumnSums> ADD_PRODUCTS = Loop.of((sums, n) -> addProducts(sums.row, sums.other, sums.block, n));
    private static final Loop<ColumnSums> FLUSH = Loop.of((sums, n) -> add(sums.block, sums.total, n));

    private final int columns;
    private final float[] block;
    private final float[] total;
    private float[] row;
    private float[] other;
    private int rows;

    ColumnSums(int columns) {
        this.columns = columns;
        this.block = Lanes.room(columns);
        this.total = Lanes.room(columns);
    }

    /** Sums for where there are rows to add them to, else null. */
    static ColumnSums of(Rows into) {
        return into == null ? null : new ColumnSums(into.columns());
    }

    /** Adds a row. */
    void add(float[] values) {
        row = values;
        ADD.run(this, block.length);
        next();
    }

    /** Adds the products of two rows. */
    void addProducts(float[] a, float[] b) {
        row = a;
        other = b;
        ADD_PRODUCTS.run(this, block.length);
        next();
    }

    /** The block, for those who add a row to it themselves and then say so by {@link #next}. */
    float[] block() {
        return block;
    }

    /** A row has been added to the block. */
    void next() {
        if (++rows == BLOCK) {
            flush();
        }
    }

    private void flush() {
        FLUSH.run(this, block.length);
        Arrays.fill(block, 0);
        rows = 0;
    }

    /** The sums so far. */
    float[] totals() {
        flush();
        return total;
    }

    /** {@code into += sums}, one row of F32 or F64; nothing is added to these sums afterwards. */
    void addTo(Rows into) {
        float[] sums = totals();
        if (into.type() == Type.F32) {
            Lanes.read(Type.F32, into.address(0), columns, block);
            FLUSH.run(this, block.length);
            Lanes.write(Type.F32, into.address(0), columns, sums);
            Reference.reachabilityFence(into.data());
        } else {
            for (int c = 0; c < columns; c++) {
                into.set(0, c, into.get(0, c) + sums[c]);
            }
        }
    }

    private static float add(float[] values, float[] to, int n) {
        for (int i = 0; i < n; i += L) {
            Lanes.floats(values, i).add(Lanes.floats(to, i)).intoArray(to, i);
        }
        return 0;
    }

    private static float addProducts(float[] a, float[] b, float[] to, int n) {
        for (int i = 0; i < n; i += L) {
            FloatVector v = Lanes.floats(a, i);
            v.fma(Lanes.floats(b, i), Lanes.floats(to, i)).intoArray(to, i);
        }
        return 0;
    }
}
