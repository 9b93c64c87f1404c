package isonorm.kernel;

import isonorm.architecture.Rotary.Pairing;

/**
 * The angles of a rotary embedding: cosine and sine per position and pair. Pair i of a head, (a, b), becomes
 * {@code (a cos - b sin, b cos + a sin)}; which two values it is, the pairing says. (Su et al., arXiv 2104.09864)
 *
 * @param cosine (positions, pairs), F32
 * @param sine (positions, pairs), F32
 */
public record Turns(Pairing pairing, Rows cosine, Rows sine) {

    public Turns {
        if (cosine.type() != Type.F32 || sine.type() != Type.F32
                || cosine.rows() != sine.rows() || cosine.columns() != sine.columns()) {
            throw new IllegalArgumentException("cosine and sine must be F32 tables of one size, got " + cosine + " and " + sine);
        }
    }

    /** How many values of a head are turned. */
    public int width() {
        return 2 * cosine.columns();
    }
}
