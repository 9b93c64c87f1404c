package isonorm.gguf;

import isonorm.checkpoint.Dtype;
import isonorm.weights.Numbers;
import java.lang.foreign.MemorySegment;

/**
 * A type of tensors in GGUF: their rows are blocks of so many values in so many bytes.
 *
 * @param code the format's number for it
 * @param fileType the number for a file whose matrices are of it
 */
record GgufType(String label, int code, int fileType, int block, int blockBytes, Encoding encoding) {

    static final GgufType F32 = plain(0, 0, Dtype.F32);

    /** Writes values, whole blocks of them. */
    interface Encoding {
        /** The largest magnitude written; infinite or NaN where a value does not fit. */
        double encode(double[] values, int count, MemorySegment into);
    }

    static GgufType of(Dtype dtype) {
        return switch (dtype) {
            case F32 -> F32;
            case F16 -> plain(1, 1, dtype);
            case BF16 -> plain(30, 32, dtype);
            default -> throw new IllegalArgumentException("GGUF tensors are written in f32, f16 or bf16, got " + dtype);
        };
    }

    private static GgufType plain(int code, int fileType, Dtype dtype) {
        return new GgufType(dtype.toString(), code, fileType, 1, dtype.bytes(), (values, count, into) -> Numbers.encode(values, 0, count, into, dtype, 0));
    }

    long bytes(long values) {
        return values / block * blockBytes;
    }
}
