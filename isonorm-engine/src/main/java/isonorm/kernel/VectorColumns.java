package isonorm.kernel;

import static isonorm.kernel.Lanes.FLOATS;
import static isonorm.kernel.Lanes.L;

import java.util.Arrays;
import jdk.incubator.vector.FloatVector;

/** The vector twins of sums over columns and rows, and of factors of columns. */
final class VectorColumns {

    private static final Loop<float[]> SUM = Loop.of(VectorColumns::sum);

    private VectorColumns() {}

    static void addColumnSums(Rows x, Rows into) {
        ColumnSums sums = new ColumnSums(x.columns());
        float[] row = Lanes.room(x.columns());
        for (int r = 0; r < x.rows(); r++) {
            Lanes.read(x.type(), x.address(r), x.columns(), row);
            sums.add(row);
        }
        sums.addTo(into);
    }

    static void multiplyColumns(Rows x, Values factors, Rows y) {
        int C = x.columns();
        float[] row = Lanes.room(C);
        float[] by = Lanes.padded(factors, C, 0);
        for (int r = 0; r < x.rows(); r++) {
            Lanes.read(x.type(), x.address(r), C, row);
            VectorElements.multiply(row, by);
            Lanes.write(y.type(), y.address(r), C, row);
        }
    }

    static void columnFactors(Rows x, Values factors, Rows dy, Rows into) {
        int C = x.columns();
        ColumnSums sums = new ColumnSums(C);
        float[] row = Lanes.room(C);
        float[] d = Lanes.room(C);
        float[] by = Lanes.padded(factors, C, 0);
        for (int r = 0; r < x.rows(); r++) {
            Lanes.read(x.type(), x.address(r), C, row);
            Lanes.read(dy.type(), dy.address(r), C, d);
            sums.addProducts(row, d);
            VectorElements.multiply(d, by);
            Lanes.write(dy.type(), dy.address(r), C, d);
        }
        sums.addTo(into);
    }

    /** Less the mean as float32 knows it, and then less the mean of what is left, so that a large mean costs no digits. */
    static void centreColumns(Rows x, Rows out) {
        int C = x.columns();
        float[] row = Lanes.room(C);
        float[] mean = means(x, row, new float[0][]);
        float[] rest = means(x, row, new float[][] {mean});
        for (int r = 0; r < x.rows(); r++) {
            Lanes.read(x.type(), x.address(r), C, row);
            subtract(mean, row);
            subtract(rest, row);
            Lanes.write(out.type(), out.address(r), C, row);
        }
    }

    /** The mean of every column of x less others. */
    private static float[] means(Rows x, float[] row, float[][] less) {
        ColumnSums sums = new ColumnSums(x.columns());
        for (int r = 0; r < x.rows(); r++) {
            Lanes.read(x.type(), x.address(r), x.columns(), row);
            for (float[] each : less) {
                subtract(each, row);
            }
            sums.add(row);
        }
        float[] means = sums.totals();
        for (int c = 0; c < means.length; c++) {
            means[c] /= x.rows();
        }
        return means;
    }

    static void centreRows(Rows x, Rows out) {
        int C = x.columns();
        float[] row = Lanes.room(C);
        for (int r = 0; r < x.rows(); r++) {
            Lanes.read(x.type(), x.address(r), C, row);
            for (int time = 0; time < 2; time++) {
                Arrays.fill(row, C, row.length, 0);
                subtract(SUM.run(row, row.length) / C, row);
            }
            Lanes.write(out.type(), out.address(r), C, row);
        }
    }

    private static void subtract(float[] from, float[] row) {
        for (int i = 0; i < row.length; i += L) {
            Lanes.floats(row, i).sub(Lanes.floats(from, i)).intoArray(row, i);
        }
    }

    private static void subtract(float from, float[] row) {
        for (int i = 0; i < row.length; i += L) {
            Lanes.floats(row, i).sub(from).intoArray(row, i);
        }
    }

    private static float sum(float[] row, int whole) {
        FloatVector a = FloatVector.zero(FLOATS);
        FloatVector b = a;
        int i = 0;
        for (; i <= whole - 2 * L; i += 2 * L) {
            a = Lanes.floats(row, i).add(a);
            b = Lanes.floats(row, i + L).add(b);
        }
        if (i < whole) {
            a = Lanes.floats(row, i).add(a);
        }
        return Lanes.sum(Lanes.known(a).add(b));
    }
}
