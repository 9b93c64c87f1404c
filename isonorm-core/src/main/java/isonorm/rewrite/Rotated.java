package isonorm.rewrite;

import isonorm.weights.Basis;
import isonorm.weights.Matrix;
import isonorm.weights.Scratch;
import java.io.IOException;
import java.util.List;

/**
 * A matrix of which each row, or each column, is multiplied by a basis and a factor: {@code of Q factor}, or {@code Q^T of}. Tiles have whole vectors of
 * the stream, so that nothing is read or computed twice.
 *
 * @param writes whether it is the columns
 */
record Rotated(Matrix of, Basis basis, boolean writes, double factor) implements Matrix {

    /** Values of a tile, for whom the vectors are as long as the stream is wide. */
    private static final int VALUES = 65_536;

    /** Tables and vectors, whose rows enter the stream. */
    static Matrix table(Matrix of, Basis basis) {
        return new Rotated(of, basis, false, 1);
    }

    /** A reader; where it reads several vectors one behind the other, each of them. */
    static Matrix reader(Matrix of, Basis basis) {
        return new Rotated(of, basis, false, Math.sqrt((double) basis.from() / basis.to()));
    }

    /** A writer. */
    static Matrix writer(Matrix of, Basis basis) {
        return new Rotated(of, basis, true, 1);
    }

    /** An output projection, which reads the vectors of all heads one behind the other. */
    static Matrix heads(Matrix of, Basis basis) {
        return new Rotated(of, basis, false, 1);
    }

    @Override
    public int rows() {
        return writes ? basis.to() : of.rows();
    }

    @Override
    public int columns() {
        return writes ? of.columns() : of.columns() / basis.from() * basis.to();
    }

    @Override
    public Tile shape() {
        return writes ? new Tile(0, basis.to(), 0, Math.clamp(VALUES / basis.from(), 32, 256)) : new Tile(0, 16, 0, columns());
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
        if (writes) {
            try (Scratch scratch = Scratch.borrow(basis.from() * tile.columns())) {
                of.read(tile.withRows(0, basis.from()), scratch.values());
                basis.columns(scratch.values(), tile.columns(), tile.row(), tile.rows(), into);
            }
        } else {
            readRows(tile, into);
        }
        for (int i = 0; factor != 1 && i < tile.size(); i++) {
            into[i] *= factor;
        }
    }

    private void readRows(Tile tile, double[] into) throws IOException {
        int vectors = of.columns() / basis.from();
        boolean whole = tile.columns() == columns();
        try (Scratch read = Scratch.borrow(tile.rows() * of.columns()); Scratch turned = Scratch.borrow(tile.rows() * columns())) {
            of.read(tile.withColumns(0, of.columns()), read.values());
            double[] values = whole ? into : turned.values();
            basis.rows(read.values(), tile.rows() * vectors, values);
            for (int r = 0; !whole && r < tile.rows(); r++) {
                System.arraycopy(values, r * columns() + tile.column(), into, r * tile.columns(), tile.columns());
            }
        }
    }

    @Override
    public void describe(List<String> steps) {
        of.describe(steps);
        steps.add((writes ? "rotated each column" : of.rows() == 1 ? "rotated it" : of.columns() > basis.from() ? "rotated each of the vectors in a row" : "rotated each row")
                + (basis.to() < basis.from() ? " to " + basis.to() + " of " + basis.from() + " values" : basis.to() > basis.from() ? " into " + basis.to() + " values, with zeros behind" : "")
                + (factor == 1 ? "" : ", times the root of " + basis.from() + " / " + basis.to()));
    }
}
