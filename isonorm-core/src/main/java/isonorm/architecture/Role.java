package isonorm.architecture;

import java.util.OptionalInt;

/**
 * The name of one parameter by what it does: a part of the model, the block it is in, and what it is to that part.
 *
 * @param stack the stack it is in
 * @param block counted from 0; -1 for parts outside the blocks
 * @param number which of a block's experts, or of several {@link Part#numbered} parts, it belongs to, counted from 0; empty where there are none, or
 *     the part is all experts'
 */
public record Role(Stack stack, Part part, int block, OptionalInt number, Field field) {

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
        if (number.isPresent() && (block < 0 && !part.numbered() || number.getAsInt() < 0)) {
            throw new IllegalArgumentException("experts are counted from 0 and belong to a block, got expert " + number.getAsInt() + " of "
                    + part + " in block " + block);
        }
    }

    /** A parameter outside the blocks of the main stack. */
    public static Role of(Part part, Field field) {
        return new Role(Stack.MAIN, part, -1, OptionalInt.empty(), field);
    }

    /** A parameter of one block of the main stack. */
    public static Role of(Part part, int block, Field field) {
        return new Role(Stack.MAIN, part, block, OptionalInt.empty(), field);
    }

    /** Another field of the same part. */
    public Role field(Field other) {
        return new Role(stack, part, block, number, other);
    }

    /** The same parameter of another block. */
    public Role inBlock(int other) {
        return new Role(stack, part, other, number, field);
    }

    /** The same parameter of one expert. */
    public Role ofExpert(int expert) {
        return new Role(stack, part, block, OptionalInt.of(expert), field);
    }

    /** One of several {@link Part#numbered} parts outside the blocks of the main stack. */
    public static Role numbered(Part part, int number, Field field) {
        return new Role(Stack.MAIN, part, -1, OptionalInt.of(number), field);
    }

    /** The same parameter of another stack. */
    public Role in(Stack other) {
        return new Role(other, part, block, number, field);
    }

    /** The tensor's name in Isonorm's own files. */
    public String path() {
        return stack.prefix() + (part.perBlock() ? "blocks." + block + "." : "") + part.path() + "." + (number.isPresent() ? number.getAsInt() + "." : "")
                + field.path;
    }

    @Override
    public String toString() {
        return path();
    }
}
