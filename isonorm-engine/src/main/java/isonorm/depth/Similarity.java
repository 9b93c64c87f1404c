package isonorm.depth;

import isonorm.kernel.Kernels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import java.lang.foreign.Arena;
import java.util.List;

/**
 * Linear CKA between the inputs of all pairs of blocks: how alike the geometry of tokens is before both, whatever turned all of them
 * together.
 *
 * <p>{@code CKA(X, Y) = HSIC(X, Y) / sqrt(HSIC(X, X) HSIC(Y, Y))}, HSIC being the mean over windows of its unbiased estimate from up to
 * {@value #TOKENS} tokens of a window, evenly spaced: with K and L the products of these tokens' vectors, their diagonals zero,
 *
 * <pre>
 * (tr(K L) + sum(K) sum(L) / ((n - 1)(n - 2)) - 2 / (n - 2) sum(K L)) / (n (n - 3))
 * </pre>
 *
 * (Kornblith et al., arXiv 1905.00414; in batches, Nguyen et al., arXiv 2010.15327)
 */
final class Similarity {

    private static final int TOKENS = 32;

    /** Fewer have no unbiased estimate. */
    private static final int FEWEST = 4;

    private final int inputs;
    private final double[] sums;

    /** Of this batch, a window each; none of a window with too few tokens. */
    private double[][] estimates = {};

    Similarity(int inputs) {
        this.inputs = inputs;
        this.sums = new double[inputs * inputs];
    }

    void begin(int windows) {
        estimates = new double[windows][];
    }

    /** The tokens of one window before all blocks. */
    void add(int window, List<Rows> held) {
        int tokens = held.getFirst().rows();
        int n = Math.min(TOKENS, tokens);
        if (n < FEWEST) {
            return;
        }
        int step = tokens / n;
        double[][] products = new double[inputs][n * n];
        double[][] rowSums = new double[inputs][n];
        double[] whole = new double[inputs];
        for (int l = 0; l < inputs; l++) {
            try (Arena arena = Arena.ofConfined()) {
                Rows apart = apart(held.get(l), n, step, arena);
                Kernels.of(apart.type()).gram(apart, products[l]);
            }
            for (int r = 0; r < n; r++) {
                products[l][r * n + r] = 0;
                for (int other = 0; other < n; other++) {
                    rowSums[l][r] += products[l][r * n + other];
                }
                whole[l] += rowSums[l][r];
            }
        }
        double[] estimate = new double[inputs * inputs];
        for (int l = 0; l < inputs; l++) {
            for (int m = 0; m <= l; m++) {
                double trace = product(products[l], products[m]);
                double both = product(rowSums[l], rowSums[m]);
                double sum = trace + whole[l] * whole[m] / (n - 1) / (n - 2) - 2 * both / (n - 2);
                estimate[l * inputs + m] = sum / n / (n - 3);
            }
        }
        estimates[window] = estimate;
    }

    /** Tokens without what all of them have in common, which HSIC does not see and which the products would lose all else beside. */
    private static Rows apart(Rows all, int n, int step, Arena arena) {
        int width = all.columns();
        double[][] values = new double[n][width];
        double[] mean = new double[width];
        for (int r = 0; r < n; r++) {
            all.read(r * step, 0, width, values[r]);
            for (int c = 0; c < width; c++) {
                mean[c] += values[r][c] / n;
            }
        }
        Rows apart = Rows.allocate(arena, all.type() == Type.F64 ? Type.F64 : Type.F32, n, width, width);
        for (int r = 0; r < n; r++) {
            for (int c = 0; c < width; c++) {
                values[r][c] -= mean[c];
            }
            apart.write(r, 0, width, values[r]);
        }
        return apart;
    }

    /** Adds up what the windows of this batch gave, in their order. */
    void end() {
        for (double[] estimate : estimates) {
            for (int pair = 0; estimate != null && pair < sums.length; pair++) {
                sums[pair] += estimate[pair];
            }
        }
    }

    private static double product(double[] a, double[] b) {
        double even = 0;
        double odd = 0;
        int i = 0;
        for (; i < a.length - 3; i += 4) { // sums that do not wait for each other
            even += a[i] * b[i] + a[i + 1] * b[i + 1];
            odd += a[i + 2] * b[i + 2] + a[i + 3] * b[i + 3];
        }
        for (; i < a.length; i++) {
            even += a[i] * b[i];
        }
        return even + odd;
    }

    /** The CKA of the inputs of blocks l and l + n, [l][n - 1]; NaN where nothing varies, or there were too few tokens. */
    double[][] cka() {
        double[][] cka = new double[inputs - 1][];
        for (int l = 0; l < inputs - 1; l++) {
            cka[l] = new double[inputs - 1 - l];
            for (int m = l + 1; m < inputs; m++) {
                double before = sums[l * inputs + l];
                double behind = sums[m * inputs + m];
                cka[l][m - l - 1] = before > 0 && behind > 0 ? sums[m * inputs + l] / Math.sqrt(before * behind) : Double.NaN;
            }
        }
        return cka;
    }
}
