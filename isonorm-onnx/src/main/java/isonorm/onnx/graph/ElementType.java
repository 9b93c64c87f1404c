package isonorm.onnx.graph;

import isonorm.checkpoint.Dtype;
import java.io.IOException;
import java.util.Arrays;
import java.util.Optional;

/** What a tensor's elements are, by the numbers that files have for them. */
public enum ElementType {
    FLOAT(1, 4),
    UINT8(2, 1),
    INT8(3, 1),
    UINT16(4, 2),
    INT16(5, 2),
    INT32(6, 4),
    INT64(7, 8),
    BOOL(9, 1),
    FLOAT16(10, 2),
    DOUBLE(11, 8),
    UINT32(12, 4),
    UINT64(13, 8),
    BFLOAT16(16, 2);

    private final int number;
    private final int bytes;

    ElementType(int number, int bytes) {
        this.number = number;
        this.bytes = bytes;
    }

    public int number() {
        return number;
    }

    /** How many bytes an element takes. */
    public int bytes() {
        return bytes;
    }

    /** The type of this number. */
    static ElementType of(long number) throws IOException {
        return Arrays.stream(values()).filter(type -> type.number == number).findFirst()
                .orElseThrow(() -> new IOException("a tensor of element type " + number + " is read by nothing here"));
    }

    /** The type of a checkpoint's tensors that has the same bytes, for what weights can be of. */
    public Optional<Dtype> dtype() {
        return switch (this) {
            case FLOAT -> Optional.of(Dtype.F32);
            case DOUBLE -> Optional.of(Dtype.F64);
            case FLOAT16 -> Optional.of(Dtype.F16);
            case BFLOAT16 -> Optional.of(Dtype.BF16);
            default -> Optional.empty();
        };
    }
}
