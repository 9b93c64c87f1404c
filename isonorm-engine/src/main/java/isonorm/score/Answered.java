package isonorm.score;

import java.util.List;

/**
 * A question and how likely a model finds each of its choices.
 *
 * @param logLikelihoods the sum of {@code log p(token)} over the tokens of each choice
 */
public record Answered(Question question, List<Double> logLikelihoods) {

    /** The index of the likeliest choice; the first of those that are equal. */
    public int chosen() {
        return largest(logLikelihoods.stream().mapToDouble(x -> x).toArray());
    }

    /** The same where each log likelihood is divided by how many characters (code points) its choice has. */
    public int chosenByLength() {
        double[] normalized = new double[logLikelihoods.size()];
        for (int c = 0; c < normalized.length; c++) {
            String choice = question.choices().get(c);
            normalized[c] = logLikelihoods.get(c) / choice.codePointCount(0, choice.length());
        }
        return largest(normalized);
    }

    private static int largest(double[] values) {
        int largest = 0;
        for (int i = 1; i < values.length; i++) {
            if (values[i] > values[largest]) {
                largest = i;
            }
        }
        return largest;
    }
}
