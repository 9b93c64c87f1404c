package isonorm.kernel;

import static isonorm.kernel.Lanes.L;

import java.util.Arrays;
import jdk.incubator.vector.FloatVector;

/**
 * Some rows as float32 in an array, few enough for the nearest cache, scaled and with a bias while they are read: so each loop has more to do
 * than a call takes. A row fills whole vectors; what stands behind its end is of no meaning.
 */
final class Strip {

    /** So many values. */
    private static final int ROOM = 1 << 12;

    private static final Loop<Strip> READ_FLOATS = Loop.of(Strip::readFloats);
    private static final Loop<Strip> READ_BRAINS = Loop.of(Strip::readBrains);
    private static final Loop<Strip> WRITE_FLOATS = Loop.of(Strip::writeFloats);
    private static final Loop<Strip> WRITE_BRAINS = Loop.of(Strip::writeBrains);

    /** The rows, one behind the other. */
    final float[] values;

    private final int columns;
    private final int width;
    private final float[] factors;
    private final float[] added;
    private long address;
    private long stride;

    private Strip(int rows, int columns, float[] added) {
        this.columns = columns;
        this.width = Lanes.whole(columns);
        this.values = new float[rows * width];
        this.factors = new float[rows];
        this.added = added;
        Arrays.fill(factors, 1);
    }

    /** Room for some of these rows, to which the bias will be added. */
    static Strip of(Rows rows, Values bias) {
        int columns = rows.columns();
        int some = Math.clamp(ROOM / Math.max(1, columns), 1, Math.max(1, rows.rows()));
        return new Strip(some, columns, bias.present() ? Lanes.padded(bias, columns, 0) : Lanes.room(columns));
    }

    /** How many rows there is room for. */
    int rows() {
        return factors.length;
    }

    /** How many values of the array some rows take. */
    int length(int rows) {
        return rows * width;
    }

    /** Reads rows {@code first} to {@code first + count - 1}: {@code scales[row] * x + bias}. */
    void read(Rows x, int first, int count, Values scales) {
        for (int r = 0; scales.present() && r < count; r++) {
            factors[r] = (float) scales.get(first + r);
        }
        if (columns >= L && (x.type() == Type.F32 || x.type() == Type.BF16)) {
            at(x, first);
            (x.type() == Type.F32 ? READ_FLOATS : READ_BRAINS).run(this, count);
            return;
        }
        float[] row = Lanes.room(columns);
        for (int r = 0; r < count; r++) {
            Lanes.read(x.type(), x.address(first + r), columns, row);
            for (int i = 0; i < columns; i++) {
                values[r * width + i] = Math.fma(row[i], factors[r], added[i]);
            }
        }
    }

    /** Writes them, rounded. */
    void write(Rows y, int first, int count) {
        if (columns >= L && (y.type() == Type.F32 || y.type() == Type.BF16)) {
            at(y, first);
            (y.type() == Type.F32 ? WRITE_FLOATS : WRITE_BRAINS).run(this, count);
            return;
        }
        for (int r = 0; r < count; r++) {
            Lanes.write(y.type(), y.address(first + r), columns, Arrays.copyOfRange(values, r * width, (r + 1) * width));
        }
    }

    private void at(Rows rows, int first) {
        address = rows.address(first);
        stride = (long) rows.stride() * rows.type().bytes();
    }

    private float readFloats(int rows) {
        for (int r = 0; r < rows; r++) {
            FloatVector factor = Lanes.all(factors[r]);
            long from = address + r * stride;
            int to = r * width;
            for (int i = 0; i < columns - L; i += L) {
                Lanes.floats(from + (long) i * Float.BYTES).fma(factor, Lanes.floats(added, i)).intoArray(values, to + i);
            }
            int last = columns - L;
            Lanes.floats(from + (long) last * Float.BYTES).fma(factor, Lanes.floats(added, last)).intoArray(values, to + last);
        }
        return 0;
    }

    private float readBrains(int rows) {
        for (int r = 0; r < rows; r++) {
            FloatVector factor = Lanes.all(factors[r]);
            long from = address + r * stride;
            int to = r * width;
            for (int i = 0; i < columns - L; i += L) {
                Lanes.brains(from + (long) i * Short.BYTES).fma(factor, Lanes.floats(added, i)).intoArray(values, to + i);
            }
            int last = columns - L;
            Lanes.brains(from + (long) last * Short.BYTES).fma(factor, Lanes.floats(added, last)).intoArray(values, to + last);
        }
        return 0;
    }

    private float writeFloats(int rows) {
        for (int r = 0; r < rows; r++) {
            long to = address + r * stride;
            int from = r * width;
            for (int i = 0; i < columns - L; i += L) {
                Lanes.floats(values, from + i).intoMemorySegment(Lanes.ALL, to + (long) i * Float.BYTES, Lanes.ORDER);
            }
            int last = columns - L;
            Lanes.floats(values, from + last).intoMemorySegment(Lanes.ALL, to + (long) last * Float.BYTES, Lanes.ORDER);
        }
        return 0;
    }

    private float writeBrains(int rows) {
        for (int r = 0; r < rows; r++) {
            long to = address + r * stride;
            int from = r * width;
            for (int i = 0; i < columns - L; i += L) {
                Lanes.store(to + (long) i * Short.BYTES, Lanes.toBrains(Lanes.floats(values, from + i)));
            }
            int last = columns - L;
            Lanes.store(to + (long) last * Short.BYTES, Lanes.toBrains(Lanes.floats(values, from + last)));
        }
        return 0;
    }
}
