package isonorm.architecture;

import java.util.Optional;

/**
 * The MLP of one block: {@code down(activation(up(x)))}, or {@code down(activation(gate(x)) * up(x))} where it is gated.
 *
 * @param hidden the width between the linear layers
 * @param clamp what bounds the two factors of a gated MLP
 * @param innerNorm the norm of what down reads (Sub-LN, arXiv 2210.06423; NormFormer, arXiv 2110.09456)
 * @param bias whether up and gate have a bias
 * @param outputBias whether down has a bias
 */
public record Mlp(int hidden, Activation activation, boolean gated, Optional<Clamp> clamp, Optional<Norm> innerNorm, boolean bias, boolean outputBias)
        implements FeedForward {

    /** {@code activation(min(gate(x), limit)) * (clamp(up(x), -limit, limit) + added)}. */
    public record Clamp(double limit, double added) {

        public Clamp {
            if (!(limit > 0)) {
                throw new IllegalArgumentException("the factors of an MLP are bounded by a positive number, got " + limit);
            }
        }
    }

    public Mlp {
        if (clamp.isPresent() && !gated) {
            throw new IllegalArgumentException("bounds are of an MLP with a gate, got none");
        }
        if (hidden <= 0) {
            throw new IllegalArgumentException("an MLP's hidden width must be positive, got " + hidden);
        }
    }

    /** An ungated MLP with biases. */
    public static Mlp plain(int hidden, Activation activation) {
        return new Mlp(hidden, activation, false, Optional.empty(), Optional.empty(), true, true);
    }

    /** A gated MLP without biases. */
    public static Mlp gated(int hidden, Activation activation) {
        return new Mlp(hidden, activation, true, Optional.empty(), Optional.empty(), false, false);
    }

    @Override
    public Mlp withReadingBias() {
        return withBiases(true, outputBias);
    }

    /** The same MLP with or without a bias on up and gate, and on down. */
    public Mlp withBiases(boolean inner, boolean output) {
        return new Mlp(hidden, activation, gated, clamp, innerNorm, inner, output);
    }

    public Mlp withInnerNorm(Norm norm) {
        return new Mlp(hidden, activation, gated, clamp, Optional.of(norm), bias, outputBias);
    }

    public Mlp withClamp(double limit, double added) {
        return new Mlp(hidden, activation, gated, Optional.of(new Clamp(limit, added)), innerNorm, bias, outputBias);
    }
}
