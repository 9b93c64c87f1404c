package isonorm.kernel;

import isonorm.checkpoint.Dtype;
import isonorm.model.Compute;

/** How the numbers of {@link Rows} are stored. */
public enum Type {
    /** IEEE 754 double precision, in which only {@link PlainKernels} computes. */
    F64(8, Dtype.F64),
    /** IEEE 754 single precision. */
    F32(4, Dtype.F32),
    /** The upper half of an {@link #F32}: 8 bits of precision. */
    BF16(2, Dtype.BF16),
    /** IEEE 754 half precision: 11 bits of precision, nothing above 65504. Weights of products are taken to be finite. */
    F16(2, Dtype.F16);

    private final int bytes;
    private final Dtype dtype;

    Type(int bytes, Dtype dtype) {
        this.bytes = bytes;
        this.dtype = dtype;
    }

    /** How a forward pass keeps weights and activations. */
    public static Type of(Compute compute) {
        return switch (compute) {
            case F64 -> F64;
            case F32 -> F32;
            case BF16 -> BF16;
            case F16 -> F16;
        };
    }

    /** The type in which is kept what is not rounded yet: sums, and what norms and activations give. */
    public static Type wide(Compute compute) {
        return compute == Compute.F64 ? F64 : F32;
    }

    /** The size of one number. */
    public int bytes() {
        return bytes;
    }

    /** The element type of a file that has the same bytes. */
    public Dtype dtype() {
        return dtype;
    }
}
