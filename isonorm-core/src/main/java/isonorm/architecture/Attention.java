package isonorm.architecture;

import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/**
 * Attention of one block: {@code output(softmax(scale * q k^T + positions + mask) v)}.
 *
 * <p>The rows of the query-key-value projection are the query heads, then the key heads, then the value heads, whatever
 * order a family's files have.
 *
 * @param clip queries, keys and values are clamped to {@code [-clip, clip]}
 * @param bias whether the query-key-value projection has a bias
 * @param keyBias whether that bias is of keys too; where it is not, that of the keys is zero, and a format has no place for another (DINOv3)
 * @param outputBias whether the output projection has a bias
 */
public record Attention(Heads heads, Scores scores, Positions positions, Norms norms, OptionalDouble clip, boolean bias, boolean keyBias, boolean outputBias)
        implements Mixer {

    /**
     * What queries, keys and values are divided into. {@code count / keyValue} query heads that follow each other share a key-value head.
     *
     * @param count of the queries
     * @param keyValue of the keys, and of the values
     * @param width of each
     */
    public record Heads(int count, int keyValue, int width) {

        public Heads {
            if (count <= 0 || keyValue <= 0 || width <= 0 || count % keyValue != 0) {
                throw new IllegalArgumentException("attention needs heads that are a multiple of its key-value heads, got "
                        + count + " heads, " + keyValue + " key-value heads of width " + width);
            }
            if ((count + 2L * keyValue) * width > Integer.MAX_VALUE) {
                throw new IllegalArgumentException("queries, keys and values of a position are at most 2^31 - 1 numbers, got " + count + " heads, "
                        + keyValue + " key-value heads of width " + width);
            }
        }
    }

    /**
     * What a query makes of the keys it sees.
     *
     * @param causal whether a query sees no later position
     * @param scale what the scores are multiplied with, {@code 1/sqrt(head width)} in most models
     * @param window how many positions a query sees, itself included, and where it is not causal as many on the other side; all when empty
     * @param softcap scores become {@code softcap * tanh(scores / softcap)}
     * @param sinks whether each head has a learned score more, whose key no value belongs to: weights then sum to less than one (gpt-oss)
     */
    public record Scores(boolean causal, double scale, OptionalInt window, OptionalDouble softcap, boolean sinks) {

        public Scores {
            if (!Double.isFinite(scale) || window.orElse(1) < 1 || !(softcap.orElse(1) > 0)) {
                throw new IllegalArgumentException("scores have a finite scale, a window of 1 or more and a softcap above 0, got " + scale
                        + (window.isPresent() ? ", a window of " + window.getAsInt() : "") + (softcap.isPresent() ? ", a softcap of " + softcap.getAsDouble() : ""));
            }
        }

        public Scores(boolean causal, double scale, OptionalInt window, OptionalDouble softcap) {
            this(causal, scale, window, softcap, false);
        }
    }

    /** How scores know positions: queries and keys are turned, scores get a bias that is computed or learned, or neither. */
    public record Positions(Optional<Rotary> rotary, Optional<Alibi> alibi, Optional<RelativeBias> relative) {}

    /**
     * What is normalized inside.
     *
     * @param value the norm of the values, over the span that the query-key norm has, or of each head where there is none
     * @param inner the norm of all heads' outputs together, before the output projection (Sub-LN, arXiv 2210.06423)
     * @param headScales whether a learned number multiplies what each head gives, before the output projection and behind the inner norm
     *     (NormFormer, arXiv 2110.09456)
     */
    public record Norms(Optional<QueryKeyNorm> queryKey, Optional<Norm> value, Optional<Norm> inner, boolean headScales) {

        /** What the norms of queries, keys and values run over. */
        public QueryKeyNorm.Span span() {
            return queryKey.map(QueryKeyNorm::span).orElse(QueryKeyNorm.Span.HEAD);
        }
    }

    public Attention {
        if (positions.rotary().isPresent() && positions.rotary().get().width() > heads.width()) {
            throw new IllegalArgumentException(
                    "the rotary width " + positions.rotary().get().width() + " is larger than the head width " + heads.width());
        }
        if (!(clip.orElse(1) > 0)) {
            throw new IllegalArgumentException("queries, keys and values are clamped to a positive number, got " + clip.getAsDouble());
        }
    }

    /** Causal attention with as many key-value heads as heads, no positions and all biases. */
    public static Attention of(int heads, int headWidth) {
        return new Attention(new Heads(heads, heads, headWidth),
                new Scores(true, 1 / Math.sqrt(headWidth), OptionalInt.empty(), OptionalDouble.empty()),
                new Positions(Optional.empty(), Optional.empty(), Optional.empty()),
                new Norms(Optional.empty(), Optional.empty(), Optional.empty(), false), OptionalDouble.empty(), true, true, true);
    }

    @Override
    public boolean causal() {
        return scores.causal;
    }

    /** What queries multiply with what their distances from keys add to scores. */
    public RelativeBias.Gates gates() {
        return positions.relative.map(RelativeBias::gates).orElse(RelativeBias.Gates.NONE);
    }

    /** How many rows the query-key-value projection has. */
    public int projectionWidth() {
        return (heads.count + 2 * heads.keyValue) * heads.width;
    }

    /** How many columns the output projection has. */
    public int outputColumns() {
        return heads.count * heads.width;
    }

    @Override
    public Attention attention() {
        return this;
    }

    public Attention withScores(Scores other) {
        return with(other);
    }

    /** The same with a learned score more a head. */
    public Attention withSinks() {
        return with(new Scores(scores.causal, scores.scale, scores.window, scores.softcap, true));
    }

    private Attention with(Scores other) {
        return new Attention(heads, other, positions, norms, clip, bias, keyBias, outputBias);
    }

    private Attention with(Positions other) {
        return new Attention(heads, scores, other, norms, clip, bias, keyBias, outputBias);
    }

    private Attention with(Norms other) {
        return new Attention(heads, scores, positions, other, clip, bias, keyBias, outputBias);
    }

    public Attention withKeyValueHeads(int count) {
        return new Attention(new Heads(heads.count, count, heads.width), scores, positions, norms, clip, bias, keyBias, outputBias);
    }

    /** Every position sees every other. */
    public Attention bidirectional() {
        return with(new Scores(false, scores.scale, scores.window, scores.softcap, scores.sinks));
    }

    public Attention withScale(double factor) {
        return with(new Scores(scores.causal, factor, scores.window, scores.softcap, scores.sinks));
    }

    public Attention withWindow(int positions) {
        return with(new Scores(scores.causal, scores.scale, OptionalInt.of(positions), scores.softcap, scores.sinks));
    }

    public Attention withSoftcap(double cap) {
        return with(new Scores(scores.causal, scores.scale, scores.window, OptionalDouble.of(cap), scores.sinks));
    }

    public Attention withRotary(Rotary turned) {
        return with(new Positions(Optional.of(turned), positions.alibi, positions.relative));
    }

    public Attention withAlibi(Alibi biases) {
        return with(new Positions(positions.rotary, Optional.of(biases), positions.relative));
    }

    public Attention withRelative(RelativeBias bias) {
        return with(new Positions(positions.rotary, positions.alibi, Optional.of(bias)));
    }

    public Attention withQueryKeyNorm(QueryKeyNorm norm) {
        return with(new Norms(Optional.of(norm), norms.value, norms.inner, norms.headScales));
    }

    public Attention withValueNorm(Norm norm) {
        return with(new Norms(norms.queryKey, Optional.of(norm), norms.inner, norms.headScales));
    }

    public Attention withInnerNorm(Norm norm) {
        return with(new Norms(norms.queryKey, norms.value, Optional.of(norm), norms.headScales));
    }

    /** The same with a learned number for each head. */
    public Attention withHeadScales() {
        return with(new Norms(norms.queryKey, norms.value, norms.inner, true));
    }

    public Attention withClip(double limit) {
        return new Attention(heads, scores, positions, norms, OptionalDouble.of(limit), bias, keyBias, outputBias);
    }

    @Override
    public Attention withReadingBias() {
        return withBiases(true, outputBias);
    }

    /** The same attention with or without a bias on the query-key-value projection and on the output projection. */
    public Attention withBiases(boolean projection, boolean output) {
        return new Attention(heads, scores, positions, norms, clip, projection, true, output);
    }

    /** The same attention where the bias of the query-key-value projection leaves keys as they are. */
    public Attention withoutKeyBias() {
        return new Attention(heads, scores, positions, norms, clip, bias, false, outputBias);
    }
}
