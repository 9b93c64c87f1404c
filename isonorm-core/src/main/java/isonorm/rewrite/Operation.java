package isonorm.rewrite;

import isonorm.architecture.Norm;
import isonorm.model.ConversionRefused;
import isonorm.weights.Dense;
import isonorm.weights.Matrix;
import isonorm.weights.Scratch;
import isonorm.weights.Slabs;
import java.io.IOException;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * The operations on one matrix that rewrites are made of. Each is a matrix that reads another and changes what it reads.
 * Linear weights are (out, in): a column for each input, a row for each output.
 */
public final class Operation {

    private Operation() {}

    /** {@code of diag(gain)}: what a reader becomes when the gain of the norm before it is folded into it. */
    public static Matrix scaleColumns(Matrix of, Matrix gain) {
        return changed(of, "multiplied each column by the norm's gain", () -> gain.vector(), (g, values, tile) -> {
            for (int r = 0, at = 0; r < tile.rows(); r++) {
                for (int c = 0; c < tile.columns(); c++, at++) {
                    values[at] *= g[tile.column() + c];
                }
            }
        });
    }

    /**
     * {@code of diag(1/gain)}, with 0 where the gain is 0, since nothing passes there. A bias behind a gain of 0 could then not
     * pass either, so it is refused.
     */
    static Matrix unscaleColumns(Matrix of, Matrix gain, Matrix bias) {
        return changed(of, "divided each column by the norm's gain", () -> {
            double[] g = gain.vector();
            double[] b = bias.vector();
            for (int c = 0; c < g.length; c++) {
                if (g[c] == 0 && b[c] != 0) {
                    throw new ConversionRefused(List.of("a norm has gain 0 and bias " + b[c] + " at value " + c
                            + ", and the family has no bias behind it that could hold what this adds"));
                }
            }
            return g;
        }, (g, values, tile) -> {
            for (int r = 0, at = 0; r < tile.rows(); r++) {
                for (int c = tile.column(); c < tile.column() + tile.columns(); c++, at++) {
                    values[at] = g[c] == 0 ? 0 : values[at] / g[c];
                }
            }
        });
    }

    /** {@code diag(factor) of}: LayerScale, or SkipInit's one number, folded into the layer before it. */
    public static Matrix scaleRows(Matrix of, Matrix factor) {
        return changed(of, factor.columns() == 1 ? "multiplied by SkipInit's number" : "multiplied each row by LayerScale", factor::vector, (f, values, tile) -> {
            for (int r = 0, at = 0; r < tile.rows(); r++) {
                for (int c = 0; c < tile.columns(); c++, at++) {
                    values[at] *= f[f.length == 1 ? 0 : tile.row() + r];
                }
            }
        });
    }

    /** A vector multiplied by another, value by value. */
    static Matrix scaleValues(Matrix of, Matrix factor) {
        return changed(of, "multiplied by LayerScale", factor::vector, (f, values, tile) -> {
            for (int c = 0; c < tile.columns(); c++) {
                values[c] *= f[f.length == 1 ? 0 : tile.column() + c];
            }
        });
    }

    /** Each column minus its mean: every vector that {@code of} writes then sums to zero. */
    static Matrix centreColumns(Matrix of) {
        return changed(of, "took the mean out of each column", () -> divided(Slabs.columnSums(of), of.rows()), (mean, values, tile) -> {
            for (int r = 0, at = 0; r < tile.rows(); r++) {
                for (int c = 0; c < tile.columns(); c++, at++) {
                    values[at] -= mean[tile.column() + c];
                }
            }
        });
    }

    /** Each row minus its mean: every vector of a table, or a vector itself, then sums to zero. */
    static Matrix centreRows(Matrix of) {
        String step = of.rows() == 1 ? "took its mean out" : "took the mean out of each row";
        return changed(of, step, () -> divided(Slabs.rowSums(of), of.columns()), (mean, values, tile) -> addToRows(mean, -1, values, tile));
    }

    /** {@code of + means 1^T}: puts back what {@link #centreRows} took out. */
    static Matrix plusMeans(Matrix of, Matrix means) {
        return changed(of, "put the mean of each row back", means::vector, (mean, values, tile) -> addToRows(mean, 1, values, tile));
    }

    private static void addToRows(double[] added, int sign, double[] values, Matrix.Tile tile) {
        for (int r = 0, at = 0; r < tile.rows(); r++) {
            double value = sign * added[tile.row() + r];
            for (int c = 0; c < tile.columns(); c++, at++) {
                values[at] += value;
            }
        }
    }

    /** The mean of each row, as a vector. */
    static Matrix rowMeans(Matrix of) {
        return new Computed(of, of.rows(), "took the mean of each row", () -> divided(Slabs.rowSums(of), of.columns()));
    }

    /** {@code means + } the mean of each row of a table, as a vector. */
    static Matrix plusRowMeans(Matrix means, Matrix table) {
        return new Computed(table, table.rows(), "added the mean that rounding left in each row of the table", () -> {
            double[] sums = means.vector();
            double[] more = divided(Slabs.rowSums(table), table.columns());
            for (int r = 0; r < sums.length; r++) {
                sums[r] += more[r];
            }
            return sums;
        });
    }

    /** {@code bias + of shift}: what a reader's bias becomes when the bias of the norm before it is folded into it. */
    static Matrix biasPlus(Matrix of, Matrix bias, Matrix shift) {
        return new Computed(of, of.rows(), "folded the norm's bias into the bias", () -> bias(of, bias, shift, 1));
    }

    /** {@code bias - of shift}: undoes {@link #biasPlus}. */
    static Matrix biasMinus(Matrix of, Matrix bias, Matrix shift) {
        return new Computed(of, of.rows(), "took the norm's bias out of the bias", () -> bias(of, bias, shift, -1));
    }

    /** Values {@code first} to {@code first + count - 1} of {@code of shift}, and of {@code bias} all others. */
    static Matrix biasOfSome(Matrix of, Matrix bias, Matrix shift, int first, int count) {
        return new Computed(of, of.rows(), "made a part of the bias what the norm's gives", () -> {
            double[] values = bias.vector();
            System.arraycopy(Slabs.product(of, shift.vector()), first, values, first, count);
            return values;
        });
    }

    private static double[] bias(Matrix of, Matrix bias, Matrix shift, int sign) throws IOException {
        double[] product = Slabs.product(of, shift.vector());
        double[] values = bias.vector();
        for (int r = 0; r < values.length; r++) {
            values[r] += sign * product[r];
        }
        return values;
    }

    /**
     * Each row as a norm makes it, {@code norm(factor row) gain + bias}: a table whose rows pass through nothing else before they enter the stream.
     *
     * @param gain of the norm, if it has one, and {@code bias} likewise
     */
    static Matrix normRows(Matrix of, Norm norm, double factor, Optional<Matrix> gain, Optional<Matrix> bias) {
        int width = of.columns();
        return new Changed(of, of.rows(), width, "normalized each row as the embedding's norm did", () -> {
            double[] affine = new double[2 * width];
            System.arraycopy(gain.orElse(ones(width)).vector(), 0, affine, 0, width);
            System.arraycopy(bias.orElse(zeros(width)).vector(), 0, affine, width, width);
            return affine;
        }, (affine, tile, into) -> {
            try (Scratch scratch = Scratch.borrow(tile.rows() * width)) {
                double[] values = scratch.values();
                of.read(tile.withColumns(0, width), values);
                for (int r = 0; r < tile.rows(); r++) {
                    double mean = 0;
                    for (int c = 0; norm.kind().centres() && c < width; c++) {
                        mean += factor * values[r * width + c] / width;
                    }
                    double squares = 0;
                    for (int c = 0; c < width; c++) {
                        double value = factor * values[r * width + c] - mean;
                        squares += value * value;
                    }
                    double root = Math.sqrt(squares / width + norm.epsilon());
                    for (int c = 0; c < tile.columns(); c++) {
                        int at = tile.column() + c;
                        into[r * tile.columns() + c] = (factor * values[r * width + at] - mean) / root * affine[at] + affine[width + at];
                    }
                }
            }
        });
    }

    /** A vector, as often as is asked for, one behind the other. */
    static Matrix repeated(Matrix of, int times) {
        return times == 1 ? of : new Changed(of, 1, times * of.columns(), "repeated it", of::vector, (values, tile, into) -> {
            for (int c = 0; c < tile.columns(); c++) {
                into[c] = values[(tile.column() + c) % values.length];
            }
        });
    }

    /** A matrix that changes nothing. */
    static Matrix identity(int width) {
        double[] values = new double[width * width];
        for (int i = 0; i < width; i++) {
            values[i * (width + 1)] = 1;
        }
        return new Dense(width, width, values, "the identity");
    }

    /** The last column, as a vector. */
    static Matrix lastColumn(Matrix of) {
        return new Computed(of, of.rows(), "kept the last column", () -> column(of, of.columns() - 1));
    }

    private static double[] column(Matrix of, int column) throws IOException {
        double[] values = new double[of.rows()];
        of.read(new Matrix.Tile(0, of.rows(), column, 1), values);
        return values;
    }

    /** Every row but the last: a writer to a compressed stream. */
    static Matrix dropLastRow(Matrix of) {
        return new Changed(of, of.rows() - 1, of.columns(), "dropped the last row", Preparation.NOTHING, (_, tile, into) -> of.read(tile, into));
    }

    /** Every row without its last value: a table of a compressed stream. */
    static Matrix dropLastColumn(Matrix of) {
        return new Changed(of, of.rows(), of.columns() - 1, "dropped the last column", Preparation.NOTHING, (_, tile, into) -> of.read(tile, into));
    }

    /** {@code A[:, :-1] - A[:, -1:]}: a reader of a compressed stream, whose last value is minus the sum of the others. */
    static Matrix subtractLastColumn(Matrix of) {
        int last = of.columns() - 1;
        return new Changed(of, of.rows(), last, "subtracted the last column from the others and dropped it",
                () -> column(of, last), (column, tile, into) -> {
                    of.read(tile, into);
                    addToRows(column, -1, into, tile);
                });
    }

    /** {@code [A + column 1^T, column]}: undoes {@link #subtractLastColumn}. */
    static Matrix restoreLastColumn(Matrix of, Matrix column) {
        return withLastColumn(plusMeans(of, column), "put the last column back", column::vector);
    }

    /** A last column that makes every row sum to zero. */
    static Matrix appendNegativeSum(Matrix of) {
        return withLastColumn(of, "appended minus the sum of the row", () -> divided(Slabs.rowSums(of), -1));
    }

    /** A last column of zeros: a reader that has no use for the implied value. */
    static Matrix appendZeroColumn(Matrix of) {
        return withLastColumn(of, "appended a column of zeros", () -> new double[of.rows()]);
    }

    private static Matrix withLastColumn(Matrix of, String step, Preparation column) {
        int columns = of.columns();
        return new Changed(of, of.rows(), columns + 1, step, column, (last, tile, into) -> {
            if (tile.column() + tile.columns() <= columns) {
                of.read(tile, into);
                return;
            }
            int kept = tile.columns() - 1;
            try (Scratch scratch = Scratch.borrow(Math.max(1, tile.rows() * kept))) {
                if (kept > 0) {
                    of.read(tile.withColumns(tile.column(), kept), scratch.values());
                }
                for (int r = 0; r < tile.rows(); r++) {
                    System.arraycopy(scratch.values(), r * kept, into, r * (kept + 1), kept);
                    into[r * (kept + 1) + kept] = last[tile.row() + r];
                }
            }
        });
    }

    /** A last row that makes every column sum to zero: a writer to a centred stream. */
    static Matrix appendNegativeSumRow(Matrix of) {
        int rows = of.rows();
        return new Changed(of, rows + 1, of.columns(), "appended minus the sum of the rows", () -> divided(Slabs.columnSums(of), -1),
                (last, tile, into) -> {
                    int kept = Math.min(tile.rows(), rows - tile.row());
                    if (kept > 0) {
                        of.read(tile.withRows(tile.row(), kept), into);
                    }
                    if (kept < tile.rows()) {
                        System.arraycopy(last, tile.column(), into, kept * tile.columns(), tile.columns());
                    }
                });
    }

    /** One column in the place of the last, and the last in its place. */
    static Matrix swapColumns(Matrix of, int column) {
        int last = of.columns() - 1;
        String step = of.rows() == 1 ? "swapped value " + column + " and the last" : "swapped column " + column + " and the last";
        return new Changed(of, of.rows(), of.columns(), step, Preparation.NOTHING, (_, tile, into) -> {
            of.read(tile, into);
            try (Scratch scratch = Scratch.borrow(Math.max(1, tile.rows()))) {
                for (int place : new int[] {column, last}) {
                    int c = place - tile.column();
                    if (c >= 0 && c < tile.columns()) {
                        of.read(tile.withColumns(column + last - place, 1), scratch.values());
                        for (int r = 0; r < tile.rows(); r++) {
                            into[r * tile.columns() + c] = scratch.values()[r];
                        }
                    }
                }
            }
        });
    }

    /** One row in the place of the last, and the last in its place. */
    static Matrix swapRows(Matrix of, int row) {
        int last = of.rows() - 1;
        return new Changed(of, of.rows(), of.columns(), "swapped row " + row + " and the last", Preparation.NOTHING, (_, tile, into) -> {
            of.read(tile, into);
            try (Scratch scratch = Scratch.borrow(tile.columns())) {
                for (int place : new int[] {row, last}) {
                    int r = place - tile.row();
                    if (r >= 0 && r < tile.rows()) {
                        of.read(tile.withRows(row + last - place, 1), scratch.values());
                        System.arraycopy(scratch.values(), 0, into, r * tile.columns(), tile.columns());
                    }
                }
            }
        });
    }

    /** The same rows in another order; row r is row {@code order[r]}. */
    static Matrix reorderRows(Matrix of, int[] order) {
        return new Changed(of, of.rows(), of.columns(), "put rows that are turned together beside each other", Preparation.NOTHING, (_, tile, into) -> {
            try (Scratch scratch = Scratch.borrow(tile.columns())) {
                for (int r = 0; r < tile.rows(); r++) {
                    of.read(tile.withRows(order[tile.row() + r], 1), scratch.values());
                    System.arraycopy(scratch.values(), 0, into, r * tile.columns(), tile.columns());
                }
            }
        });
    }

    /** The same values of a vector in another order. */
    static Matrix reorderValues(Matrix of, int[] order) {
        return new Changed(of, 1, of.columns(), "put values that are turned together beside each other", of::vector, (values, tile, into) -> {
            for (int c = 0; c < tile.columns(); c++) {
                into[c] = values[order[tile.column() + c]];
            }
        });
    }

    /** Zeros, as many as there are values. */
    static Matrix zerosLike(Matrix of) {
        return new Changed(of, of.rows(), of.columns(), "zeros in its shape", Preparation.NOTHING, (_, tile, into) -> Arrays.fill(into, 0, tile.size(), 0));
    }

    private static double[] divided(double[] values, double by) {
        for (int i = 0; i < values.length; i++) {
            values[i] /= by;
        }
        return values;
    }

    /** What an operation must know before it can read: one value a row, or one a column. */
    private interface Preparation {
        double[] NONE = {};
        Preparation NOTHING = () -> NONE;

        double[] run() throws IOException;
    }

    /** Reads a tile, given what was prepared. */
    private interface Reading {
        void run(double[] prepared, Matrix.Tile tile, double[] into) throws IOException;
    }

    /** Changes a tile where it was read to, given what was prepared. */
    private interface Change {
        void run(double[] prepared, double[] values, Matrix.Tile tile);
    }

    private static Matrix changed(Matrix of, String step, Preparation preparation, Change change) {
        return new Changed(of, of.rows(), of.columns(), step, preparation, (prepared, tile, into) -> {
            of.read(tile, into);
            change.run(prepared, into, tile);
        });
    }

    /** A matrix that reads another one in its own way. */
    private static final class Changed implements Matrix {
        private final Matrix of;
        private final int rows;
        private final int columns;
        private final String step;
        private final Preparation preparation;
        private final Reading reading;
        private int uses;
        private double[] prepared = Preparation.NONE;

        Changed(Matrix of, int rows, int columns, String step, Preparation preparation, Reading reading) {
            this.of = of;
            this.rows = rows;
            this.columns = columns;
            this.step = step;
            this.preparation = preparation;
            this.reading = reading;
        }

        @Override
        public int rows() {
            return rows;
        }

        @Override
        public int columns() {
            return columns;
        }

        @Override
        public void prepare() throws IOException {
            of.prepare();
            try {
                if (uses == 0) {
                    prepared = preparation.run();
                }
                uses++;
            } catch (IOException | RuntimeException e) {
                of.release();
                throw e;
            }
        }

        @Override
        public Tile shape() {
            return of.shape();
        }

        @Override
        public void read(Tile tile, double[] into) throws IOException {
            reading.run(prepared, tile, into);
        }

        @Override
        public void release() {
            of.release();
            if (--uses == 0) {
                prepared = Preparation.NONE;
            }
        }

        @Override
        public void describe(List<String> steps) {
            of.describe(steps);
            steps.add(step);
        }
    }

    /** A vector that is computed from a whole matrix. */
    private static final class Computed implements Matrix {
        private final Matrix of;
        private final int length;
        private final String step;
        private final Preparation computation;
        private int uses;
        private double[] values = Preparation.NONE;

        Computed(Matrix of, int length, String step, Preparation computation) {
            this.of = of;
            this.length = length;
            this.step = step;
            this.computation = computation;
        }

        @Override
        public int rows() {
            return 1;
        }

        @Override
        public int columns() {
            return length;
        }

        @Override
        public void prepare() throws IOException {
            if (uses == 0) {
                of.prepare();
                try {
                    values = computation.run();
                } finally {
                    of.release();
                }
            }
            uses++;
        }

        @Override
        public void read(Tile tile, double[] into) {
            System.arraycopy(values, tile.column(), into, 0, tile.columns());
        }

        @Override
        public void release() {
            if (--uses == 0) {
                values = Preparation.NONE;
            }
        }

        @Override
        public void describe(List<String> steps) {
            of.describe(steps);
            steps.add(step);
        }
    }

    /** A vector of zeros, in place of a bias that is not there. */
    static Matrix zeros(int length) {
        return Dense.constant(length, 0);
    }

    /** A vector of ones, in place of a gain that was folded. */
    static Matrix ones(int length) {
        return Dense.constant(length, 1);
    }
}
