package isonorm.layer;

import static isonorm.tensor.Ops.cast;
import static isonorm.tensor.Ops.expand;
import static isonorm.tensor.Ops.mean;
import static isonorm.tensor.Ops.plus;
import static isonorm.tensor.Ops.recentre;
import static isonorm.tensor.Ops.sum;
import static isonorm.tensor.Ops.times;

import isonorm.architecture.Norm;
import isonorm.tensor.Compute;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;

/**
 * Normalizes the last dimension: {@code n = x / sqrt(q + epsilon)}, then {@code gain * n + bias}, where q is
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
 * @param gain in the type of the statistics, as the bias
 */
record NormLayer(Norm norm, double alpha, Optional<Tensor> gain, Optional<Tensor> bias, Compute compute) {

    Tensor forward(Tensor x) {
        return cast(wide(x), compute);
    }

    /** The same, not yet rounded to the compute type. */
    Tensor wide(Tensor x) {
        Tensor n = normalized(cast(x, compute.statistics()));
        if (gain.isPresent() && norm.kind().readsCompressed()) {
            n = expand(n);
        }
        if (gain.isPresent()) {
            n = n.mul(gain.get());
        }
        return bias.isPresent() ? n.add(bias.get()) : n;
    }

    private Tensor normalized(Tensor x) {
        return switch (norm.kind()) {
            case LAYER -> {
                Tensor centred = recentre(x); // before the squares: E[x²] - mean² cancels where the mean is large
                yield centred.mul(reciprocalRoot(mean(centred.square())));
            }
            case RMS -> x.mul(reciprocalRoot(mean(x.square())));
            case DYNAMIC_TANH -> times(x, alpha).tanh();
            case CRMS -> x.mul(reciprocalRoot(times(sum(x.square()).add(sum(x).square()), 1.0 / (x.size(-1) + 1))));
        };
    }

    private Tensor reciprocalRoot(Tensor q) {
        return plus(q, norm.epsilon()).rsqrt();
    }
}
