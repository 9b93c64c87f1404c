package isonorm.kernel;

import static isonorm.kernel.Lanes.FLOATS;
import static isonorm.kernel.Lanes.INTS;
import static isonorm.kernel.Lanes.L;

import java.util.Arrays;
import java.util.function.ObjIntConsumer;
import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/**
 * The vector twins of what is measured on rows: powers and magnitudes, and the angles between rows. Sums are in float64, each value
 * widened on the way. An instance is at one row after the other.
 */
final class VectorProfile {

    private static final VectorSpecies<Double> DOUBLES = DoubleVector.SPECIES_PREFERRED;
    private static final VectorSpecies<Float> NARROW =
            VectorSpecies.of(float.class, VectorShape.forBitSize(DOUBLES.vectorBitSize() / 2));
    private static final int D = DOUBLES.length();

    /** Cosines above this are of rows whose angle the cosine no longer tells to nine digits. */
    private static final double NEAR = 1 - 1e-6;

    private static final int INFINITE = 0x7f800000;

    private static final Loop<VectorProfile> SHAPE = loop((row, _) -> row.shape());
    private static final Loop<VectorProfile> SUM = Loop.of((row, _) -> (float) row.sum());
    private static final Loop<VectorProfile> MEASURE = loop(VectorProfile::measure);

    private static final Loop<Angles> WIDEN = Loop.of((angles, r) -> angles.widen(r));
    private static final Loop<Angles> PRODUCTS = Loop.of((angles, r) -> angles.products(r));

    private final Rows rows;
    private final int columns;
    private final float[] x;
    private final int[] codes;
    private final float[] bias;
    private final Profile into;

    private float factor;
    private int most;

    private VectorProfile(Rows rows, Values bias, boolean implied, Profile into) {
        this.rows = rows;
        this.columns = rows.columns() + (implied ? 1 : 0);
        this.x = Lanes.room(columns);
        this.codes = new int[x.length];
        this.bias = bias.present() ? Lanes.padded(bias, columns, 0) : null;
        this.into = into;
    }

    private static Loop<VectorProfile> loop(ObjIntConsumer<VectorProfile> step) {
        return Loop.of((row, r) -> {
            step.accept(row, r);
            return 0;
        });
    }

    static void profile(Rows rows, Values scales, Values bias, boolean implied, Profile into) {
        VectorProfile row = new VectorProfile(rows, bias, implied, into);
        for (int r = 0; r < rows.rows(); r++) {
            row.profile(r, scales.present() ? (float) scales.get(r) : 1);
        }
    }

    private void profile(int r, float scaledBy) {
        int C = rows.columns();
        Lanes.read(rows.type(), rows.address(r), C, x);
        Arrays.fill(x, C, x.length, 0);
        factor = scaledBy;
        if (factor != 1 || bias != null) {
            SHAPE.run(this, r);
        }
        if (columns > C) {
            x[C] = -SUM.run(this, r);
        }
        MEASURE.run(this, r);
        if (most >= INFINITE) {
            into.add(r, x, columns);
            return;
        }
        into.largest[r] = Float.intBitsToFloat(most);
        count(into.bins, codes, columns);
        into.countBeyond(x, columns, into.largest[r]);
    }

    private void shape() {
        for (int i = 0; i < x.length; i += L) {
            FloatVector scaled = FloatVector.fromArray(FLOATS, x, i).mul(factor);
            (bias == null ? scaled : scaled.add(FloatVector.fromArray(FLOATS, bias, i))).intoArray(x, i);
        }
    }

    private static DoubleVector wide(float[] from, int i) {
        return (DoubleVector) FloatVector.fromArray(NARROW, from, i).convertShape(VectorOperators.F2D, DOUBLES, 0);
    }

    private double sum() {
        DoubleVector a = DoubleVector.zero(DOUBLES);
        for (int i = 0; i < x.length; i += D) {
            a = a.add(wide(x, i));
        }
        return a.reduceLanes(VectorOperators.ADD);
    }

    /**
     * Adds up powers, finds every value's bin, and the largest magnitude: its bits, which grow with it. A vector of float32 is two of
     * float64.
     */
    private void measure(int r) {
        DoubleVector first = DoubleVector.zero(DOUBLES);
        DoubleVector second = first;
        DoubleVector third = first;
        DoubleVector fourth = first;
        IntVector largest = IntVector.zero(INTS);
        for (int i = 0; i < x.length; i += L) {
            IntVector bits = FloatVector.fromArray(FLOATS, x, i).reinterpretAsInts().and(0x7fffffff);
            largest = largest.max(bits);
            bits.lanewise(VectorOperators.LSHR, Magnitudes.SHIFT).sub(Magnitudes.FIRST).max(0).min(Magnitudes.BINS - 1).intoArray(codes, i);
            DoubleVector value = wide(x, i);
            DoubleVector other = wide(x, i + D);
            DoubleVector square = value.mul(value);
            DoubleVector otherSquare = other.mul(other);
            first = first.add(value).add(other);
            second = second.add(square).add(otherSquare);
            third = otherSquare.fma(other, square.fma(value, third));
            fourth = otherSquare.fma(otherSquare, square.fma(square, fourth));
        }
        most = largest.reduceLanes(VectorOperators.MAX);
        int at = r * Profile.POWERS;
        into.sums[at] = first.reduceLanes(VectorOperators.ADD);
        into.sums[at + 1] = second.reduceLanes(VectorOperators.ADD);
        into.sums[at + 2] = third.reduceLanes(VectorOperators.ADD);
        into.sums[at + 3] = fourth.reduceLanes(VectorOperators.ADD);
    }

    private static void count(int[] bins, int[] codes, int n) {
        for (int i = 0; i < n; i++) {
            bins[codes[i]]++;
        }
    }

    static void gram(Rows rows, double[] products) {
        Angles all = new Angles(rows, rows.rows());
        all.multiply(0);
        for (int r = 0; r < all.n; r++) {
            for (int other = 0; other <= r; other++) {
                double product = all.products[r * all.padded + other];
                products[r * all.n + other] = product;
                products[other * all.n + r] = product;
            }
        }
    }

    static void angles(Rows rows, int group, double[] cosines, double[] angles) {
        Angles one = new Angles(rows, group);
        for (int g = 0; g < rows.rows() / group; g++) {
            one.angles(g, cosines, angles);
        }
    }

    /** The rows of one group after the other, widened, and their products with each other. */
    private static final class Angles {

        /** So many rows are multiplied with one at once. */
        private static final int TOGETHER = 4;

        private final Rows rows;
        private final int n;
        private final int padded;
        private final int width;
        private final float[] narrow;
        private final double[] wide;
        private final double[] products;

        Angles(Rows rows, int group) {
            this.rows = rows;
            this.n = group;
            this.width = Lanes.whole(rows.columns());
            this.narrow = Lanes.room(rows.columns());
            this.padded = Math.ceilDiv(n, TOGETHER) * TOGETHER;
            this.wide = new double[padded * width];
            this.products = new double[n * padded];
        }

        float widen(int r) {
            for (int i = 0; i < width; i += D) {
                wide(narrow, i).intoArray(wide, r * width + i);
            }
            return 0;
        }

        /** Row r times those up to itself, and up to three more. */
        float products(int r) {
            int one = r * width;
            for (int other = 0; other <= r; other += TOGETHER) {
                int at = other * width;
                DoubleVector a = DoubleVector.zero(DOUBLES);
                DoubleVector b = a;
                DoubleVector c = a;
                DoubleVector d = a;
                for (int i = 0; i < width; i += D) {
                    DoubleVector value = DoubleVector.fromArray(DOUBLES, wide, one + i);
                    a = value.fma(DoubleVector.fromArray(DOUBLES, wide, at + i), a);
                    b = value.fma(DoubleVector.fromArray(DOUBLES, wide, at + width + i), b);
                    c = value.fma(DoubleVector.fromArray(DOUBLES, wide, at + 2 * width + i), c);
                    d = value.fma(DoubleVector.fromArray(DOUBLES, wide, at + 3 * width + i), d);
                }
                int into = r * padded + other;
                products[into] = a.reduceLanes(VectorOperators.ADD);
                products[into + 1] = b.reduceLanes(VectorOperators.ADD);
                products[into + 2] = c.reduceLanes(VectorOperators.ADD);
                products[into + 3] = d.reduceLanes(VectorOperators.ADD);
            }
            return 0;
        }

        void multiply(int group) {
            for (int r = 0; r < n; r++) {
                Lanes.read(rows.type(), rows.address(group * n + r), rows.columns(), narrow);
                Arrays.fill(narrow, rows.columns(), narrow.length, 0);
                WIDEN.run(this, r);
            }
            for (int r = 0; r < n; r++) {
                PRODUCTS.run(this, r);
            }
        }

        void angles(int group, double[] cosines, double[] angles) {
            multiply(group);
            for (int r = 0; r < n; r++) {
                double square = products[r * padded + r];
                for (int other = 0; other < r; other++) {
                    double both = Math.sqrt(square * products[other * padded + other]);
                    double cosine = both > 0 ? Math.clamp(products[r * padded + other] / both, -1, 1) : Double.NaN;
                    int pair = group * Kernels.pair(n, 0) + Kernels.pair(r, other);
                    cosines[pair] = cosine;
                    angles[pair] = cosine > NEAR ? PlainKernels.angle(wide, r * width, other * width, rows.columns()) : Math.acos(cosine);
                }
            }
        }
    }
}
