package isonorm.architecture;

import java.util.OptionalInt;

/**
 * Multi-head latent attention: keys and values of all heads come from one short vector a position, {@code c}, and so do queries in some models:
 *
 * <pre>
 * [a, c, r] = what reads the stream, of queryRank or all queries' values, keyValueRank and rotaryWidth values
 * q = up(norm(a)), or a         each head's plainWidth values, then the rotaryWidth that are turned
 * [k, v] = up(norm(c))          each head's plainWidth and valueWidth values
 * output(softmax(scale q [k, r]^T + mask) v), r turned and the same for all heads
 * </pre>
 *
 * @param queryRank how many values the queries come from; empty where they are read from the stream themselves
 * @param rotary how the {@code rotaryWidth} values are turned
 * @param norm of the short vectors
 * @see <a href="https://arxiv.org/abs/2405.04434">DeepSeek-V2, 2024</a>
 */
public record LatentAttention(
        int heads,
        OptionalInt queryRank,
        int keyValueRank,
        int plainWidth,
        int valueWidth,
        Attention.Scores scores,
        Rotary rotary,
        Norm norm,
        boolean bias,
        boolean outputBias)
        implements Mixer {

    public LatentAttention {
        if (heads < 1 || keyValueRank < 1 || plainWidth < 1 || valueWidth < 1 || queryRank.orElse(1) < 1) {
            throw new IllegalArgumentException("latent attention has heads and widths of 1 or more, got " + heads + " heads, widths " + plainWidth + " and "
                    + valueWidth + ", ranks " + keyValueRank + " and " + queryRank);
        }
        long wide = (long) plainWidth + Math.max(valueWidth, rotary.width());
        if (3L * heads * wide + keyValueRank + queryRank.orElse(0) > Integer.MAX_VALUE) {
            throw new IllegalArgumentException("queries, keys and values of a position are at most 2^31 - 1 numbers, got " + heads + " heads, widths " + plainWidth
                    + " and " + valueWidth + ", ranks " + keyValueRank + " and " + queryRank);
        }
    }

    @Override
    public boolean causal() {
        return scores.causal();
    }

    /** How many values of a head's query meet those of its key. */
    public int queryWidth() {
        return plainWidth + rotary.width();
    }

    /** How many values queries have in what reads the stream. */
    public int readQueries() {
        return queryRank.orElse(heads * queryWidth());
    }

    /** How many rows what reads the stream has. */
    public int projectionWidth() {
        return readQueries() + keyValueRank + rotary.width();
    }

    /** How many columns the output projection has. */
    public int outputColumns() {
        return heads * valueWidth;
    }

    /**
     * The attention that this is once queries, keys and values are there: heads that begin with the turned values, with zeros behind what is shorter
     * than the others.
     */
    @Override
    public Attention attention() {
        return Attention.of(heads, Math.max(queryWidth(), valueWidth)).withScores(scores).withRotary(rotary);
    }

    @Override
    public LatentAttention withReadingBias() {
        return new LatentAttention(heads, queryRank, keyValueRank, plainWidth, valueWidth, scores, rotary, norm, true, outputBias);
    }
}
