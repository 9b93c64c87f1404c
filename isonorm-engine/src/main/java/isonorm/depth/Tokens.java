package isonorm.depth;

import isonorm.model.Batch;
import java.util.OptionalLong;

/**
 * What one batch puts into a stream: tokens, patches of images or frames of sounds, one row behind the other.
 *
 * @param batch what is read
 * @param length how many a row has
 * @param before how many other batches had before
 */
record Tokens(Batch batch, int length, long before) {

    int rows() {
        return batch.count();
    }

    int count() {
        return rows() * length;
    }

    /** The token at a place of the rows; none of what is no text. */
    OptionalLong id(int at) {
        return batch instanceof Batch.Tokens text ? OptionalLong.of(text.ids()[at / length][place(at)]) : OptionalLong.empty();
    }

    /** Where in its row that one stands. */
    int place(int at) {
        return at % length;
    }
}
