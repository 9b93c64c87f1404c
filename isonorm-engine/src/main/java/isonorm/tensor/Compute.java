package isonorm.tensor;

import isonorm.checkpoint.Dtype;
import isonorm.kernel.Type;
import java.util.Arrays;
import java.util.stream.Collectors;

/**
 * The type a forward pass keeps weights and activations in.
 *
 * <p>Statistics of norms, softmax, activations and rotary angles are computed in float32 or better for the types below it, and in
 * float64 in {@link #F64}; their results are rounded once.
 */
public enum Compute {
    F64("f64", Type.F64),
    F32("f32", Type.F32),
    BF16("bf16", Type.BF16),
    F16("f16", Type.F16);

    private final String label;
    private final Type type;

    Compute(String label, Type type) {
        this.label = label;
        this.type = type;
    }

    /** The word used on the command line. */
    public String label() {
        return label;
    }

    /** The type of this label. */
    public static Compute named(String label) {
        return Arrays.stream(values()).filter(compute -> compute.label.equals(label)).findFirst()
                .orElseThrow(() -> new IllegalArgumentException("a compute type is one of "
                        + Arrays.stream(values()).map(Compute::label).collect(Collectors.joining(", ")) + ", got " + label));
    }

    /** How many bytes a value takes. */
    public int bytes() {
        return type.bytes();
    }

    /** The element type of a file that has the same bytes. */
    public Dtype dtype() {
        return type.dtype();
    }

    /** How the values are stored. */
    public Type type() {
        return type;
    }

    /** The type that what is not yet rounded to this one is kept in: sums, and what norms and activations give. */
    public Type wide() {
        return this == F64 ? Type.F64 : Type.F32;
    }
}
