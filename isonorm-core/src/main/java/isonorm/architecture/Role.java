package isonorm.architecture;

/**
 * The name of one parameter by what it does: a part of the model, the block it is in, and what it is to that part.
 *
 * @param block counted from 0; -1 for parts outside the blocks
 */
public record Role(Part part, int block, Field field) {

    /** What a parameter is to its part. */
    public enum Field {
        /** The matrix of a linear layer, (out, in); a table, (rows, width); or a vector that stands for itself. */
        WEIGHT("weight"),
        /** What a linear layer or a norm adds. */
        BIAS("bias"),
        /** What a norm multiplies with. */
        GAIN("gain"),
        /** What a {@link NormKind#DYNAMIC_TANH} multiplies its input with. */
        ALPHA("alpha"),
        /** The mean of each row of a table, (rows). */
        MEANS("means"),
        /** A gain that was folded into the readers of this norm, kept for the way back. */
        FOLDED_GAIN("folded_gain"),
        /** A bias that was folded into the readers of this norm, kept for the way back. */
        FOLDED_BIAS("folded_bias"),
        /** The last column, which compression took out of this reader, kept for the way back. */
        COLUMN("column");

        private final String path;

        Field(String path) {
            this.path = path;
        }
    }

    public Role {
        if (part.perBlock() != (block >= 0)) {
            throw new IllegalArgumentException(part + " does not belong to block " + block);
        }
    }

    /** A parameter outside the blocks. */
    public static Role of(Part part, Field field) {
        return new Role(part, -1, field);
    }

    /** A parameter of one block. */
    public static Role of(Part part, int block, Field field) {
        return new Role(part, block, field);
    }

    /** Another field of the same part. */
    public Role field(Field other) {
        return new Role(part, block, other);
    }

    /** The tensor's name in Isonorm's own files. */
    public String path() {
        return (part.perBlock() ? "blocks." + block + "." : "") + part.path() + "." + field.path;
    }

    @Override
    public String toString() {
        return path();
    }
}
