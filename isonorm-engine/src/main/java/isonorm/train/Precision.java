package isonorm.train;

import isonorm.kernel.Type;
import java.util.Arrays;
import java.util.stream.Collectors;

/** The types that weights are kept in and that is computed with. */
public enum Precision {
    /** All of it in float32. */
    F32("f32", Type.F32, Type.F32),
    /** Float32 weights, computing in bfloat16. */
    BF16("bf16", Type.F32, Type.BF16),
    /** Float32 weights, computing in float16 with a loss scale (arXiv 1710.03740). */
    F16("f16", Type.F32, Type.F16),
    /** All of it in bfloat16. */
    BF16_PURE("bf16-pure", Type.BF16, Type.BF16),
    /** All of it in float64. */
    F64("f64", Type.F64, Type.F64);

    private final String label;
    private final Type type;
    private final Type compute;

    Precision(String label, Type type, Type compute) {
        this.label = label;
        this.type = type;
        this.compute = compute;
    }

    /** The word in a configuration. */
    public String label() {
        return label;
    }

    /** Of weights and of what the optimizer remembers. */
    Type type() {
        return type;
    }

    /** Of what is computed. */
    Type compute() {
        return compute;
    }

    static Precision named(String word) {
        return Arrays.stream(values()).filter(one -> one.label.equals(word)).findFirst().orElseThrow(() -> new IllegalArgumentException(
                "dtype must be " + Arrays.stream(values()).limit(values().length - 1).map(Precision::label).collect(Collectors.joining(", "))
                        + " or " + F64.label + ", got " + word));
    }
}
