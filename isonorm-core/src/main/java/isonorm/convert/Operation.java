package isonorm.convert;

import isonorm.weights.Dense;
import isonorm.weights.Matrix;
import isonorm.weights.Scratch;
import isonorm.weights.Slabs;
import java.io.IOException;
import java.util.List;

/**
 * The operations on one matrix that rewrites are made of. Each is a matrix that reads another and changes what it reads.
 * Linear weights are (out, in): a column for each input, a row for each output.
 */
final class Operation {

    private Operation() {}

    /** What a matrix does with the rows it has read from another one. */
    private interface Change {
        void apply(double[] values, int first, int count);
    }

    /** What an operation needs before it can change rows. */
    private interface Preparation {
        void run() throws IOException;
    }

    /** {@code of diag(gain)}: what a reader becomes when the gain of the norm before it is folded into it. */
    static Matrix scaleColumns(Matrix of, Matrix gain) {
        double[][] factors = new double[1][];
        return new InPlace(of, "multiplied each column by the norm's gain", () -> factors[0] = gain.vector(), (values, _, count) -> {
            double[] g = factors[0];
            for (int r = 0, at = 0; r < count; r++) {
                for (int c = 0; c < g.length; c++) {
                    values[at++] *= g[c];
                }
            }
        });
    }

    /**
     * {@code of diag(1/gain)}, with 0 where the gain is 0, since nothing passes there. A bias behind a gain of 0 could then not
     * pass either, so it is refused.
     */
    static Matrix unscaleColumns(Matrix of, Matrix gain, Matrix bias) {
        double[][] factors = new double[1][];
        return new InPlace(of, "divided each column by the norm's gain", () -> {
            double[] g = gain.vector();
            double[] b = bias.vector();
            for (int c = 0; c < g.length; c++) {
                if (g[c] == 0 && b[c] != 0) {
                    throw new ConversionRefused(List.of("a norm has gain 0 and bias " + b[c] + " at value " + c
                            + ", and the family has no bias behind it that could hold what this adds"));
                }
            }
            factors[0] = g;
        }, (values, _, count) -> {
            double[] g = factors[0];
            for (int r = 0, at = 0; r < count; r++) {
                for (int c = 0; c < g.length; c++, at++) {
                    values[at] = g[c] == 0 ? 0 : values[at] / g[c];
                }
            }
        });
    }

    /** {@code diag(factor) of}: LayerScale folded into the layer before it. */
    static Matrix scaleRows(Matrix of, Matrix factor) {
        double[][] factors = new double[1][];
        return new InPlace(of, "multiplied each row by LayerScale", () -> factors[0] = factor.vector(), (values, first, count) -> {
            int columns = of.columns();
            for (int r = 0, at = 0; r < count; r++) {
                double f = factors[0][first + r];
                for (int c = 0; c < columns; c++) {
                    values[at++] *= f;
                }
            }
        });
    }

    /** A vector multiplied by another, value by value. */
    static Matrix scaleValues(Matrix of, Matrix factor) {
        double[][] factors = new double[1][];
        return new InPlace(of, "multiplied by LayerScale", () -> factors[0] = factor.vector(), (values, _, _) -> {
            for (int c = 0; c < factors[0].length; c++) {
                values[c] *= factors[0][c];
            }
        });
    }

    /** Each column minus its mean: every vector that {@code of} writes then sums to zero. */
    static Matrix centreColumns(Matrix of) {
        double[][] means = new double[1][];
        return new InPlace(of, "took the mean out of each column", () -> {
            double[] sums = Slabs.columnSums(of);
            for (int c = 0; c < sums.length; c++) {
                sums[c] /= of.rows();
            }
            means[0] = sums;
        }, (values, _, count) -> {
            double[] mean = means[0];
            for (int r = 0, at = 0; r < count; r++) {
                for (int c = 0; c < mean.length; c++) {
                    values[at++] -= mean[c];
                }
            }
        });
    }

    /** Each row minus its mean: every vector of a table, or a vector itself, then sums to zero. */
    static Matrix centreRows(Matrix of) {
        int columns = of.columns();
        return new InPlace(of, of.rows() == 1 ? "took its mean out" : "took the mean out of each row", () -> {}, (values, _, count) -> {
            for (int r = 0; r < count; r++) {
                double mean = sum(values, r * columns, columns) / columns;
                for (int at = r * columns; at < (r + 1) * columns; at++) {
                    values[at] -= mean;
                }
            }
        });
    }

    /** {@code of + means 1^T}: puts back what {@link #centreRows} took out. */
    static Matrix plusMeans(Matrix of, Matrix means) {
        double[][] mean = new double[1][];
        int columns = of.columns();
        return new InPlace(of, "put the mean of each row back", () -> mean[0] = means.vector(), (values, first, count) -> {
            for (int r = 0, at = 0; r < count; r++) {
                for (int c = 0; c < columns; c++) {
                    values[at++] += mean[0][first + r];
                }
            }
        });
    }

    /** The mean of each row, as a vector. */
    static Matrix rowMeans(Matrix of) {
        return new Computed(of, of.rows(), "took the mean of each row", values -> {
            Slabs.forEach(of.rows(), of.slabRows(), (first, count) -> {
                try (Scratch scratch = Scratch.borrow(count * of.columns())) {
                    of.read(first, count, scratch.values());
                    for (int r = 0; r < count; r++) {
                        values[first + r] = sum(scratch.values(), r * of.columns(), of.columns()) / of.columns();
                    }
                }
            });
        });
    }

    /** {@code bias + of shift}: what a reader's bias becomes when the bias of the norm before it is folded into it. */
    static Matrix biasWith(Matrix of, Matrix bias, Matrix shift, int sign) {
        return new Computed(of, of.rows(), sign > 0 ? "folded the norm's bias into the bias" : "took the norm's bias out of the bias", values -> {
            double[] added = shift.vector();
            System.arraycopy(bias.vector(), 0, values, 0, values.length);
            Slabs.forEach(of.rows(), of.slabRows(), (first, count) -> {
                try (Scratch scratch = Scratch.borrow(count * of.columns())) {
                    of.read(first, count, scratch.values());
                    for (int r = 0; r < count; r++) {
                        values[first + r] += sign * dot(scratch.values(), r * of.columns(), added);
                    }
                }
            });
        });
    }

    /** The last column, as a vector. */
    static Matrix lastColumn(Matrix of) {
        return new Computed(of, of.rows(), "kept the last column", values -> {
            Slabs.forEach(of.rows(), of.slabRows(), (first, count) -> {
                try (Scratch scratch = Scratch.borrow(count * of.columns())) {
                    of.read(first, count, scratch.values());
                    for (int r = 0; r < count; r++) {
                        values[first + r] = scratch.values()[(r + 1) * of.columns() - 1];
                    }
                }
            });
        });
    }

    /** Every row but the last: a writer to a compressed stream. */
    static Matrix dropLastRow(Matrix of) {
        return new Resized(of, of.rows() - 1, of.columns(), "dropped the last row", of::read);
    }

    /** Every row without its last value: a table of a compressed stream. */
    static Matrix dropLastColumn(Matrix of) {
        return columnsChanged(of, of.columns() - 1, "dropped the last column", (from, at, into, to) ->
                System.arraycopy(from, at, into, to, of.columns() - 1));
    }

    /** {@code A[:, :-1] - A[:, -1:]}: a reader of a compressed stream, whose last value is minus the sum of the others. */
    static Matrix subtractLastColumn(Matrix of) {
        int columns = of.columns();
        return columnsChanged(of, columns - 1, "subtracted the last column from the others and dropped it", (from, at, into, to) -> {
            System.arraycopy(from, at, into, to, columns - 1);
            double last = from[at + columns - 1];
            for (int c = to; c < to + columns - 1; c++) {
                into[c] -= last;
            }
        });
    }

    /** A last column that makes every row sum to zero. */
    static Matrix appendNegativeSum(Matrix of) {
        int columns = of.columns();
        return columnsChanged(of, columns + 1, "appended minus the sum of the row", (from, at, into, to) -> {
            System.arraycopy(from, at, into, to, columns);
            into[to + columns] = -sum(from, at, columns);
        });
    }

    /** A last column of zeros: a reader that has no use for the implied value. */
    static Matrix appendZeroColumn(Matrix of) {
        int columns = of.columns();
        return columnsChanged(of, columns + 1, "appended a column of zeros", (from, at, into, to) -> {
            System.arraycopy(from, at, into, to, columns);
            into[to + columns] = 0;
        });
    }

    /** A last row that makes every column sum to zero: a writer to a centred stream. */
    static Matrix appendNegativeSumRow(Matrix of) {
        double[][] sums = new double[1][];
        return new Resized(of, of.rows() + 1, of.columns(), "appended minus the sum of the rows", new Resized.Rows() {
            @Override
            public void prepare() throws IOException {
                sums[0] = Slabs.columnSums(of);
            }

            @Override
            public void read(int first, int count, double[] into) throws IOException {
                int kept = Math.min(count, of.rows() - first);
                if (kept > 0) {
                    of.read(first, kept, into);
                }
                if (kept < count) {
                    for (int c = 0; c < of.columns(); c++) {
                        into[kept * of.columns() + c] = -sums[0][c];
                    }
                }
            }
        });
    }

    /** {@code [A + column 1^T, column]}: undoes {@link #subtractLastColumn}. */
    static Matrix restoreLastColumn(Matrix of, Matrix column) {
        double[][] last = new double[1][];
        int columns = of.columns();
        return new Resized(of, of.rows(), columns + 1, "put the last column back", new Resized.Rows() {
            @Override
            public void prepare() throws IOException {
                last[0] = column.vector();
            }

            @Override
            public void read(int first, int count, double[] into) throws IOException {
                try (Scratch scratch = Scratch.borrow(count * columns)) {
                    of.read(first, count, scratch.values());
                    for (int r = 0; r < count; r++) {
                        double added = last[0][first + r];
                        int to = r * (columns + 1);
                        for (int c = 0; c < columns; c++) {
                            into[to + c] = scratch.values()[r * columns + c] + added;
                        }
                        into[to + columns] = added;
                    }
                }
            }
        });
    }

    private static double sum(double[] values, int from, int count) {
        double sum = 0;
        for (int i = from; i < from + count; i++) {
            sum += values[i];
        }
        return sum;
    }

    private static double dot(double[] values, int from, double[] other) {
        double sum = 0;
        for (int i = 0; i < other.length; i++) {
            sum += values[from + i] * other[i];
        }
        return sum;
    }

    private interface RowChange {
        void apply(double[] from, int at, double[] into, int to);
    }

    private static Matrix columnsChanged(Matrix of, int columns, String step, RowChange change) {
        return new Resized(of, of.rows(), columns, step, (first, count, into) -> {
            try (Scratch scratch = Scratch.borrow(count * of.columns())) {
                of.read(first, count, scratch.values());
                for (int r = 0; r < count; r++) {
                    change.apply(scratch.values(), r * of.columns(), into, r * columns);
                }
            }
        });
    }

    /** A matrix of the same shape, whose values are changed where they were read to. */
    private record InPlace(Matrix of, String step, Preparation preparation, Change change) implements Matrix {
        @Override
        public int rows() {
            return of.rows();
        }

        @Override
        public int columns() {
            return of.columns();
        }

        @Override
        public void prepare() throws IOException {
            of.prepare();
            preparation.run();
        }

        @Override
        public void read(int first, int count, double[] into) throws IOException {
            of.read(first, count, into);
            change.apply(into, first, count);
        }

        @Override
        public void release() {
            of.release();
        }

        @Override
        public void describe(List<String> steps) {
            of.describe(steps);
            steps.add(step);
        }
    }

    /** A matrix of another shape. */
    private record Resized(Matrix of, int rows, int columns, String step, Rows change) implements Matrix {

        private interface Rows {
            default void prepare() throws IOException {}

            void read(int first, int count, double[] into) throws IOException;
        }

        @Override
        public void prepare() throws IOException {
            of.prepare();
            change.prepare();
        }

        @Override
        public void read(int first, int count, double[] into) throws IOException {
            change.read(first, count, into);
        }

        @Override
        public void release() {
            of.release();
        }

        @Override
        public void describe(List<String> steps) {
            of.describe(steps);
            steps.add(step);
        }
    }

    /** Fills the values of a computed vector. */
    private interface Computation {
        void run(double[] values) throws IOException;
    }

    /** A vector that is computed from a whole matrix when it is prepared. */
    private static final class Computed implements Matrix {
        private final Matrix of;
        private final int length;
        private final String step;
        private final Computation computation;
        private double[] values;

        Computed(Matrix of, int length, String step, Computation computation) {
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
            if (values == null) {
                of.prepare();
                double[] computed = new double[length];
                computation.run(computed);
                values = computed;
                of.release();
            }
        }

        @Override
        public void read(int first, int count, double[] into) {
            System.arraycopy(values, 0, into, 0, length);
        }

        @Override
        public void release() {
            values = null;
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
