package isonorm.architecture;

/**
 * One block: attention and MLP, joined to the stream as placement and wiring say. All its norms on the stream are of one
 * kind.
 *
 * @param norm what stands where the placement says; without a meaning where it says nowhere
 * @param layerScale whether a learned vector multiplies what each sub-layer writes
 * @param recentre whether the mean is taken out of the skip before the sum: {@code norm(recentre(h) + F(h))}, which is what
 *     makes RMSNorm equal to LayerNorm behind a norm with an affine part (Post-LN; appendix B of arXiv 2305.14858)
 */
public record Block(
        Placement placement,
        Wiring wiring,
        Norm norm,
        Attention attention,
        Mlp mlp,
        boolean layerScale,
        boolean recentre) {

    public Block {
        if (wiring != Wiring.SEQUENTIAL && placement != Placement.PRE) {
            throw new IllegalArgumentException("parallel blocks have their norms before the sub-layers, got " + placement);
        }
        if (placement == Placement.NONE && (norm.affine() != Affine.NONE || norm.folded() != Affine.NONE)) {
            throw new IllegalArgumentException("a block without norms has no gain and no bias, got " + norm);
        }
    }

    /** The same block without its norms. */
    public Block withoutNorms() {
        return new Block(Placement.NONE, wiring, norm.withAffine(Affine.NONE).withFolded(Affine.NONE), attention, mlp, layerScale, false);
    }

    /** A block without LayerScale. */
    public static Block of(Placement placement, Wiring wiring, Norm norm, Attention attention, Mlp mlp) {
        return new Block(placement, wiring, norm, attention, mlp, false, false);
    }

    public Block withNorm(Norm other) {
        return new Block(placement, wiring, other, attention, mlp, layerScale, recentre);
    }

    public Block withAttention(Attention other) {
        return new Block(placement, wiring, norm, other, mlp, layerScale, recentre);
    }

    public Block withMlp(Mlp other) {
        return new Block(placement, wiring, norm, attention, other, layerScale, recentre);
    }

    public Block withLayerScale(boolean scaled) {
        return new Block(placement, wiring, norm, attention, mlp, scaled, recentre);
    }

    public Block withRecentre(boolean explicit) {
        return new Block(placement, wiring, norm, attention, mlp, layerScale, explicit);
    }
}
