package isonorm.inference;

/** What a model has read so far: the keys and values of every token, in every block. */
public final class Sequence implements AutoCloseable {

    Sequence() {}

    /** How many tokens it holds. */
    public int length() {
        throw new UnsupportedOperationException();
    }

    @Override
    public void close() {}
}
