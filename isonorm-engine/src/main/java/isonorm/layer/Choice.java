package isonorm.layer;

import isonorm.architecture.Routing;
import isonorm.architecture.Routing.Groups;
import isonorm.architecture.Routing.Scores;
import java.util.Arrays;

/**
 * The experts that one position chose, in the order of their numbers, and the weight of each, as {@link Routing} defines them.
 *
 * <p>Of equal scores the first counts.
 */
public record Choice(int[] experts, double[] weights) {

    /** What keeps the sum of scores that are all too small from being zero, as DeepSeek-V3 has it; beside other sums it is nothing. */
    private static final double LEAST = 1e-20;

    /**
     * The experts that a position is given to.
     *
     * @param outputs the router's, as many as there are experts
     * @param correction as many, or none
     */
    public static Choice of(Routing routing, double[] outputs, double[] correction) {
        double[] scores = switch (routing.scores()) {
            case Scores.Softmax() -> softmax(outputs);
            case Scores.Sigmoid() -> Arrays.stream(outputs).map(x -> 1 / (1 + Math.exp(-x))).toArray();
            case Scores.SparseMixer(double jitter) -> {
                int first = best(outputs, new boolean[outputs.length]);
                boolean[] others = new boolean[outputs.length];
                others[first] = true;
                double[] weights = new double[outputs.length];
                weights[first] = sparse(outputs, first, -1, jitter);
                int second = best(outputs, others);
                weights[second] = sparse(outputs, second, first, jitter);
                yield weights;
            }
        };
        double[] compared = scores.clone();
        for (int e = 0; e < correction.length; e++) {
            compared[e] += correction[e];
        }
        int[] chosen = best(compared, hidden(compared, routing.groups()), routing.chosen());
        Arrays.sort(chosen);
        double sum = LEAST;
        for (int e : chosen) {
            sum += scores[e];
        }
        double factor = routing.normalized() ? routing.scale() / sum : routing.scale();
        return new Choice(chosen, Arrays.stream(chosen).mapToDouble(e -> scores[e] * factor).toArray());
    }

    private static double[] softmax(double[] outputs) {
        double largest = Arrays.stream(outputs).max().orElseThrow();
        double[] scores = Arrays.stream(outputs).map(x -> Math.exp(x - largest)).toArray();
        double sum = Arrays.stream(scores).sum();
        for (int e = 0; e < scores.length; e++) {
            scores[e] /= sum;
        }
        return scores;
    }

    /** The softmax of one output over those near it, {@code without} one of them. */
    private static double sparse(double[] outputs, int of, int without, double jitter) {
        double m = outputs[of];
        double sum = 0;
        for (int e = 0; e < outputs.length; e++) {
            boolean far = (m - outputs[e]) / Math.max(Math.abs(outputs[e]), m) > 2 * jitter;
            sum += e == without || far ? 0 : Math.exp(outputs[e] - m);
        }
        return 1 / sum;
    }

    /** Those experts that are in none of the best groups. */
    private static boolean[] hidden(double[] compared, Groups groups) {
        boolean[] hidden = new boolean[compared.length];
        if (groups.kept() == groups.count()) {
            return hidden;
        }
        int size = compared.length / groups.count();
        double[] scores = new double[groups.count()];
        for (int g = 0; g < scores.length; g++) {
            double[] sorted = Arrays.copyOfRange(compared, g * size, (g + 1) * size);
            Arrays.sort(sorted);
            for (int i = 0; i < Math.min(groups.scoredBy(), size); i++) {
                scores[g] += sorted[size - 1 - i];
            }
        }
        Arrays.fill(hidden, true);
        for (int g : best(scores, new boolean[scores.length], groups.kept())) {
            Arrays.fill(hidden, g * size, (g + 1) * size, false);
        }
        return hidden;
    }

    private static int[] best(double[] values, boolean[] hidden, int count) {
        boolean[] taken = hidden.clone();
        int[] best = new int[count];
        for (int i = 0; i < count; i++) {
            best[i] = best(values, taken);
            taken[best[i]] = true;
        }
        return best;
    }

    /** The first of the largest that are not taken; NaN is larger than nothing. */
    private static int best(double[] values, boolean[] taken) {
        int best = -1;
        for (int i = 0; i < values.length; i++) {
            if (!taken[i] && (best < 0 || values[i] > values[best] || Double.isNaN(values[best]))) {
                best = i;
            }
        }
        return best;
    }
}
