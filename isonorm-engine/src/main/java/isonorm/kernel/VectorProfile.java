package isonorm.kernel;

import static isonorm.kernel.Lanes.D;
import static isonorm.kernel.Lanes.DOUBLES;
import static isonorm.kernel.Lanes.INTS;
import static isonorm.kernel.Lanes.L;

import java.util.Arrays;
import java.util.function.ObjIntConsumer;
import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/**
 * The vector twin of {@link Kernels#profile}: powers and magnitudes. Sums are in float64, each value widened on the way. An instance is
 * at some rows after the others.
 */
final class VectorProfile {

    /** So many values are read, measured and counted together: what the nearest cache holds. */
    private static final int TOGETHER = 2048;

    /** Magnitudes' bits, which grow with them: below these all are in the first bin, from the others on none has a bin of its own. */
    private static final int SMALL = Magnitudes.FIRST << Magnitudes.SHIFT;
    private static final int LARGE = Magnitudes.FIRST + Magnitudes.BINS << Magnitudes.SHIFT;

    private static final Loop<VectorProfile> SHAPE = loop(VectorProfile::shape);
    private static final Loop<VectorProfile> IMPLY = loop(VectorProfile::imply);
    private static final Loop<VectorProfile> COUNT = loop(VectorProfile::count);
    private static final Loop<VectorProfile> SUM = loop(VectorProfile::sum);
    private static final Loop<VectorProfile> MEASURE = loop(VectorProfile::measure);

    private final Rows rows;
    private final int columns;
    private final int whole;
    private final int together;
    private final float[] row;
    private final float[] scales;
    private final float[] bias;
    private final Profile into;

    /** Of some rows, each filled up to whole vectors with zeros. */
    private final float[] x;
    private final int[] codes;
    private final int[] most;
    private final double[] lanes;
    private int first;

    private VectorProfile(Rows rows, Values bias, boolean implied, Profile into) {
        this.rows = rows;
        this.columns = rows.columns() + (implied ? 1 : 0);
        this.whole = Lanes.whole(columns);
        this.together = Math.clamp(TOGETHER / Math.max(1, whole), 1, Math.max(1, rows.rows()));
        this.row = Lanes.room(columns);
        this.scales = new float[together];
        this.bias = bias.present() ? Lanes.padded(bias, columns, 0) : null;
        this.into = into;
        this.x = new float[together * whole];
        this.codes = new int[x.length];
        this.most = new int[together];
        this.lanes = new double[together * Profile.POWERS * D];
    }

    private static Loop<VectorProfile> loop(ObjIntConsumer<VectorProfile> step) {
        return Loop.of((profile, count) -> {
            step.accept(profile, count);
            return 0;
        });
    }

    static void profile(Rows rows, Values scales, Values bias, boolean implied, Profile into) {
        VectorProfile profile = new VectorProfile(rows, bias, implied, into);
        for (int first = 0; first < rows.rows(); first += profile.together) {
            profile.some(first, Math.min(profile.together, rows.rows() - first), scales);
        }
    }

    private void some(int first, int count, Values scaling) {
        boolean shaped = bias != null;
        for (int r = 0; r < count; r++) {
            read(first + r, r * whole);
            scales[r] = scaling.present() ? (float) scaling.get(first + r) : 1;
            shaped |= scales[r] != 1;
        }
        if (shaped) {
            SHAPE.run(this, count);
        }
        if (columns > rows.columns()) {
            IMPLY.run(this, count);
        }
        MEASURE.run(this, count);
        this.first = first;
        SUM.run(this, count);
        COUNT.run(this, count);
        for (int r = 0; r < count; r++) {
            give(first + r, r);
        }
    }

    private void read(int r, int at) {
        int n = rows.columns();
        if (rows.type() == Type.F32) {
            Lanes.readFloats(rows.address(r), n, x, at);
        } else {
            Lanes.read(rows.type(), rows.address(r), n, row);
            System.arraycopy(row, 0, x, at, n);
        }
        Arrays.fill(x, at + n, at + whole, 0);
    }

    private void shape(int count) {
        for (int r = 0; r < count; r++) {
            int at = r * whole;
            float factor = scales[r];
            for (int i = 0; i < whole; i += L) {
                var scaled = Lanes.floats(x, at + i).mul(factor);
                (bias == null ? scaled : scaled.add(Lanes.floats(bias, i))).intoArray(x, at + i);
            }
        }
    }

    /** Adds the value that each row implies. */
    private void imply(int count) {
        for (int r = 0; r < count; r++) {
            int at = r * whole;
            DoubleVector a = DoubleVector.zero(DOUBLES);
            for (int i = 0; i < whole; i += D) {
                a = a.add(Lanes.doubles(x, at + i));
            }
            x[at + columns - 1] = (float) -Lanes.sum(a);
        }
    }

    /**
     * Adds up powers, finds every value's bin, and the largest magnitude: its bits, which grow with it. A vector of float32 is two of
     * float64.
     */
    private void measure(int count) {
        for (int r = 0; r < count; r++) {
            int at = r * whole;
            DoubleVector zero = DoubleVector.zero(DOUBLES);
            DoubleVector first = zero;
            DoubleVector second = zero;
            DoubleVector third = zero;
            DoubleVector fourth = zero;
            DoubleVector otherFirst = zero;
            DoubleVector otherSecond = zero;
            DoubleVector otherThird = zero;
            DoubleVector otherFourth = zero;
            IntVector largest = IntVector.zero(INTS);
            for (int i = at; i < at + whole; i += L) {
                IntVector bits = Lanes.bits(Lanes.floats(x, i)).and(0x7fffffff);
                largest = largest.max(bits);
                bits.max(SMALL).lanewise(VectorOperators.LSHR, Magnitudes.SHIFT).sub(Magnitudes.FIRST).intoArray(codes, i);
                DoubleVector value = Lanes.doubles(x, i);
                DoubleVector other = Lanes.doubles(x, i + D);
                DoubleVector square = value.mul(value);
                DoubleVector otherSquare = other.mul(other);
                first = first.add(value);
                otherFirst = otherFirst.add(other);
                second = second.add(square);
                otherSecond = otherSecond.add(otherSquare);
                third = square.fma(value, third);
                otherThird = otherSquare.fma(other, otherThird);
                fourth = square.fma(square, fourth);
                otherFourth = otherSquare.fma(otherSquare, otherFourth);
            }
            most[r] = largest.reduceLanes(VectorOperators.MAX);
            int to = r * Profile.POWERS * D;
            first.add(otherFirst).intoArray(lanes, to);
            second.add(otherSecond).intoArray(lanes, to + D);
            third.add(otherThird).intoArray(lanes, to + 2 * D);
            fourth.add(otherFourth).intoArray(lanes, to + 3 * D);
        }
    }

    private void sum(int count) {
        int at = first * Profile.POWERS;
        for (int i = 0; i < count * Profile.POWERS; i++) {
            into.sums[at + i] = Lanes.sum(Lanes.doubles(lanes, i * D));
        }
    }

    /** What was found of one row. */
    private void give(int r, int some) {
        if (most[some] >= LARGE) {
            into.add(r, Arrays.copyOfRange(x, some * whole, some * whole + columns), columns);
            return;
        }
        into.largest[r] = Float.intBitsToFloat(most[some]);
        into.countBeyond(x, some * whole, columns, into.largest[r]);
    }

    private void count(int count) {
        int[] bins = into.bins;
        int[] codes = this.codes;
        for (int r = 0; r < count; r++) {
            int end = most[r] < LARGE ? r * whole + columns : 0;
            for (int i = r * whole; i < end; i++) {
                bins[codes[i]]++;
            }
        }
    }
}
