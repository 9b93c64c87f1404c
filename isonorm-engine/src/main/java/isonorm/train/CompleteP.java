package isonorm.train;

import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Mixer;
import isonorm.architecture.Output;
import isonorm.architecture.Parameter;
import isonorm.architecture.Role;

/**
 * Hyperparameters that stay right when width and depth change (CompleteP, Dey et al., arXiv 2505.01618, table 1 with alpha = 1). With m_N the width over a
 * base's and m_L the depth over a base's,
 *
 * <pre>
 * h + F(h) / m_L        logits / m_N        scores q k / (width of a head)
 * </pre>
 *
 * and, in blocks, matrices begin with a variance of 1 / m_N of the base's and have a rate of 1 / m_N of it and m_N times its decay, so that their product
 * stays; Adam's epsilon is 1 / (m_N m_L) of the base's in blocks and 1 / m_N outside of them. What is a constant of the model is one of its
 * architecture.
 */
record CompleteP(double widths, double depths) {

    /** From a base to an architecture. */
    static CompleteP of(TrainingRun.Transfer base, Architecture architecture) {
        return new CompleteP((double) architecture.width() / base.width(), (double) architecture.blocks().size() / base.blocks());
    }

    /** The same architecture with these constants. */
    Architecture applied(Architecture architecture) {
        if (!(architecture.output() instanceof Output.Words words)) {
            throw new IllegalArgumentException("CompleteP says what a decoder's head is multiplied with, and this model has none over words; leave transfer out");
        }
        return architecture.withBlocks(architecture.blocks().stream().map(this::applied).toList()).withOutput(words.withScale(words.scale() / widths));
    }

    private Block applied(Block block) {
        Mixer mixer = block.mixer() instanceof Attention attention ? attention.withScale(1.0 / attention.heads().width()) : block.mixer();
        return block.withMixer(mixer).withBranch(block.branch() / depths);
    }

    /** What the deviation of a block's matrix is multiplied with before the first step. */
    double deviation() {
        return 1 / Math.sqrt(widths);
    }

    /** What the optimizer's numbers are multiplied with for a parameter. */
    Treatment.Factors factors(Parameter parameter) {
        Role role = parameter.role();
        if (role.block() < 0) {
            return new Treatment.Factors(1, 1, 1 / widths);
        }
        return parameter.isVector() ? new Treatment.Factors(1, 1, 1 / (widths * depths)) : new Treatment.Factors(1 / widths, widths, 1 / (widths * depths));
    }
}
