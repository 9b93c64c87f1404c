package isonorm.kernel;

import isonorm.weights.Quantization;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * A matrix w, (inputs, outputs), of few bits a value, in the order in which products {@code x w} read it: panels of {@value #WIDTH} outputs, one
 * behind the other, and in each the groups of inputs one behind the other.
 *
 * <p>A group is a line of scales and then its codes. Of the 16 numbers of the line, the lower half is the scale of output i in float16, the upper
 * half that of output 16 + i. Codes stand in numbers of 32 bits, of each output 4 inputs of 8 bits or 8 of 4, the first one in the highest bits,
 * in two's complement; {@value #WIDTH} such numbers, one an output, are a step. Behind the matrix there are zeros. One row then reads memory in a
 * run, and a shift brings each code to where an int has its sign.
 *
 * <p>It is a view, as {@link Rows} are.
 *
 * @param summation in which order a product's sums are made, in float32; the plain twin's, in float64, have their own
 */
public record QuantizedPanels(MemorySegment data, Quantization quantization, int inputs, int outputs, Summation summation) {

    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED;
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED;

    /** The outputs of a panel. */
    public static final int WIDTH = 32;

    /** The bytes of a step. */
    static final int STEP = 4 * WIDTH;

    /** The bytes of a group's scales. */
    static final int SCALES = 2 * WIDTH;

    public QuantizedPanels {
        if (!data.isNative()) {
            throw new IllegalArgumentException("panels must lie in native memory, got " + data + "; allocate it from an arena");
        }
        if (inputs < 1 || outputs < 1) {
            throw new IllegalArgumentException("a matrix in panels has inputs and outputs, got " + inputs + " and " + outputs);
        }
        if (data.byteSize() < bytes(quantization, inputs, outputs)) {
            throw new IllegalArgumentException("panels must lie inside their segment: " + inputs + " inputs and " + outputs + " outputs of "
                    + quantization.bits() + " bits are " + bytes(quantization, inputs, outputs) + " bytes, the segment has " + data.byteSize());
        }
    }

    /** Zeros in memory of {@code arena}, on a boundary of 64 bytes. */
    public static QuantizedPanels allocate(Arena arena, Quantization quantization, int inputs, int outputs) {
        return new QuantizedPanels(arena.allocate(bytes(quantization, inputs, outputs), 64), quantization, inputs, outputs, Summation.USUAL);
    }

    /** The bytes of such a matrix. */
    public static long bytes(Quantization quantization, int inputs, int outputs) {
        return (long) Math.ceilDiv(outputs, WIDTH) * quantization.groups(inputs) * groupBytes(quantization);
    }

    private static int groupBytes(Quantization quantization) {
        return SCALES + quantization.group() * quantization.bits() / Integer.SIZE * STEP;
    }

    /** The bytes of a group of a panel. */
    int groupBytes() {
        return groupBytes(quantization);
    }

    /** The groups of a panel. */
    int groups() {
        return quantization.groups(inputs);
    }

    /** The inputs of a step. */
    int perStep() {
        return Integer.SIZE / quantization.bits();
    }

    /** How many panels there are. */
    public int count() {
        return Math.ceilDiv(outputs, WIDTH);
    }

    /** Where a group of a panel begins. */
    long address(int panel, int group) {
        return data.address() + at(panel, group);
    }

    private long at(int panel, int group) {
        return ((long) panel * groups() + group) * groupBytes();
    }

    /** Outputs {@code first} to {@code first + number - 1}, whole panels but for the matrix' last one. */
    public QuantizedPanels outputs(int first, int number) {
        if (first % WIDTH != 0 || first < 0 || number < 1 || number > outputs - first || number % WIDTH != 0 && first + number != outputs) {
            throw new IllegalArgumentException("a part of a matrix in panels of " + WIDTH + " is panels, got " + number + " outputs from "
                    + first + " on, of " + outputs);
        }
        return new QuantizedPanels(data.asSlice(at(first / WIDTH, 0), bytes(quantization, inputs, number)), quantization, inputs, number, summation);
    }

    /** The same, its sums made in another order. */
    public QuantizedPanels summed(Summation other) {
        return new QuantizedPanels(data, quantization, inputs, outputs, other);
    }

    /** Sets all inputs of an output: a code each, and a scale a group. */
    public void set(int output, byte[] codes, int codesAt, short[] scales, int scalesAt) {
        int bits = quantization.bits();
        int mask = (1 << bits) - 1;
        int perStep = perStep();
        int lane = output % WIDTH;
        for (int group = 0; group < groups(); group++) {
            long here = at(output / WIDTH, group);
            data.set(SHORT, here + scaleAt(lane), scales[scalesAt + group]);
            int end = Math.min((group + 1) * quantization.group(), inputs);
            for (int input = group * quantization.group(); input < end; input += perStep) {
                int word = 0;
                for (int i = input; i < Math.min(input + perStep, end); i++) {
                    word |= (codes[codesAt + i] & mask) << (Integer.SIZE - bits * (i - input + 1));
                }
                data.set(INT, here + SCALES + (long) (input % quantization.group() / perStep) * STEP + 4L * lane, word);
            }
        }
    }

    private static long scaleAt(int lane) {
        return 4L * (lane % 16) + lane / 16 * 2L;
    }

    /** One number, {@code code * scale}; exact, in float32 too. */
    public float get(int input, int output) {
        int bits = quantization.bits();
        int lane = output % WIDTH;
        long here = at(output / WIDTH, input / quantization.group());
        int within = input % quantization.group();
        int word = data.get(INT, here + SCALES + (long) (within / perStep()) * STEP + 4L * lane);
        int code = word << bits * (within % perStep()) >> Integer.SIZE - bits;
        return code * Float.float16ToFloat(data.get(SHORT, here + scaleAt(lane)));
    }

    /** Copies all inputs of an output, which lie far apart here, into a row. */
    public void copyInputs(int output, Rows into, int row) {
        if (into.columns() != inputs) {
            throw new IllegalArgumentException("a row of " + inputs + " values is needed, got " + into);
        }
        for (int input = 0; input < inputs; input++) {
            into.set(row, input, get(input, output));
        }
    }

    @Override
    public String toString() {
        return quantization.bits() + "-bit " + inputs + " x " + outputs + " in panels";
    }
}
