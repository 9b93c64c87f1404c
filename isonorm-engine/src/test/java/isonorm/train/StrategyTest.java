package isonorm.train;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.Activation;
import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.BranchScale;
import isonorm.architecture.Embedding;
import isonorm.architecture.LayerNormScaling;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Part;
import isonorm.architecture.Placement;
import isonorm.architecture.Role.Field;
import isonorm.architecture.Wiring;
import isonorm.backpropagation.Parameters;
import isonorm.backpropagation.Scales;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.tensor.Team;
import isonorm.train.BlockStrategy.Initialization;
import isonorm.train.BlockStrategy.Inner;
import isonorm.train.BlockStrategy.Scaling;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

class StrategyTest {

    private static Architecture decoder(int blocks) {
        Norm norm = Norm.of(NormKind.LAYER, 1e-5, Affine.GAIN_AND_BIAS);
        Block block = Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, Attention.of(2, 32), Mlp.plain(256, Activation.GELU));
        return Architecture.of("test", 64, 16, Embedding.Tokens.of(30, 64), Collections.nCopies(blocks, block), Optional.of(norm),
                Output.Words.of(false));
    }

    private static SortedSet<Integer> blocks(Integer... numbers) {
        return new TreeSet<>(List.of(numbers));
    }

    private static Attention attention(Block block) {
        return (Attention) block.mixer();
    }

    private static Mlp mlp(Block block) {
        return (Mlp) block.feedForward();
    }

    private static List<Placement> placements(Architecture architecture) {
        return architecture.blocks().stream().map(Block::attentionPlacement).toList();
    }

    @Test
    void mixLnIsPostLnInTheFirstQuarterRoundedDown() {
        Strategy strategy = Strategy.named("mix-ln");
        assertEquals(List.of(Placement.POST, Placement.PRE, Placement.PRE, Placement.PRE, Placement.PRE, Placement.PRE, Placement.PRE),
                placements(strategy.applied(decoder(7))));
        assertEquals(Collections.nCopies(8, Placement.PERI), placements(strategy.everywhere(block -> block.withPlacement(Placement.PERI))
                .applied(decoder(8))), "what is said of the whole model replaces what the strategy says");
    }

    /** HybridNorm: y = h + A(h), N(y) + M(N(y)); in HybridNorm* the first block's attention reads N(h). */
    @Test
    void hybridNormHasOneNormBetweenItsSubLayers() {
        for (Block block : Strategy.named("hybridnorm").applied(decoder(3)).blocks()) {
            assertEquals(List.of(Placement.POST, Placement.NONE), List.of(block.attentionPlacement(), block.mlpPlacement()));
            assertTrue(attention(block).norms().value().isPresent() && attention(block).norms().queryKey().isPresent());
        }
        Architecture star = Strategy.named("hybridnorm-star").applied(decoder(3));
        assertEquals(List.of(Placement.BOTH, Placement.POST, Placement.POST), placements(star));
        assertEquals(Collections.nCopies(3, Placement.NONE), star.blocks().stream().map(Block::mlpPlacement).toList());
    }

    /** Keel: N(2L h + F(N(h))), but in the first block h + A(N(h)) and then N(h + M(N(h))). */
    @Test
    void keelBeginsWithAnAttentionThatIsPreLn() {
        Architecture keel = Strategy.named("keel").applied(decoder(4));
        assertEquals(List.of(Placement.PRE, Placement.BOTH, Placement.BOTH, Placement.BOTH), placements(keel));
        assertEquals(Collections.nCopies(4, Placement.BOTH), keel.blocks().stream().map(Block::mlpPlacement).toList());
        assertEquals(List.of(1.0, 8.0, 8.0, 8.0), keel.blocks().stream().map(Block::skip).toList());
        assertEquals(List.of(), Strategy.named("keel").warnings(4));
    }

    @Test
    void aBlockDoesWhatItsStrategyDoesInABlockOfItsNumber() {
        Strategy strategy = Strategy.named("pre-rmsnorm").in(blocks(1, 3), Strategy.named("deepnorm")).in(blocks(0, 4), Strategy.named("mix-ln"))
                .in(blocks(2), Strategy.named("keel")).in(blocks(3), block -> block.withInner(Set.of(Inner.SUB)));
        Architecture architecture = strategy.applied(decoder(8));
        assertEquals(List.of(Placement.POST, Placement.POST, Placement.BOTH, Placement.POST, Placement.PRE, Placement.PRE, Placement.PRE, Placement.PRE),
                placements(architecture));
        List<Double> skips = architecture.blocks().stream().map(Block::skip).toList();
        assertEquals(List.of(1.0, 2.0, 16.0, 2.0, 1.0, 1.0, 1.0, 1.0), skips, "(2L)^(1/4) and 2L, of the whole model's L");
        assertTrue(mlp(architecture.blocks().get(3)).innerNorm().isPresent() && mlp(architecture.blocks().get(1)).innerNorm().isEmpty());
        List<NormKind> kinds = architecture.blocks().stream().map(block -> block.norm().kind()).toList();
        assertEquals(List.of(NormKind.RMS, NormKind.LAYER, NormKind.RMS, NormKind.LAYER, NormKind.RMS, NormKind.RMS, NormKind.RMS, NormKind.RMS), kinds,
                "Mix-LN has the model's kind");
    }

    @Test
    void layerNormScalingCountsAllBlocks() {
        Strategy strategy = Strategy.named("pre-ln").in(blocks(1, 3), Strategy.named("lns"));
        Scales scales = strategy.scales(decoder(5));
        assertArrayEquals(new double[] {1, 1 / Math.sqrt(2), 1, 0.5, 1}, scales.constants().attention());
        assertArrayEquals(new double[] {1, 1 / Math.sqrt(2), 1, 0.5, 1}, scales.constants().mlp());
    }

    /** In models of images it stands behind the branches, unless a place is named. */
    @Test
    void layerNormScalingStandsWhereItIsPut() {
        double[] ones = {};
        double[] factors = {1, 1 / Math.sqrt(2), 1 / Math.sqrt(3)};
        Architecture words = decoder(3);
        Architecture images = words.withEmbedding(Embedding.Patches.of(4, 6, 2, 3));
        for (Architecture each : List.of(words, images)) {
            requireConstants(each == words ? factors : ones, each == words ? factors : ones, each == words ? ones : factors, Scaling.LAYERNORM_SCALING, each);
            requireConstants(factors, factors, ones, Scaling.LNS_NORMS, each);
            requireConstants(factors, ones, ones, Scaling.LNS_ATTENTION, each);
            requireConstants(ones, factors, ones, Scaling.LNS_MLP, each);
            requireConstants(ones, ones, factors, Scaling.LNS_BRANCHES, each);
            requireConstants(ones, ones, ones, Scaling.LNS_BEFORE_NORM, each);
            requireConstants(ones, ones, ones, Scaling.LNS_RESIDUAL, each);
        }
    }

    private static void requireConstants(double[] attention, double[] mlp, double[] branches, Scaling place, Architecture architecture) {
        LayerNormScaling constants = Strategy.named("pre-ln").everywhere(block -> block.withScalings(Set.of(place))).scales(architecture).constants();
        assertArrayEquals(attention, constants.attention(), place.label());
        assertArrayEquals(mlp, constants.mlp(), place.label());
        assertArrayEquals(branches, constants.branches(), place.label());
    }

    /** The final norm has the model's kind, and is not there only where no block has a norm. */
    @Test
    void theFinalNormIsTheModels() {
        Strategy strategy = Strategy.named("no-norm").everywhere(block -> block.withKind(NormKind.RMS));
        assertEquals(Optional.empty(), strategy.applied(decoder(3)).finalNorm());
        assertEquals(NormKind.RMS, strategy.in(blocks(1), Strategy.named("dyt")).applied(decoder(3)).finalNorm().orElseThrow().kind());
        assertEquals(Optional.empty(), Strategy.named("pre-ln").in(blocks(0, 1, 2), Strategy.named("no-norm")).applied(decoder(3)).finalNorm());
    }

    @Test
    void scalingsAndInnerNormsStandTogether() {
        Block block = Strategy.named("peri-ln").everywhere(each -> each
                .withScalings(Set.of(Scaling.SKIPINIT, Scaling.GPAS, Scaling.HEADS, Scaling.DEEPNORM)).withInner(Set.of(Inner.QUERY_KEY, Inner.HIDDEN)))
                .applied(decoder(8)).blocks().getLast();
        assertEquals(BranchScale.NUMBER, block.scale());
        assertEquals(2, block.skip());
        assertTrue(block.gates() && attention(block).norms().headScales() && attention(block).norms().queryKey().isPresent() && mlp(block).innerNorm().isPresent());
    }

    /** CRMSNorm is a norm of the stream: it takes its vector for one of a value more. */
    @Test
    void insideSubLayersOfACrmsNormModelAreRmsNorms() {
        Block block = Strategy.named("pre-crmsnorm").everywhere(each -> each.withInner(Set.of(Inner.QUERY_KEY_VALUE, Inner.SUB))).applied(decoder(1))
                .blocks().getFirst();
        assertEquals(NormKind.CRMS, block.norm().kind());
        for (Norm norm : List.of(attention(block).norms().queryKey().orElseThrow().norm(), attention(block).norms().value().orElseThrow(),
                attention(block).norms().inner().orElseThrow(), mlp(block).innerNorm().orElseThrow())) {
            assertEquals(Norm.of(NormKind.RMS, 1e-5, Affine.GAIN), norm);
        }
    }

    @Test
    void whatContradictsItselfIsRefused() {
        BlockStrategy block = Strategy.named("pre-ln").block();
        refused("scaling lns and lns-branches both say where LayerNorm Scaling stands; take one of them",
                () -> block.withScalings(Set.of(Scaling.LAYERNORM_SCALING, Scaling.LNS_BRANCHES)));
        refused("block 0: lns-before-norm divides what a norm of the stream reads before a sub-layer, got placement peri/peri and kind layernorm;"
                + " take placement pre and kind layernorm or rmsnorm, or scaling lns",
                () -> Strategy.named("sandwich-ln").everywhere(each -> each.withScalings(Set.of(Scaling.LNS_BEFORE_NORM))).applied(decoder(2)));
        refused("scaling deepnorm and keel both say the factor of the skip; take one of them",
                () -> block.withScalings(Set.of(Scaling.KEEL, Scaling.DEEPNORM, Scaling.GPAS)));
        refused("scaling layerscale and skipinit both say the learned scale of what a branch writes; take one of them",
                () -> block.withScalings(Set.of(Scaling.SKIPINIT, Scaling.LAYERSCALE)));
        refused("inner qk and qk-projection both say the norms of queries and keys; take one of them",
                () -> block.withInner(Set.of(Inner.QUERY_KEY, Inner.QUERY_KEY_PROJECTION)));
        refused("inner qk-projection and qkv both say the norms of queries and keys; take one of them",
                () -> block.withInner(Set.of(Inner.QUERY_KEY_VALUE, Inner.QUERY_KEY_PROJECTION)));
        refused("inner sub and hidden both say the norm of the MLP's hidden layer; take one of them",
                () -> block.withInner(Set.of(Inner.SUB, Inner.HIDDEN)));
    }

    @Test
    void blocksThatDoNotFitTheModelAreRefused() {
        Strategy pre = Strategy.named("pre-ln");
        refused("there is no block 3 that could have another strategy; the model has blocks 0 to 2",
                () -> pre.in(blocks(1, 3), Strategy.named("lns")).applied(decoder(3)));
        refused("CRMSNorm reads a stream of d - 1 values and every other norm one of d, got crmsnorm in block 1 and layernorm in the model; take crmsnorm"
                + " for strategy.kind and all blocks, or for none", () -> pre.in(blocks(1), Strategy.named("pre-crmsnorm")).applied(decoder(3)));
        refused("CRMSNorm reads a stream of d - 1 values and every other norm one of d, got rmsnorm in block 2 and crmsnorm in the model; take crmsnorm"
                + " for strategy.kind and all blocks, or for none", () -> Strategy.named("pre-crmsnorm").in(blocks(2), Strategy.named("peri-ln")).applied(decoder(3)));
        refused("block 1: what is written to a CRMSNorm's stream must sum to zero, and a LayerScale changes that; take kind rmsnorm, or scaling skipinit",
                () -> Strategy.named("pre-crmsnorm").in(blocks(1), Strategy.named("no-norm"))
                        .in(blocks(1), block -> block.withScalings(Set.of(Scaling.LAYERSCALE))).applied(decoder(3)));
        refused("block 0: gates scale a sum that no norm stands behind, got POST and POST",
                () -> Strategy.named("gpas").in(blocks(0), block -> block.withPlacement(Placement.POST)).applied(decoder(3)));
        refused("pre-rmsnorm-equivalent is a way to train a whole model, and blocks 0,2 cannot have it; name it as the strategy, or give blocks pre-ln",
                () -> pre.in(blocks(0, 2), Strategy.named("pre-rmsnorm-equivalent")));
        assertTrue(assertThrows(IllegalArgumentException.class, () -> pre.in(blocks(0), Strategy.named("residual")).applied(decoder(3))).getMessage()
                .startsWith("a second stream runs through all blocks"));
    }

    private static void refused(String message, Runnable made) {
        assertEquals(message, assertThrows(IllegalArgumentException.class, made::run).getMessage());
    }

    @Test
    void aWarningNamesTheBlocksItIsAbout() {
        Strategy lns = Strategy.named("lns");
        String loses = "LayerNorm Scaling with scaled initialization loses its gain: both make deep branches small (arXiv 2502.05795); take initialization normal";
        assertEquals(List.of(loses), lns.everywhere(block -> block.withInitialization(Initialization.SCALED)).warnings(4));
        assertEquals(List.of("blocks 1-2: " + loses), lns.in(blocks(1, 2), block -> block.withInitialization(Initialization.SCALED)).warnings(4));
        assertEquals(List.of(), Strategy.named("pre-ln").in(blocks(1), Strategy.named("deepnorm")).in(blocks(2), Strategy.named("keel")).warnings(4));
        assertEquals(List.of("block 1: the skip is scaled where no norm stands behind the sum, so the stream grows by that factor in every block"),
                Strategy.named("keel").in(blocks(1), block -> block.withPlacements(Placement.BOTH, Placement.PERI)).warnings(4));
    }

    /** A block begins as its own strategy says, with its number and the model's L; what is outside of blocks as all strategies say. */
    @Test
    void everyBlockBeginsAsItsStrategySays() {
        double deviation = 0.1;
        Strategy strategy = Strategy.named("pre-ln").everywhere(block -> block.withInitialization(Initialization.SCALED))
                .in(blocks(1), block -> block.withInitialization(Initialization.DEPTH_SCALED)).in(blocks(2), Strategy.named("deepnorm"))
                .in(blocks(3), Strategy.named("pre-ln"));
        Architecture architecture = strategy.applied(decoder(8));
        try (Team team = Team.of(1); Parameters parameters = Parameters.of(architecture, Type.F32, Type.F32)) {
            Beginning.of(strategy, architecture, deviation, 3).fill(parameters, architecture, team);
            assertEquals(deviation / 4, spread(parameters, Part.MLP_DOWN, 0), 0.001, "/ sqrt(2L)");
            assertEquals(deviation / 2, spread(parameters, Part.MLP_DOWN, 1), 0.002, "/ sqrt(2l)");
            assertEquals(Math.sqrt(2.0 / (64 + 256)) * Math.pow(64, -0.25), spread(parameters, Part.MLP_DOWN, 2), 0.001, "Xavier's times (8L)^(-1/4)");
            assertEquals(deviation, spread(parameters, Part.MLP_DOWN, 3), 0.003);
            for (int l : new int[] {0, 1, 3}) {
                assertEquals(deviation, spread(parameters, Part.MLP_UP, l), 0.003);
            }
            assertEquals(deviation, spread(parameters, Part.TOKEN_EMBEDDING, -1), 0.006);
        }
    }

    private static double spread(Parameters parameters, Part part, int block) {
        Parameters.Entry entry = parameters.get(part, block, Field.WEIGHT);
        Rows rows = entry.stored(entry.weights());
        double squares = 0;
        for (int r = 0; r < rows.rows(); r++) {
            for (int c = 0; c < rows.columns(); c++) {
                squares += rows.get(r, c) * rows.get(r, c) / ((double) rows.rows() * rows.columns());
            }
        }
        return Math.sqrt(squares);
    }
}
