package isonorm.verify;

/**
 * How likely a model finds a text.
 *
 * @param predicted how many of its tokens the model predicted
 * @param logLikelihood the sum of {@code log p(token)} over these
 * @param bytes how many bytes of UTF-8 they stand for; 0 where that is not known
 */
public record Likelihood(long predicted, double logLikelihood, long bytes) {

    /** The mean of {@code -log p(token)}. */
    public double nats() {
        return -logLikelihood / predicted;
    }

    /** {@code exp} of the mean of {@code -log p(token)}. */
    public double perplexity() {
        return Math.exp(nats());
    }

    /** The sum of {@code -log2 p(token)} over the bytes that the predicted tokens stand for; NaN where these are not known. */
    public double bitsPerByte() {
        return bytes == 0 ? Double.NaN : -logLikelihood / Math.log(2) / bytes;
    }
}
