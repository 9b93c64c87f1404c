package isonorm.model;

import isonorm.checkpoint.Dtype;
import java.util.Arrays;
import java.util.stream.Collectors;

/**
 * The type a forward pass keeps weights and activations in.
 *
 * <p>Statistics of norms, softmax, activations and rotary angles are computed in float32 or better for the types below it, and in
 * float64 in {@link #F64}; their results are rounded once.
 */
public enum Compute {
    F64("f64", Dtype.F64),
    F32("f32", Dtype.F32),
    BF16("bf16", Dtype.BF16),
    F16("f16", Dtype.F16);

    private final String label;
    private final Dtype dtype;

    Compute(String label, Dtype dtype) {
        this.label = label;
        this.dtype = dtype;
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
        return dtype.bytes();
    }

    /** The element type of a file that has the same bytes. */
    public Dtype dtype() {
        return dtype;
    }
}
