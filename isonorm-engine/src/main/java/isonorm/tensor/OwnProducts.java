package isonorm.tensor;

import isonorm.kernel.Gradients;
import isonorm.kernel.Kernels;
import isonorm.kernel.Panels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.tensor.Products.Stack;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * Matrix products by our own kernels, for platforms without a native library: the second matrix is brought into {@link Panels}, some at
 * a time.
 */
final class OwnProducts implements Multiplier {

    /** So many values of the second matrix are in panels at once: they stay in a core's own cache. */
    private static final int TOGETHER = 1 << 16;

    /** Rows and columns that are transposed together. */
    private static final int BLOCK = 32;

    private static final Room W = new Room();
    private static final Room X = new Room();
    private static final Room Y = new Room();

    @Override
    public String name(Type type) {
        return "Isonorm's " + (type == Type.F64 || !Kernels.vectorized() ? "plain" : "vector") + " kernels";
    }

    @Override
    public void products(Stack x, Stack w, Stack y, boolean add) {
        for (int i = 0; i < y.count(); i++) {
            Rows a = rows(x.one(i));
            Rows b = w.get(i);
            Rows c = y.get(i);
            int inputs = a.columns();
            int most = Math.max(1, TOGETHER / inputs / Panels.WIDTH) * Panels.WIDTH;
            for (int first = 0; first < c.columns(); first += most) {
                int columns = Math.min(most, c.columns() - first);
                Panels panels = W.panels(b.type(), inputs, columns);
                Kernels.of(b.type()).pack(w.transposed() ? b.slice(first, columns) : b.sliceColumns(first, columns), w.transposed(), 0, panels);
                Rows into = c.sliceColumns(first, columns);
                if (add) {
                    Rows product = Y.rows(c.type(), c.rows(), columns);
                    Kernels.of(c.type()).product(a, panels, product);
                    Gradients.of(c.type()).add(product, 1, into);
                } else {
                    Kernels.of(c.type()).product(a, panels, into);
                }
            }
        }
    }

    @Override
    public void product(Stack x, Panels w, Rows y, Finish finish) {
        Kernels.of(y.type()).product(rows(x), w, y);
    }

    /** As kernels read it: row by row. */
    private static Rows rows(Stack x) {
        Rows stored = x.first();
        if (!x.transposed()) {
            return stored;
        }
        Rows rows = X.rows(stored.type(), stored.columns(), stored.rows());
        for (int r = 0; r < rows.rows(); r += BLOCK) {
            for (int c = 0; c < rows.columns(); c += BLOCK) {
                transpose(stored, rows, r, Math.min(r + BLOCK, rows.rows()), c, Math.min(c + BLOCK, rows.columns()));
            }
        }
        return rows;
    }

    /** A block of both stays in the nearest cache. */
    private static void transpose(Rows from, Rows into, int row, int rowEnd, int column, int columnEnd) {
        MemorySegment source = from.data();
        MemorySegment target = into.data();
        for (int r = row; r < rowEnd; r++) {
            for (int c = column; c < columnEnd; c++) {
                long at = from.offset() + (long) c * from.stride() + r;
                long to = into.offset() + (long) r * into.stride() + c;
                if (from.type() == Type.F64) {
                    target.set(ValueLayout.JAVA_LONG_UNALIGNED, to * Double.BYTES, source.get(ValueLayout.JAVA_LONG_UNALIGNED, at * Double.BYTES));
                } else {
                    target.set(ValueLayout.JAVA_INT_UNALIGNED, to * Float.BYTES, source.get(ValueLayout.JAVA_INT_UNALIGNED, at * Float.BYTES));
                }
            }
        }
    }
}
