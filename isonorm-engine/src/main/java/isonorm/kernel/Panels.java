package isonorm.kernel;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * A matrix w, (inputs, outputs), in the order in which products {@code x w} read it: panels of {@value #WIDTH} outputs, one behind the
 * other, and in each the inputs one behind the other.
 *
 * <p>Number {@code (input, output)} is element {@code ((output / 64) * depth + input) * 64 + output % 64}. Of 16 bits, inputs stand in
 * pairs, {@code ((output / 64) * depth + (input & ~1)) * 64 + 2 * (output % 64) + (input & 1)}: a pair is one number of 32 bits, whose lower
 * half is the even input's. Where {@link #depth()} or the last panel goes on behind the matrix there are zeros. It is the order
 * that oneDNN's own products prefer for these types, and one in which both many rows and a single one read memory in one run.
 *
 * <p>It is a view, as {@link Rows} are.
 *
 * @param summation in which order a product's sums are made, in float32; the plain twin's, in float64, have their own
 */
public record Panels(MemorySegment data, Type type, int inputs, int outputs, Summation summation) {

    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED;
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED;

    /** The outputs of a panel. */
    public static final int WIDTH = 64;

    public Panels {
        if (!data.isNative()) {
            throw new IllegalArgumentException("panels must lie in native memory, got " + data + "; allocate it from an arena");
        }
        if (inputs < 1 || outputs < 1) {
            throw new IllegalArgumentException("a matrix in panels has inputs and outputs, got " + inputs + " and " + outputs);
        }
        if (summation.secondFirst() && type.bytes() != 2) {
            throw new IllegalArgumentException("only inputs of 16 bits stand in pairs, got " + type);
        }
        if (data.byteSize() < bytes(type, inputs, outputs)) {
            throw new IllegalArgumentException("panels must lie inside their segment: " + inputs + " inputs and " + outputs + " outputs of "
                    + type + " are " + bytes(type, inputs, outputs) + " bytes, the segment has " + data.byteSize());
        }
    }

    /** A matrix whose sums are made as usual. */
    public Panels(MemorySegment data, Type type, int inputs, int outputs) {
        this(data, type, inputs, outputs, Summation.USUAL);
    }

    /** Zeros in memory of {@code arena}, on a boundary of 64 bytes. */
    public static Panels allocate(Arena arena, Type type, int inputs, int outputs) {
        return new Panels(arena.allocate(bytes(type, inputs, outputs), 64), type, inputs, outputs);
    }

    /** The bytes of such a matrix. */
    public static long bytes(Type type, int inputs, int outputs) {
        return (long) Math.ceilDiv(outputs, WIDTH) * WIDTH * depth(type, inputs) * type.bytes();
    }

    private static int depth(Type type, int inputs) {
        int step = type.bytes() == 2 ? 32 : 16;
        return Math.ceilDiv(inputs, step) * step;
    }

    /** The inputs of a panel, with those that are zero: a multiple of 16, of 32 for 16 bits. */
    public int depth() {
        return depth(type, inputs);
    }

    /** How many panels there are. */
    public int count() {
        return Math.ceilDiv(outputs, WIDTH);
    }

    /** Outputs {@code first} to {@code first + number - 1}, whole panels but for the matrix' last one. */
    public Panels outputs(int first, int number) {
        if (first % WIDTH != 0 || first < 0 || number < 1 || number > outputs - first
                || number % WIDTH != 0 && first + number != outputs) {
            throw new IllegalArgumentException("a part of a matrix in panels of " + WIDTH + " is panels, got " + number + " outputs from "
                    + first + " on, of " + outputs);
        }
        return new Panels(data.asSlice((long) first * depth() * type.bytes(), bytes(type, inputs, number)), type, inputs, number, summation);
    }

    /** The same, its sums made in another order. */
    public Panels summed(Summation other) {
        return new Panels(data, type, inputs, outputs, other);
    }

    /** Where a panel begins. */
    public long address(int panel) {
        return data.address() + (long) panel * WIDTH * depth() * type.bytes();
    }

    /** One number; exact. */
    public double get(int input, int output) {
        return at(input, output).get(0, 0);
    }

    /** Sets one number, rounded once to the nearest, ties to even. */
    public void set(int input, int output, double value) {
        at(input, output).set(0, 0, value);
    }

    /** Copies all inputs of an output, which lie far apart here, into a row of the same type. */
    public void copyInputs(int output, Rows into, int row) {
        if (into.type() != type || into.columns() != inputs) {
            throw new IllegalArgumentException("a row of " + inputs + " values of " + type + " is needed, got " + into);
        }
        long from = address(output / WIDTH) - data.address() + (output % WIDTH) * 4L;
        long to = into.address(row) - into.data().address();
        int numbers = type == Type.F32 ? inputs : inputs / 2; // a pair is one
        if (type == Type.F64) {
            throw new IllegalArgumentException("panels of at most 32 bits a value have such rows, got " + type);
        }
        for (int i = 0; i < numbers; i++) {
            into.data().set(INT, to + 4L * i, data.get(INT, from + 4L * WIDTH * i));
        }
        if (type != Type.F32 && inputs % 2 != 0) {
            into.data().set(SHORT, to + 4L * numbers, data.get(SHORT, from + 4L * WIDTH * numbers));
        }
    }

    private Rows at(int input, int output) {
        long panel = (long) (output / WIDTH) * depth();
        long at = type.bytes() == 2
                ? (panel + (input & ~1)) * WIDTH + 2L * (output % WIDTH) + (input & 1)
                : (panel + input) * WIDTH + output % WIDTH;
        return new Rows(data, type, at, 1, 1, 1);
    }

    @Override
    public String toString() {
        return type + " " + inputs + " x " + outputs + " in panels";
    }
}
