package isonorm.kernel;

import isonorm.architecture.Rotary;
import isonorm.architecture.Rotary.Pairing;
import java.lang.foreign.Arena;

/**
 * The angles of a rotary embedding: cosine and sine per position and pair, both times its magnitude. Pair i of a head, (a, b), becomes
 * {@code (a cos - b sin, b cos + a sin)}; which two values it is, the pairing says. (Su et al., arXiv 2104.09864)
 *
 * @param cosine (positions, pairs), F32, or F64 where rows of F64 are turned
 * @param sine (positions, pairs), of the same type
 */
public record Turns(Pairing pairing, Rows cosine, Rows sine) {

    public Turns {
        if (cosine.type() != sine.type() || cosine.type().bytes() < Float.BYTES
                || cosine.rows() != sine.rows() || cosine.columns() != sine.columns()) {
            throw new IllegalArgumentException("cosine and sine must be tables of one size, both F32 or both F64, got " + cosine + " and " + sine);
        }
    }

    /** The angles of positions 0 to {@code positions - 1}, in memory of {@code arena}, as numbers of {@code type}, F32 or F64. */
    public static Turns of(Rotary rotary, Type type, int positions, Arena arena) {
        double magnitude = rotary.magnitude();
        int pairs = rotary.width() / 2;
        Rows cosines = Rows.allocate(arena, type, positions, pairs, pairs);
        Rows sines = Rows.allocate(arena, type, positions, pairs, pairs);
        for (int position = 0; position < positions; position++) {
            double[] angles = rotary.angles(position);
            for (int i = 0; i < pairs; i++) {
                cosines.set(position, i, magnitude * Math.cos(angles[i]));
                sines.set(position, i, magnitude * Math.sin(angles[i]));
            }
        }
        return new Turns(rotary.pairing(), cosines, sines);
    }

    /** What turns back by the opposite angles, in memory of {@code arena}. */
    public Turns inverse(Arena arena) {
        Rows sines = Rows.allocate(arena, sine.type(), sine.rows(), sine.columns(), sine.columns());
        for (int position = 0; position < sines.rows(); position++) {
            for (int i = 0; i < sines.columns(); i++) {
                sines.set(position, i, -sine.get(position, i));
            }
        }
        return new Turns(pairing, cosine, sines);
    }

    /** How many values of a head are turned. */
    public int width() {
        return 2 * cosine.columns();
    }
}
