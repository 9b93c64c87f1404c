package isonorm.fused;

import java.util.Optional;

/**
 * Rows of a forward pass that are tokens of one sequence, one after the other.
 *
 * @param first which row is the first
 * @param position which place that token has in its sequence
 * @param sequence what was read before, and where keys and values are kept; none where the rows are the whole sequence
 * @param encoded what the encoder beside the model gave, where there is one
 */
record Span(int first, int count, int position, Optional<KvCache> sequence, Optional<Encoded> encoded) {

    static Span whole(int first, int count) {
        return new Span(first, count, 0, Optional.empty(), Optional.empty());
    }

    /** The next tokens of a sequence. */
    static Span next(int first, int count, KvCache sequence) {
        return new Span(first, count, sequence.length(), Optional.of(sequence), sequence.encoded());
    }

    /** The same beside what an encoder gave. */
    Span beside(Encoded other) {
        return new Span(first, count, position, sequence, Optional.of(other));
    }

    /** How many tokens the sequence has behind this. */
    int end() {
        return position + count;
    }
}
