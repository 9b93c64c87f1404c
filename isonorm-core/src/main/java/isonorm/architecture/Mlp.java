package isonorm.architecture;

import java.util.Optional;

/**
 * The MLP of one block: {@code down(activation(up(x)))}, or {@code down(activation(gate(x)) * up(x))} where it is gated.
 *
 * @param hidden the width between the linear layers
 * @param innerNorm the norm of what down reads (Sub-LN, arXiv 2210.06423; NormFormer, arXiv 2110.09456)
 * @param bias whether up and gate have a bias
 * @param outputBias whether down has a bias
 */
public record Mlp(int hidden, Activation activation, boolean gated, Optional<Norm> innerNorm, boolean bias, boolean outputBias)
        implements FeedForward {

    public Mlp {
        if (hidden <= 0) {
            throw new IllegalArgumentException("an MLP's hidden width must be positive, got " + hidden);
        }
    }

    /** An ungated MLP with biases. */
    public static Mlp plain(int hidden, Activation activation) {
        return new Mlp(hidden, activation, false, Optional.empty(), true, true);
    }

    /** A gated MLP without biases. */
    public static Mlp gated(int hidden, Activation activation) {
        return new Mlp(hidden, activation, true, Optional.empty(), false, false);
    }

    /** The same MLP with or without a bias on up and gate, and on down. */
    @Override
    public Mlp withBiases(boolean inner, boolean output) {
        return new Mlp(hidden, activation, gated, innerNorm, inner, output);
    }

    public Mlp withInnerNorm(Norm norm) {
        return new Mlp(hidden, activation, gated, Optional.of(norm), bias, outputBias);
    }
}
