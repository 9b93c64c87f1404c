package isonorm.kernel;

import static isonorm.kernel.Lanes.L;

import isonorm.weights.Seed;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/** The vector twins of what is done with every value by itself, a piece at a time that stays in the nearest cache. */
final class VectorElements {

    /** Values of a piece. */
    static final int PIECE = 1024;

    /** The order of lanes times the step that {@link PlainGradients#draw} makes from column to column. */
    private static final IntVector STEPS = Lanes.known(Lanes.known(IntVector.zero(Lanes.INTS).addIndex(1)).mul(PlainGradients.COLUMN));

    private static final Loop<VectorElements> ADD = Loop.of(VectorElements::addTimes);
    private static final Loop<VectorElements> DROP = Loop.of(VectorElements::drop);
    private static final Loop<VectorElements> SQUARES = Loop.of(VectorElements::squares);
    private static final Loop<VectorElements> TIMES = Loop.of((on, n) -> {
        times(on.x, on.factor, on.x);
        return n;
    });

    private final float[] x;
    private final float[] y;
    private float factor;
    private int key;
    private int otherKey;
    private int limit;

    private VectorElements(int most, float factor) {
        this.x = Lanes.room(most);
        this.y = Lanes.room(most);
        this.factor = factor;
    }

    /** What is done with values {@code at} to {@code at + n - 1} of a row. */
    @FunctionalInterface
    interface Piece {
        void run(int row, int at, int n);
    }

    /** Goes through rows piece by piece. */
    static void pieces(Rows rows, Piece piece) {
        for (int row = 0; row < rows.rows(); row++) {
            for (int at = 0; at < rows.columns(); at += PIECE) {
                piece.run(row, at, Math.min(PIECE, rows.columns() - at));
            }
        }
    }

    /** Whether all values follow each other. */
    static boolean dense(Rows rows) {
        return (rows.stride() == rows.columns() || rows.rows() == 1) && (long) rows.rows() * rows.columns() <= Integer.MAX_VALUE;
    }

    /** Dense rows as one row. */
    static Rows flat(Rows rows) {
        int n = rows.rows() * rows.columns();
        return new Rows(rows.data(), rows.type(), rows.offset(), 1, n, n);
    }

    static long address(Rows rows, int row, int at) {
        return rows.address(row) + (long) at * rows.type().bytes();
    }

    static void read(Rows rows, int row, int at, int n, float[] into) {
        Lanes.read(rows.type(), address(rows, row, at), n, into);
    }

    static void write(Rows rows, int row, int at, int n, float[] from) {
        Lanes.write(rows.type(), address(rows, row, at), n, from);
    }

    /** {@code y += factor * x}. */
    static void add(Rows x, double factor, Rows y) {
        if (dense(x) && dense(y) && x.rows() > 1) {
            add(flat(x), factor, flat(y));
            return;
        }
        VectorElements on = new VectorElements(Math.min(PIECE, x.columns()), (float) factor);
        pieces(x, (row, at, n) -> {
            read(x, row, at, n, on.x);
            read(y, row, at, n, on.y);
            ADD.run(on, n);
            write(y, row, at, n, on.y);
        });
    }

    /** {@code table[ids[i]] += scale * dy[i]}. */
    static void scatter(Rows dy, int[] ids, double scale, Rows table) {
        VectorElements on = new VectorElements(Math.min(PIECE, dy.columns()), (float) scale);
        pieces(dy, (row, at, n) -> {
            read(dy, row, at, n, on.x);
            read(table, ids[row], at, n, on.y);
            ADD.run(on, n);
            write(table, ids[row], at, n, on.y);
        });
    }

    static void scale(Rows x, double factor) {
        Rows all = dense(x) ? flat(x) : x;
        VectorElements on = new VectorElements(Math.min(PIECE, all.columns()), (float) factor);
        pieces(all, (row, at, n) -> {
            read(all, row, at, n, on.x);
            TIMES.run(on, n);
            write(all, row, at, n, on.x);
        });
    }

    /** The sum of a piece is float32 and float64 from there on; squares that leave the range are taken of values that do not. */
    static double sumOfSquares(Rows x) {
        Rows all = dense(x) ? flat(x) : x;
        VectorElements on = new VectorElements(Math.min(PIECE, all.columns()), 1);
        double[] sum = new double[1];
        pieces(all, (row, at, n) -> {
            read(all, row, at, n, on.x);
            Arrays.fill(on.x, n, Lanes.whole(n), 0);
            sum[0] += on.sumOfSquares(n);
        });
        return sum[0];
    }

    private double sumOfSquares(int n) {
        factor = 1;
        double sum = SQUARES.run(this, n);
        if (!(sum < 1e30)) {
            factor = 0x1p-70f;
            sum = SQUARES.run(this, n) * 0x1p140;
        } else if (sum < 1e-20) {
            factor = 0x1p70f;
            sum = SQUARES.run(this, n) * 0x1p-140;
        }
        return sum;
    }

    static void dropout(Rows x, double probability, Seed seed, long firstRow) {
        VectorElements on = new VectorElements(Math.min(PIECE, x.columns()), (float) (1 / (1 - probability)));
        on.limit = GradientShapes.limit(probability);
        pieces(x, (row, at, n) -> {
            long key = seed.number(firstRow + row);
            on.key = (int) key + at * PlainGradients.COLUMN;
            on.otherKey = (int) (key >>> 32);
            read(x, row, at, n, on.x);
            DROP.run(on, n);
            write(x, row, at, n, on.x);
        });
    }

    private float addTimes(int n) {
        FloatVector times = Lanes.all(factor);
        for (int i = 0; i < n; i += L) {
            Lanes.floats(x, i).fma(times, Lanes.floats(y, i)).intoArray(y, i);
        }
        return 0;
    }

    private float squares(int n) {
        FloatVector times = Lanes.all(factor);
        FloatVector a = FloatVector.zero(Lanes.FLOATS);
        FloatVector b = a;
        int whole = Lanes.whole(n);
        int i = 0;
        for (; i <= whole - 2 * L; i += 2 * L) {
            FloatVector p = Lanes.floats(x, i).mul(times);
            FloatVector q = Lanes.floats(x, i + L).mul(times);
            a = p.fma(p, a);
            b = q.fma(q, b);
        }
        if (i < whole) {
            FloatVector p = Lanes.floats(x, i).mul(times);
            a = p.fma(p, a);
        }
        return Lanes.sum(Lanes.known(a).add(b));
    }

    /** All ones where a draw is below the limit, as a difference of numbers of 31 bits has it in its sign: a mask might be an object. */
    private float drop(int n) {
        FloatVector times = Lanes.all(factor);
        for (int i = 0; i < n; i += L) {
            IntVector h = STEPS.add(key + i * PlainGradients.COLUMN);
            h = h.lanewise(VectorOperators.XOR, h.lanewise(VectorOperators.LSHR, 16)).mul(PlainGradients.FIRST).lanewise(VectorOperators.XOR, otherKey);
            h = h.lanewise(VectorOperators.XOR, h.lanewise(VectorOperators.LSHR, 13)).mul(PlainGradients.SECOND);
            h = h.lanewise(VectorOperators.XOR, h.lanewise(VectorOperators.LSHR, 16)).lanewise(VectorOperators.LSHR, 1);
            IntVector dropped = h.sub(limit).lanewise(VectorOperators.ASHR, 31);
            IntVector kept = Lanes.bits(Lanes.floats(x, i).mul(times));
            Lanes.floats(kept.lanewise(VectorOperators.AND_NOT, dropped)).intoArray(x, i);
        }
        return 0;
    }

    /** {@code to += from}. */
    static void add(float[] from, float[] to) {
        for (int i = 0; i < to.length; i += L) {
            Lanes.floats(from, i).add(Lanes.floats(to, i)).intoArray(to, i);
        }
    }

    /** {@code x *= by}. */
    static void multiply(float[] x, float[] by) {
        for (int i = 0; i < x.length; i += L) {
            Lanes.floats(x, i).mul(Lanes.floats(by, i)).intoArray(x, i);
        }
    }

    /** {@code into = factor * x}. */
    static void times(float[] x, float factor, float[] into) {
        for (int i = 0; i < into.length; i += L) {
            Lanes.floats(x, i).mul(factor).intoArray(into, i);
        }
    }
}
