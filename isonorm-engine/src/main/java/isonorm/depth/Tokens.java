package isonorm.depth;

/**
 * The tokens of one batch.
 *
 * @param ids rows of one length
 * @param before how many tokens other batches had before
 */
record Tokens(long[][] ids, long before) {

    int count() {
        return ids.length * ids[0].length;
    }

    /** The token at a place of the rows, one row behind the other. */
    long id(int at) {
        return ids[at / ids[0].length][place(at)];
    }

    /** Where in its row that token stands. */
    int place(int at) {
        return at % ids[0].length;
    }
}
