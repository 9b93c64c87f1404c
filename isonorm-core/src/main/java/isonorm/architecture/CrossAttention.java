package isonorm.architecture;

/**
 * Attention of a decoder's block to what its encoder gives: {@code output(softmax(scale * q k^T + mask) v)}, where queries are made of the
 * decoder's stream behind a norm, keys and values of the encoder's output. A sub-layer of its own, behind the mixer.
 *
 * <p>The rows of the key-value projection are the key heads, then the value heads.
 *
 * @param scale what the scores are multiplied with
 * @param bias whether the query projection has a bias
 * @param keyValueBias whether the key-value projection has one
 * @param outputBias whether the output projection has a bias
 */
public record CrossAttention(Attention.Heads heads, double scale, boolean bias, boolean keyValueBias, boolean outputBias) {

    public CrossAttention {
        if (!Double.isFinite(scale)) {
            throw new IllegalArgumentException("scores have a finite scale, got " + scale);
        }
    }

    /** As {@link Attention#of}: as many key-value heads as heads, all biases. */
    public static CrossAttention of(int heads, int headWidth) {
        return new CrossAttention(new Attention.Heads(heads, heads, headWidth), 1 / Math.sqrt(headWidth), true, true, true);
    }

    public CrossAttention withScale(double factor) {
        return new CrossAttention(heads, factor, bias, keyValueBias, outputBias);
    }

    public CrossAttention withBiases(boolean query, boolean keyValue, boolean output) {
        return new CrossAttention(heads, scale, query, keyValue, output);
    }

    /** How many rows the query projection has, and how many columns the output projection. */
    public int queryWidth() {
        return heads.count() * heads.width();
    }

    /** How many rows the key-value projection has. */
    public int keyValueWidth() {
        return 2 * heads.keyValue() * heads.width();
    }
}
