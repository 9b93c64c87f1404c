package isonorm.kernel;

/**
 * Float32 values, one per row, column, key or head: a bias, a gain, scales. {@link #NONE} stands for those that are not there.
 *
 * @param array where they are; not copied, so that kernels can write into it
 * @param first where in the array they begin
 */
public record Values(float[] array, int first, int count) {

    /** No values at all; what they would do is left out. */
    public static final Values NONE = new Values(new float[0], 0, 0);

    public Values {
        if (first < 0 || count < 0 || count > array.length - first) {
            throw new IllegalArgumentException(
                    "values must lie in their array, got " + count + " from " + first + " on, of " + array.length);
        }
    }

    /** These values. */
    public static Values of(float... array) {
        return new Values(array, 0, array.length);
    }

    /** Room for {@code count} values. */
    public static Values room(int count) {
        return of(new float[count]);
    }

    /** Values {@code from} to {@code from + length - 1}; none of none. */
    public Values slice(int from, int length) {
        if (!present()) {
            return this;
        }
        if (from < 0 || length < 0 || length > count - from) {
            throw new IllegalArgumentException("a slice must lie inside, got " + length + " from " + from + " on, of " + count);
        }
        return new Values(array, first + from, length);
    }

    /** Whether there are any. */
    public boolean present() {
        return count > 0;
    }

    /** Value {@code index}. */
    public float get(int index) {
        return array[first + index];
    }

    /** Sets value {@code index}. */
    public void set(int index, float value) {
        array[first + index] = value;
    }
}
