package isonorm.convert;

import java.util.List;

/**
 * What shows that a written checkpoint is equal to its original.
 *
 * @param comparisons of models with the original computed in float64, the written one in float64 among them
 * @param tolerance how large the largest error of the written model in float64 was allowed to be
 */
public record Evidence(List<Measured> comparisons, double tolerance) {

    /**
     * How far one model is from the original.
     *
     * @param computed the type that the model was computed in, {@code f64} for instance
     */
    public record Measured(Subject model, String computed, Comparison comparison) {}

    /** What is compared with the original. */
    public enum Subject {
        /** The model that was written, as it was before its values were rounded. */
        BEFORE_ROUNDING("before rounding"),
        /** The model that was written. */
        WRITTEN("written"),
        /** The original itself in the type it is stored in: what rounding alone does. */
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
        if (comparisons.stream().noneMatch(measured -> measured.model == Subject.WRITTEN)) {
            throw new IllegalArgumentException("evidence needs a comparison of the written model, got " + comparisons);
        }
    }

    /** The comparison that decided: the first of the written model. */
    public Comparison decisive() {
        return comparisons.stream().filter(measured -> measured.model == Subject.WRITTEN).findFirst().orElseThrow().comparison;
    }
}
