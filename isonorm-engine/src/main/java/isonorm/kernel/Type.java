package isonorm.kernel;

/** How the numbers of {@link Rows} are stored. */
public enum Type {
    /** IEEE 754 double precision, in which only {@link PlainKernels} computes. */
    F64(8),
    /** IEEE 754 single precision. */
    F32(4),
    /** The upper half of an {@link #F32}: 8 bits of precision. */
    BF16(2),
    /** IEEE 754 half precision: 11 bits of precision, nothing above 65504. Weights of products are taken to be finite. */
    F16(2);

    private final int bytes;

    Type(int bytes) {
        this.bytes = bytes;
    }

    /** The size of one number. */
    public int bytes() {
        return bytes;
    }
}
