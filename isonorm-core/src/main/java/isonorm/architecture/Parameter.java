package isonorm.architecture;

import java.util.List;

/**
 * One parameter an architecture has, with its shape: a vector of {@code columns} values when {@code rows} is 0, a matrix
 * otherwise. Linear weights are (out, in).
 */
public record Parameter(Role role, int rows, int columns) {

    public Parameter {
        if (rows < 0 || columns < 1) {
            throw new IllegalArgumentException("every parameter has 1 value or more in each direction, got " + rows + " x " + columns + " of " + role.path());
        }
    }

    /** A matrix or table. */
    public static Parameter matrix(Role role, int rows, int columns) {
        if (rows < 1) { // which is how a vector says what it is
            throw new IllegalArgumentException("every parameter has 1 value or more in each direction, got " + rows + " x " + columns + " of " + role.path());
        }
        return new Parameter(role, rows, columns);
    }

    /** A vector. */
    public static Parameter vector(Role role, int length) {
        return new Parameter(role, 0, length);
    }

    /** The same parameter of another stack. */
    public Parameter in(Stack stack) {
        return new Parameter(role.in(stack), rows, columns);
    }

    /** Whether it has one dimension. */
    public boolean isVector() {
        return rows == 0;
    }

    /** How many values it has. */
    public long elements() {
        return isVector() ? columns : (long) rows * columns;
    }

    /** The shape as files hold it. */
    public List<Long> shape() {
        return isVector() ? List.of((long) columns) : List.of((long) rows, (long) columns);
    }
}
