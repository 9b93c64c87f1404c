package isonorm.convert;

import isonorm.checkpoint.Dtype;
import java.util.List;
import java.util.Optional;

/**
 * What shows whether a checkpoint is equal to its original.
 *
 * @param comparisons of models with the original computed in the widest type, the written one in that type among them
 * @param limits how far the first comparison of the written model may be from the original
 * @param rounding the type of 16 bits whose rounding the limits come from, where the files have one
 */
public record Evidence(List<Measured> comparisons, Limits limits, Optional<Dtype> rounding) {

    /**
     * How far one model is from the original.
     *
     * @param computed the type that the model was computed in, {@code f64} for instance
     */
    public record Measured(Subject model, String computed, Comparison comparison) {}

    /**
     * How far a model may be from its original and still count as equal; infinite where nothing is limited.
     *
     * @param largestError the most that {@link Comparison#largestError} may be
     * @param rootMeanSquareError the most that {@link Comparison#rootMeanSquareError} may be
     * @param kl the most that {@link Comparison#kl} may be, where the outputs are logits
     */
    public record Limits(double largestError, double rootMeanSquareError, double kl) {

        /** A limit on the largest error alone. */
        public static Limits ofLargestError(double largest) {
            return new Limits(largest, Double.POSITIVE_INFINITY, Double.POSITIVE_INFINITY);
        }

        /** Whether a comparison stays within every limit; never where an output is NaN. */
        public boolean allow(Comparison comparison) {
            return comparison.within(largestError)
                    && !(comparison.rootMeanSquareError() > rootMeanSquareError)
                    && !(comparison.kl() > kl);
        }
    }

    /** What is compared with the original. */
    public enum Subject {
        /** The model that was written, as it was before its values were rounded. */
        BEFORE_ROUNDING("before rounding"),
        /** The model that was written. */
        WRITTEN("written"),
        /** The original with its weights rounded to the written type: what one rounding does to this model. */
        ROUNDED("original, rounded"),
        /** The file that was converted on, beside the original that it was rounded from: how much of it is rounding. */
        SOURCE("source file"),
        /** The original itself in the type it is stored in: what that type's arithmetic does. */
        ORIGINAL("original");

        private final String label;

        Subject(String label) {
            this.label = label;
        }

        /** The words used in files and tables. */
        public String label() {
            return label;
        }
    }

    public Evidence {
        comparisons = List.copyOf(comparisons);
        if (find(comparisons, Subject.WRITTEN).isEmpty()) {
            throw new IllegalArgumentException("evidence needs a comparison of the written model, got " + comparisons);
        }
        if (rounding.isPresent() && find(comparisons, Subject.ROUNDED).isEmpty()) {
            throw new IllegalArgumentException("limits that come from rounding need the original, rounded, got " + comparisons);
        }
    }

    private static Optional<Comparison> find(List<Measured> comparisons, Subject model) {
        return comparisons.stream().filter(measured -> measured.model == model).map(Measured::comparison).findFirst();
    }

    /** The comparison that decides: the first of the written model. */
    public Comparison decisive() {
        return find(comparisons, Subject.WRITTEN).orElseThrow();
    }

    /** What one rounding does to the original, where a type of 16 bits is written. */
    public Optional<Comparison> rounded() {
        return find(comparisons, Subject.ROUNDED);
    }

    /** Whether the written model is within the limits. */
    public boolean equal() {
        return limits.allow(decisive());
    }

    /** How many times as far as its own rounding the written model is from the original, by the root-mean-square errors. */
    public double timesRounding() {
        double one = rounded().map(Comparison::rootMeanSquareError).orElse(Double.NaN);
        return decisive().rootMeanSquareError() / one;
    }
}
