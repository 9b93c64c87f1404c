package isonorm.kernel;

import static isonorm.kernel.Lanes.ALL;
import static isonorm.kernel.Lanes.L;
import static isonorm.kernel.Lanes.ORDER;
import static isonorm.kernel.Panels.WIDTH;
import static isonorm.kernel.VectorProducts.even;
import static isonorm.kernel.VectorProducts.evenHalf;
import static isonorm.kernel.VectorProducts.odd;
import static isonorm.kernel.VectorProducts.oddHalf;
import static isonorm.kernel.VectorProducts.pairs;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import jdk.incubator.vector.IntVector;

/**
 * The vector twin of what puts matrices into panels.
 *
 * <p>A panel's numbers of 32 bits are inputs of float32 or pairs of inputs of 16 bits. So a matrix (out, in) is turned in numbers of 32
 * bits, whatever its type is, and of a matrix (in, out) two rows of 16 bits become one. What is of another type is converted first, in parts
 * that stay in a near cache.
 */
final class VectorPacking {

    private static final Loop<VectorPacking> TURN = Loop.of(VectorPacking::turn);
    private static final Loop<VectorPacking> PAIR = Loop.of(VectorPacking::pair);
    private static final Loop<VectorPacking> BRAINS_TO_FLOATS = Loop.of(VectorPacking::brainsToFloats);
    private static final Loop<VectorPacking> HALVES_TO_FLOATS = Loop.of(VectorPacking::halvesToFloats);

    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED;
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED;

    /** The bytes of a panel's row of 32-bit numbers. */
    private static final int STEP = 4 * WIDTH;
    private static final int BYTES = 4 * L;
    /** The inputs that are converted at once. */
    private static final int INPUTS = 512;
    /** The numbers of a line of cache. */
    private static final int LINE = 16;

    /** What the loops are for: where is read and written, the bytes from row to row, and how many outputs. */
    private long from;
    private long to;
    /** Where the first inputs of pairs are written, and the second ones. */
    private long first;
    private long second;
    private long stride;
    private int outputs;

    private VectorPacking() {}

    /**
     * Pairs of inputs of a panel's 64 outputs, to two inputs of float32 each.
     *
     * @param secondFirst whether the second input of each pair comes first
     */
    static void widen(Type type, boolean secondFirst, long from, int pairs, long to) {
        VectorPacking widening = new VectorPacking();
        widening.from = from;
        widening.first = secondFirst ? to + STEP : to;
        widening.second = secondFirst ? to : to + STEP;
        (type == Type.BF16 ? BRAINS_TO_FLOATS : HALVES_TO_FLOATS).run(widening, pairs);
    }

    static void widen(Panels from, Panels into) {
        for (int panel = 0; panel < from.count(); panel++) {
            widen(from.type(), false, from.address(panel), into.depth() / 2, into.address(panel));
        }
    }

    private static float brainsToFloats(VectorPacking on, int pairs) {
        long from = on.from;
        long first = on.first;
        long second = on.second;
        for (int i = 0; i < pairs; i++) {
            for (int v = 0; v < STEP; v += BYTES) {
                IntVector p = pairs(from + (long) i * STEP + v);
                even(p).intoMemorySegment(ALL, first + (long) i * 2 * STEP + v, ORDER);
                odd(p).intoMemorySegment(ALL, second + (long) i * 2 * STEP + v, ORDER);
            }
        }
        return 0;
    }

    private static float halvesToFloats(VectorPacking on, int pairs) {
        long from = on.from;
        long first = on.first;
        long second = on.second;
        for (int i = 0; i < pairs; i++) {
            for (int v = 0; v < STEP; v += BYTES) {
                IntVector p = pairs(from + (long) i * STEP + v);
                evenHalf(p).mul(0x1p112f).intoMemorySegment(ALL, first + (long) i * 2 * STEP + v, ORDER);
                oddHalf(p).mul(0x1p112f).intoMemorySegment(ALL, second + (long) i * 2 * STEP + v, ORDER);
            }
        }
        return 0;
    }

    static void pack(Rows w, boolean transposed, int firstOutput, Panels into) {
        int end = firstOutput + (transposed ? w.rows() : w.columns());
        try (Arena arena = Arena.ofConfined()) {
            Rows room = w.type() == into.type() ? w : room(arena, into.type(), transposed);
            for (int output = firstOutput; output < end; ) {
                int count = Math.min(WIDTH - output % WIDTH, end - output);
                Rows part = outputs(w, transposed, output - firstOutput, count);
                if (w.type() == into.type()) {
                    pack(part, transposed, into, output, 0, into.inputs());
                } else {
                    convert(part, transposed, into, output, room);
                }
                output += count;
                clearBehind(into, output - count, output);
            }
        }
    }

    private static Rows room(Arena arena, Type type, boolean transposed) {
        return transposed ? Rows.allocate(arena, type, WIDTH, INPUTS, INPUTS) : Rows.allocate(arena, type, INPUTS, WIDTH, WIDTH);
    }

    private static Rows outputs(Rows w, boolean transposed, int first, int count) {
        return transposed ? w.slice(first, count) : w.sliceColumns(first, count);
    }

    private static Rows inputs(Rows w, boolean transposed, int first, int count) {
        return transposed ? w.sliceColumns(first, count) : w.slice(first, count);
    }

    private static void convert(Rows part, boolean transposed, Panels into, int output, Rows room) {
        for (int input = 0; input < into.inputs(); input += INPUTS) {
            int count = Math.min(INPUTS, into.inputs() - input);
            Rows from = inputs(part, transposed, input, count);
            Rows converted = outputs(inputs(room, transposed, 0, count), transposed, 0, transposed ? from.rows() : from.columns());
            VectorCopy.copy(from, converted);
            pack(converted, transposed, into, output, input, count);
        }
    }

    /** Some inputs, from an even one on, of outputs of one panel, of the panel's type. */
    private static void pack(Rows w, boolean transposed, Panels into, int output, int input, int inputs) {
        long to = address(into, output) + (long) input * WIDTH * into.type().bytes();
        boolean pairs = into.type() != Type.F32;
        if (transposed) {
            turn(w, to, pairs ? inputs / 2 : inputs);
        } else if (pairs) {
            pair(w, to, inputs / 2);
        } else {
            for (int i = 0; i < inputs; i++) {
                MemorySegment.copy(ALL, w.address(i), ALL, to + (long) i * STEP, (long) w.columns() * Float.BYTES);
            }
        }
        if (pairs && inputs % 2 == 1) {
            long last = to + (long) (inputs / 2) * STEP;
            int count = transposed ? w.rows() : w.columns();
            for (int i = 0; i < count; i++) {
                long at = transposed ? w.address(i) + (inputs - 1L) * Short.BYTES : w.address(inputs - 1) + (long) i * Short.BYTES;
                ALL.set(INT, last + 4L * i, ALL.get(SHORT, at) & 0xffff);
            }
        }
    }

    /** Where a panel's first step has an output. */
    private static long address(Panels into, int output) {
        return into.address(output / WIDTH) + 4L * (output % WIDTH);
    }

    private static int steps(Type type, int inputs) {
        return type == Type.F32 ? inputs : (inputs + 1) / 2;
    }

    /** Zeros behind the inputs of some outputs of a panel, and behind the last output those of the panel's rest. */
    private static void clearBehind(Panels into, int first, int end) {
        int from = steps(into.type(), into.inputs());
        int to = steps(into.type(), into.depth());
        clear(address(into, first), from, to, end - first);
        if (end == into.outputs() && end % WIDTH != 0) {
            clear(address(into, end), 0, to, WIDTH - end % WIDTH);
        }
    }

    private static void clear(long address, int from, int to, int numbers) {
        for (int step = from; step < to; step++) {
            Lanes.clear(Type.F32, address + (long) step * STEP, numbers);
        }
    }

    private static void turn(Rows w, long to, int numbers) {
        VectorPacking turning = new VectorPacking();
        turning.from = w.address(0);
        turning.to = to;
        turning.stride = (long) w.stride() * w.type().bytes();
        turning.outputs = w.rows();
        TURN.run(turning, numbers);
    }

    /** By lines of cache: each is read in a run, and where they go stays in the nearest cache meanwhile. */
    private static float turn(VectorPacking on, int numbers) {
        for (int first = 0; first < numbers; first += LINE) {
            int count = Math.min(LINE, numbers - first);
            for (int output = 0; output < on.outputs; output++) {
                long from = on.from + output * on.stride + 4L * first;
                long to = on.to + 4L * output + (long) first * STEP;
                for (int i = 0; i < count; i++) {
                    ALL.set(INT, to + (long) i * STEP, ALL.get(INT, from + 4L * i));
                }
            }
        }
        return 0;
    }

    private static void pair(Rows w, long to, int pairs) {
        VectorPacking pairing = new VectorPacking();
        pairing.from = w.address(0);
        pairing.to = to;
        pairing.stride = (long) w.stride() * Short.BYTES;
        pairing.outputs = w.columns();
        if (w.columns() >= L) {
            PAIR.run(pairing, pairs);
        } else {
            for (int i = 0; i < pairs; i++) {
                for (int c = 0; c < w.columns(); c++) {
                    int even = ALL.get(SHORT, w.address(2 * i) + (long) c * Short.BYTES) & 0xffff;
                    int odd = ALL.get(SHORT, w.address(2 * i + 1) + (long) c * Short.BYTES);
                    ALL.set(INT, to + (long) i * STEP + 4L * c, even | odd << 16);
                }
            }
        }
    }

    /** The last vector of a row ends with it and overlaps the one before. */
    private static float pair(VectorPacking on, int pairs) {
        int n = on.outputs;
        for (int i = 0; i < pairs; i++) {
            long even = on.from + 2 * i * on.stride;
            long odd = even + on.stride;
            long to = on.to + (long) i * STEP;
            for (int v = 0; v < n; v += L) {
                long at = Math.min(v, n - L);
                IntVector low = Lanes.unsigned(even + at * Short.BYTES);
                IntVector high = Lanes.bits(Lanes.brains(odd + at * Short.BYTES));
                low.or(high).intoMemorySegment(ALL, to + at * 4, ORDER);
            }
        }
        return 0;
    }
}
