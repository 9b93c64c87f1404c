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
 * The vector twin of {@link Kernels#profile}, powers and magnitudes, and of {@link Kernels#sumsOfSquares}. Sums are in float64, each value
 * widened on the way. An instance is at some rows after the others.
 */
final class VectorProfile {

    /** So many values are read, measured and counted together: what the nearest cache holds. */
    private static final int TOGETHER = 2048;

    /** Magnitudes' bits, which grow with them: below these all are in the first bin, from the others on none has a bin of its own. */
    private static final int SMALL = Magnitudes.FIRST << Magnitudes.SHIFT;
    private static final int LARGE = Magnitudes.FIRST + Magnitudes.BINS << Magnitudes.SHIFT;

    private static final Loop<VectorProfile> READ = loop(VectorProfile::readFloats);
    private static final Loop<VectorProfile> SHAPE = loop(VectorProfile::shape);
    private static final Loop<VectorProfile> IMPLY = loop(VectorProfile::imply);
    private static final Loop<VectorProfile> COUNT = loop(VectorProfile::count);
    private static final Loop<VectorProfile> SUM = loop(VectorProfile::sum);
    private static final Loop<VectorProfile> MEASURE = loop(VectorProfile::measure);
    private static final Loop<VectorProfile> SQUARE = loop(VectorProfile::square);

    /** What a thread had last; rows as wide come again and again, and new arrays lie in no cache. */
    private static final ThreadLocal<Room> ROOM = ThreadLocal.withInitial(() -> new Room(0));

    /** Room for some rows, each filled up to whole vectors. */
    private static final class Room {

        final int whole;
        final int together;
        final float[] x;
        final int[] codes;
        final int[] most;
        final double[] lanes;
        final float[] scales;
        final float[] bias;
        final float[] row;

        Room(int whole) {
            this.whole = whole;
            this.together = Math.max(1, TOGETHER / Math.max(1, whole));
            this.x = new float[together * whole];
            this.codes = new int[x.length];
            this.most = new int[together];
            this.lanes = new double[together * Profile.POWERS * D];
            this.scales = new float[together];
            this.bias = new float[whole];
            this.row = new float[whole];
        }

        static Room of(int whole) {
            Room last = ROOM.get();
            if (last.whole != whole) {
                last = new Room(whole);
                ROOM.set(last);
            }
            return last;
        }
    }

    private final Rows rows;
    private final int columns;
    private final int whole;
    private final int together;
    private final float[] row;
    private final float[] scales;
    private final float[] bias;
    private final boolean biased;
    private final Profile into;
    private final double[] squares;

    /** Of some rows, each filled up to whole vectors with zeros. */
    private final float[] x;
    private final int[] codes;
    private final int[] most;
    private final double[] lanes;
    private int first;

    private VectorProfile(Rows rows, Values bias, boolean implied, Profile into, double[] squares) {
        this.rows = rows;
        this.columns = rows.columns() + (implied ? 1 : 0);
        this.whole = Lanes.whole(columns);
        Room room = Room.of(whole);
        this.together = room.together;
        this.row = room.row;
        this.scales = room.scales;
        this.bias = room.bias;
        this.biased = bias.present();
        this.into = into;
        this.squares = squares;
        this.x = room.x;
        this.codes = room.codes;
        this.most = room.most;
        this.lanes = room.lanes;
        Arrays.fill(this.bias, 0);
        if (biased) {
            System.arraycopy(bias.array(), bias.first(), this.bias, 0, bias.count());
        }
    }

    private static Loop<VectorProfile> loop(ObjIntConsumer<VectorProfile> step) {
        return Loop.of((profile, count) -> {
            step.accept(profile, count);
            return 0;
        });
    }

    static void profile(Rows rows, Values scales, Values bias, boolean implied, Profile into) {
        VectorProfile profile = new VectorProfile(rows, bias, implied, into, null);
        for (int first = 0; first < rows.rows(); first += profile.together) {
            int count = profile.read(first, scales);
            MEASURE.run(profile, count);
            SUM.run(profile, count);
            COUNT.run(profile, count);
            for (int r = 0; r < count; r++) {
                profile.give(first + r, r);
            }
        }
    }

    static void sumsOfSquares(Rows rows, boolean implied, double[] sums) {
        VectorProfile profile = new VectorProfile(rows, Values.NONE, implied, null, sums);
        for (int first = 0; first < rows.rows(); first += profile.together) {
            SQUARE.run(profile, profile.read(first, Values.NONE));
        }
    }

    /** Makes {@link #x} some rows from {@code first} on; gives how many. */
    private int read(int first, Values scaling) {
        int count = Math.min(together, rows.rows() - first);
        this.first = first;
        boolean shaped = biased;
        for (int r = 0; r < count; r++) {
            scales[r] = scaling.present() ? (float) scaling.get(first + r) : 1;
            shaped |= scales[r] != 1;
        }
        if (rows.type() == Type.F32 && rows.columns() == whole) {
            READ.run(this, count);
        } else {
            for (int r = 0; r < count; r++) {
                read(first + r, r * whole);
            }
            if (shaped) {
                SHAPE.run(this, count);
            }
        }
        if (columns > rows.columns()) {
            IMPLY.run(this, count);
        }
        return count;
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

    /** {@link #read} and {@link #shape} of rows that are whole vectors of float32; a factor of 1 and a bias of 0 change nothing. */
    private void readFloats(int count) {
        for (int r = 0; r < count; r++) {
            long from = rows.address(first + r);
            int at = r * whole;
            float factor = scales[r];
            for (int i = 0; i < whole; i += L) {
                Lanes.floats(from + (long) i * Float.BYTES).mul(factor).add(Lanes.floats(bias, i)).intoArray(x, at + i);
            }
        }
    }

    private void shape(int count) {
        for (int r = 0; r < count; r++) {
            int at = r * whole;
            float factor = scales[r];
            for (int i = 0; i < whole; i += L) {
                Lanes.floats(x, at + i).mul(factor).add(Lanes.floats(bias, i)).intoArray(x, at + i);
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

    private void square(int count) {
        for (int r = 0; r < count; r++) {
            DoubleVector a = DoubleVector.zero(DOUBLES);
            DoubleVector b = DoubleVector.zero(DOUBLES);
            for (int i = r * whole; i < (r + 1) * whole; i += L) {
                DoubleVector value = Lanes.doubles(x, i);
                DoubleVector other = Lanes.doubles(x, i + D);
                a = value.fma(value, a);
                b = other.fma(other, b);
            }
            squares[first + r] = Lanes.sum(a.add(b));
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
