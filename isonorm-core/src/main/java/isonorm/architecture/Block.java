package isonorm.architecture;

import static isonorm.architecture.Placement.NONE;
import static isonorm.architecture.Placement.POST;
import static isonorm.architecture.Placement.PRE;

import java.util.Optional;

/**
 * One block: a mixer, which is attention, in decoders beside an encoder attention to that, and a feed-forward layer, which is an MLP, joined to
 * the stream as their placements and the wiring say. All its norms on the stream are of one kind.
 *
 * @param attentionPlacement where the norms around the mixer stand
 * @param mlpPlacement where those around the feed-forward layer stand
 * @param norm what stands where the placements say; without a meaning where they say nowhere
 * @param cross the sub-layer between the two that reads what an encoder gives; its norms stand as the mixer's do
 * @param skip what the stream is multiplied with where a branch is added to it, alpha in {@code alpha h + F(h)}; 1 in most models,
 *     not in DeepNorm (arXiv 2203.00555)
 * @param branch what each sub-layer's result is multiplied with before it is added, beta in {@code h + beta F(h)}; 1 in most models, not in Granite
 * @param scale what is learned to multiply what each sub-layer writes
 * @param gates whether the sum that each sub-layer leaves becomes {@code h - SiLU(g) h}, g being one learned number a sub-layer
 *     (GPAS, arXiv 2506.22049)
 * @param recentre whether the mean is taken out of the skip before a sum that is normalized: {@code norm(recentre(h) + F(h))},
 *     which is what makes RMSNorm equal to LayerNorm behind a norm with an affine part (Post-LN; appendix B of arXiv 2305.14858)
 */
public record Block(
        Placement attentionPlacement,
        Placement mlpPlacement,
        Wiring wiring,
        Norm norm,
        Mixer mixer,
        Optional<CrossAttention> cross,
        FeedForward feedForward,
        double skip,
        double branch,
        BranchScale scale,
        boolean gates,
        boolean recentre) {

    public Block {
        if (wiring.parallel() && (attentionPlacement != PRE || mlpPlacement != PRE)) {
            throw new IllegalArgumentException("parallel blocks have their norms before the sub-layers, got " + attentionPlacement + " and "
                    + mlpPlacement);
        }
        if (wiring.parallel() && gates) {
            throw new IllegalArgumentException("a parallel block adds once and has no gate for each sub-layer; leave the gates out");
        }
        if (attentionPlacement.writesSecondStream() != mlpPlacement.writesSecondStream()) {
            throw new IllegalArgumentException("both sub-layers of a block write to the second stream or none does, got "
                    + attentionPlacement + " and " + mlpPlacement);
        }
        if (gates && (attentionPlacement.normalizesSum() || mlpPlacement.normalizesSum())) {
            throw new IllegalArgumentException("gates scale a sum that no norm stands behind, got " + attentionPlacement + " and "
                    + mlpPlacement);
        }
        if (cross.isPresent() && (wiring != Wiring.SEQUENTIAL || attentionPlacement.writesSecondStream() || attentionPlacement.outputNorm() != Placement.Place.NOWHERE
                || gates || scale != BranchScale.NONE)) {
            throw new IllegalArgumentException("attention to an encoder stands in sequential blocks of one stream, without norms on its output, gates and"
                    + " scales, got " + wiring + ", " + attentionPlacement + ", " + scale);
        }
        if (!attentionPlacement.normalizes() && !mlpPlacement.normalizes() && (norm.affine() != Affine.NONE || norm.folded() != Affine.NONE)) {
            throw new IllegalArgumentException("a block without norms has no gain and no bias, got " + norm);
        }
        if (!(skip > 0) || skip == Double.POSITIVE_INFINITY) { // also refuses NaN
            throw new IllegalArgumentException("the factor of the skip must be positive and finite, got " + skip);
        }
        if (!(branch > 0) || branch == Double.POSITIVE_INFINITY) {
            throw new IllegalArgumentException("the factor of what a sub-layer writes must be positive and finite, got " + branch);
        }
        if (recentre && attentionPlacement != POST && mlpPlacement != POST) {
            throw new IllegalArgumentException("the skip is recentred before a norm behind the sum, got " + attentionPlacement + " and "
                    + mlpPlacement);
        }
    }

    /** A block with both sub-layers placed alike, without a factor of the skip, a scale and gates. */
    public static Block of(Placement both, Wiring wiring, Norm norm, Mixer mixer, FeedForward feedForward) {
        return new Block(both, both, wiring, norm, mixer, Optional.empty(), feedForward, 1, 1, BranchScale.NONE, false, false);
    }

    /** The same block without its norms. */
    public Block withoutNorms() {
        return new Block(
                NONE, NONE, wiring, norm.withAffine(Affine.NONE).withFolded(Affine.NONE), mixer, cross, feedForward, skip, branch, scale, gates, false);
    }

    /** Whether both sub-layers are placed so. */
    public boolean both(Placement placement) {
        return attentionPlacement == placement && mlpPlacement == placement;
    }

    /** Whether one of the sub-layers is placed so, or both. */
    public boolean either(Placement placement) {
        return attentionPlacement == placement || mlpPlacement == placement;
    }

    public Block withPlacements(Placement ofAttention, Placement ofMlp) {
        return new Block(ofAttention, ofMlp, wiring, norm, mixer, cross, feedForward, skip, branch, scale, gates, recentre);
    }

    public Block withNorm(Norm other) {
        return new Block(attentionPlacement, mlpPlacement, wiring, other, mixer, cross, feedForward, skip, branch, scale, gates, recentre);
    }

    public Block withMixer(Mixer other) {
        return new Block(attentionPlacement, mlpPlacement, wiring, norm, other, cross, feedForward, skip, branch, scale, gates, recentre);
    }

    public Block withCross(CrossAttention attention) {
        return new Block(attentionPlacement, mlpPlacement, wiring, norm, mixer, Optional.of(attention), feedForward, skip, branch, scale, gates, recentre);
    }

    public Block withFeedForward(FeedForward other) {
        return new Block(attentionPlacement, mlpPlacement, wiring, norm, mixer, cross, other, skip, branch, scale, gates, recentre);
    }

    public Block withSkip(double factor) {
        return new Block(attentionPlacement, mlpPlacement, wiring, norm, mixer, cross, feedForward, factor, branch, scale, gates, recentre);
    }

    public Block withBranch(double factor) {
        return new Block(attentionPlacement, mlpPlacement, wiring, norm, mixer, cross, feedForward, skip, factor, scale, gates, recentre);
    }

    public Block withScale(BranchScale other) {
        return new Block(attentionPlacement, mlpPlacement, wiring, norm, mixer, cross, feedForward, skip, branch, other, gates, recentre);
    }

    public Block withGates(boolean gated) {
        return new Block(attentionPlacement, mlpPlacement, wiring, norm, mixer, cross, feedForward, skip, branch, scale, gated, recentre);
    }

    public Block withRecentre(boolean explicit) {
        return new Block(attentionPlacement, mlpPlacement, wiring, norm, mixer, cross, feedForward, skip, branch, scale, gates, explicit);
    }
}
