package isonorm.train;

import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.BranchScale;
import isonorm.architecture.Embedding;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Placement;
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.QueryKeyNorm.Span;
import isonorm.architecture.Stream;
import isonorm.checkpoint.Names;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Where and how a model normalizes, as separate values that can be combined freely: the kind of its norms, their placement, what is
 * scaled, which norms stand inside the sub-layers, how weights begin, and whether the step runs on the weights themselves or on an
 * equal model.
 *
 * @param kind the norms' kind; that of the model's family when empty
 * @param inner norms inside the sub-layers
 * @param embeddingNorm whether the embedding is normalized before it enters the stream
 */
public record Strategy(
        String name,
        Optional<NormKind> kind,
        Placing placing,
        Scaling scaling,
        Inner inner,
        boolean embeddingNorm,
        Initialization initialization,
        Running running) {

    /** Where the norms stand. */
    public sealed interface Placing {

        /** In every block the same. */
        record Everywhere(Placement attention, Placement mlp) implements Placing {}

        /** One placement in the first share of the blocks, rounded down, and another in the rest (Mix-LN, arXiv 2412.13795). */
        record Mixed(double share, Placement first, Placement rest) implements Placing {}
    }

    /** What is scaled, L being the number of blocks and l a block's number from 1. */
    public enum Scaling {
        /** Nothing. */
        NONE("none"),
        /** What the norms before the sub-layers of block l give, or of images what its branches write, by 1/sqrt(l) (LayerNorm Scaling, arXiv 2502.05795). */
        LAYERNORM_SCALING("lns"),
        /** The stream where a branch is added, by (2L)^(1/4) (DeepNorm, arXiv 2203.00555). */
        DEEPNORM("deepnorm"),
        /** The stream where a branch is added, by 2L (Keel, arXiv 2601.19895). */
        KEEL("keel"),
        /** What a branch writes, by a learned vector that begins at 1e-4 (LayerScale, arXiv 2103.17239). */
        LAYERSCALE("layerscale"),
        /** What a branch writes, by a learned number that begins at 0 (SkipInit, arXiv 2002.10444). */
        SKIPINIT("skipinit"),
        /** What each head of attention gives, by a learned number that begins at 1 (NormFormer, arXiv 2110.09456). */
        HEADS("heads"),
        /** The stream behind each sum, by 1 - SiLU(g) for a learned g (GPAS, arXiv 2506.22049). */
        GPAS("gpas");

        private final String label;

        Scaling(String label) {
            this.label = label;
        }

        /** The word in a configuration. */
        public String label() {
            return label;
        }
    }

    /** Norms inside the sub-layers. */
    public enum Inner {
        /** None. */
        NONE("none"),
        /** Of queries and keys, each head by itself (arXiv 2010.04245). */
        QUERY_KEY("qk"),
        /** Of queries and keys, all heads together (OLMo 2). */
        QUERY_KEY_PROJECTION("qk-projection"),
        /** Of queries, keys and values (HybridNorm, arXiv 2503.04598). */
        QUERY_KEY_VALUE("qkv"),
        /** Before the output projection and before the MLP's second linear layer (Sub-LN, arXiv 2210.06423). */
        SUB("sub"),
        /** On the MLP's hidden layer (NormFormer, arXiv 2110.09456). */
        HIDDEN("hidden");

        private final String label;

        Inner(String label) {
            this.label = label;
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
        DEEPNORM("deepnorm");

        private final String label;

        Initialization(String label) {
            this.label = label;
        }

        /** The word in a configuration. */
        public String label() {
            return label;
        }
    }

    /** What a step computes with. */
    public enum Running {
        /** The weights. */
        PLAIN("plain"),
        /** The equal Pre-RMSNorm model of a Pre-LN model, whose weights stay what the optimizer changes (arXiv 2305.14858). */
        EQUIVALENT_RMS("equivalent-rmsnorm"),
        /** The equal Pre-CRMSNorm model. */
        EQUIVALENT_CRMS("equivalent-crmsnorm");

        private final String label;

        Running(String label) {
            this.label = label;
        }

        /** The word in a configuration. */
        public String label() {
            return label;
        }
    }

    private static final Map<String, Strategy> NAMED = new LinkedHashMap<>();

    static {
        //   name                      kind                    placement                                   scaling                    inner                       initialization
        add("post-ln",                 NormKind.LAYER,         both(Placement.POST),                       Scaling.NONE,              Inner.NONE,                 Initialization.NORMAL);
        add("pre-ln",                  NormKind.LAYER,         both(Placement.PRE),                        Scaling.NONE,              Inner.NONE,                 Initialization.NORMAL);
        add("pre-rmsnorm",             NormKind.RMS,           both(Placement.PRE),                        Scaling.NONE,              Inner.NONE,                 Initialization.NORMAL);
        add("pre-crmsnorm",            NormKind.CRMS,          both(Placement.PRE),                        Scaling.NONE,              Inner.NONE,                 Initialization.NORMAL);
        add("peri-ln",                 NormKind.RMS,           both(Placement.PERI),                       Scaling.NONE,              Inner.NONE,                 Initialization.NORMAL);
        add("lns",                     null,                   both(Placement.PRE),                        Scaling.LAYERNORM_SCALING, Inner.NONE,                 Initialization.NORMAL);
        add("mix-ln",                  null,                   mixed(0.25, Placement.POST, Placement.PRE), Scaling.NONE,              Inner.NONE,                 Initialization.NORMAL);
        add("deepnorm",                NormKind.LAYER,         both(Placement.POST),                       Scaling.DEEPNORM,          Inner.NONE,                 Initialization.DEEPNORM);
        add("sandwich-ln",             NormKind.LAYER,         both(Placement.PERI),                       Scaling.NONE,              Inner.NONE,                 Initialization.NORMAL);
        add("output-norm",             NormKind.RMS,           both(Placement.OUTPUT),                     Scaling.NONE,              Inner.QUERY_KEY_PROJECTION, Initialization.NORMAL);
        add("hybridnorm",              NormKind.RMS,           apart(Placement.NONE, Placement.POST),      Scaling.NONE,              Inner.QUERY_KEY_VALUE,      Initialization.NORMAL);
        add("sub-ln",                  NormKind.LAYER,         both(Placement.PRE),                        Scaling.NONE,              Inner.SUB,                  Initialization.NORMAL);
        add("normformer",              NormKind.LAYER,         apart(Placement.PERI, Placement.PRE),       Scaling.HEADS,             Inner.HIDDEN,               Initialization.NORMAL);
        add("residual",                NormKind.LAYER,         both(Placement.DUAL),                       Scaling.NONE,              Inner.NONE,                 Initialization.NORMAL);
        add("gpas",                    NormKind.RMS,           both(Placement.PRE),                        Scaling.GPAS,              Inner.NONE,                 Initialization.NORMAL);
        add("keel",                    NormKind.RMS,           both(Placement.BOTH),                       Scaling.KEEL,              Inner.NONE,                 Initialization.NORMAL);
        add("dyt",                     NormKind.DYNAMIC_TANH,  both(Placement.PRE),                        Scaling.NONE,              Inner.NONE,                 Initialization.NORMAL);
        add("no-norm",                 null,                   both(Placement.NONE),                       Scaling.NONE,              Inner.NONE,                 Initialization.NORMAL);
        NAMED.put("pre-rmsnorm-equivalent", named("pre-ln").withRunning(Running.EQUIVALENT_RMS).withName("pre-rmsnorm-equivalent"));
        NAMED.put("pre-crmsnorm-equivalent", named("pre-ln").withRunning(Running.EQUIVALENT_CRMS).withName("pre-crmsnorm-equivalent"));
    }

    private static void add(String name, NormKind kind, Placing placing, Scaling scaling, Inner inner, Initialization initialization) {
        NAMED.put(name, new Strategy(name, Optional.ofNullable(kind), placing, scaling, inner, false, initialization, Running.PLAIN));
    }

    private static Placing both(Placement placement) {
        return new Placing.Everywhere(placement, placement);
    }

    private static Placing apart(Placement attention, Placement mlp) {
        return new Placing.Everywhere(attention, mlp);
    }

    private static Placing mixed(double share, Placement first, Placement rest) {
        return new Placing.Mixed(share, first, rest);
    }

    /** The names of all strategies. */
    public static List<String> names() {
        return List.copyOf(NAMED.keySet());
    }

    /** The strategy of that name. */
    public static Strategy named(String name) {
        Strategy strategy = NAMED.get(name);
        if (strategy == null) {
            throw new IllegalArgumentException("there is no strategy " + name
                    + Names.nearest(name, NAMED.keySet()).map(near -> "; did you mean " + near + "?").orElse("")
                    + " There are " + String.join(", ", names()));
        }
        return strategy;
    }

    public Strategy withName(String other) {
        return new Strategy(other, kind, placing, scaling, inner, embeddingNorm, initialization, running);
    }

    public Strategy withKind(NormKind other) {
        return new Strategy(name, Optional.of(other), placing, scaling, inner, embeddingNorm, initialization, running);
    }

    public Strategy withPlacement(Placement other) {
        return new Strategy(name, kind, both(other), scaling, inner, embeddingNorm, initialization, running);
    }

    public Strategy withScaling(Scaling other) {
        return new Strategy(name, kind, placing, other, inner, embeddingNorm, initialization, running);
    }

    public Strategy withInner(Inner other) {
        return new Strategy(name, kind, placing, scaling, other, embeddingNorm, initialization, running);
    }

    public Strategy withEmbeddingNorm(boolean there) {
        return new Strategy(name, kind, placing, scaling, inner, there, initialization, running);
    }

    public Strategy withInitialization(Initialization other) {
        return new Strategy(name, kind, placing, scaling, inner, embeddingNorm, other, running);
    }

    public Strategy withRunning(Running other) {
        return new Strategy(name, kind, placing, scaling, inner, embeddingNorm, initialization, other);
    }

    /** What speaks against a combination, which is trained all the same. */
    public List<String> warnings() {
        List<String> warnings = new ArrayList<>();
        if (scaling == Scaling.LAYERNORM_SCALING
                && (initialization == Initialization.SCALED || initialization == Initialization.DEPTH_SCALED)) {
            warnings.add("LayerNorm Scaling with " + initialization.label + " initialization loses its gain: both make deep branches small"
                    + " (arXiv 2502.05795); take initialization normal");
        }
        if (scaling == Scaling.DEEPNORM && initialization != Initialization.DEEPNORM) {
            warnings.add("DeepNorm's bound holds with its own initialization only (arXiv 2203.00555); take initialization deepnorm");
        }
        if (scaling == Scaling.DEEPNORM && !placing.equals(both(Placement.POST)) || scaling == Scaling.KEEL && !placing.equals(both(Placement.BOTH))) {
            warnings.add("the skip is scaled where no norm stands behind the sum, so the stream grows by that factor in every block");
        }
        return warnings;
    }

    /** A model of this strategy in the place of a family's. */
    public Architecture applied(Architecture base) {
        int L = base.blocks().size();
        List<Block> blocks = new ArrayList<>();
        for (int l = 0; l < L; l++) {
            blocks.add(applied(base.blocks().get(l), l, L));
        }
        Norm norm = norm(base.blocks().getFirst().norm());
        boolean compressed = norm.kind() == NormKind.CRMS;
        boolean none = placing.equals(both(Placement.NONE));
        Embedding embedding = embeddingNorm ? base.embedding().withNorm(Optional.of(norm), false) : base.embedding();
        return base.withEmbedding(embedding)
                .withBlocks(blocks)
                .withFinalNorm(none ? Optional.empty() : Optional.of(norm))
                .withStream(compressed ? Stream.COMPRESSED : base.stream());
    }

    private Norm norm(Norm family) {
        NormKind chosen = kind.orElse(family.kind());
        return chosen == family.kind() ? family : Norm.of(chosen, family.epsilon(), switch (chosen) {
            case LAYER, DYNAMIC_TANH -> Affine.GAIN_AND_BIAS;
            case RMS -> Affine.GAIN;
            case CRMS -> Affine.NONE;
        });
    }

    private Block applied(Block family, int l, int L) {
        Placement attentionPlacement = switch (placing) {
            case Placing.Everywhere(Placement attention, Placement _) -> attention;
            case Placing.Mixed(double share, Placement first, Placement rest) -> l < (int) (share * L) ? first : rest;
        };
        Placement mlpPlacement = switch (placing) {
            case Placing.Everywhere(Placement _, Placement mlp) -> mlp;
            case Placing.Mixed _ -> attentionPlacement;
        };
        boolean none = attentionPlacement == Placement.NONE && mlpPlacement == Placement.NONE;
        Norm norm = none ? family.norm().withAffine(Affine.NONE) : norm(family.norm());
        double skip = switch (scaling) {
            case DEEPNORM -> Math.pow(2.0 * L, 0.25);
            case KEEL -> 2.0 * L;
            case NONE, LAYERNORM_SCALING, LAYERSCALE, SKIPINIT, HEADS, GPAS -> 1;
        };
        BranchScale scale = switch (scaling) {
            case LAYERSCALE -> BranchScale.VECTOR;
            case SKIPINIT -> BranchScale.NUMBER;
            case NONE, LAYERNORM_SCALING, DEEPNORM, KEEL, HEADS, GPAS -> family.scale();
        };
        if (scale == BranchScale.VECTOR && norm.kind() == NormKind.CRMS) {
            throw new IllegalArgumentException("what is written to a CRMSNorm's stream must sum to zero, and a LayerScale changes that; take kind rmsnorm,"
                    + " or scaling skipinit");
        }
        return new Block(attentionPlacement, mlpPlacement, family.wiring(), norm, attention(family.attention(), norm), mlp(family.mlp(), norm), skip,
                scale, scaling == Scaling.GPAS, family.recentre());
    }

    private Attention attention(Attention family, Norm norm) {
        Norm gained = norm.withAffine(Affine.GAIN);
        Attention scaled = scaling == Scaling.HEADS ? family.withHeadScales() : family;
        return switch (inner) {
            case NONE, HIDDEN -> scaled;
            case QUERY_KEY -> scaled.withQueryKeyNorm(new QueryKeyNorm(gained, Span.HEAD));
            case QUERY_KEY_PROJECTION -> scaled.withQueryKeyNorm(new QueryKeyNorm(gained, Span.PROJECTION));
            case QUERY_KEY_VALUE -> scaled.withQueryKeyNorm(new QueryKeyNorm(gained, Span.HEAD)).withValueNorm(gained);
            case SUB -> scaled.withInnerNorm(norm);
        };
    }

    private Mlp mlp(Mlp family, Norm norm) {
        return inner == Inner.SUB || inner == Inner.HIDDEN ? family.withInnerNorm(norm) : family;
    }

    /** The constants of training a model of this strategy, with what is dropped by chance. */
    Scales scales(Architecture architecture, double dropout, double depth) {
        double[] none = {};
        if (scaling != Scaling.LAYERNORM_SCALING) {
            return new Scales(none, none, dropout, depth);
        }
        double[] factors = new double[architecture.blocks().size()];
        for (int l = 1; l <= factors.length; l++) {
            factors[l - 1] = 1 / Math.sqrt(l);
        }
        boolean images = architecture.embedding() instanceof Embedding.Patches;
        return images ? new Scales(none, factors, dropout, depth) : new Scales(factors, none, dropout, depth);
    }
}
