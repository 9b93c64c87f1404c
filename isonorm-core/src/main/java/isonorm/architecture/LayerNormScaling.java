package isonorm.architecture;

import java.util.Arrays;

/**
 * What LayerNorm Scaling multiplies in training, by constants of each block that weights in files contain (Sun et al., arXiv 2502.05795). An empty array is
 * ones.
 *
 * @param attention of what the norms before attention give
 * @param mlp of what the norms before the MLPs give
 * @param branches of what both branches of a block write
 */
public record LayerNormScaling(double[] attention, double[] mlp, double[] branches) {

    private static final double[] ONES = {};

    public static final LayerNormScaling NONE = new LayerNormScaling(ONES, ONES, ONES);

    public LayerNormScaling {
        attention = ones(attention);
        mlp = ones(mlp);
        branches = ones(branches);
    }

    private static double[] ones(double[] factors) {
        return Arrays.stream(factors).allMatch(factor -> factor == 1) ? ONES : factors;
    }

    /** Of both norms of a block alike. */
    public static LayerNormScaling ofNorms(double[] factors) {
        return new LayerNormScaling(factors, factors, ONES);
    }

    public static LayerNormScaling ofBranches(double[] factors) {
        return new LayerNormScaling(ONES, ONES, factors);
    }

    /** Whether nothing is multiplied. */
    public boolean none() {
        return attention.length == 0 && mlp.length == 0 && branches.length == 0;
    }

    /** What the norm before attention, or else that before the MLP, of block l is multiplied with. */
    public double norm(int l, boolean ofAttention) {
        double[] factors = ofAttention ? attention : mlp;
        return factors.length == 0 ? 1 : factors[l];
    }

    /** What a branch of block l is multiplied with. */
    public double branch(int l) {
        return branches.length == 0 ? 1 : branches[l];
    }
}
