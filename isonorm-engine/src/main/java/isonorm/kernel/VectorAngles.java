package isonorm.kernel;

import static isonorm.kernel.Lanes.D;
import static isonorm.kernel.Lanes.DOUBLES;

import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.List;
import jdk.incubator.vector.DoubleVector;

/**
 * The vector twins of the products and the angles between rows, in float64: an instance has some rows at a time and widens them while it
 * multiplies. Rows that are whole vectors of float32 stay where they are, others are copied.
 */
final class VectorAngles {

    /** So many rows are multiplied with as many at once. */
    private static final int BLOCK = 3;

    /** Cosines above this are of rows whose angle the cosine no longer tells to nine digits. */
    private static final double NEAR = 1 - 1e-6;

    /** What a thread had last; as many rows as wide come again and again, and new arrays lie in no cache. */
    private static final ThreadLocal<VectorAngles> LAST = ThreadLocal.withInitial(() -> new VectorAngles(0, 0));

    private static final Loop<VectorAngles> MULTIPLY = Loop.of((rows, block) -> rows.multiply(block));
    private static final Loop<VectorAngles> SUM = Loop.of((rows, block) -> rows.sum(block));
    private static final Loop<VectorAngles> TURN = Loop.of((rows, _) -> rows.turn());

    private final int n;
    private final int columns;
    private final int width;
    private final int blocks;
    private final float[] row;
    /** Copies, filled up to whole vectors with zeros. */
    private final Rows copies;
    private final long[] addresses;
    /** Of the products of one block of rows with those before. */
    private final double[] lanes;
    private final double[] products;
    private final int[] places;

    private final double[] reciprocals;
    private final double[] cosines;
    private final double[] angles;

    private VectorAngles(int n, int columns) {
        this.n = n;
        this.columns = columns;
        this.width = Lanes.whole(columns);
        this.blocks = Math.ceilDiv(n, BLOCK);
        this.row = new float[width];
        this.copies = Rows.allocate(Arena.ofAuto(), Type.F32, blocks * BLOCK, width, width);
        this.addresses = new long[copies.rows()];
        Arrays.setAll(addresses, copies::address);
        this.products = new double[Kernels.pair(blocks + 1, 0) * BLOCK * BLOCK];
        this.lanes = new double[blocks * BLOCK * BLOCK * D];
        this.places = places(n);
        this.reciprocals = new double[n];
        this.cosines = new double[Math.ceilDiv(Kernels.pair(n, 0), D) * D];
        this.angles = new double[cosines.length];
    }

    private static VectorAngles of(int n, int columns) {
        VectorAngles last = LAST.get();
        if (last.n != n || last.columns != columns) {
            last = new VectorAngles(n, columns);
            LAST.set(last);
        }
        return last;
    }

    static void gram(Rows rows, double[] products) {
        VectorAngles all = of(rows.rows(), rows.columns());
        for (int r = 0; r < all.n; r++) {
            all.read(rows, r, r);
        }
        all.multiplyAll();
        for (int r = 0; r < all.n; r++) {
            for (int other = 0; other <= r; other++) {
                double product = all.products[all.places[Kernels.pair(r + 1, other)]];
                products[r * all.n + other] = product;
                products[other * all.n + r] = product;
            }
        }
    }

    static void angles(List<Rows> sides, int first, double[] cosines, double[] angles) {
        int pairs = Kernels.pair(sides.size(), 0);
        VectorAngles one = of(sides.size(), sides.getFirst().columns());
        for (int r = 0; r < sides.getFirst().rows(); r++) {
            for (int side = 0; side < one.n; side++) {
                one.read(sides.get(side), r, side);
            }
            one.compare();
            System.arraycopy(one.cosines, 0, cosines, (first + r) * pairs, pairs);
            System.arraycopy(one.angles, 0, angles, (first + r) * pairs, pairs);
        }
    }

    private void read(Rows rows, int r, int as) {
        if (rows.type() == Type.F32 && columns == width) {
            addresses[as] = rows.address(r);
            return;
        }
        addresses[as] = copies.address(as);
        Lanes.read(rows.type(), rows.address(r), columns, row);
        Lanes.write(Type.F32, addresses[as], columns, row);
    }

    /** Where the products of each row with those up to itself are. */
    private static int[] places(int n) {
        int[] places = new int[Kernels.pair(n + 1, 0)];
        for (int r = 0; r < n; r++) {
            for (int other = 0; other <= r; other++) {
                int block = Kernels.pair(r / BLOCK + 1, other / BLOCK);
                places[Kernels.pair(r + 1, other)] = block * BLOCK * BLOCK + r % BLOCK * BLOCK + other % BLOCK;
            }
        }
        return places;
    }

    /** Every row times those of its block and of the blocks before. */
    private void multiplyAll() {
        for (int block = 0; block < blocks; block++) {
            MULTIPLY.run(this, block);
            SUM.run(this, block);
        }
    }

    private float multiply(int block) {
        for (int other = 0; other <= block; other++) {
            multiply(block * BLOCK, other * BLOCK, other * BLOCK * BLOCK * D);
        }
        return 0;
    }

    private float sum(int block) {
        int at = Kernels.pair(block + 1, 0) * BLOCK * BLOCK;
        for (int i = 0; i < (block + 1) * BLOCK * BLOCK; i++) {
            products[at + i] = Lanes.sum(Lanes.doubles(lanes, i * D));
        }
        return 0;
    }

    private void multiply(int r, int other, int at) {
        long p = addresses[r];
        long q = addresses[r + 1];
        long s = addresses[r + 2];
        long t = addresses[other];
        long u = addresses[other + 1];
        long v = addresses[other + 2];
        DoubleVector zero = DoubleVector.zero(DOUBLES);
        DoubleVector a = zero;
        DoubleVector b = zero;
        DoubleVector c = zero;
        DoubleVector d = zero;
        DoubleVector e = zero;
        DoubleVector f = zero;
        DoubleVector g = zero;
        DoubleVector h = zero;
        DoubleVector j = zero;
        for (int i = 0; i < width; i += D) {
            long to = (long) i * Float.BYTES;
            DoubleVector first = Lanes.doubles(t + to);
            DoubleVector second = Lanes.doubles(u + to);
            DoubleVector third = Lanes.doubles(v + to);
            DoubleVector one = Lanes.doubles(p + to);
            a = one.fma(first, a);
            b = one.fma(second, b);
            c = one.fma(third, c);
            DoubleVector two = Lanes.doubles(q + to);
            d = two.fma(first, d);
            e = two.fma(second, e);
            f = two.fma(third, f);
            DoubleVector three = Lanes.doubles(s + to);
            g = three.fma(first, g);
            h = three.fma(second, h);
            j = three.fma(third, j);
        }
        a.intoArray(lanes, at);
        b.intoArray(lanes, at + D);
        c.intoArray(lanes, at + 2 * D);
        d.intoArray(lanes, at + 3 * D);
        e.intoArray(lanes, at + 4 * D);
        f.intoArray(lanes, at + 5 * D);
        g.intoArray(lanes, at + 6 * D);
        h.intoArray(lanes, at + 7 * D);
        j.intoArray(lanes, at + 8 * D);
    }

    /** The cosines and angles between all pairs of rows. */
    private void compare() {
        multiplyAll();
        for (int r = 0; r < n; r++) {
            reciprocals[r] = 1 / Math.sqrt(products[places[Kernels.pair(r + 1, r)]]);
            for (int other = 0; other < r; other++) {
                cosines[Kernels.pair(r, other)] = products[places[Kernels.pair(r + 1, other)]] * reciprocals[r] * reciprocals[other];
            }
        }
        TURN.run(this, 0);
        for (int r = 0; r < n; r++) {
            for (int other = 0; other < r; other++) {
                int pair = Kernels.pair(r, other);
                if (cosines[pair] > NEAR) {
                    angles[pair] = PlainKernels.angle(wide(r), wide(other));
                }
            }
        }
    }

    private double[] wide(int r) {
        double[] wide = new double[columns];
        Arrays.setAll(wide, i -> Lanes.get(Type.F32, addresses[r] + (long) i * Float.BYTES));
        return wide;
    }

    /** Cosines to angles. */
    private float turn() {
        for (int i = 0; i < cosines.length; i += D) {
            DoubleVector cosine = Lanes.doubles(cosines, i).min(1).max(-1);
            cosine.intoArray(cosines, i);
            VectorMath.acos(cosine).intoArray(angles, i);
        }
        return 0;
    }
}
