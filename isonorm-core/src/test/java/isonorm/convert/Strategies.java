package isonorm.convert;

import static isonorm.architecture.Placement.*;

import isonorm.architecture.Activation;
import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.BranchScale;
import isonorm.architecture.Embedding;
import isonorm.architecture.Experts;
import isonorm.architecture.LatentAttention;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Parameter;
import isonorm.architecture.Placement;
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.Role;
import isonorm.architecture.Rotary;
import isonorm.architecture.Routing;
import isonorm.architecture.Stream;
import isonorm.architecture.Wiring;
import isonorm.weights.Dense;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.SplittableRandom;

/** Small models of random weights, one for each way of placing and scaling norms that an architecture can say. */
public final class Strategies {

    private static final int WIDTH = 16;
    private static final Norm LAYER = Norm.of(NormKind.LAYER, 1e-3, Affine.GAIN_AND_BIAS);
    private static final Norm RMS = Norm.of(NormKind.RMS, 1e-2, Affine.GAIN);
    private static final Norm CRMS = Norm.of(NormKind.CRMS, 1e-3, Affine.NONE);
    private static final Norm TANH = Norm.of(NormKind.DYNAMIC_TANH, 0, Affine.GAIN_AND_BIAS);
    private static final Attention ATTENTION = Attention.of(4, 6).withKeyValueHeads(2)
            .withRotary(Rotary.of(4, 10_000, Rotary.Pairing.HALVES));
    private static final Mlp MLP = Mlp.plain(20, Activation.GELU);
    private static final Mlp GATED = Mlp.gated(20, Activation.SILU);

    private static final LatentAttention LATENT = new LatentAttention(3, OptionalInt.of(7), 5, 6, 4,
            new Attention.Scores(true, 0.3, OptionalInt.empty(), OptionalDouble.empty()), Rotary.of(4, 10_000, Rotary.Pairing.NEIGHBOURS), RMS, false, true);
    private static final Mlp CLAMPED = GATED.withBiases(true, true).withClamp(0.7, 1);
    private static final Experts EXPERTS = Experts.of(GATED, 5, Routing.softmax(2, true).withScale(1.5));
    private static final Routing GROUPED = Routing.softmax(2, true).withScores(new Routing.Scores.Sigmoid())
            .withGroups(new Routing.Groups(3, 2, 2)).withCorrection();

    private Strategies() {}

    /** Language models, by the names of their strategies. */
    public static Map<String, Architecture> all() {
        Block pre = block(PRE, LAYER);
        Block post = block(POST, LAYER);
        Map<String, Architecture> all = new LinkedHashMap<>();
        all.put("Pre-LN", words(pre));
        all.put("Post-LN", words(post));
        all.put("Mix-LN", words(LAYER, post, post, pre));
        all.put("Peri-LN", words(block(PERI, RMS).withFeedForward(GATED)));
        all.put("output norm", words(block(OUTPUT, RMS).withMixer(queryKey(RMS, QueryKeyNorm.Span.PROJECTION))));
        all.put("DeepNorm", words(post.withSkip(1.7)));
        all.put("DeepNorm with LayerScale", words(post.withSkip(1.7).withScale(BranchScale.VECTOR)));
        all.put("DeepNorm with recentring", words(block(POST, RMS).withSkip(0.6).withRecentre(true)));
        all.put("Sub-LN", words(pre.withMixer(ATTENTION.withInnerNorm(LAYER)).withFeedForward(MLP.withInnerNorm(LAYER))));
        all.put("Sub-LN gated", words(block(PRE, RMS).withMixer(ATTENTION.withInnerNorm(RMS)).withFeedForward(GATED.withInnerNorm(RMS))));
        all.put("NormFormer", words(pre.withPlacements(PERI, PRE).withMixer(ATTENTION.withHeadScales()).withFeedForward(MLP.withInnerNorm(LAYER))));
        all.put("head scales behind an inner norm with a skip and LayerScale", words(post.withSkip(1.3).withScale(BranchScale.VECTOR)
                .withMixer(ATTENTION.withInnerNorm(RMS).withHeadScales())));
        all.put("SkipInit", words(pre.withScale(BranchScale.NUMBER)));
        all.put("SkipInit of parallel", words(wired(Wiring.PARALLEL).withScale(BranchScale.NUMBER).withMixer(ATTENTION.withHeadScales())));
        all.put("SkipInit of output norms with a skip", words(block(PERI, RMS).withPlacements(PERI, OUTPUT).withSkip(0.9).withScale(BranchScale.NUMBER)));
        all.put("SkipInit, DeepNorm", words(post.withSkip(1.7).withScale(BranchScale.NUMBER)));
        for (QueryKeyNorm.Span span : QueryKeyNorm.Span.values()) {
            all.put("HybridNorm " + span.label(),
                    words(block(POST, RMS).withPlacements(POST, NONE).withMixer(queryKey(RMS, span).withValueNorm(LAYER))));
        }
        all.put("value norm alone", words(pre.withMixer(Attention.of(4, 6).withValueNorm(RMS))));
        all.put("GPAS", words(block(PRE, RMS).withGates(true)));
        all.put("GPAS on Peri-LN with a skip and LayerScale", words(block(PERI, LAYER).withGates(true).withSkip(0.8).withScale(BranchScale.VECTOR)));
        all.put("GPAS on Pre-LN with a skip and LayerScale", words(pre.withGates(true).withSkip(0.8).withScale(BranchScale.VECTOR)));
        all.put("HybridNorm of LayerNorms", words(post.withPlacements(POST, NONE).withMixer(ATTENTION.withValueNorm(LAYER))));
        all.put("Post-LN MLPs with a skip and LayerScale",
                words(post.withPlacements(NONE, POST).withSkip(1.2).withScale(BranchScale.VECTOR).withMixer(ATTENTION.withValueNorm(LAYER))));
        all.put("Post-LN MLPs of bare LayerNorms", words(block(POST, LAYER.withAffine(Affine.NONE)).withPlacements(NONE, POST)));
        all.put("GPAS on output norms", words(block(OUTPUT, LAYER).withGates(true)));
        all.put("skip", words(pre.withSkip(1.3).withScale(BranchScale.VECTOR)));
        all.put("skip of parallel", words(wired(Wiring.PARALLEL).withSkip(0.7)));
        all.put("skip of parallel with one norm", words(wired(Wiring.PARALLEL_ONE_NORM).withSkip(1.4)));
        all.put("Keel", words(block(BOTH, LAYER).withSkip(2.5)));
        all.put("Keel with LayerScale", words(block(BOTH, RMS).withSkip(0.4).withScale(BranchScale.VECTOR)));
        all.put("attention both, MLP output", words(LAYER, block(BOTH, LAYER).withPlacements(BOTH, OUTPUT).withSkip(1.5)));
        all.put("no norms", words(block(PRE, LAYER.withAffine(Affine.NONE)).withPlacements(NONE, NONE).withScale(BranchScale.VECTOR)));
        all.put("ResiDual", words(block(DUAL, LAYER)));
        all.put("ResiDual with a skip and LayerScale", words(block(DUAL, RMS).withSkip(1.2).withScale(BranchScale.VECTOR)));
        all.put("DyT", words(block(PRE, TANH)));
        all.put("DyT, Post-LN and DeepNorm", words(block(POST, TANH).withSkip(1.6)));
        all.put("DyT everywhere", words(block(PERI, TANH).withMixer(
                queryKey(TANH, QueryKeyNorm.Span.EACH_HEAD).withValueNorm(TANH).withInnerNorm(TANH)).withFeedForward(MLP.withInnerNorm(TANH))));
        all.put("DyT, Keel", words(block(BOTH, TANH).withSkip(0.5)));
        all.put("DyT, ResiDual", words(block(DUAL, TANH)));
        all.put("blocks of six strategies", words(RMS, pre, post.withSkip(1.7), block(PERI, RMS).withGates(true), block(BOTH, TANH).withSkip(0.5),
                block(PRE, LAYER.withAffine(Affine.NONE)).withPlacements(NONE, NONE).withScale(BranchScale.VECTOR),
                block(PRE, TANH).withScale(BranchScale.NUMBER).withMixer(queryKey(RMS, QueryKeyNorm.Span.HEAD))));
        all.put("blocks of six other strategies", words(TANH, block(OUTPUT, TANH), block(BOTH, RMS).withPlacements(NONE, POST).withSkip(2),
                block(PRE, RMS), block(POST, TANH).withPlacements(PERI, BOTH), pre.withGates(true), post));
        all.put("CRMSNorm and blocks without norms", words(CRMS, block(PRE, CRMS),
                block(PRE, LAYER.withAffine(Affine.NONE)).withPlacements(NONE, NONE).withScale(BranchScale.NUMBER),
                block(PRE, CRMS).withMixer(queryKey(RMS, QueryKeyNorm.Span.HEAD))).withStream(Stream.COMPRESSED));
        all.put("experts", words(pre.withFeedForward(EXPERTS.withShared(GATED, true))));
        all.put("latent attention", words(pre.withMixer(LATENT)));
        all.put("latent attention and attention with sinks", words(RMS, block(PRE, RMS).withMixer(new LatentAttention(3, OptionalInt.empty(), 5, 3, 9,
                LATENT.scores(), LATENT.rotary(), RMS, true, true)), block(PRE, RMS).withMixer(ATTENTION.withSinks().withWindow(5))));
        all.put("experts with LayerScale and biases", words(block(PRE, RMS).withScale(BranchScale.VECTOR)
                .withFeedForward(EXPERTS.withReadingBias().withShared(MLP, false))));
        all.put("experts of groups behind DeepNorm and an MLP", words(LAYER, pre, post.withSkip(1.7).withFeedForward(new Experts(GATED, 6, GROUPED, Optional.empty())),
                wired(Wiring.PARALLEL_ONE_NORM).withFeedForward(new Experts(MLP, 6, GROUPED, Optional.empty()))));
        all.put("clamped MLPs and experts, SparseMixer", words(RMS, block(PRE, RMS).withFeedForward(CLAMPED),
                block(PERI, RMS).withFeedForward(Experts.of(CLAMPED, 5, Routing.softmax(2, false).withScores(new Routing.Scores.SparseMixer(0.2))))));
        for (NormKind kind : NormKind.values()) {
            // What reads a norm that is nothing but a factor a row can be multiplied in its place.
            Norm bare = Norm.of(kind, 1e-3, Affine.NONE);
            Block block = block(PRE, bare).withMixer(ATTENTION.withBiases(false, false)).withFeedForward(MLP.withBiases(false, false));
            Architecture words = words(bare, block, block.withFeedForward(GATED).withPlacements(PERI, PRE),
                    Block.of(PRE, Wiring.PARALLEL_ONE_NORM, bare, block.mixer(), GATED));
            all.put("bare " + kind.label() + " without biases", kind.readsCompressed() ? words.withStream(Stream.COMPRESSED) : words);
        }
        return all;
    }

    /** Models of images, by the names of their strategies. */
    public static Map<String, Architecture> images() {
        Map<String, Architecture> all = new LinkedHashMap<>();
        for (Placement placement : new Placement[] {POST, BOTH, DUAL}) {
            for (boolean normalized : new boolean[] {false, true}) {
                Embedding.Patches patches = Embedding.Patches.of(8, 8, 4, 3).withNorm(normalized ? Optional.of(LAYER) : Optional.empty(), false);
                Block block = block(placement, LAYER).withSkip(1.5).withMixer(Attention.of(2, 6).bidirectional());
                all.put(placement.label() + (normalized ? " behind a norm" : ""), Architecture.of("strategy", WIDTH, patches.tokens(), patches,
                        List.of(block, block), Optional.of(LAYER), Output.Labels.of(7, Output.Pooling.FIRST_AND_MEAN)));
                all.put(placement.label() + " hidden" + (normalized ? " behind a norm" : ""), Architecture.of("strategy", WIDTH, patches.tokens(),
                        patches, List.of(block, block), Optional.of(LAYER), new Output.Hidden(Output.Pooler.FIRST)));
            }
        }
        return all;
    }

    private static Block block(Placement placement, Norm norm) {
        return Block.of(placement, Wiring.SEQUENTIAL, norm, ATTENTION, MLP);
    }

    private static Block wired(Wiring wiring) {
        return Block.of(PRE, wiring, LAYER, ATTENTION, MLP);
    }

    private static Attention queryKey(Norm norm, QueryKeyNorm.Span span) {
        return ATTENTION.withQueryKeyNorm(new QueryKeyNorm(norm, span));
    }

    private static Architecture words(Block block) {
        return words(block.norm(), block, block, block);
    }

    private static Architecture words(Norm last, Block... blocks) {
        return Architecture.of("strategy", WIDTH, 64, Embedding.Tokens.of(31, WIDTH).withPositions(64, 0, false), List.of(blocks),
                Optional.of(last), Output.Words.of(false));
    }

    /** A model of random weights, gains, biases, gates and alphas, so that none hides what it should do. */
    public static Model random(Architecture architecture) {
        SplittableRandom random = new SplittableRandom(7);
        Map<Role, Matrix> weights = new LinkedHashMap<>();
        for (Parameter parameter : architecture.parameters()) {
            int rows = Math.max(1, parameter.rows());
            double size = parameter.isVector() ? 1 : 3 / Math.sqrt(parameter.columns());
            weights.put(parameter.role(), Dense.of(rows, parameter.columns(),
                    random.doubles((long) rows * parameter.columns(), -size, size).map(v -> v + size / 4).toArray()));
        }
        return new Model(architecture, weights);
    }

    /** Token ids that the language models know. */
    public static int[] ids(int length, long seed) {
        return new SplittableRandom(seed).ints(length, 0, 31).toArray();
    }
}
