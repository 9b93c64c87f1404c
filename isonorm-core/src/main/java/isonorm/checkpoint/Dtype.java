package isonorm.checkpoint;

import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * The type of a tensor's elements, spelled as safetensors spells it.
 *
 * <p>Formats of less than one byte (F4, F6_E2M3, F6_E3M2) are not known here: their tensors have no whole number of bytes
 * an element.
 */
public enum Dtype {
    F64(8, true),
    F32(4, true),
    F16(2, true),
    BF16(2, true),
    I64(8, false),
    I32(4, false),
    I16(2, false),
    I8(1, false),
    U64(8, false),
    U32(4, false),
    U16(2, false),
    U8(1, false),
    BOOL(1, false),
    /** A pair of float32 values. */
    C64(8, false),
    F8_E4M3(1, false),
    F8_E5M2(1, false),
    F8_E8M0(1, false),
    F8_E4M3FNUZ(1, false),
    F8_E5M2FNUZ(1, false);

    private static final Map<String, Dtype> BY_NAME =
            Stream.of(values()).collect(Collectors.toUnmodifiableMap(Dtype::name, Function.identity()));

    private final int bytes;
    private final boolean floating;

    Dtype(int bytes, boolean floating) {
        this.bytes = bytes;
        this.floating = floating;
    }

    /** The size of one element in bytes. */
    public int bytes() {
        return bytes;
    }

    /**
     * Whether an element is a real number that can be decoded by itself: float64, float32, float16 or bfloat16. The 8-bit
     * floats are not, because their values mean nothing without scales that the format does not describe.
     */
    public boolean floating() {
        return floating;
    }

    /** Returns the type of exactly this name, such as {@code BF16}. */
    public static Optional<Dtype> named(String name) {
        return Optional.ofNullable(BY_NAME.get(name));
    }
}
