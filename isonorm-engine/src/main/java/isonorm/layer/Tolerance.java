package isonorm.layer;

import isonorm.architecture.Stream;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Dtype;
import isonorm.convert.Comparison;
import isonorm.convert.Evidence.Limits;
import isonorm.model.Compute;
import isonorm.weights.Model;

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
     * A model written in 16 bits is as far from its original as the original is from itself with its weights rounded to that type. How far
     * that is depends on the model, so it is measured, and the root-mean-square error is at most so many times the measured one. The fixtures'
     * true conversions make up to 1.26 times of it, 2.1 of the divergence and 1.7 of the largest error.
     */
    public static final double ROUNDED_RMS = 2;

    /** The same of the Kullback-Leibler divergence, which grows as the square of errors. */
    public static final double ROUNDED_KL = ROUNDED_RMS * ROUNDED_RMS;

    /** The same of the largest error, the worst of some ten thousand to many millions, which is less certain than a mean. */
    public static final double ROUNDED_LARGEST = 3;

    /**
     * By how much more where n positions alone were compared, as a part of n: both errors are drawn by chance then, and of a few inputs with a score
     * each, one may be lucky where the other is not. The ratio of the roots of two mean squares of n normal errors is above so much once in some
     * thousand times: 7 for n = 4, 3.5 for 8, 1.3 for 256.
     */
    public static final double ROUNDED_FEW = 10;

    /**
     * By how much the mean square error of a compressed stream grows: its readers hold differences of two columns, which are larger than
     * either, and its last value is minus the sum of all that are stored, and has the sum of their errors. That was up to 3.7 times.
     */
    public static final double COMPRESSED = 3;

    /**
     * The same where the source has 16 bits already, as a part of d. The values of a row lie on a coarse grid then, and its mean is taken off
     * all of them, so those of one binade are rounded by the same amount, and the errors that the last value is the sum of do not cancel: of
     * normally distributed values the square of their sum is .2 d times the sum of their squares.
     */
    public static final double COMPRESSED_TWICE = .25;

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

    /** For a model whose weights were written in float64 or float32, against its original, both computed in {@code compute}. */
    public static double written(Dtype dtype, Compute compute) {
        double written = switch (dtype) {
            case F64 -> WRITTEN_F64;
            case F32 -> WRITTEN_F32;
            default -> throw new IllegalArgumentException("what " + dtype + " may differ by depends on the model, and is measured");
        };
        return compute == Compute.F64 ? written : Math.max(written, original(compute));
    }

    /**
     * For a model whose weights were written in 16 bits, by how far its original is from itself rounded; not below what float32 may differ by.
     *
     * @param written what was written of the original
     */
    public static Limits rounded(Comparison rounded, Model original, Model written) throws CheckpointException {
        double growth = 1;
        if (written.architecture().stream() == Stream.COMPRESSED) {
            boolean twice = original.coarsest().bytes() == Short.BYTES;
            growth = twice ? Math.max(COMPRESSED, COMPRESSED_TWICE * written.architecture().width()) : COMPRESSED;
        }
        double luck = 1 + ROUNDED_FEW / Math.max(1, rounded.positions());
        return new Limits(
                Math.max(WRITTEN_F32, ROUNDED_LARGEST * luck * Math.sqrt(growth) * rounded.largestError()),
                Math.max(WRITTEN_F32, ROUNDED_RMS * luck * Math.sqrt(growth) * rounded.rootMeanSquareError()),
                Math.max(WRITTEN_F32 * WRITTEN_F32, ROUNDED_KL * luck * luck * growth * rounded.kl()));
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
