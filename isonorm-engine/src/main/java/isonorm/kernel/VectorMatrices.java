package isonorm.kernel;

import static isonorm.kernel.Lanes.L;
import static isonorm.kernel.VectorProducts.even;
import static isonorm.kernel.VectorProducts.evenHalf;
import static isonorm.kernel.VectorProducts.odd;
import static isonorm.kernel.VectorProducts.oddHalf;
import static isonorm.kernel.VectorProducts.pairs;

import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;

/**
 * The vector twin of few vectors times a matrix stored (in, out).
 *
 * <p>16-bit weights for one vector are read row after row, which is memory in its own order; all others some rows side by side,
 * which lessens what is done with the sums. Products are added to sums that stay in the nearest cache. 16-bit weights are taken as
 * pairs in ints, as in {@link VectorProducts}, so the sums of a block are those of its even columns, then those of its odd ones.
 * There is a loop for every type and for one vector and two: a choice inside a loop would keep vectors from staying in registers.
 * In the code W is a block's columns; the last block ends with the row and overlaps the one before, where it comes to the same
 * sums.
 */
final class VectorMatrices {

    private static final Loop<VectorMatrices> FLOATS_FOR_ONE = Loop.of(VectorMatrices::float32ForOne);
    private static final Loop<VectorMatrices> FLOATS_FOR_TWO = Loop.of(VectorMatrices::float32ForTwo);
    private static final Loop<VectorMatrices> BRAINS_FOR_ONE = Loop.of(VectorMatrices::brainForOne);
    private static final Loop<VectorMatrices> BRAINS_FOR_TWO = Loop.of(VectorMatrices::brainForTwo);
    private static final Loop<VectorMatrices> HALVES_FOR_ONE = Loop.of(VectorMatrices::halfForOne);
    private static final Loop<VectorMatrices> HALVES_FOR_TWO = Loop.of(VectorMatrices::halfForTwo);

    /** The bytes that are read at once. */
    private static final int BYTES = 4 * L;
    /** So many rows of weights at once: of more the compiler could not take in all. */
    private static final int ROWS = 4;
    /** For so many vectors the rows are read from memory once, and again from a near cache for every two. */
    private static final int VECTORS = 4;
    /** Columns whose sums are made together: 16 KB of them. */
    private static final int COLUMNS = 4096;
    /** After so many rows the sums are added to the totals: a sum of sums loses less than one long sum. */
    private static final int SPAN = 512;

    private final Type type;
    private final long address;
    private final long step;
    private final int last;
    private final int C;
    private final int W;

    private final float[][] x;
    private final float[][] sums;
    private final float[][] totals;
    /** The blocks and the vector that the loops are for. */
    private int from;
    private int to;
    private int vector;

    private VectorMatrices(Rows x, Rows weights) {
        this.type = weights.type();
        this.address = weights.address(0);
        this.step = (long) weights.stride() * type.bytes();
        this.last = weights.rows() - 1;
        this.C = weights.columns();
        this.W = VectorProducts.block(type);
        int n = x.rows();
        int room = Math.min(Math.ceilDiv(C, W), COLUMNS / W) * W;
        this.x = new float[n][Math.ceilDiv(x.columns(), ROWS) * ROWS];
        this.sums = new float[n][room];
        this.totals = new float[n][room];
    }

    static void product(Rows x, Rows weights, Rows y) {
        if (weights.columns() < VectorProducts.block(weights.type()) || weights.rows() == 0) {
            new PlainKernels().vectorMatrices(x, weights, y);
            return;
        }
        for (int first = 0; first < x.rows(); first += VECTORS) {
            int count = Math.min(VECTORS, x.rows() - first);
            Rows part = x.slice(first, count);
            new VectorMatrices(part, weights).product(part, y.slice(first, count));
        }
    }

    private void product(Rows vectors, Rows y) {
        float[] scales = new float[x.length];
        for (int i = 0; i < x.length; i++) {
            Lanes.read(vectors.type(), vectors.address(i), vectors.columns(), x[i]);
            scales[i] = type == Type.F16 ? VectorProducts.scaleForHalves(x[i], vectors.columns()) : 1;
        }
        float[] row = new float[sums[0].length];
        int blocks = Math.ceilDiv(C, W);
        for (from = 0; from < blocks; from = to) {
            to = Math.min(from + COLUMNS / W, blocks);
            add();
            int begin = start(from);
            for (int i = 0; i < x.length; i++) {
                join(totals[i], scales[i], row);
                Arrays.fill(totals[i], 0);
                Lanes.write(y.type(), y.address(i) + (long) begin * y.type().bytes(), start(to - 1) + W - begin, row);
            }
        }
    }

    private int start(int block) {
        return Math.min(block * W, C - W);
    }

    /** All rows of weights, a part of their blocks. */
    private void add() {
        for (int span = 0; span <= last; span += SPAN) {
            for (int row = span; row < Math.min(span + SPAN, last + 1); row += ROWS) {
                for (vector = 0; vector < x.length; vector += 2) {
                    addRows(row);
                }
            }
            for (int i = 0; i < x.length; i++) {
                flush(sums[i], totals[i]);
            }
        }
    }

    private void addRows(int row) {
        boolean both = vector + 1 < x.length;
        switch (type) {
            case F64 -> throw Lanes.wide();
            case F32 -> (both ? FLOATS_FOR_TWO : FLOATS_FOR_ONE).run(this, row);
            case BF16 -> addRows(row, both, BRAINS_FOR_ONE, BRAINS_FOR_TWO);
            case F16 -> addRows(row, both, HALVES_FOR_ONE, HALVES_FOR_TWO);
        }
    }

    private void addRows(int row, boolean both, Loop<VectorMatrices> forOne, Loop<VectorMatrices> forTwo) {
        if (both) { // unpacking leaves room for two rows
            forTwo.run(this, row);
            forTwo.run(this, row + 2);
        } else {
            forOne.run(this, row);
        }
    }

    private static void flush(float[] sums, float[] totals) {
        for (int i = 0; i < sums.length; i += L) {
            Lanes.floats(totals, i).add(Lanes.floats(sums, i)).intoArray(totals, i);
        }
        Arrays.fill(sums, 0);
    }

    /** From the order of blocks to that of columns. */
    private void join(float[] totals, float scale, float[] row) {
        for (int b = from; b < to; b++) {
            int begin = start(b) - start(from);
            int at = (b - from) * W;
            if (type == Type.F32) {
                System.arraycopy(totals, at, row, begin, W);
            } else {
                for (int i = 0; i < L; i++) {
                    row[begin + 2 * i] = totals[at + i] * scale;
                    row[begin + 2 * i + 1] = totals[at + L + i] * scale;
                }
            }
        }
    }

    /** Behind the last row it is the last one again, and x is zero there. */
    private long row(int row) {
        return address + Math.min(row, last) * step;
    }

    private static FloatVector factor(float[] x, int row) {
        return Lanes.all(x[row]);
    }

    private static FloatVector at(float[] sums, int at) {
        return Lanes.floats(sums, at);
    }

    private static float float32ForOne(VectorMatrices on, int row) {
        float[] x = on.x[on.vector];
        float[] sums = on.sums[on.vector];
        int from = on.from;
        int to = on.to;
        long w0 = on.row(row);
        long w1 = on.row(row + 1);
        long w2 = on.row(row + 2);
        long w3 = on.row(row + 3);
        FloatVector x0 = factor(x, row);
        FloatVector x1 = factor(x, row + 1);
        FloatVector x2 = factor(x, row + 2);
        FloatVector x3 = factor(x, row + 3);
        for (int b = from; b < to; b++) {
            long at = (long) on.start(b) * Float.BYTES;
            int s = (b - from) * L;
            FloatVector p = Lanes.floats(w0 + at).mul(x0);
            FloatVector q = Lanes.floats(w1 + at).mul(x1);
            p = Lanes.floats(w2 + at).fma(x2, p);
            q = Lanes.floats(w3 + at).fma(x3, q);
            at(sums, s).add(p.add(q)).intoArray(sums, s);
        }
        return 0;
    }

    private static float brainForOne(VectorMatrices on, int row) {
        float[] x = on.x[on.vector];
        float[] sums = on.sums[on.vector];
        int whole = Math.min(on.to, on.C / on.W) - on.from;
        for (int r = row; r < row + ROWS; r++) {
            long w = on.row(r) + (long) on.from * on.W * Short.BYTES;
            FloatVector f = factor(x, r);
            for (int b = 0; b < whole; b++) {
                IntVector p = pairs(w + (long) b * BYTES);
                int s = 2 * b * L;
                even(p).fma(f, at(sums, s)).intoArray(sums, s);
                odd(p).fma(f, at(sums, s + L)).intoArray(sums, s + L);
            }
            if (on.from + whole < on.to) {
                IntVector p = pairs(on.row(r) + (long) on.start(on.to - 1) * Short.BYTES);
                int s = 2 * whole * L;
                even(p).fma(f, at(sums, s)).intoArray(sums, s);
                odd(p).fma(f, at(sums, s + L)).intoArray(sums, s + L);
            }
        }
        return 0;
    }

    private static float halfForOne(VectorMatrices on, int row) {
        float[] x = on.x[on.vector];
        float[] sums = on.sums[on.vector];
        int whole = Math.min(on.to, on.C / on.W) - on.from;
        for (int r = row; r < row + ROWS; r++) {
            long w = on.row(r) + (long) on.from * on.W * Short.BYTES;
            FloatVector f = factor(x, r);
            for (int b = 0; b < whole; b++) {
                IntVector p = pairs(w + (long) b * BYTES);
                int s = 2 * b * L;
                evenHalf(p).fma(f, at(sums, s)).intoArray(sums, s);
                oddHalf(p).fma(f, at(sums, s + L)).intoArray(sums, s + L);
            }
            if (on.from + whole < on.to) {
                IntVector p = pairs(on.row(r) + (long) on.start(on.to - 1) * Short.BYTES);
                int s = 2 * whole * L;
                evenHalf(p).fma(f, at(sums, s)).intoArray(sums, s);
                oddHalf(p).fma(f, at(sums, s + L)).intoArray(sums, s + L);
            }
        }
        return 0;
    }

    private static float float32ForTwo(VectorMatrices on, int row) {
        float[] x = on.x[on.vector];
        float[] y = on.x[on.vector + 1];
        float[] sumsX = on.sums[on.vector];
        float[] sumsY = on.sums[on.vector + 1];
        int from = on.from;
        int to = on.to;
        long w0 = on.row(row);
        long w1 = on.row(row + 1);
        long w2 = on.row(row + 2);
        long w3 = on.row(row + 3);
        FloatVector x0 = factor(x, row);
        FloatVector x1 = factor(x, row + 1);
        FloatVector x2 = factor(x, row + 2);
        FloatVector x3 = factor(x, row + 3);
        FloatVector y0 = factor(y, row);
        FloatVector y1 = factor(y, row + 1);
        FloatVector y2 = factor(y, row + 2);
        FloatVector y3 = factor(y, row + 3);
        for (int b = from; b < to; b++) {
            long at = (long) on.start(b) * Float.BYTES;
            int s = (b - from) * L;
            FloatVector w = Lanes.floats(w0 + at);
            FloatVector p = w.mul(x0);
            FloatVector q = w.mul(y0);
            w = Lanes.floats(w1 + at);
            p = w.fma(x1, p);
            q = w.fma(y1, q);
            w = Lanes.floats(w2 + at);
            p = w.fma(x2, p);
            q = w.fma(y2, q);
            w = Lanes.floats(w3 + at);
            p = w.fma(x3, p);
            q = w.fma(y3, q);
            at(sumsX, s).add(p).intoArray(sumsX, s);
            at(sumsY, s).add(q).intoArray(sumsY, s);
        }
        return 0;
    }

    private static float brainForTwo(VectorMatrices on, int row) {
        float[] x = on.x[on.vector];
        float[] y = on.x[on.vector + 1];
        float[] sumsX = on.sums[on.vector];
        float[] sumsY = on.sums[on.vector + 1];
        int from = on.from;
        int to = on.to;
        long w0 = on.row(row);
        long w1 = on.row(row + 1);
        FloatVector x0 = factor(x, row);
        FloatVector x1 = factor(x, row + 1);
        FloatVector y0 = factor(y, row);
        FloatVector y1 = factor(y, row + 1);
        for (int b = from; b < to; b++) {
            long at = (long) on.start(b) * Short.BYTES;
            int s = 2 * (b - from) * L;
            IntVector v = pairs(w0 + at);
            IntVector w = pairs(w1 + at);
            FloatVector p = even(v);
            FloatVector q = even(w);
            at(sumsX, s).add(q.fma(x1, p.mul(x0))).intoArray(sumsX, s);
            at(sumsY, s).add(q.fma(y1, p.mul(y0))).intoArray(sumsY, s);
            p = odd(v);
            q = odd(w);
            at(sumsX, s + L).add(q.fma(x1, p.mul(x0))).intoArray(sumsX, s + L);
            at(sumsY, s + L).add(q.fma(y1, p.mul(y0))).intoArray(sumsY, s + L);
        }
        return 0;
    }

    private static float halfForTwo(VectorMatrices on, int row) {
        float[] x = on.x[on.vector];
        float[] y = on.x[on.vector + 1];
        float[] sumsX = on.sums[on.vector];
        float[] sumsY = on.sums[on.vector + 1];
        int from = on.from;
        int to = on.to;
        long w0 = on.row(row);
        long w1 = on.row(row + 1);
        FloatVector x0 = factor(x, row);
        FloatVector x1 = factor(x, row + 1);
        FloatVector y0 = factor(y, row);
        FloatVector y1 = factor(y, row + 1);
        for (int b = from; b < to; b++) {
            long at = (long) on.start(b) * Short.BYTES;
            int s = 2 * (b - from) * L;
            IntVector v = pairs(w0 + at);
            IntVector w = pairs(w1 + at);
            FloatVector p = evenHalf(v);
            FloatVector q = evenHalf(w);
            at(sumsX, s).add(q.fma(x1, p.mul(x0))).intoArray(sumsX, s);
            at(sumsY, s).add(q.fma(y1, p.mul(y0))).intoArray(sumsY, s);
            p = oddHalf(v);
            q = oddHalf(w);
            at(sumsX, s + L).add(q.fma(x1, p.mul(x0))).intoArray(sumsX, s + L);
            at(sumsY, s + L).add(q.fma(y1, p.mul(y0))).intoArray(sumsY, s + L);
        }
        return 0;
    }
}
