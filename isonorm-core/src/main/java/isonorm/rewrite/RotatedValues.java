package isonorm.rewrite;

import isonorm.weights.Basis;
import isonorm.weights.Matrix;
import isonorm.weights.Scratch;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;

/**
 * A projection to queries, keys and values, or its bias, whose rows or values from {@code first} on are the vectors of heads, one behind the other, each of which
 * is rotated: {@code Q^T v}.
 *
 * @param weight whether it is the projection's rows, and not the values of its bias
 */
record RotatedValues(Matrix of, Basis basis, int first, boolean weight) implements Matrix {

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
        return weight ? new Tile(0, basis.from(), 0, Math.clamp(65_536 / basis.from(), 32, 256)) : new Tile(0, 1, 0, of.columns());
    }

    @Override
    public void prepare() throws IOException {
        of.prepare();
        try {
            basis.prepare();
        } catch (IOException | RuntimeException e) {
            of.release();
            throw e;
        }
    }

    @Override
    public void release() {
        of.release();
    }

    @Override
    public void read(Tile tile, double[] into) throws IOException {
        if (!weight) {
            readBias(tile, into);
            return;
        }
        int n = tile.columns();
        int end = tile.row() + tile.rows();
        int plain = Math.clamp(first - tile.row(), 0, tile.rows());
        if (plain > 0) {
            of.read(tile.withRows(tile.row(), plain), into);
        }
        int width = basis.from();
        for (int row = tile.row() + plain; row < end;) {
            int head = first + (row - first) / width * width;
            int some = Math.min(head + width, end) - row;
            try (Scratch read = Scratch.borrow(width * n); Scratch turned = Scratch.borrow(width * n)) {
                of.read(tile.withRows(head, width), read.values());
                basis.columns(read.values(), n, row - head, some, turned.values());
                System.arraycopy(turned.values(), 0, into, (row - tile.row()) * n, some * n);
            }
            row += some;
        }
    }

    private void readBias(Tile tile, double[] into) throws IOException {
        int width = basis.from();
        double[] all = new double[of.columns()];
        of.read(new Tile(0, 1, 0, all.length), all);
        double[] turned = new double[width];
        for (int at = first; at < all.length; at += width) {
            basis.columns(Arrays.copyOfRange(all, at, at + width), 1, 0, width, turned);
            System.arraycopy(turned, 0, all, at, width);
        }
        System.arraycopy(all, tile.column(), into, 0, tile.columns());
    }

    @Override
    public void describe(List<String> steps) {
        of.describe(steps);
        steps.add(weight ? "rotated the values of each head" : "rotated each head's values");
    }
}
