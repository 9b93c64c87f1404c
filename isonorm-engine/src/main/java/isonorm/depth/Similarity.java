package isonorm.depth;

import isonorm.kernel.Kernels;
import isonorm.kernel.Rows;

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

    private static final Kernels KERNELS = Kernels.provider();

    private static final int TOKENS = 32;

    /** Fewer have no unbiased estimate. */
    private static final int FEWEST = 4;

    private final int inputs;
    private final double[] sums;

    Similarity(int inputs) {
        this.inputs = inputs;
        this.sums = new double[inputs * inputs];
    }

    /**
     * Adds one window.
     *
     * @param held the inputs of all blocks, one token behind the other
     */
    void add(Rows held) {
        int tokens = held.rows() / inputs;
        int n = Math.min(TOKENS, tokens);
        if (n < FEWEST) {
            return;
        }
        int step = tokens / n * inputs;
        double[][] products = new double[inputs][n * n];
        double[][] rowSums = new double[inputs][n];
        double[] all = new double[inputs];
        for (int l = 0; l < inputs; l++) {
            KERNELS.gram(new Rows(held.data(), held.type(), held.offset() + (long) l * held.stride(), n, held.columns(), step * held.stride()), products[l]);
            for (int r = 0; r < n; r++) {
                products[l][r * n + r] = 0;
                for (int other = 0; other < n; other++) {
                    rowSums[l][r] += products[l][r * n + other];
                }
                all[l] += rowSums[l][r];
            }
        }
        for (int l = 0; l < inputs; l++) {
            for (int m = 0; m <= l; m++) {
                double trace = product(products[l], products[m]);
                double both = product(rowSums[l], rowSums[m]);
                double estimate = trace + all[l] * all[m] / (n - 1) / (n - 2) - 2 * both / (n - 2);
                sums[l * inputs + m] += estimate / n / (n - 3);
            }
        }
    }

    private static double product(double[] a, double[] b) {
        double sum = 0;
        for (int i = 0; i < a.length; i++) {
            sum += a[i] * b[i];
        }
        return sum;
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
