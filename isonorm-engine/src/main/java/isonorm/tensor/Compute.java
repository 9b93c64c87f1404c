package isonorm.tensor;

import isonorm.checkpoint.Dtype;
import java.util.Arrays;
import java.util.stream.Collectors;
import org.bytedeco.pytorch.global.torch.ScalarType;

/**
 * The type a forward pass keeps weights and activations in.
 *
 * <p>Statistics of norms, softmax, activations and rotary angles are computed in float32 for the types below it, and in
 * float64 in {@link #F64}; their results are rounded once.
 */
public enum Compute {
    F64("f64"),
    F32("f32"),
    BF16("bf16"),
    F16("f16");

    private final String label;

    Compute(String label) {
        this.label = label;
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
        return switch (this) {
            case F64 -> Double.BYTES;
            case F32 -> Float.BYTES;
            case BF16, F16 -> Short.BYTES;
        };
    }

    /** The element type of a file that has the same bytes. */
    public Dtype dtype() {
        return switch (this) {
            case F64 -> Dtype.F64;
            case F32 -> Dtype.F32;
            case BF16 -> Dtype.BF16;
            case F16 -> Dtype.F16;
        };
    }

    /** libtorch's name of it. */
    public ScalarType type() {
        return switch (this) {
            case F64 -> ScalarType.Double;
            case F32 -> ScalarType.Float;
            case BF16 -> ScalarType.BFloat16;
            case F16 -> ScalarType.Half;
        };
    }

    /** The type of sums, roots and exponentials. */
    public Compute statistics() {
        return this == F64 ? F64 : F32;
    }

    /** The lowest finite value of the type of the statistics. */
    public double lowest() {
        return this == F64 ? -Double.MAX_VALUE : -Float.MAX_VALUE;
    }
}
