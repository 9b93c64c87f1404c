package isonorm.architecture;

import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/**
 * Attention of one block: {@code output(softmax(scale * q k^T + positions + mask) v)}.
 *
 * <p>The rows of the query-key-value projection are the query heads, then the key heads, then the value heads, whatever
 * order a family's files have. {@code heads / keyValueHeads} query heads that follow each other share a key-value head.
 *
 * @param scale what the scores are multiplied with, {@code 1/sqrt(headWidth)} in most models
 * @param window how many positions a query sees, itself included; all when empty
 * @param valueNorm the norm of the values, over the span that the query-key norm has, or of each head where there is none
 * @param innerNorm the norm of all heads' outputs together, before the output projection (Sub-LN, arXiv 2210.06423)
 * @param headScales whether a learned number multiplies what each head gives, before the output projection and behind the inner norm
 *     (NormFormer, arXiv 2110.09456)
 * @param softcap scores become {@code softcap * tanh(scores / softcap)}
 * @param clip queries, keys and values are clamped to {@code [-clip, clip]}
 * @param bias whether the query-key-value projection has a bias
 * @param outputBias whether the output projection has a bias
 */
public record Attention(
        int heads,
        int keyValueHeads,
        int headWidth,
        boolean causal,
        double scale,
        OptionalInt window,
        Optional<Rotary> rotary,
        Optional<Alibi> alibi,
        Optional<QueryKeyNorm> queryKeyNorm,
        Optional<Norm> valueNorm,
        Optional<Norm> innerNorm,
        boolean headScales,
        OptionalDouble softcap,
        OptionalDouble clip,
        boolean bias,
        boolean outputBias) {

    public Attention {
        if (heads <= 0 || keyValueHeads <= 0 || headWidth <= 0 || heads % keyValueHeads != 0) {
            throw new IllegalArgumentException("attention needs heads that are a multiple of its key-value heads, got "
                    + heads + " heads, " + keyValueHeads + " key-value heads of width " + headWidth);
        }
        if (rotary.isPresent() && rotary.get().width() > headWidth) {
            throw new IllegalArgumentException(
                    "the rotary width " + rotary.get().width() + " is larger than the head width " + headWidth);
        }
    }

    /** Causal attention with as many key-value heads as heads, no positions and all biases. */
    public static Attention of(int heads, int headWidth) {
        return new Attention(heads, heads, headWidth, true, 1 / Math.sqrt(headWidth), OptionalInt.empty(),
                Optional.empty(), Optional.empty(), Optional.empty(), Optional.empty(), Optional.empty(), false, OptionalDouble.empty(),
                OptionalDouble.empty(), true, true);
    }

    /** How many rows the query-key-value projection has. */
    public int projectionWidth() {
        return (heads + 2 * keyValueHeads) * headWidth;
    }

    /** What the norms of queries, keys and values run over. */
    public QueryKeyNorm.Span normSpan() {
        return queryKeyNorm.map(QueryKeyNorm::span).orElse(QueryKeyNorm.Span.HEAD);
    }

    /** How many columns the output projection has. */
    public int outputColumns() {
        return heads * headWidth;
    }

    public Attention withKeyValueHeads(int count) {
        return new Attention(heads, count, headWidth, causal, scale, window, rotary, alibi,
                queryKeyNorm, valueNorm, innerNorm, headScales, softcap, clip, bias, outputBias);
    }

    /** Every position sees every other. */
    public Attention bidirectional() {
        return new Attention(heads, keyValueHeads, headWidth, false, scale, window, rotary, alibi,
                queryKeyNorm, valueNorm, innerNorm, headScales, softcap, clip, bias, outputBias);
    }

    public Attention withScale(double factor) {
        return new Attention(heads, keyValueHeads, headWidth, causal, factor, window, rotary, alibi,
                queryKeyNorm, valueNorm, innerNorm, headScales, softcap, clip, bias, outputBias);
    }

    public Attention withWindow(int positions) {
        return new Attention(heads, keyValueHeads, headWidth, causal, scale, OptionalInt.of(positions), rotary, alibi,
                queryKeyNorm, valueNorm, innerNorm, headScales, softcap, clip, bias, outputBias);
    }

    public Attention withRotary(Rotary turned) {
        return new Attention(heads, keyValueHeads, headWidth, causal, scale, window, Optional.of(turned), alibi,
                queryKeyNorm, valueNorm, innerNorm, headScales, softcap, clip, bias, outputBias);
    }

    public Attention withAlibi(Alibi biases) {
        return new Attention(heads, keyValueHeads, headWidth, causal, scale, window, rotary, Optional.of(biases),
                queryKeyNorm, valueNorm, innerNorm, headScales, softcap, clip, bias, outputBias);
    }

    public Attention withQueryKeyNorm(QueryKeyNorm norm) {
        return new Attention(heads, keyValueHeads, headWidth, causal, scale, window, rotary, alibi,
                Optional.of(norm), valueNorm, innerNorm, headScales, softcap, clip, bias, outputBias);
    }

    public Attention withValueNorm(Norm norm) {
        return new Attention(heads, keyValueHeads, headWidth, causal, scale, window, rotary, alibi,
                queryKeyNorm, Optional.of(norm), innerNorm, headScales, softcap, clip, bias, outputBias);
    }

    public Attention withInnerNorm(Norm norm) {
        return new Attention(heads, keyValueHeads, headWidth, causal, scale, window, rotary, alibi,
                queryKeyNorm, valueNorm, Optional.of(norm), headScales, softcap, clip, bias, outputBias);
    }

    /** The same with a learned number for each head. */
    public Attention withHeadScales() {
        return new Attention(heads, keyValueHeads, headWidth, causal, scale, window, rotary, alibi,
                queryKeyNorm, valueNorm, innerNorm, true, softcap, clip, bias, outputBias);
    }

    public Attention withSoftcap(double cap) {
        return new Attention(heads, keyValueHeads, headWidth, causal, scale, window, rotary, alibi,
                queryKeyNorm, valueNorm, innerNorm, headScales, OptionalDouble.of(cap), clip, bias, outputBias);
    }

    public Attention withClip(double limit) {
        return new Attention(heads, keyValueHeads, headWidth, causal, scale, window, rotary, alibi,
                queryKeyNorm, valueNorm, innerNorm, headScales, softcap, OptionalDouble.of(limit), bias, outputBias);
    }

    /** The same attention with or without a bias on the query-key-value projection and on the output projection. */
    public Attention withBiases(boolean projection, boolean output) {
        return new Attention(heads, keyValueHeads, headWidth, causal, scale, window, rotary, alibi,
                queryKeyNorm, valueNorm, innerNorm, headScales, softcap, clip, projection, output);
    }
}
