package isonorm.layer;

import isonorm.architecture.Norm;
import isonorm.kernel.Exponentials;
import isonorm.kernel.Type;
import isonorm.model.Compute;
import java.util.Optional;

/**
 * Normalizes each row: {@code n = x / sqrt(q + epsilon)}, then {@code gain * n + bias}, where q is
 *
 * <pre>
 * LayerNorm   mean((x - mean(x))²), and x is x - mean(x)
 * RMSNorm     mean(x²)
 * CRMSNorm    (sum(x²) + sum(x)²) / (n + 1), for n values that stand for n + 1 with the sum zero
 * </pre>
 *
 * <p>On a vector whose mean is zero the three are one function. A CRMSNorm with an affine part gives all n + 1 values, because
 * what it gives then no longer sums to zero. (Jiang et al., arXiv 2305.14858)
 *
 * <p>A DynamicTanh has no statistics: {@code n = tanh(alpha x)}. (Zhu et al., arXiv 2503.10622)
 *
 * @param alpha used by DynamicTanh alone
 * @param gain (1, columns), or (heads, columns) for rows that are heads; in the wide type, as the bias
 */
record NormLayer(Norm norm, double alpha, Optional<Tensor> gain, Optional<Tensor> bias, Compute compute) {

    Tensor forward(Tensor x) {
        return wide(x).to(Type.of(compute));
    }

    /** The same, not yet rounded to the compute type. */
    Tensor wide(Tensor x) {
        int n = x.width();
        Rule rule = rule();
        Tensor normalized = x.map(Type.wide(compute), n, (_, row, y) -> rule.apply(row, y, n));
        Tensor all = gain.isPresent() && norm.kind().readsCompressed() ? normalized.expanded() : normalized;
        Tensor gained = gain.isPresent() ? all.times(gain.get()) : all;
        return bias.isPresent() ? gained.plus(bias.get()) : gained;
    }

    /** {@code y} of the first n values of x, which it may overwrite. */
    private interface Rule {
        void apply(double[] x, double[] y, int n);
    }

    private Rule rule() {
        return switch (norm.kind()) {
            case LAYER -> (x, y, n) -> {
                add(x, -Tensor.sum(x, n) / n, n); // before the squares: E[x²] - mean² cancels where the mean is large
                multiply(x, reciprocalRoot(squares(x, y, n) / n), y, n);
            };
            case RMS -> (x, y, n) -> multiply(x, reciprocalRoot(squares(x, y, n) / n), y, n);
            case CRMS -> (x, y, n) -> {
                double sum = Tensor.sum(x, n);
                multiply(x, reciprocalRoot((squares(x, y, n) + sum * sum) / (n + 1)), y, n);
            };
            case DYNAMIC_TANH -> (x, y, n) -> {
                multiply(x, alpha, x, n);
                Exponentials.tanh(x, y, n);
            };
        };
    }

    private double reciprocalRoot(double q) {
        return 1 / Math.sqrt(q + norm.epsilon());
    }

    private static void add(double[] x, double term, int n) {
        for (int i = 0; i < n; i++) {
            x[i] += term;
        }
    }

    private static void multiply(double[] x, double factor, double[] y, int n) {
        for (int i = 0; i < n; i++) {
            y[i] = x[i] * factor;
        }
    }

    /** {@code sum(x²)}, with room for the squares. */
    private static double squares(double[] x, double[] room, int n) {
        for (int i = 0; i < n; i++) {
            room[i] = x[i] * x[i];
        }
        return Tensor.sum(room, n);
    }
}
