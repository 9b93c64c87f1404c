package isonorm.weights;

import java.util.List;
import java.util.OptionalInt;

/**
 * Positions that are computed: row p holds {@code sin(p w_i)} for the first half of its columns and {@code cos(p w_i)} for the second, where
 * {@code w_i} falls from 1 to 1 / 10000 (Attention Is All You Need, arXiv 1706.03762).
 *
 * @param zero a row that is zero, that of padding
 * @param spread by how many the exponent's steps are counted: {@code w_i = 10000^(-i / spread)}
 * @param rounded whether frequencies and angles are rounded to float32 on the way, as they are where models compute them so
 */
public record Sinusoids(int rows, int columns, OptionalInt zero, double spread, boolean rounded) implements Matrix {

    /** As tensor2tensor has them, in which the last frequency is 1 / 10000. */
    public static Sinusoids toTheLast(int rows, int columns, OptionalInt zero) {
        return new Sinusoids(rows, columns, zero, columns / 2 - 1, true);
    }

    /** As the paper has them. */
    public static Sinusoids of(int rows, int columns) {
        return new Sinusoids(rows, columns, OptionalInt.empty(), columns / 2.0, false);
    }

    @Override
    public void prepare() {}

    @Override
    public void release() {}

    @Override
    public void read(Tile tile, double[] into) {
        int half = columns / 2;
        for (int r = 0, at = 0; r < tile.rows(); r++) {
            int row = tile.row() + r;
            for (int c = 0; c < tile.columns(); c++, at++) {
                int column = tile.column() + c;
                if (column >= 2 * half || zero.isPresent() && zero.getAsInt() == row) {
                    into[at] = 0;
                    continue;
                }
                int i = column < half ? column : column - half;
                double angle = rounded ? (float) row * (float) Math.exp(i * (float) -(Math.log(10000) / spread)) : row * Math.pow(10000, -i / spread);
                into[at] = (float) (column < half ? Math.sin(angle) : Math.cos(angle));
            }
        }
    }

    @Override
    public void describe(List<String> steps) {
        steps.add("computed sines and cosines of positions");
    }
}
