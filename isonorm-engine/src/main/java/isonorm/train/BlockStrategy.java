package isonorm.train;

import isonorm.architecture.Affine;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.BranchScale;
import isonorm.architecture.Experts;
import isonorm.architecture.FeedForward;
import isonorm.architecture.LatentAttention;
import isonorm.architecture.Mixer;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Placement;
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.QueryKeyNorm.Span;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;

/**
 * Where and how one block normalizes, as separate values that can be combined freely. Of scalings, and of inner norms, there can be several,
 * but one for each thing that they say.
 *
 * @param kind the norms' kind; the model's when empty
 * @param attention where the norms around attention stand
 * @param mlp where those around the MLP stand
 * @param scalings what is scaled
 * @param inner norms inside the sub-layers
 * @param initialization how the block's matrices begin
 */
record BlockStrategy(
        Optional<NormKind> kind,
        Placement attention,
        Placement mlp,
        Set<Scaling> scalings,
        Set<Inner> inner,
        Initialization initialization) {

    /** What is scaled, L being the number of the model's blocks and l a block's number from 1. */
    public enum Scaling {
        /** What the norms before the sub-layers of block l give, or of images what its branches write, by 1/sqrt(l) (LayerNorm Scaling, arXiv 2502.05795). */
        LAYERNORM_SCALING("lns", Scaling.PLACE),
        /** What these norms give, of images too. */
        LNS_NORMS("lns-norms", Scaling.PLACE),
        /** What the norm before attention gives, and not that before the MLP. */
        LNS_ATTENTION("lns-attention", Scaling.PLACE),
        /** What the norm before the MLP gives, and not that before attention. */
        LNS_MLP("lns-mlp", Scaling.PLACE),
        /** What these norms read: N(h/sqrt(l)), which is the norm of h with l times the epsilon. */
        LNS_BEFORE_NORM("lns-before-norm", Scaling.PLACE),
        /** What the branches of block l write. */
        LNS_BRANCHES("lns-branches", Scaling.PLACE),
        /** Each sum of block l: (h + F(N(h)))/sqrt(l). */
        LNS_RESIDUAL("lns-residual", Scaling.PLACE),
        /** The stream where a branch is added, by (2L)^(1/4) (DeepNorm, arXiv 2203.00555). */
        DEEPNORM("deepnorm", "the factor of the skip"),
        /** The stream where a branch is added, by 2L (Keel, arXiv 2601.19895, but for its first block). */
        KEEL("keel", "the factor of the skip"),
        /** What a branch writes, by a learned vector that begins at 1e-4 (LayerScale, arXiv 2103.17239). */
        LAYERSCALE("layerscale", "the learned scale of what a branch writes"),
        /** What a branch writes, by a learned number that begins at 0 (SkipInit, arXiv 2002.10444). */
        SKIPINIT("skipinit", "the learned scale of what a branch writes"),
        /** What each head of attention gives, by a learned number that begins at 1 (NormFormer, arXiv 2110.09456). */
        HEADS("heads", "the scales of heads"),
        /** The stream behind each sum, by 1 - SiLU(g) for a learned g (GPAS, arXiv 2506.22049). */
        GPAS("gpas", "the gates of the stream");

        private static final String PLACE = "where LayerNorm Scaling stands";

        private final String label;
        private final String says;

        Scaling(String label, String says) {
            this.label = label;
            this.says = says;
        }

        /** The word in a configuration. */
        public String label() {
            return label;
        }

        /** Whether it is 1/sqrt(l), at one place or another. */
        boolean isLayerNormScaling() {
            return says.equals(PLACE);
        }

        /** Whether both norms before the sub-layers have the factor. */
        boolean ofNorms(boolean images) {
            return this == LNS_NORMS || this == LAYERNORM_SCALING && !images;
        }

        /** Whether what branches write has it. */
        boolean ofBranches(boolean images) {
            return this == LNS_BRANCHES || this == LAYERNORM_SCALING && images;
        }
    }

    /** Norms inside the sub-layers; LayerNorms or RMSNorms also in a model of CRMSNorms, which are norms of the stream. */
    public enum Inner {
        /** Of queries and keys, each head by itself (arXiv 2010.04245). */
        QUERY_KEY("qk", "the norms of queries and keys"),
        /** Of queries and keys, all heads together (OLMo 2). */
        QUERY_KEY_PROJECTION("qk-projection", "the norms of queries and keys"),
        /** Of queries, keys and values (HybridNorm, arXiv 2503.04598). */
        QUERY_KEY_VALUE("qkv", "the norms of queries and keys"),
        /** Before the output projection and before the MLP's second linear layer (Sub-LN, arXiv 2210.06423). */
        SUB("sub", "the norm of the MLP's hidden layer"),
        /** On the MLP's hidden layer (NormFormer, arXiv 2110.09456). */
        HIDDEN("hidden", "the norm of the MLP's hidden layer");

        private final String label;
        private final String says;

        Inner(String label, String says) {
            this.label = label;
            this.says = says;
        }

        /** The word in a configuration. */
        public String label() {
            return label;
        }
    }

    /** How matrices begin: normally distributed, with a standard deviation that a configuration gives, except for branch outputs. */
    public enum Initialization {
        /** All matrices alike. */
        NORMAL("normal"),
        /** Matrices that write to the stream divided by sqrt(2L) (GPT-2). */
        SCALED("scaled"),
        /** Matrices that write to the stream of block l divided by sqrt(2l). */
        DEPTH_SCALED("depth-scaled"),
        /** Value, output and MLP matrices multiplied by (8L)^(-1/4), on Xavier's deviation (DeepNorm). */
        DEEPNORM("deepnorm"),
        /** Value, output and MLP matrices multiplied by sqrt(log 2L), on Xavier's deviation (Magneto, arXiv 2210.06423). */
        MAGNETO("magneto"),
        /** One over the root of a matrix's inputs, of matrices that write to the stream of block l divided by sqrt(2l) (OLMo's {@code mitchell}). */
        OLMO("olmo");

        private final String label;

        Initialization(String label) {
            this.label = label;
        }

        /** The word in a configuration. */
        public String label() {
            return label;
        }
    }

    public BlockStrategy {
        scalings = inOrder(scalings);
        inner = inOrder(inner);
        requireOneEach("scaling", scalings, Scaling::label, scaling -> scaling.says);
        requireOneEach("inner", inner, Inner::label, norm -> norm.says);
    }

    private static <T extends Comparable<T>> Set<T> inOrder(Set<T> all) {
        return Collections.unmodifiableSet(new TreeSet<>(all));
    }

    private static <T> void requireOneEach(String key, Set<T> all, Function<T, String> label, Function<T, String> says) {
        for (T one : all) {
            for (T other : all) {
                if (one != other && says.apply(one).equals(says.apply(other))) {
                    throw new IllegalArgumentException(key + " " + label.apply(one) + " and " + label.apply(other) + " both say "
                            + says.apply(one) + "; take one of them");
                }
            }
        }
    }

    public BlockStrategy withKind(NormKind other) {
        return new BlockStrategy(Optional.of(other), attention, mlp, scalings, inner, initialization);
    }

    /** The same with both sub-layers placed so. */
    public BlockStrategy withPlacement(Placement both) {
        return withPlacements(both, both);
    }

    public BlockStrategy withPlacements(Placement ofAttention, Placement ofMlp) {
        return new BlockStrategy(kind, ofAttention, ofMlp, scalings, inner, initialization);
    }

    public BlockStrategy withScalings(Set<Scaling> other) {
        return new BlockStrategy(kind, attention, mlp, other, inner, initialization);
    }

    BlockStrategy without(Scaling one) {
        Set<Scaling> rest = new TreeSet<>(scalings);
        rest.remove(one);
        return withScalings(rest);
    }

    public BlockStrategy withInner(Set<Inner> other) {
        return new BlockStrategy(kind, attention, mlp, scalings, other, initialization);
    }

    public BlockStrategy withInitialization(Initialization other) {
        return new BlockStrategy(kind, attention, mlp, scalings, inner, other);
    }

    /** Whether a norm stands on the stream. */
    boolean normalizes() {
        return attention.normalizes() || mlp.normalizes();
    }

    /** What speaks against a combination, which is trained all the same. */
    List<String> warnings() {
        List<String> warnings = new ArrayList<>();
        if (scalings.stream().anyMatch(Scaling::isLayerNormScaling)
                && (initialization == Initialization.SCALED || initialization == Initialization.DEPTH_SCALED)) {
            warnings.add("LayerNorm Scaling with " + initialization.label + " initialization loses its gain: both make deep branches small"
                    + " (arXiv 2502.05795); take initialization normal");
        }
        if (scalings.contains(Scaling.LNS_RESIDUAL)) {
            warnings.add("LayerNorm Scaling behind the residual takes the early blocks out of the stream, and diverges in the paper's ablation (arXiv 2502.05795,"
                    + " table 8); lns stands behind the norms");
        }
        if (scalings.contains(Scaling.DEEPNORM) && initialization != Initialization.DEEPNORM) {
            warnings.add("DeepNorm's bound holds with its own initialization only (arXiv 2203.00555); take initialization deepnorm");
        }
        if ((scalings.contains(Scaling.DEEPNORM) || scalings.contains(Scaling.KEEL)) && !(attention.normalizesSum() && mlp.normalizesSum())) {
            warnings.add("the skip is scaled where no norm stands behind the sum, so the stream grows by that factor in every block");
        }
        return warnings;
    }

    /**
     * A block of this strategy in the place of a family's.
     *
     * @param model the kind of the model's norms
     * @param l the block's number, from 0
     * @param L how many blocks the model has
     */
    Block applied(Block family, NormKind model, int l, int L) {
        NormKind own = kind.orElse(model);
        if (scalings.contains(Scaling.LAYERSCALE) && model.readsCompressed()) {
            throw new IllegalArgumentException("what is written to a CRMSNorm's stream must sum to zero, and a LayerScale changes that; take kind rmsnorm,"
                    + " or scaling skipinit");
        }
        Norm norm = normalizes() ? norm(family.norm(), own) : family.norm().withAffine(Affine.NONE);
        Norm inside = norm(family.norm(), own.readsCompressed() ? NormKind.RMS : own);
        if (scalings.contains(Scaling.LNS_BEFORE_NORM)) {
            if (own == NormKind.DYNAMIC_TANH || !readsOnly(attention) || !readsOnly(mlp)) {
                throw new IllegalArgumentException("lns-before-norm divides what a norm of the stream reads before a sub-layer, got placement " + attention.label() + "/"
                        + mlp.label() + " and kind " + own.label() + "; take placement pre and kind layernorm or rmsnorm, or scaling lns");
            }
            norm = norm.withEpsilon(norm.epsilon() * (l + 1)); // N(c h) is N(h) with epsilon / c^2
        }
        double residual = scalings.contains(Scaling.LNS_RESIDUAL) ? 1 / Math.sqrt(l + 1) : 1;
        double skip = scalings.contains(Scaling.DEEPNORM) ? Math.pow(2.0 * L, 0.25) : scalings.contains(Scaling.KEEL) ? 2.0 * L : 1;
        BranchScale scale = scalings.contains(Scaling.LAYERSCALE) ? BranchScale.VECTOR
                : scalings.contains(Scaling.SKIPINIT) ? BranchScale.NUMBER : family.scale();
        return new Block(attention, mlp, family.wiring(), norm, mixer(family.mixer(), inside), family.cross(), feedForward(family.feedForward(), inside),
                skip * residual, family.branch() * residual, scale, scalings.contains(Scaling.GPAS), family.recentre());
    }

    private static boolean readsOnly(Placement placement) {
        return placement == Placement.PRE || placement == Placement.NONE;
    }

    /** A norm of that kind in the place of a family's, with the gain and bias that the kind is known with. */
    static Norm norm(Norm family, NormKind kind) {
        return kind == family.kind() ? family : Norm.of(kind, family.epsilon(), switch (kind) {
            case LAYER, DYNAMIC_TANH -> Affine.GAIN_AND_BIAS;
            case RMS -> Affine.GAIN;
            case CRMS -> Affine.NONE;
        });
    }

    private Mixer mixer(Mixer family, Norm norm) {
        return switch (family) {
            case Attention attention -> attention(attention, norm);
            case LatentAttention latent -> latent;
        };
    }

    private Attention attention(Attention family, Norm norm) {
        Norm gained = norm.withAffine(Affine.GAIN);
        Attention result = scalings.contains(Scaling.HEADS) ? family.withHeadScales() : family;
        for (Inner each : inner) {
            result = switch (each) {
                case QUERY_KEY -> result.withQueryKeyNorm(new QueryKeyNorm(gained, Span.HEAD));
                case QUERY_KEY_PROJECTION -> result.withQueryKeyNorm(new QueryKeyNorm(gained, Span.PROJECTION));
                case QUERY_KEY_VALUE -> result.withQueryKeyNorm(new QueryKeyNorm(gained, Span.HEAD)).withValueNorm(gained);
                case SUB -> result.withInnerNorm(norm);
                case HIDDEN -> result;
            };
        }
        return result;
    }

    private FeedForward feedForward(FeedForward family, Norm norm) {
        return switch (family) {
            case Mlp mlp -> inner.contains(Inner.SUB) || inner.contains(Inner.HIDDEN) ? mlp.withInnerNorm(norm) : mlp;
            case Experts experts -> experts;
        };
    }
}
