package isonorm.layer;

import isonorm.checkpoint.Dtype;
import isonorm.model.Compute;

/**
 * How far outputs may differ, the worst element of all, as a part of the standard deviation of the reference's outputs; and why
 * that far.
 */
public final class Tolerance {

    /**
     * A model in float64 against the reference implementation in float64. The reference keeps a few steps in float32, rotary
     * tables and norms among them, and these make up to 1.8e-6 (Gemma 2).
     */
    public static final double ORIGINAL_F64 = 2e-6;

    /**
     * A model in float32 against the reference in float64. Roundings of 6e-8 in every operation add up to 4e-6 in the small
     * models of the tests; ten times that leaves room for other libraries' orders of summation.
     */
    public static final double ORIGINAL_F32 = 5e-5;

    /**
     * A converted model, its weights rounded to float32 once more, in float64 against the reference: {@link #ORIGINAL_F64}, and up
     * to 1.6e-6 for the rounding.
     */
    public static final double CONVERTED_F64 = 5e-6;

    /** A converted model in float32 against the reference; a rounding more disappears among those of the arithmetic. */
    public static final double CONVERTED_F32 = 5e-5;

    /** Two forms of one function, in float64 with weights that were not rounded: only the order of operations differs. */
    public static final double SAME_FUNCTION_F64 = 1e-10;

    /**
     * A model in bfloat16, with 8 bits of precision, against the reference. A rounding is 4e-3; weights and activations of three
     * to six blocks make up to .19 of it, and a wrong operation makes 1 and more.
     */
    public static final double ORIGINAL_BF16 = .4;

    /** A model in float16, with 11 bits of precision, against the reference: an eighth of {@link #ORIGINAL_BF16}. */
    public static final double ORIGINAL_F16 = .05;

    /**
     * A converted model stored in float32 against its original, both in float64. Rounding every weight makes up to 4e-6 in small
     * models, and it grows with depth; a wrong conversion makes 1e-2 and more.
     */
    public static final double WRITTEN_F32 = 1e-4;

    /**
     * The same stored in float16: .05 was measured on 1.56 billion random weights in 48 blocks. That the rewrite itself is right
     * is shown by {@link #REWRITTEN_F64}, before rounding.
     */
    public static final double WRITTEN_F16 = .2;

    /** The same stored in bfloat16: a rounding is 8 times that of float16. */
    public static final double WRITTEN_BF16 = 1.2;

    /**
     * A converted model before its weights are rounded, against its original, both in float64: 1e-13 in small models, growing
     * with depth; a wrong conversion makes 1e-2 and more.
     */
    public static final double REWRITTEN_F64 = 1e-8;

    /** The same stored in float64: nothing is rounded that counts. */
    public static final double WRITTEN_F64 = 1e-9;

    /**
     * The forms of one model of random weights, computed in one type: the root of the mean squared difference as a part of the
     * outputs' spread, which is milder than the worst element. Twelve blocks make up to 1.2e-6; another function makes one.
     */
    public static final double SAME_FUNCTION_RMS_F32 = 1e-4;

    /** The same in bfloat16: twelve blocks make up to .02, and it grows with depth. */
    public static final double SAME_FUNCTION_RMS_BF16 = .1;

    /** The same in float16, whose roundings are an eighth of those of bfloat16. */
    public static final double SAME_FUNCTION_RMS_F16 = .05;

    /**
     * The gradient of a parameter in float64 against the reference's, the worst number as a part of the parameter's largest: only the order
     * of sums differs, which makes up to 5e-15 in two to four blocks. A constant rounded to float32 makes 1e-8 and more.
     */
    public static final double GRADIENT_F64 = 1e-12;

    /** The same in float32: roundings of 6e-8 make up to 3e-6 of it; a wrong factor makes 1e-2 and more. */
    public static final double GRADIENT_F32 = 3e-5;

    private Tolerance() {}

    /** For two forms of one model, both computed in {@code compute}, by the root of the mean squared difference. */
    public static double sameFunctionRms(Compute compute) {
        return switch (compute) {
            case F64 -> SAME_FUNCTION_F64;
            case F32 -> SAME_FUNCTION_RMS_F32;
            case BF16 -> SAME_FUNCTION_RMS_BF16;
            case F16 -> SAME_FUNCTION_RMS_F16;
        };
    }

    /** For a model whose weights were written in {@code dtype}, against its original, both computed in float64. */
    public static double written(Dtype dtype) {
        return switch (dtype) {
            case F64 -> WRITTEN_F64;
            case F32 -> WRITTEN_F32;
            case F16 -> WRITTEN_F16;
            case BF16 -> WRITTEN_BF16;
            default -> throw new IllegalArgumentException("weights are written in F64, F32, F16 or BF16, got " + dtype);
        };
    }

    /** For models whose weights were written in {@code dtype}, compared with each other in {@code compute}. */
    public static double written(Dtype dtype, Compute compute) {
        return compute == Compute.F64 ? written(dtype) : Math.max(written(dtype), original(compute));
    }

    /** For a model against the reference implementation in float64, computed in {@code compute}. */
    public static double original(Compute compute) {
        return switch (compute) {
            case F64 -> ORIGINAL_F64;
            case F32 -> ORIGINAL_F32;
            case F16 -> ORIGINAL_F16;
            case BF16 -> ORIGINAL_BF16;
        };
    }
}
