package isonorm.train;

import isonorm.architecture.Architecture;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
import isonorm.architecture.LayerNormScaling;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Placement;
import isonorm.architecture.Stream;
import isonorm.backpropagation.Scales;
import isonorm.train.BlockStrategy.Initialization;
import isonorm.train.BlockStrategy.Inner;
import isonorm.train.BlockStrategy.Scaling;
import isonorm.words.BlockNumbers;
import isonorm.words.Names;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.function.UnaryOperator;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * Where and how a model normalizes: what its blocks do, which blocks do something else, whether the embedding is normalized, and whether the
 * step runs on the weights themselves or on an equal model.
 *
 * <p>The kind of {@code block} is the model's: that of the embedding's norm and of the final norm, and of blocks that have none of their own.
 * There is a final norm unless no block has a norm on the stream. Constants of a block are those of its number in the whole model.
 */
public final class Strategy {

    private final String name;
    private final BlockStrategy block;
    private final List<Others> others;
    private final boolean embeddingNorm;
    private final Running running;

    private Strategy(String name, BlockStrategy block, List<Others> others, boolean embeddingNorm, Running running) {
        this.name = name;
        this.block = block;
        this.others = List.copyOf(others);
        this.embeddingNorm = embeddingNorm;
        this.running = running;
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

    /** Some blocks of a model. */
    sealed interface Which {

        /** All. */
        record All() implements Which {}

        /** The first share of them, rounded down. */
        record First(double share) implements Which {}

        /** Those with a number from 0. */
        record Numbered(SortedSet<Integer> numbers) implements Which {}

        /** Whether block l, counted from 0, of L is among them. */
        default boolean contains(int l, int L) {
            return switch (this) {
                case All() -> true;
                case First(double share) -> l < (int) (share * L);
                case Numbered(SortedSet<Integer> numbers) -> numbers.contains(l);
            };
        }
    }

    /** What a block does in place of what it did, being block l, counted from 0, of L. */
    @FunctionalInterface
    interface Change {
        BlockStrategy of(BlockStrategy block, int l, int L);
    }

    /** Blocks that do something else than the rest. */
    record Others(Which which, Change change) {}

    private static final Map<String, Strategy> NAMED = new LinkedHashMap<>();

    static {
        //   name            kind                   attention         MLP               scaled                             inside                              initialization
        add("post-ln",       NormKind.LAYER,        Placement.POST,   Placement.POST,   Set.of(),                          Set.of(),                           Initialization.NORMAL);
        add("pre-ln",        NormKind.LAYER,        Placement.PRE,    Placement.PRE,    Set.of(),                          Set.of(),                           Initialization.NORMAL);
        add("pre-rmsnorm",   NormKind.RMS,          Placement.PRE,    Placement.PRE,    Set.of(),                          Set.of(),                           Initialization.NORMAL);
        add("pre-crmsnorm",  NormKind.CRMS,         Placement.PRE,    Placement.PRE,    Set.of(),                          Set.of(),                           Initialization.NORMAL);
        add("peri-ln",       NormKind.RMS,          Placement.PERI,   Placement.PERI,   Set.of(),                          Set.of(),                           Initialization.NORMAL);
        add("lns",           null,                  Placement.PRE,    Placement.PRE,    Set.of(Scaling.LAYERNORM_SCALING), Set.of(),                           Initialization.NORMAL);
        add("mix-ln",        null,                  Placement.PRE,    Placement.PRE,    Set.of(),                          Set.of(),                           Initialization.NORMAL);
        add("deepnorm",      NormKind.LAYER,        Placement.POST,   Placement.POST,   Set.of(Scaling.DEEPNORM),          Set.of(),                           Initialization.DEEPNORM);
        add("sandwich-ln",   NormKind.LAYER,        Placement.PERI,   Placement.PERI,   Set.of(),                          Set.of(),                           Initialization.NORMAL);
        add("output-norm",   NormKind.RMS,          Placement.OUTPUT, Placement.OUTPUT, Set.of(),                          Set.of(Inner.QUERY_KEY_PROJECTION), Initialization.NORMAL);
        add("hybridnorm",    NormKind.RMS,          Placement.POST,   Placement.NONE,   Set.of(),                          Set.of(Inner.QUERY_KEY_VALUE),      Initialization.NORMAL);
        add("sub-ln",        NormKind.LAYER,        Placement.PRE,    Placement.PRE,    Set.of(),                          Set.of(Inner.SUB),                  Initialization.MAGNETO);
        add("normformer",    NormKind.LAYER,        Placement.PERI,   Placement.PRE,    Set.of(Scaling.HEADS),             Set.of(Inner.HIDDEN),               Initialization.NORMAL);
        add("residual",      NormKind.LAYER,        Placement.DUAL,   Placement.DUAL,   Set.of(),                          Set.of(),                           Initialization.NORMAL);
        add("gpas",          NormKind.RMS,          Placement.PRE,    Placement.PRE,    Set.of(Scaling.GPAS),              Set.of(),                           Initialization.NORMAL);
        add("keel",          NormKind.RMS,          Placement.BOTH,   Placement.BOTH,   Set.of(Scaling.KEEL),              Set.of(),                           Initialization.NORMAL);
        add("dyt",           NormKind.DYNAMIC_TANH, Placement.PRE,    Placement.PRE,    Set.of(),                          Set.of(),                           Initialization.NORMAL);
        add("no-norm",       null,                  Placement.NONE,   Placement.NONE,   Set.of(),                          Set.of(),                           Initialization.NORMAL);
        NAMED.put("mix-ln", named("mix-ln").inFirst(0.25, block -> block.withPlacement(Placement.POST))); // arXiv 2412.13795
        // The first block's attention has its Pre-LN besides (arXiv 2503.04598).
        NAMED.put("hybridnorm-star", named("hybridnorm").withName("hybridnorm-star").inBlock(0, block -> block.withPlacements(Placement.BOTH, Placement.NONE)));
        // The first block adds as Pre-LN does, and its attention's sum has no norm (arXiv 2601.19895).
        NAMED.put("keel", named("keel").inBlock(0, block -> block.withPlacements(Placement.PRE, Placement.BOTH).without(Scaling.KEEL)));
        NAMED.put("pre-rmsnorm-equivalent", named("pre-ln").withRunning(Running.EQUIVALENT_RMS).withName("pre-rmsnorm-equivalent"));
        NAMED.put("pre-crmsnorm-equivalent", named("pre-ln").withRunning(Running.EQUIVALENT_CRMS).withName("pre-crmsnorm-equivalent"));
    }

    private static void add(String name, @Nullable NormKind kind, Placement attention, Placement mlp, Set<Scaling> scalings, Set<Inner> inner,
            Initialization initialization) {
        BlockStrategy block = new BlockStrategy(Optional.ofNullable(kind), attention, mlp, scalings, inner, initialization);
        NAMED.put(name, new Strategy(name, block, List.of(), false, Running.PLAIN));
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

    /** The name in a configuration. */
    public String name() {
        return name;
    }

    /** What a step computes with. */
    public Running running() {
        return running;
    }

    /** Whether the embedding is normalized before it enters the stream. */
    public boolean embeddingNorm() {
        return embeddingNorm;
    }

    /** What blocks do that are not among the {@link #others}; without a kind the model has that of its family. */
    BlockStrategy block() {
        return block;
    }

    /** What some blocks do in its place, later ones in place of earlier ones. */
    List<Others> others() {
        return others;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Strategy strategy && name.equals(strategy.name) && block.equals(strategy.block) && others.equals(strategy.others)
                && embeddingNorm == strategy.embeddingNorm && running == strategy.running;
    }

    @Override
    public int hashCode() {
        return Objects.hash(name, block, others, embeddingNorm, running);
    }

    @Override
    public String toString() {
        return name;
    }

    Strategy withName(String other) {
        return new Strategy(other, block, others, embeddingNorm, running);
    }

    /** The same with or without a norm of the embedding. */
    public Strategy withEmbeddingNorm(boolean there) {
        return new Strategy(name, block, others, there, running);
    }

    /** The same, of which a step computes with something else. */
    public Strategy withRunning(Running other) {
        return new Strategy(name, block, others, embeddingNorm, other);
    }

    /** The same with another value in all blocks, and in the model. */
    Strategy everywhere(UnaryOperator<BlockStrategy> change) {
        Strategy changed = new Strategy(name, change.apply(block), others, embeddingNorm, running);
        return others.isEmpty() ? changed : changed.with(new Which.All(), (one, _, _) -> change.apply(one));
    }

    /** The same with another value in the first share of the blocks, rounded down. */
    Strategy inFirst(double share, UnaryOperator<BlockStrategy> change) {
        return with(new Which.First(share), (one, _, _) -> change.apply(one));
    }

    private Strategy inBlock(int number, UnaryOperator<BlockStrategy> change) {
        return in(new TreeSet<>(Set.of(number)), change);
    }

    /** The same with another value in blocks with a number from 0. */
    Strategy in(SortedSet<Integer> blocks, UnaryOperator<BlockStrategy> change) {
        return with(new Which.Numbered(blocks), (one, _, _) -> change.apply(one));
    }

    /** The same with all of another strategy in blocks with a number from 0: what it does in blocks of these numbers. */
    public Strategy in(SortedSet<Integer> blocks, Strategy other) {
        if (other.running != Running.PLAIN) {
            throw new IllegalArgumentException(other.name + " is a way to train a whole model, and blocks " + BlockNumbers.text(blocks)
                    + " cannot have it; name it as the strategy, or give blocks pre-ln");
        }
        return with(new Which.Numbered(blocks), (_, l, L) -> other.blocks(L).get(l));
    }

    private Strategy with(Which which, Change change) {
        List<Others> more = new ArrayList<>(others);
        more.add(new Others(which, change));
        return new Strategy(name, block, more, embeddingNorm, running);
    }

    /** What each of L blocks does. */
    List<BlockStrategy> blocks(int L) {
        List<BlockStrategy> blocks = new ArrayList<>();
        for (int l = 0; l < L; l++) {
            BlockStrategy one = block;
            for (Others each : others) {
                if (each.which instanceof Which.Numbered(SortedSet<Integer> numbers) && numbers.last() >= L) {
                    throw new IllegalArgumentException("there is no block " + numbers.last() + " that could have another strategy; the model has blocks 0"
                            + " to " + (L - 1));
                }
                one = each.which.contains(l, L) ? each.change.of(one, l, L) : one;
            }
            blocks.add(one);
        }
        return blocks;
    }

    /** Whether there are blocks that do something else than those of the named strategy. */
    boolean hasBlocksOfTheirOwn() {
        return some(others) > (NAMED.containsKey(name) ? some(named(name).others) : 0);
    }

    private static long some(List<Others> others) {
        return others.stream().filter(each -> !(each.which instanceof Which.All)).count();
    }

    /** Whether each of L blocks ends with a norm of the stream itself, which sets its variance there. */
    public boolean normalizesStream(int L) {
        return blocks(L).stream().allMatch(each -> each.mlp().normalizesSum());
    }

    /** What speaks against a combination, which is trained all the same, in a model of L blocks. */
    public List<String> warnings(int L) {
        Map<String, SortedSet<Integer>> warned = new LinkedHashMap<>();
        List<BlockStrategy> blocks = blocks(L);
        for (int l = 0; l < L; l++) {
            for (String warning : blocks.get(l).warnings()) {
                warned.computeIfAbsent(warning, _ -> new TreeSet<>()).add(l);
            }
        }
        List<String> warnings = new ArrayList<>();
        warned.forEach((warning, where) -> warnings.add(where.size() == L ? warning
                : (where.size() == 1 ? "block " : "blocks ") + BlockNumbers.text(where) + ": " + warning));
        return warnings;
    }

    /** A model of this strategy in the place of a family's. */
    Architecture applied(Architecture base) {
        int L = base.blocks().size();
        Norm family = base.blocks().getFirst().norm();
        NormKind kind = block.kind().orElse(family.kind());
        List<BlockStrategy> strategies = blocks(L);
        List<Block> blocks = new ArrayList<>();
        for (int l = 0; l < L; l++) {
            requireSameStream(strategies.get(l), l, kind);
            try {
                blocks.add(strategies.get(l).applied(base.blocks().get(l), kind, l, L));
            } catch (IllegalArgumentException e) {
                throw new IllegalArgumentException("block " + l + ": " + e.getMessage(), e);
            }
        }
        Norm norm = BlockStrategy.norm(family, kind);
        boolean none = strategies.stream().noneMatch(BlockStrategy::normalizes);
        Embedding embedding = embeddingNorm ? base.embedding().withNorm(Optional.of(norm), false) : base.embedding();
        return base.withEmbedding(embedding)
                .withBlocks(blocks)
                .withFinalNorm(none ? Optional.empty() : Optional.of(norm))
                .withStream(kind.readsCompressed() ? Stream.COMPRESSED : base.stream());
    }

    private static void requireSameStream(BlockStrategy strategy, int l, NormKind model) {
        NormKind own = strategy.kind().orElse(model);
        if (strategy.normalizes() && own.readsCompressed() != model.readsCompressed()) {
            throw new IllegalArgumentException("CRMSNorm reads a stream of d - 1 values and every other norm one of d, got " + own.label() + " in block "
                    + l + " and " + model.label() + " in the model; take crmsnorm for strategy.kind and all blocks, or for none");
        }
    }

    /** The constants of training a model of this strategy. */
    Scales scales(Architecture architecture) {
        return scales(architecture, new TrainingRun.Dropout(0, 0, 0));
    }

    /** The constants of training a model of this strategy, with what is dropped by chance. */
    Scales scales(Architecture architecture, TrainingRun.Dropout dropout) {
        List<BlockStrategy> blocks = blocks(architecture.blocks().size());
        boolean images = architecture.embedding() instanceof Embedding.Patches;
        Function<Predicate<Scaling>, double[]> factors = which -> IntStream.rangeClosed(1, blocks.size())
                .mapToDouble(l -> blocks.get(l - 1).scalings().stream().anyMatch(which) ? 1 / Math.sqrt(l) : 1).toArray();
        return new Scales(new LayerNormScaling(
                factors.apply(scaling -> scaling.ofNorms(images) || scaling == Scaling.LNS_ATTENTION),
                factors.apply(scaling -> scaling.ofNorms(images) || scaling == Scaling.LNS_MLP),
                factors.apply(scaling -> scaling.ofBranches(images))), dropout.stream(), dropout.attention(), dropout.lastBlock());
    }
}
