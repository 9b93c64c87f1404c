package isonorm.rewrite;

import isonorm.architecture.RelativeBias.Gates;
import isonorm.weights.Matrix;
import isonorm.weights.Scratch;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;

/**
 * The layer that makes the two numbers of each head's gate of all that attention reads, or its bias, from one that makes them of a head's part: the first number of
 * each head, then the second of each, every one the sum of {@value Gates#SUMMED} outputs, and 0 where another head's part is.
 *
 * @param heads how many share {@code of}
 * @param weight whether it is the layer's matrix, and not its bias
 */
record HeadGates(Matrix of, int heads, boolean weight) implements Matrix {

    @Override
    public int rows() {
        return weight ? 2 * heads : 1;
    }

    @Override
    public int columns() {
        return heads * (weight ? of.columns() : 2);
    }

    @Override
    public void prepare() throws IOException {
        of.prepare();
    }

    @Override
    public void release() {
        of.release();
    }

    @Override
    public void read(Tile tile, double[] into) throws IOException {
        Arrays.fill(into, 0, tile.size(), 0);
        if (!weight) {
            double[] shared = new double[of.columns()];
            of.read(0, 1, shared);
            for (int c = 0; c < tile.columns(); c++) {
                add(shared, (tile.column() + c) / heads * Gates.SUMMED, 1, into, c);
            }
            return;
        }
        int width = of.columns();
        try (Scratch scratch = Scratch.borrow(2 * Gates.SUMMED * width)) {
            of.read(0, 2 * Gates.SUMMED, scratch.values());
            for (int r = 0; r < tile.rows(); r++) {
                int row = tile.row() + r;
                int part = row % heads * width;
                for (int c = Math.max(tile.column(), part); c < Math.min(tile.column() + tile.columns(), part + width); c++) {
                    add(scratch.values(), row / heads * Gates.SUMMED * width + c - part, width, into, r * tile.columns() + c - tile.column());
                }
            }
        }
    }

    private static void add(double[] shared, int first, int step, double[] into, int at) {
        for (int i = 0; i < Gates.SUMMED; i++) {
            into[at] += shared[first + i * step];
        }
    }

    @Override
    public void describe(List<String> steps) {
        of.describe(steps);
        steps.add("added up rows by " + Gates.SUMMED + " and gave each head its own");
    }
}
