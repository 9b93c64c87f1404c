package isonorm.depth;

import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;

/**
 * What removing blocks does to the perplexity of a text, without any training afterwards.
 *
 * @param tokens how many tokens were predicted
 * @param perplexity of the whole model
 * @param accuracies of questions that were asked besides
 */
public record Sensitivity(long tokens, double perplexity, List<Removal> removals, Optional<Accuracies> accuracies) {

    /**
     * The perplexity without some blocks that follow each other.
     *
     * @param block the first that is left out
     * @param span how many are left out
     */
    public record Removal(int block, int span, double perplexity) {

        /** The blocks that are not left out. */
        public IntPredicate others() {
            return l -> l < block || l >= block + span;
        }
    }

    /**
     * What parts of some multiple-choice questions are answered right.
     *
     * @param questions how many there are
     * @param whole by the whole model
     * @param without by the model without the blocks of each removal
     */
    public record Accuracies(int questions, Accuracy whole, List<Accuracy> without) {}

    /**
     * The part of questions that is answered right.
     *
     * @param plain by the likeliest choice
     * @param normalized by the likeliest for its number of characters
     */
    public record Accuracy(double plain, double normalized) {}

    public Sensitivity withAccuracies(Accuracies measured) {
        return new Sensitivity(tokens, perplexity, removals, Optional.of(measured));
    }

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
