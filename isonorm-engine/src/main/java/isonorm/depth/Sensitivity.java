package isonorm.depth;

import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/**
 * What removing blocks does to the perplexity of a text, without any training afterwards.
 *
 * @param tokens how many tokens were predicted
 * @param perplexity of the whole model
 */
public record Sensitivity(long tokens, double perplexity, List<Removal> removals) {

    /**
     * The perplexity without some blocks that follow each other.
     *
     * @param block the first that is left out
     * @param span how many are left out
     */
    public record Removal(int block, int span, double perplexity) {}

    /** By which part the perplexity grows without one block. */
    public double increase(int block) {
        return removals.stream().filter(removal -> removal.span == 1 && removal.block == block).findFirst().orElseThrow().perplexity
                / perplexity - 1;
    }

    /** The blocks that follow each other, as many as a measured span has, without which the perplexity is lowest. */
    public List<Integer> cheapest(int span) {
        int first = removals.stream().filter(removal -> removal.span == span).min(Comparator.comparingDouble(Removal::perplexity)).orElseThrow().block;
        return IntStream.range(first, first + span).boxed().toList();
    }
}
