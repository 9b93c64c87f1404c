package isonorm.depth;

import isonorm.kernel.Kernels;
import isonorm.kernel.Rows;
import java.util.List;

/**
 * Angles between the inputs of all pairs of blocks, the end of the stream counting as one more, summed up token by token in their order.
 * A token is left out where one of its vectors is zero or not finite and so has no direction.
 */
final class Distances {

    private static final Kernels KERNELS = Kernels.provider();

    private final int inputs;
    private final int pairs;
    private final double[] angles;
    private final double[] cosines;
    private final double[] lastAngles;
    private long tokens;
    private long lastTokens;
    private int length;
    private long without;

    /** Of this batch, a token each. */
    private double[] tokenAngles = {};
    private double[] tokenCosines = {};

    Distances(int inputs) {
        this.inputs = inputs;
        this.pairs = Kernels.pair(inputs, 0);
        this.angles = new double[pairs];
        this.cosines = new double[pairs];
        this.lastAngles = new double[pairs];
    }

    /** So many tokens come, in windows of a length. */
    void begin(int count, int length) {
        this.length = length;
        if (tokenAngles.length != count * pairs) {
            tokenAngles = new double[count * pairs];
            tokenCosines = new double[count * pairs];
        }
    }

    /** Some tokens before all blocks, {@code first} of the batch being before them. */
    void add(List<Rows> held, int first) {
        KERNELS.angles(held, first, tokenCosines, tokenAngles);
    }

    void end() {
        for (int at = 0; at < tokenAngles.length; at += pairs) {
            if (!directed(at)) {
                without++;
                continue;
            }
            boolean last = at / pairs % length == length - 1;
            for (int pair = 0; pair < pairs; pair++) {
                angles[pair] += tokenAngles[at + pair];
                cosines[pair] += tokenCosines[at + pair];
                lastAngles[pair] += last ? tokenAngles[at + pair] : 0;
            }
            tokens++;
            lastTokens += last ? 1 : 0;
        }
    }

    /** Whether all vectors of a token have a direction: one without has no angle to the first, nor the first to others. */
    private boolean directed(int at) {
        for (int input = 1; input < inputs; input++) {
            if (Double.isNaN(tokenAngles[at + Kernels.pair(input, 0)])) {
                return false;
            }
        }
        return true;
    }

    /** How many tokens were left out. */
    long without() {
        return without;
    }

    /** The mean angle over pi, [l][n - 1] of the inputs of blocks l and l + n. */
    double[][] angular() {
        return means(angles, 1 / Math.PI / tokens);
    }

    /** The same of the last token of each window alone. */
    double[][] lastToken() {
        return means(lastAngles, 1 / Math.PI / lastTokens);
    }

    /** The mean cosine, [l][n - 1]. */
    double[][] cosine() {
        return means(cosines, 1.0 / tokens);
    }

    private double[][] means(double[] sums, double factor) {
        double[][] means = new double[inputs - 1][];
        for (int l = 0; l < inputs - 1; l++) {
            means[l] = new double[inputs - 1 - l];
            for (int n = 1; l + n < inputs; n++) {
                means[l][n - 1] = factor * sums[Kernels.pair(l + n, l)];
            }
        }
        return means;
    }
}
