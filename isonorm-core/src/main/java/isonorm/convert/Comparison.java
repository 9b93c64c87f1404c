package isonorm.convert;

/**
 * How far the outputs of a model B are from those of a model A, over all positions that are not padding.
 *
 * <p>Errors are parts of the standard deviation of A's compared outputs, so that they mean the same for every model. They are
 * NaN or infinite where an output is.
 *
 * @param largestError the largest |a - b|
 * @param rootMeanSquareError the root of the mean (a - b)^2
 * @param meanError the mean |a - b|
 * @param kl the mean over positions of KL(softmax a || softmax b), in nats; NaN where the outputs are no logits
 * @param top1Agreement the part of the positions where both have the same largest logit; NaN where the outputs are no logits
 * @param perplexityA A's perplexity on the text; NaN without one, and where attention is not causal
 * @param perplexityB B's, likewise
 * @param positions how many positions, or inputs with one output each, were compared
 * @param outputDeviation the standard deviation of A's compared outputs
 * @param compared which outputs, in words
 */
public record Comparison(
        double largestError,
        double rootMeanSquareError,
        double meanError,
        double kl,
        double top1Agreement,
        double perplexityA,
        double perplexityB,
        long positions,
        double outputDeviation,
        String compared) {

    /** Whether the largest error is at most {@code tolerance}; never where it is NaN. */
    public boolean within(double tolerance) {
        return largestError <= tolerance;
    }
}
