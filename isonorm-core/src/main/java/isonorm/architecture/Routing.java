package isonorm.architecture;

/**
 * Which experts a position chooses, and with which weights.
 *
 * <pre>
 * s = scores of the router's outputs
 * chosen: the largest of s, or of s + correction; only those of the best groups where there are groups
 * weight(e) = scale * s(e), or scale * s(e) / (sum of the chosen scores) where they are normalized
 * </pre>
 *
 * <p>The softmax of the chosen outputs alone is the normalized softmax of all.
 *
 * @param chosen how many experts
 * @param normalized whether the chosen scores are divided by their sum
 * @param scale what weights are multiplied with
 * @param bias whether the router has a bias
 * @param correction whether a learned number is added to each expert's score where it is compared with others, and nowhere else (DeepSeek-V3,
 *     arXiv 2412.19437)
 */
public record Routing(int chosen, Scores scores, boolean normalized, double scale, Groups groups, boolean bias, boolean correction) {

    /** How outputs of the router become scores. */
    public sealed interface Scores {

        /** {@code exp(x) / sum of all}. */
        record Softmax() implements Scores {}

        /** {@code 1 / (1 + exp(-x))}. */
        record Sigmoid() implements Scores {}

        /**
         * SparseMixer's, of two experts: the first is the largest output m, its score the softmax over those outputs x with
         * {@code (m - x) / max(|x|, m) <= 2 jitter}; the second is found in the same way among the others (arXiv 2409.12136).
         */
        record SparseMixer(double jitter) implements Scores {}
    }

    /**
     * Groups of experts that follow each other, of which the best are kept.
     *
     * @param count how many; 1 for no groups
     * @param kept how many of them
     * @param scoredBy of how many of its best experts' scores a group's own is the sum
     */
    public record Groups(int count, int kept, int scoredBy) {

        /** All experts are one group. */
        public static final Groups NONE = new Groups(1, 1, 1);

        public Groups {
            if (count < 1 || kept < 1 || kept > count || scoredBy < 1) {
                throw new IllegalArgumentException("some groups of experts are kept, got " + kept + " of " + count);
            }
        }
    }

    public Routing {
        if (chosen < 1) {
            throw new IllegalArgumentException("a position chooses one expert or more, got " + chosen);
        }
        if (!(scale > 0) || scale == Double.POSITIVE_INFINITY) {
            throw new IllegalArgumentException("the weights of experts are multiplied with a positive number, got " + scale);
        }
        if (scores instanceof Scores.SparseMixer && (chosen != 2 || normalized || groups.count() > 1 || correction)) {
            throw new IllegalArgumentException("SparseMixer chooses 2 experts, of all and without more, got " + chosen);
        }
    }

    /** The softmax of all outputs. */
    public static Routing softmax(int chosen, boolean normalized) {
        return new Routing(chosen, new Scores.Softmax(), normalized, 1, Groups.NONE, false, false);
    }

    public Routing withScores(Scores other) {
        return new Routing(chosen, other, normalized, scale, groups, bias, correction);
    }

    public Routing withScale(double factor) {
        return new Routing(chosen, scores, normalized, factor, groups, bias, correction);
    }

    public Routing withGroups(Groups other) {
        return new Routing(chosen, scores, normalized, scale, other, bias, correction);
    }

    public Routing withBias(boolean added) {
        return new Routing(chosen, scores, normalized, scale, groups, added, correction);
    }

    public Routing withCorrection() {
        return new Routing(chosen, scores, normalized, scale, groups, bias, true);
    }
}
