package isonorm.weights;

import java.util.Arrays;
import java.util.List;

/**
 * A matrix in memory.
 *
 * @param values row after row
 */
public record Dense(int rows, int columns, double[] values, String origin) implements Matrix {

    public Dense {
        if (values.length != rows * columns) {
            throw new IllegalArgumentException(rows + " x " + columns + " values needed, got " + values.length);
        }
    }

    /** A matrix of given values. */
    public static Dense of(int rows, int columns, double... values) {
        return new Dense(rows, columns, values, "given");
    }

    /** A vector of {@code length} times {@code value}. */
    public static Dense constant(int length, double value) {
        double[] values = new double[length];
        Arrays.fill(values, value);
        return new Dense(1, length, values, value == 0 ? "zeros" : value == 1 ? "ones" : "the constant " + value);
    }

    @Override
    public void prepare() {}

    @Override
    public void read(Tile tile, double[] into) {
        for (int r = 0; r < tile.rows(); r++) {
            System.arraycopy(values, (tile.row() + r) * columns + tile.column(), into, r * tile.columns(), tile.columns());
        }
    }

    @Override
    public void release() {}

    @Override
    public void describe(List<String> steps) {
        steps.add(origin);
    }
}
