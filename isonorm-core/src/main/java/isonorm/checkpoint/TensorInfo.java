package isonorm.checkpoint;

import java.util.List;
import java.util.Objects;
import java.util.OptionalLong;

/**
 * What a tensor is: its name, its element type and its shape. The shape {@code []} is a scalar of one element, and a
 * dimension of zero makes an empty tensor.
 *
 * <p>A tensor whose elements or bytes cannot be counted in 63 bits is refused on construction, so that {@link #elements()}
 * and {@link #bytes()} are always exact.
 */
public record TensorInfo(String name, Dtype dtype, List<Long> shape) {

    public TensorInfo {
        Objects.requireNonNull(name, "name");
        Objects.requireNonNull(dtype, "dtype");
        shape = List.copyOf(shape);
        if (bytes(dtype, shape).isEmpty()) {
            throw new IllegalArgumentException("tensor " + name + ": the shape must be dimensions of zero or more whose"
                    + " product fits 63 bits as bytes, got " + dtype + " " + shape);
        }
    }

    /** The number of elements, the product of the shape. */
    public long elements() {
        return bytes() / dtype.bytes();
    }

    /** The number of bytes in a file: elements times the size of one. */
    public long bytes() {
        return bytes(dtype, shape).orElseThrow();
    }

    /** The product of the shape and the element size; empty when a dimension is negative or the product overflows. */
    static OptionalLong bytes(Dtype dtype, List<Long> shape) {
        long product = dtype.bytes();
        for (long dimension : shape) {
            // A product that overflows on the way to a zero is refused too, as the reference implementation does.
            if (dimension < 0 || Math.multiplyHigh(product, dimension) != 0 || product * dimension < 0) {
                return OptionalLong.empty();
            }
            product *= dimension;
        }
        return OptionalLong.of(product);
    }
}
