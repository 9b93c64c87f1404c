package isonorm.gguf;

import isonorm.checkpoint.Dtype;
import isonorm.weights.Numbers;
import isonorm.weights.Quantization;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;

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

    /** Of codes, which are written as they are. */
    private static final Encoding NONE = (_, _, _) -> Double.NaN;

    static GgufType of(Dtype dtype) {
        return switch (dtype) {
            case F32 -> F32;
            case F16 -> plain(1, 1, dtype);
            case BF16 -> plain(30, 32, dtype);
            default -> throw new IllegalArgumentException("GGUF tensors are written in f32, f16 or bf16, got " + dtype);
        };
    }

    /** Q8_0 or Q4_0: of 32 codes one float16 scale in front of them; of 4 bits a byte has the code of an input and that of the one 16 behind it, plus 8. */
    static GgufType of(Quantization quantization) {
        return quantization.bits() == 8 ? new GgufType("Q8_0", 8, 7, 32, 34, NONE) : new GgufType("Q4_0", 2, 2, 32, 18, NONE);
    }

    /** Writes codes of whole blocks and their scales as a type of few bits has them. */
    void encode(byte[] codes, short[] scales, int count, ByteBuffer into) {
        for (int b = 0; b < count / block; b++) {
            into.putShort(scales[b]);
            int at = b * block;
            if (blockBytes > block) {
                into.put(codes, at, block);
                continue;
            }
            for (int j = 0; j < block / 2; j++) {
                into.put((byte) (codes[at + j] + 8 | codes[at + block / 2 + j] + 8 << 4));
            }
        }
    }

    private static GgufType plain(int code, int fileType, Dtype dtype) {
        return new GgufType(dtype.toString(), code, fileType, 1, dtype.bytes(), (values, count, into) -> Numbers.encode(values, 0, count, into, dtype, 0));
    }

    long bytes(long values) {
        return values / block * blockBytes;
    }
}
