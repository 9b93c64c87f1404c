package isonorm.kernel;

import isonorm.weights.Numbers;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * A matrix in native memory, row by row: number {@code (r, c)} is element {@code offset + r * stride + c}.
 *
 * <p>It is a view. The memory belongs to whoever made the segment and must live while kernels run; bounds are checked here, once,
 * and not inside loops.
 *
 * @param offset in elements
 * @param stride from row to row, in elements; at least {@code columns}
 */
public record Rows(MemorySegment data, Type type, long offset, int rows, int columns, int stride) {

    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED;
    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED;
    private static final ValueLayout.OfDouble DOUBLE = ValueLayout.JAVA_DOUBLE_UNALIGNED;

    public Rows {
        if (!data.isNative()) {
            throw new IllegalArgumentException("rows must lie in native memory, got " + data + "; allocate it from an arena");
        }
        if (offset < 0 || rows < 0 || columns < 0 || stride < columns) {
            throw new IllegalArgumentException("sizes must not be negative nor the stride below the columns, got offset " + offset
                    + ", rows " + rows + ", columns " + columns + ", stride " + stride);
        }
        long end = end(offset, rows, columns, stride);
        if (end > data.byteSize() / type.bytes()) {
            throw new IllegalArgumentException("rows must lie inside their segment: " + rows + " of " + columns + " at stride " + stride
                    + " from " + offset + " on end at " + end + ", the segment holds " + data.byteSize() / type.bytes());
        }
    }

    private static long end(long offset, int rows, int columns, int stride) {
        return rows == 0 ? offset : offset + (rows - 1L) * stride + columns;
    }

    /** Rows that follow each other without gaps from the segment's start on. */
    public static Rows of(MemorySegment data, Type type, int rows, int columns) {
        return new Rows(data, type, 0, rows, columns, columns);
    }

    /** Rows from the segment's start on. */
    public static Rows of(MemorySegment data, Type type, int rows, int columns, int stride) {
        return new Rows(data, type, 0, rows, columns, stride);
    }

    /** Rows of zeros in memory of {@code arena}, whole strides of them, on a boundary of 64 bytes. */
    public static Rows allocate(Arena arena, Type type, int rows, int columns, int stride) {
        return of(arena.allocate((long) rows * stride * type.bytes(), 64), type, rows, columns, stride);
    }

    /** Rows {@code first} to {@code first + count - 1}. */
    public Rows slice(int first, int count) {
        if (first < 0 || count < 0 || count > rows - first) {
            throw new IllegalArgumentException("a slice must lie inside, got " + count + " rows from " + first + " on, of " + rows);
        }
        return new Rows(data, type, offset + (long) first * stride, count, columns, stride);
    }

    /** Columns {@code first} to {@code first + count - 1} of every row. */
    public Rows sliceColumns(int first, int count) {
        if (first < 0 || count < 0 || count > columns - first) {
            throw new IllegalArgumentException("a slice must lie inside, got " + count + " columns from " + first + " on, of " + columns);
        }
        return new Rows(data, type, offset + first, rows, count, stride);
    }

    /** One number; exact. */
    public double get(int row, int column) {
        long at = offset + (long) row * stride + column;
        return switch (type) {
            case F64 -> data.get(DOUBLE, at * Double.BYTES);
            case F32 -> data.get(FLOAT, at * Float.BYTES);
            case BF16 -> Float.intBitsToFloat(data.get(SHORT, at * Short.BYTES) << 16);
            case F16 -> Float.float16ToFloat(data.get(SHORT, at * Short.BYTES));
        };
    }

    /** Sets one number, rounded once to the nearest, ties to even. */
    public void set(int row, int column, double value) {
        long at = offset + (long) row * stride + column;
        switch (type) {
            case F64 -> data.set(DOUBLE, at * Double.BYTES, value);
            case F32 -> data.set(FLOAT, at * Float.BYTES, (float) value);
            case BF16 -> data.set(SHORT, at * Short.BYTES, Numbers.toBfloat16(value));
            case F16 -> data.set(SHORT, at * Short.BYTES, Numbers.toFloat16(value));
        }
    }

    /** Reads {@code count} numbers of a row from {@code column} on to the start of {@code into}; exact. */
    public void read(int row, int column, int count, double[] into) {
        requireInside(column, count);
        long first = offset + (long) row * stride + column;
        if (type == Type.F64) {
            MemorySegment.copy(data, DOUBLE, first * Double.BYTES, into, 0, count);
        } else {
            Numbers.decode(data, type.dtype(), first, count, into, 0);
        }
    }

    /** Sets {@code count} numbers of a row from {@code column} on, each rounded once as {@link #set} does it. */
    public void write(int row, int column, int count, double[] from) {
        requireInside(column, count);
        long first = offset + (long) row * stride + column;
        if (type == Type.F64) {
            MemorySegment.copy(from, 0, data, DOUBLE, first * Double.BYTES, count);
        } else {
            Numbers.encode(from, 0, count, data, type.dtype(), first);
        }
    }

    private void requireInside(int column, int count) {
        if (column < 0 || count < 0 || count > columns - column) {
            throw new IllegalArgumentException("a part of a row must lie inside, got " + count + " columns from " + column + " on, of " + columns);
        }
    }

    /** Where a row begins. */
    public long address(int row) {
        return data.address() + (offset + (long) row * stride) * type.bytes();
    }

    /** Whether the slot behind each row's last number is there, the last row's too. */
    boolean spare() {
        return stride > columns && end(offset, rows, columns + 1, stride) <= data.byteSize() / type.bytes();
    }

    @Override
    public String toString() {
        return type + " " + rows + " x " + columns + " at stride " + stride;
    }
}
