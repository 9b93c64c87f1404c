package isonorm.weights;

import java.util.Arrays;

/**
 * Eigenvalues and eigenvectors of a symmetric matrix: Householder reflections make it tridiagonal, and implicit QL steps diagonal (EISPACK's tred2 and tql2).
 *
 * @param values the largest first
 * @param vectors of length 1 and orthogonal, one behind the other, in the values' order
 */
record Symmetric(double[] values, double[] vectors) {

    /** More steps than any value takes. */
    private static final int STEPS = 60;

    /**
     * Of a matrix of n rows, row after row, whose lower triangle is read.
     *
     * @throws ArithmeticException if it holds a value that is NaN or infinite
     */
    static Symmetric of(double[] matrix, int n) {
        if (!Arrays.stream(matrix).allMatch(Double::isFinite)) {
            throw new ArithmeticException("a matrix whose eigenvalues are asked for holds a value that is NaN or infinite");
        }
        double[][] v = new double[n][n];
        for (int i = 0; i < n; i++) {
            System.arraycopy(matrix, i * n, v[i], 0, n);
        }
        double[] d = new double[n];
        double[] e = new double[n];
        tridiagonal(v, d, e);
        diagonal(v, d, e);
        Integer[] order = new Integer[n];
        for (int i = 0; i < n; i++) {
            order[i] = i;
        }
        Arrays.sort(order, (a, b) -> Double.compare(d[b], d[a]));
        double[] values = new double[n];
        double[] vectors = new double[n * n];
        for (int k = 0; k < n; k++) {
            values[k] = d[order[k]];
            System.arraycopy(v[order[k]], 0, vectors, k * n, n);
        }
        return new Symmetric(values, vectors);
    }

    /** Leaves in v, transposed, the product of the reflections, in d the diagonal and in e, from 1 on, what stands beside it. */
    private static void tridiagonal(double[][] v, double[] d, double[] e) {
        int n = d.length;
        for (int i = n - 1; i > 0; i--) {
            double[] row = v[i];
            double scale = 0;
            for (int k = 0; k < i; k++) {
                scale += Math.abs(row[k]);
            }
            double h = 0;
            if (i == 1 || scale == 0) {
                e[i] = row[i - 1];
            } else {
                for (int k = 0; k < i; k++) {
                    row[k] /= scale;
                    h += row[k] * row[k];
                }
                double f = row[i - 1];
                double g = f > 0 ? -Math.sqrt(h) : Math.sqrt(h);
                e[i] = scale * g;
                h -= f * g;
                row[i - 1] = f - g;
                reflect(v, i, h, e);
            }
            d[i] = h;
        }
        d[0] = 0;
        e[0] = 0;
        for (int i = 0; i < n; i++) {
            if (d[i] != 0) {
                double[] sums = new double[i];
                for (int k = 0; k < i; k++) {
                    double factor = v[i][k];
                    for (int j = 0; j < i; j++) {
                        sums[j] += factor * v[k][j];
                    }
                }
                for (int k = 0; k < i; k++) {
                    double factor = v[i][k] / d[i];
                    for (int j = 0; j < i; j++) {
                        v[k][j] -= sums[j] * factor;
                    }
                }
            }
            d[i] = v[i][i];
            v[i][i] = 1;
            for (int j = 0; j < i; j++) {
                v[j][i] = 0;
                v[i][j] = 0;
            }
        }
        for (int i = 0; i < n; i++) { // vectors as rows, which QL turns two at a time
            for (int j = 0; j < i; j++) {
                double swapped = v[i][j];
                v[i][j] = v[j][i];
                v[j][i] = swapped;
            }
        }
    }

    /** One reflection on both sides of the first i rows and columns, whose vector is in row i. */
    private static void reflect(double[][] v, int i, double h, double[] e) {
        double[] row = v[i];
        double f = 0;
        for (int j = 0; j < i; j++) {
            e[j] = 0;
        }
        for (int j = 0; j < i; j++) {
            double g = e[j] + v[j][j] * row[j];
            for (int k = 0; k < j; k++) {
                g += v[j][k] * row[k];
                e[k] += v[j][k] * row[j];
            }
            e[j] = g;
        }
        for (int j = 0; j < i; j++) {
            e[j] /= h;
            f += e[j] * row[j];
        }
        double half = f / (h + h);
        for (int j = 0; j < i; j++) {
            e[j] -= half * row[j];
        }
        for (int j = 0; j < i; j++) {
            for (int k = 0; k <= j; k++) {
                v[j][k] -= row[j] * e[k] + e[j] * row[k];
            }
        }
    }

    private static void diagonal(double[][] v, double[] d, double[] e) {
        int n = d.length;
        System.arraycopy(e, 1, e, 0, n - 1);
        e[n - 1] = 0;
        for (int l = 0; l < n; l++) {
            for (int step = 0;; step++) {
                int m = l;
                while (m < n - 1 && Math.abs(e[m]) > Math.ulp(1.0) * (Math.abs(d[m]) + Math.abs(d[m + 1]))) {
                    m++;
                }
                if (m == l) {
                    break;
                }
                if (step == STEPS) {
                    throw new ArithmeticException("eigenvalues of a symmetric matrix were not found in " + STEPS + " steps");
                }
                shifted(v, d, e, l, m);
            }
        }
    }

    /** One implicit step on what is between l and m. */
    private static void shifted(double[][] v, double[] d, double[] e, int l, int m) {
        double g = (d[l + 1] - d[l]) / (2 * e[l]);
        double r = Math.hypot(g, 1);
        g = d[m] - d[l] + e[l] / (g + Math.copySign(r, g));
        double sine = 1;
        double cosine = 1;
        double p = 0;
        for (int i = m - 1; i >= l; i--) {
            double f = sine * e[i];
            double b = cosine * e[i];
            r = Math.hypot(f, g);
            e[i + 1] = r;
            if (r == 0) {
                d[i + 1] -= p;
                e[m] = 0;
                return;
            }
            sine = f / r;
            cosine = g / r;
            g = d[i + 1] - p;
            r = (d[i] - g) * sine + 2 * cosine * b;
            p = sine * r;
            d[i + 1] = g + p;
            g = cosine * r - b;
            turn(v[i], v[i + 1], sine, cosine);
        }
        d[l] -= p;
        e[l] = g;
        e[m] = 0;
    }

    private static void turn(double[] one, double[] next, double sine, double cosine) {
        for (int k = 0; k < one.length; k++) {
            double f = next[k];
            next[k] = sine * one[k] + cosine * f;
            one[k] = cosine * one[k] - sine * f;
        }
    }
}
