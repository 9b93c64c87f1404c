package isonorm.fused;

import java.util.Optional;

/**
 * Rows of a forward pass that are tokens of one sequence, one after the other.
 *
 * @param first which row is the first
 * @param position which place that token has in its sequence
 * @param sequence what was read before, and where keys and values are kept; none where the rows are the whole sequence
 */
record Span(int first, int count, int position, Optional<KvCache> sequence) {

    static Span whole(int first, int count) {
        return new Span(first, count, 0, Optional.empty());
    }

    /** How many tokens the sequence has behind this. */
    int end() {
        return position + count;
    }
}
