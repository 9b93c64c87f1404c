package isonorm.weights;

/**
 * How a matrix is written in few bits: the inputs of each output in groups, of each group one scale in float16 and of each value a whole
 * number, {@code value = code * scale}.
 *
 * <p>Codes are -128 to 127 or -8 to 7. A group's value of the largest size gets the code of the largest size, -128 or -8, so that none is lost
 * on symmetry; the others are rounded to the nearest, ties to even.
 *
 * @param bits 8 or 4
 * @param group how many inputs share a scale, a multiple of 32
 */
public record Quantization(int bits, int group) {

    /** The group that is taken where nobody asks for another. */
    public static final int GROUP = 32;

    public Quantization {
        if (bits != 8 && bits != 4) {
            throw new IllegalArgumentException("weights are quantized to 8 or 4 bits, got " + bits);
        }
        if (group < GROUP || group > 1024 || group % GROUP != 0) {
            throw new IllegalArgumentException("a group is a multiple of 32 inputs, 1024 at the most, got " + group);
        }
    }

    /** Groups of {@value #GROUP}. */
    public static Quantization of(int bits) {
        return new Quantization(bits, GROUP);
    }

    /** The groups of so many inputs; the last one may be shorter. */
    public int groups(int inputs) {
        return Math.ceilDiv(inputs, group);
    }

    /** The bytes that the codes of so many inputs take. */
    public int codeBytes(int inputs) {
        return Math.ceilDiv(inputs * bits, Byte.SIZE);
    }

    /** The bits that a value takes, its share of the scales included. */
    public double bitsPerWeight() {
        return bits + (double) Short.SIZE / group;
    }

    /** The code of the largest size. */
    public int largest() {
        return -(1 << (bits - 1));
    }

    /** The float16 bits of the scale of {@code count} values from {@code at} on. */
    public short scale(double[] values, int at, int count) {
        double extreme = 0;
        for (int i = at; i < at + count; i++) {
            if (Math.abs(values[i]) > Math.abs(extreme)) {
                extreme = values[i];
            }
        }
        return Float.floatToFloat16((float) (extreme / largest()));
    }

    /** The code of a value under a scale; 0 under a scale of 0. */
    public byte code(double value, double scale) {
        return scale == 0 ? 0 : (byte) Math.clamp((long) Math.rint(value / scale), largest(), -largest() - 1);
    }

    /** Rounds one output's inputs, {@code count} values from {@code at} on: a code each and a scale a group. */
    public void round(double[] values, int at, int count, byte[] codes, int codesAt, short[] scales, int scalesAt) {
        for (int first = 0, g = 0; first < count; first += group, g++) {
            int n = Math.min(group, count - first);
            short scale = scale(values, at + first, n);
            scales[scalesAt + g] = scale;
            double by = Float.float16ToFloat(scale);
            for (int i = first; i < first + n; i++) {
                codes[codesAt + i] = code(values[at + i], by);
            }
        }
    }
}
