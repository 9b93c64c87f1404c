package isonorm.kernel;

import java.util.Arrays;

/**
 * Values, one per row, column, key or head: a bias, a gain, scales. {@link #NONE} stands for those that are not there. They are
 * float32, or float64 where the rows they go with are.
 *
 * @param array where float32 values are; not copied, so that kernels can write into it
 * @param doubles where float64 values are; empty for float32
 * @param first where in the array they begin
 */
public record Values(float[] array, double[] doubles, int first, int count) {

    private static final double[] FLOATS = {};

    /** No values at all; what they would do is left out. */
    public static final Values NONE = new Values(new float[0], FLOATS, 0, 0);

    public Values {
        if (first < 0 || count < 0 || count > Math.max(array.length, doubles.length) - first) {
            throw new IllegalArgumentException("values must lie in their array, got " + count + " from " + first + " on, of "
                    + Math.max(array.length, doubles.length));
        }
    }

    /** These values. */
    public static Values of(float... array) {
        return new Values(array, FLOATS, 0, array.length);
    }

    /** These values, float64. */
    public static Values of(double... array) {
        return new Values(new float[0], array, 0, array.length);
    }

    /** {@code count} times the same value. */
    public static Values constant(int count, float value) {
        float[] array = new float[count];
        Arrays.fill(array, value);
        return of(array);
    }

    /** These values, each times a factor. */
    public Values times(double factor) {
        float[] product = new float[count];
        for (int i = 0; i < count; i++) {
            product[i] = (float) (factor * get(i));
        }
        return of(product);
    }

    /** Room for {@code count} values. */
    public static Values room(int count) {
        return of(new float[count]);
    }

    /** Room for {@code count} values that go with rows of a type. */
    public static Values room(Type type, int count) {
        return type == Type.F64 ? of(new double[count]) : room(count);
    }

    /** Values {@code from} to {@code from + length - 1}; none of none. */
    public Values slice(int from, int length) {
        if (!present()) {
            return this;
        }
        if (from < 0 || length < 0 || length > count - from) {
            throw new IllegalArgumentException("a slice must lie inside, got " + length + " from " + from + " on, of " + count);
        }
        return new Values(array, doubles, first + from, length);
    }

    /** Whether there are any. */
    public boolean present() {
        return count > 0;
    }

    /** Value {@code index}. */
    public double get(int index) {
        return doubles.length > 0 ? doubles[first + index] : array[first + index];
    }

    /** Sets value {@code index}, rounded where it is float32. */
    public void set(int index, double value) {
        if (doubles.length > 0) {
            doubles[first + index] = value;
        } else {
            array[first + index] = (float) value;
        }
    }
}
