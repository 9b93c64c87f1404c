package isonorm.generate;

/**
 * How the next token is chosen, as Hugging Face transformers defines it and in its order.
 *
 * <ol>
 *   <li>The repetition penalty r (<a href="https://arxiv.org/abs/1909.05858">Keskar et al., 2019</a>): the logit of every token that
 *       stands in the prompt or was generated is divided by r where it is positive, else multiplied by it.
 *   <li>The temperature T: {@code p = softmax(logits / T)}.
 *   <li>Top-k: the k likeliest tokens stay, and those as likely as the last of them.
 *   <li>Top-p (<a href="https://arxiv.org/abs/1904.09751">Holtzman et al., 2020</a>): of those, the fewest of the likeliest stay whose
 *       probabilities sum to p or more. Of equal ones, which transformers takes in any order, the smaller id comes first.
 *   <li>Min-p (<a href="https://arxiv.org/abs/2407.01082">Nguyen et al., 2024</a>): of those, what is likelier than p times the likeliest
 *       or as likely stays.
 * </ol>
 *
 * <p>Of what stays, one is drawn. The likeliest always stays. A temperature of 0 takes it, the first of several, and draws nothing.
 *
 * @param temperature 0 or more; 1 leaves the model's probabilities as they are
 * @param topK how many tokens stay; 0 is all
 * @param topP above 0 to 1, which is all
 * @param minP 0, which is all, to 1, which is the likeliest and those as likely
 * @param repetitionPenalty above 0; 1 is none
 * @param seed gives, with the number of a row, what is drawn for this row, whatever stands in the others
 */
public record Sampling(double temperature, int topK, double topP, double minP, double repetitionPenalty, long seed) {

    public Sampling {
        // Comparisons are written such that NaN fails them.
        if (!(temperature >= 0 && temperature < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException("a temperature must be a number of 0 (the likeliest token) or more, got " + temperature);
        }
        if (topK < 0) {
            throw new IllegalArgumentException("top-k must be 0 (all tokens) or more, got " + topK);
        }
        if (!(topP > 0 && topP <= 1)) {
            throw new IllegalArgumentException("top-p must be above 0 and at most 1 (all tokens), got " + topP);
        }
        if (!(minP >= 0 && minP <= 1)) {
            throw new IllegalArgumentException("min-p must be from 0 (all tokens) to 1 (the likeliest), got " + minP);
        }
        if (!(repetitionPenalty > 0 && repetitionPenalty < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException("a repetition penalty must be a number above 0, 1 for none, got " + repetitionPenalty);
        }
    }

    /** The likeliest token, always. */
    public static Sampling greedy() {
        return new Sampling(0, 0, 1, 0, 1, 0);
    }

    public Sampling temperature(double other) {
        return new Sampling(other, topK, topP, minP, repetitionPenalty, seed);
    }

    public Sampling topK(int other) {
        return new Sampling(temperature, other, topP, minP, repetitionPenalty, seed);
    }

    public Sampling topP(double other) {
        return new Sampling(temperature, topK, other, minP, repetitionPenalty, seed);
    }

    public Sampling minP(double other) {
        return new Sampling(temperature, topK, topP, other, repetitionPenalty, seed);
    }

    public Sampling repetitionPenalty(double other) {
        return new Sampling(temperature, topK, topP, minP, other, seed);
    }

    public Sampling seed(long other) {
        return new Sampling(temperature, topK, topP, minP, repetitionPenalty, other);
    }
}
