package isonorm.weights;

import isonorm.checkpoint.Dtype;
import java.io.IOException;
import java.util.List;

/**
 * A matrix rounded to a type once, as a file of that type would hold it; values that the type holds already are each moved by a seeded
 * random error of up to half a unit in the last place, which is what a rounding does to a value of no type.
 *
 * <p>A value's error follows from the seed and from where the value is, so it is the same however the matrix is read. Zeros stay, and so do
 * values that do not fit the type.
 */
public record Rounded(Matrix of, Dtype dtype, Seed seed) implements Matrix {

    @Override
    public int rows() {
        return of.rows();
    }

    @Override
    public int columns() {
        return of.columns();
    }

    @Override
    public Tile shape() {
        return of.shape();
    }

    @Override
    public void prepare() throws IOException {
        of.prepare();
    }

    @Override
    public void read(Tile tile, double[] into) throws IOException {
        of.read(tile, into);
        try (Scratch scratch = Scratch.borrow(tile.size())) {
            double[] rounded = scratch.values();
            Numbers.round(into, tile.size(), dtype, rounded);
            for (int r = 0, at = 0; r < tile.rows(); r++) {
                long first = (long) (tile.row() + r) * columns() + tile.column();
                for (int c = 0; c < tile.columns(); c++, at++) {
                    into[at] = rounded[at] == into[at] ? moved(into[at], first + c) : Double.isInfinite(rounded[at]) ? into[at] : rounded[at];
                }
            }
        }
    }

    private double moved(double value, long position) {
        return value == 0 ? 0 : value + Numbers.halfUnit(value, dtype) * (seed.number(position) >> 11) * 0x1p-52;
    }

    @Override
    public void release() {
        of.release();
    }

    @Override
    public void describe(List<String> steps) {
        of.describe(steps);
        steps.add("rounded to " + dtype);
    }
}
