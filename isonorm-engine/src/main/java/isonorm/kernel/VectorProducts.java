package isonorm.kernel;

import static isonorm.kernel.Lanes.ALL;
import static isonorm.kernel.Lanes.INTS;
import static isonorm.kernel.Lanes.L;
import static isonorm.kernel.Lanes.ORDER;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/**
 * The vector twin of a matrix times few vectors.
 *
 * <p>Weights of 16 bits are loaded as pairs in ints: one half of each is shifted up, the other masked, which costs less than widening
 * them; x is split into its even and odd values beforehand. In the code W is how many weights are loaded at once, a block; the
 * last block of a row ends with the row and overlaps the one before, and x is zero there. Each loop is compiled by itself, whatever types
 * and numbers of vectors a process has.
 */
final class VectorProducts {

    private static final Loop<VectorProducts> FLOATS_FOR_ONE = Loop.of((on, _) -> on.float32ForOne());
    private static final Loop<VectorProducts> FLOATS_FOR_TWO = Loop.of((on, _) -> on.float32ForTwo());
    private static final Loop<VectorProducts> BRAINS_FOR_ONE = Loop.of((on, r) -> on.brainForOne(on.rows[r]));
    private static final Loop<VectorProducts> REST_OF_BRAINS = Loop.of((on, r) -> on.restOfBrains(on.rows[r]));
    private static final Loop<VectorProducts> BRAINS_FOR_TWO = Loop.of((on, _) -> on.brainForTwo());
    private static final Loop<VectorProducts> HALVES_FOR_ONE = Loop.of((on, r) -> on.halfForOne(on.rows[r]));
    private static final Loop<VectorProducts> HALVES_FOR_TWO = Loop.of((on, r) -> on.halfForTwo(r));

    /** So many rows of weights at once keep enough loads and sums under way. */
    private static final int ROWS = 4;
    /** For so many vectors the rows are read from memory once, and again from a near cache for every two. */
    private static final int VECTORS = 4;

    static final IntVector UPPER = IntVector.broadcast(INTS, 0xffff0000);
    /** The sign, and a float16's exponent and fraction three places to the right. */
    static final IntVector HALF = IntVector.broadcast(INTS, 0x8fffe000);

    private final Type type;
    private final int C;
    private final int W;
    private final int blocks;
    /** How many of the blocks are whole and make fours. */
    private final int together;
    /** What the loops are for: rows of weights, and one split vector or two; and what they make, first of one, then of the other. */
    private final long[] rows = new long[ROWS];
    private float[] x;
    private float[] y;
    private final float[] sums = new float[2 * ROWS];

    private VectorProducts(Type type, int columns) {
        this.type = type;
        this.C = columns;
        this.W = block(type);
        this.blocks = Math.ceilDiv(columns, W);
        this.together = columns / W / 4 * 4;
    }

    /** How many values of a type are loaded at once. */
    static int block(Type type) {
        return type == Type.F32 ? L : 2 * L;
    }

    static void product(Rows weights, Rows x, Rows y) {
        int C = weights.columns();
        if (C < block(weights.type())) {
            new PlainKernels().matrixVectors(weights, x, y);
            return;
        }
        VectorProducts product = new VectorProducts(weights.type(), C);
        float[] row = Lanes.room(C);
        int n = x.rows();
        for (int first = 0; first < n; first += VECTORS) {
            int count = Math.min(VECTORS, n - first);
            float[][] split = new float[count][];
            float[] scales = new float[count];
            for (int i = 0; i < count; i++) {
                Lanes.read(x.type(), x.address(first + i), C, row);
                scales[i] = product.type == Type.F16 ? scaleForHalves(row, C) : 1;
                split[i] = product.split(row);
            }
            product.product(weights, split, scales, y.slice(first, count));
        }
    }

    /** Blocks as the weights have them: for pairs the even values of a block, then its odd ones. */
    private float[] split(float[] x) {
        float[] split = new float[blocks * W];
        for (int b = 0; b < blocks; b++) {
            int start = start(b);
            for (int i = b * W - start; i < W; i++) { // before that it is the block before
                int at = type == Type.F32 ? i : i / 2 + (i % 2) * L;
                split[b * W + at] = x[start + i];
            }
        }
        return split;
    }

    private int start(int block) {
        return Math.min(block * W, C - W);
    }

    static IntVector pairs(long address) {
        return Lanes.known(IntVector.fromMemorySegment(INTS, ALL, address, ORDER));
    }

    /** The lower halves of pairs of bfloat16: on a little-endian machine the even ones. */
    static FloatVector even(IntVector pairs) {
        return Lanes.floats(pairs.lanewise(VectorOperators.LSHL, 16));
    }

    static FloatVector odd(IntVector pairs) {
        return Lanes.floats(pairs.and(UPPER));
    }

    /** The same of float16, times {@code 2^-112}: sign and bits moved to their places; the exponent's bias differs by 112. */
    static FloatVector evenHalf(IntVector pairs) {
        return oddHalf(pairs.lanewise(VectorOperators.LSHL, 16));
    }

    static FloatVector oddHalf(IntVector pairs) {
        return Lanes.floats(pairs.lanewise(VectorOperators.ASHR, 3).and(HALF));
    }

    /**
     * Multiplies x by a power of two, as large as float32 has room for, since {@link #evenHalf} and {@link #oddHalf} give weights that
     * are too small by {@code 2^-112}: their products then are none that float32 rounds to zero.
     *
     * @return what sums of products are to be multiplied with
     */
    static float scaleForHalves(float[] x, int n) {
        int largest = 0; // bits are ordered as sizes are
        for (int i = 0; i < n; i++) {
            largest = Math.max(largest, Float.floatToRawIntBits(x[i]) & Integer.MAX_VALUE);
        }
        int exponent = Math.min(Math.getExponent(Float.intBitsToFloat(largest)), Float.MAX_EXPONENT);
        int power = Float.MAX_EXPONENT - 1 - exponent;
        float one = Math.scalb(1f, power / 2); // in two steps: the power itself can be too large
        float other = Math.scalb(1f, power - power / 2);
        for (int i = 0; i < n; i++) {
            x[i] = x[i] * one * other;
        }
        return Math.scalb(1f, 112 - power);
    }

    private static void put(Rows y, int i, int row, float value) {
        Lanes.set(y.type(), y.address(i) + (long) row * y.type().bytes(), value);
    }

    private void product(Rows weights, float[][] vectors, float[] scales, Rows products) {
        int R = weights.rows();
        for (int row = 0; row < R; row += ROWS) {
            for (int r = 0; r < ROWS; r++) {
                rows[r] = weights.address(Math.min(row + r, R - 1)); // fewer than four are left: the last one again
            }
            for (int i = 0; i < vectors.length; i += 2) {
                boolean both = i + 1 < vectors.length;
                x = vectors[i];
                if (both) {
                    y = vectors[i + 1];
                    forTwo();
                } else {
                    forOne();
                }
                for (int r = 0; r < Math.min(ROWS, R - row); r++) {
                    put(products, i, row + r, sums[r] * scales[i]);
                    if (both) {
                        put(products, i + 1, row + r, sums[ROWS + r] * scales[i + 1]);
                    }
                }
            }
        }
    }

    private void forOne() {
        switch (type) {
            case F64 -> throw Lanes.wide();
            case F32 -> FLOATS_FOR_ONE.run(this, 0);
            case BF16 -> {
                for (int r = 0; r < ROWS; r++) {
                    float sum = BRAINS_FOR_ONE.run(this, r);
                    sums[r] = together == blocks ? sum : sum + REST_OF_BRAINS.run(this, r);
                }
            }
            case F16 -> {
                for (int r = 0; r < ROWS; r++) {
                    sums[r] = HALVES_FOR_ONE.run(this, r);
                }
            }
        }
    }

    private void forTwo() {
        switch (type) {
            case F64 -> throw Lanes.wide();
            case F32 -> FLOATS_FOR_TWO.run(this, 0);
            case BF16 -> BRAINS_FOR_TWO.run(this, 0);
            case F16 -> { // unpacking leaves room for two rows
                HALVES_FOR_TWO.run(this, 0);
                HALVES_FOR_TWO.run(this, 2);
            }
        }
    }

    private float float32ForOne() {
        long w0 = rows[0];
        long w1 = rows[1];
        long w2 = rows[2];
        long w3 = rows[3];
        float[] x = this.x;
        FloatVector a = Lanes.all(0);
        FloatVector b = Lanes.all(0);
        FloatVector c = Lanes.all(0);
        FloatVector d = Lanes.all(0);
        for (int i = 0; i < blocks; i++) {
            long at = (long) start(i) * Float.BYTES;
            FloatVector v = Lanes.floats(x, i * L);
            a = Lanes.floats(w0 + at).fma(v, a);
            b = Lanes.floats(w1 + at).fma(v, b);
            c = Lanes.floats(w2 + at).fma(v, c);
            d = Lanes.floats(w3 + at).fma(v, d);
        }
        sums[0] = Lanes.sum(a);
        sums[1] = Lanes.sum(b);
        sums[2] = Lanes.sum(c);
        sums[3] = Lanes.sum(d);
        return 0;
    }

    /**
     * One row after the other: rows of 16 bits are short, and memory gives one long stream faster than four short ones beside each
     * other. Four blocks at once, whole ones alone: with {@link #restOfBrains} in it, it would be more than the compiler takes in.
     */
    private float brainForOne(long row) {
        float[] x = this.x;
        FloatVector a = Lanes.all(0);
        FloatVector b = Lanes.all(0);
        FloatVector c = Lanes.all(0);
        FloatVector d = Lanes.all(0);
        for (int i = 0; i < together; i += 4) {
            long w = row + (long) i * 2 * L * Short.BYTES;
            int at = 2 * i * L;
            IntVector p = pairs(w);
            a = even(p).fma(Lanes.floats(x, at), a);
            b = odd(p).fma(Lanes.floats(x, at + L), b);
            p = pairs(w + 2 * L * Short.BYTES);
            c = even(p).fma(Lanes.floats(x, at + 2 * L), c);
            d = odd(p).fma(Lanes.floats(x, at + 3 * L), d);
            p = pairs(w + 4 * L * Short.BYTES);
            a = even(p).fma(Lanes.floats(x, at + 4 * L), a);
            b = odd(p).fma(Lanes.floats(x, at + 5 * L), b);
            p = pairs(w + 6 * L * Short.BYTES);
            c = even(p).fma(Lanes.floats(x, at + 6 * L), c);
            d = odd(p).fma(Lanes.floats(x, at + 7 * L), d);
        }
        return Lanes.sum(a, b, c, d);
    }

    /** The blocks behind those that {@link #brainForOne} takes. */
    private float restOfBrains(long row) {
        float[] x = this.x;
        FloatVector a = Lanes.all(0);
        FloatVector b = Lanes.all(0);
        for (int i = together; i < blocks; i++) {
            IntVector p = pairs(row + (long) start(i) * Short.BYTES);
            a = even(p).fma(Lanes.floats(x, 2 * i * L), a);
            b = odd(p).fma(Lanes.floats(x, (2 * i + 1) * L), b);
        }
        return Lanes.sum(Lanes.known(a).add(b));
    }

    /** {@link #brainForOne} of float16, two blocks at once: with four, unpacking would be more than the compiler takes in. */
    private float halfForOne(long row) {
        float[] x = this.x;
        FloatVector a = Lanes.all(0);
        FloatVector b = Lanes.all(0);
        FloatVector c = Lanes.all(0);
        FloatVector d = Lanes.all(0);
        int i = 0;
        for (; i <= blocks - 3; i += 2) {
            long w = row + (long) i * 2 * L * Short.BYTES;
            int at = 2 * i * L;
            IntVector p = pairs(w);
            a = evenHalf(p).fma(Lanes.floats(x, at), a);
            b = oddHalf(p).fma(Lanes.floats(x, at + L), b);
            p = pairs(w + 2 * L * Short.BYTES);
            c = evenHalf(p).fma(Lanes.floats(x, at + 2 * L), c);
            d = oddHalf(p).fma(Lanes.floats(x, at + 3 * L), d);
        }
        for (; i < blocks; i++) {
            IntVector p = pairs(row + (long) start(i) * Short.BYTES);
            a = evenHalf(p).fma(Lanes.floats(x, 2 * i * L), a);
            b = oddHalf(p).fma(Lanes.floats(x, (2 * i + 1) * L), b);
        }
        return Lanes.sum(a, b, c, d);
    }

    private float float32ForTwo() {
        long w0 = rows[0];
        long w1 = rows[1];
        long w2 = rows[2];
        long w3 = rows[3];
        float[] x = this.x;
        float[] y = this.y;
        FloatVector a = Lanes.all(0);
        FloatVector b = Lanes.all(0);
        FloatVector c = Lanes.all(0);
        FloatVector d = Lanes.all(0);
        FloatVector e = Lanes.all(0);
        FloatVector f = Lanes.all(0);
        FloatVector g = Lanes.all(0);
        FloatVector h = Lanes.all(0);
        for (int i = 0; i < blocks; i++) {
            long at = (long) start(i) * Float.BYTES;
            FloatVector v = Lanes.floats(x, i * L);
            FloatVector w = Lanes.floats(y, i * L);
            FloatVector p = Lanes.floats(w0 + at);
            a = p.fma(v, a);
            b = p.fma(w, b);
            p = Lanes.floats(w1 + at);
            c = p.fma(v, c);
            d = p.fma(w, d);
            p = Lanes.floats(w2 + at);
            e = p.fma(v, e);
            f = p.fma(w, f);
            p = Lanes.floats(w3 + at);
            g = p.fma(v, g);
            h = p.fma(w, h);
        }
        sums[0] = Lanes.sum(a);
        sums[1] = Lanes.sum(c);
        sums[2] = Lanes.sum(e);
        sums[3] = Lanes.sum(g);
        sums[4] = Lanes.sum(b);
        sums[5] = Lanes.sum(d);
        sums[6] = Lanes.sum(f);
        sums[7] = Lanes.sum(h);
        return 0;
    }

    private float brainForTwo() {
        long w0 = rows[0];
        long w1 = rows[1];
        long w2 = rows[2];
        long w3 = rows[3];
        float[] x = this.x;
        float[] y = this.y;
        FloatVector a = Lanes.all(0);
        FloatVector b = Lanes.all(0);
        FloatVector c = Lanes.all(0);
        FloatVector d = Lanes.all(0);
        FloatVector e = Lanes.all(0);
        FloatVector f = Lanes.all(0);
        FloatVector g = Lanes.all(0);
        FloatVector h = Lanes.all(0);
        for (int i = 0; i < blocks; i++) {
            long at = (long) start(i) * Short.BYTES;
            FloatVector v = Lanes.floats(x, 2 * i * L);
            FloatVector w = Lanes.floats(y, 2 * i * L);
            FloatVector vOdd = Lanes.floats(x, (2 * i + 1) * L);
            FloatVector wOdd = Lanes.floats(y, (2 * i + 1) * L);
            IntVector p = pairs(w0 + at);
            FloatVector even = even(p);
            FloatVector odd = odd(p);
            a = odd.fma(vOdd, even.fma(v, a));
            b = odd.fma(wOdd, even.fma(w, b));
            p = pairs(w1 + at);
            even = even(p);
            odd = odd(p);
            c = odd.fma(vOdd, even.fma(v, c));
            d = odd.fma(wOdd, even.fma(w, d));
            p = pairs(w2 + at);
            even = even(p);
            odd = odd(p);
            e = odd.fma(vOdd, even.fma(v, e));
            f = odd.fma(wOdd, even.fma(w, f));
            p = pairs(w3 + at);
            even = even(p);
            odd = odd(p);
            g = odd.fma(vOdd, even.fma(v, g));
            h = odd.fma(wOdd, even.fma(w, h));
        }
        sums[0] = Lanes.sum(a);
        sums[1] = Lanes.sum(c);
        sums[2] = Lanes.sum(e);
        sums[3] = Lanes.sum(g);
        sums[4] = Lanes.sum(b);
        sums[5] = Lanes.sum(d);
        sums[6] = Lanes.sum(f);
        sums[7] = Lanes.sum(h);
        return 0;
    }

    /** Of the rows {@code r} and {@code r + 1}. */
    private float halfForTwo(int r) {
        long w0 = rows[r];
        long w1 = rows[r + 1];
        float[] x = this.x;
        float[] y = this.y;
        FloatVector a = Lanes.all(0);
        FloatVector b = Lanes.all(0);
        FloatVector c = Lanes.all(0);
        FloatVector d = Lanes.all(0);
        for (int i = 0; i < blocks; i++) {
            long offset = (long) start(i) * Short.BYTES;
            FloatVector v = Lanes.floats(x, 2 * i * L);
            FloatVector w = Lanes.floats(y, 2 * i * L);
            FloatVector vOdd = Lanes.floats(x, (2 * i + 1) * L);
            FloatVector wOdd = Lanes.floats(y, (2 * i + 1) * L);
            IntVector p = pairs(w0 + offset);
            FloatVector even = evenHalf(p);
            FloatVector odd = oddHalf(p);
            a = odd.fma(vOdd, even.fma(v, a));
            b = odd.fma(wOdd, even.fma(w, b));
            p = pairs(w1 + offset);
            even = evenHalf(p);
            odd = oddHalf(p);
            c = odd.fma(vOdd, even.fma(v, c));
            d = odd.fma(wOdd, even.fma(w, d));
        }
        sums[r] = Lanes.sum(a);
        sums[r + 1] = Lanes.sum(c);
        sums[ROWS + r] = Lanes.sum(b);
        sums[ROWS + r + 1] = Lanes.sum(d);
        return 0;
    }
}
