package isonorm.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.Activation;
import isonorm.architecture.Affine;
import isonorm.architecture.Alibi;
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
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.Role;
import isonorm.architecture.Rotary;
import isonorm.architecture.Wiring;
import isonorm.backpropagation.Examples;
import isonorm.backpropagation.Network;
import isonorm.backpropagation.Parameters;
import isonorm.backpropagation.Scales;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.model.Batch;
import isonorm.tensor.Team;
import isonorm.train.BlockStrategy.Inner;
import isonorm.train.BlockStrategy.Scaling;
import isonorm.weights.Seed;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.SortedSet;
import java.util.SplittableRandom;
import java.util.TreeSet;
import java.util.function.ToDoubleFunction;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Every backward pass in float64 against the change of the loss along a random direction. */
class GradientTest {

    private static final int WIDTH = 12;
    private static final int HEADS = 4;
    private static final int VOCABULARY = 19;

    /** A step at which rounding, of 1e-16 of the loss, and curvature both stay far below what is asked for. */
    private static final double STEP = 1e-6;

    /** One formula wrong by a factor shows as much more; the central difference itself is right to some 1e-9. */
    private static final double RELATIVE = 1e-6;

    record Case(String name, Architecture architecture, Scales scales, Examples examples) {
        @Override
        public String toString() {
            return name;
        }
    }

    private static Architecture decoder(UnaryOperator<Block> change) {
        Block block = Block.of(Placement.PRE, Wiring.SEQUENTIAL, Norm.of(NormKind.LAYER, 1e-5, Affine.GAIN_AND_BIAS),
                Attention.of(HEADS, WIDTH / HEADS), Mlp.plain(20, Activation.GELU));
        Norm norm = block.norm();
        return Architecture.of("test", WIDTH, 16, Embedding.Tokens.of(VOCABULARY, WIDTH).withPositions(16, 0, false),
                List.of(change.apply(block), change.apply(block), change.apply(block)), Optional.of(norm), Output.Words.of(false));
    }

    private static Examples words(int rows, int length) {
        SplittableRandom random = new SplittableRandom(5);
        int[][] ids = new int[rows][length];
        int[][] targets = new int[rows][length];
        for (int r = 0; r < rows; r++) {
            for (int t = 0; t < length; t++) {
                ids[r][t] = random.nextInt(VOCABULARY);
                targets[r][t] = random.nextInt(10) == 0 ? -1 : random.nextInt(VOCABULARY);
            }
        }
        return new Examples.Tokens(ids, targets);
    }

    static Stream<Case> cases() {
        Map<String, Case> cases = new LinkedHashMap<>();
        for (String name : Strategy.names()) {
            Strategy strategy = Strategy.named(name);
            if (strategy.running() == Strategy.Running.PLAIN && !strategy.block().scalings().contains(Scaling.GPAS)) {
                Architecture architecture = strategy.applied(decoder(block -> block));
                put(cases, name, architecture, strategy.scales(architecture));
            }
        }
        for (Scaling scaling : Scaling.values()) {
            if (scaling == Scaling.GPAS) {
                continue;
            }
            Strategy strategy = Strategy.named("pre-ln").everywhere(block -> block.withScalings(Set.of(scaling)));
            Architecture architecture = strategy.applied(decoder(block -> block));
            put(cases, "pre-ln " + scaling.label(), architecture, strategy.scales(architecture));
        }
        for (Placement placement : List.of(Placement.PERI, Placement.OUTPUT, Placement.NONE)) {
            put(cases, "a scaled skip, " + placement, Strategy.named("pre-ln")
                    .everywhere(block -> block.withPlacement(placement).withScalings(Set.of(Scaling.DEEPNORM))).applied(decoder(block -> block)), Scales.NONE);
        }
        for (Inner inner : Inner.values()) {
            for (String name : List.of("pre-rmsnorm", "pre-crmsnorm")) {
                put(cases, name + ", inner " + inner.label(), Strategy.named(name).everywhere(block -> block.withInner(Set.of(inner)))
                        .applied(decoder(block -> block)), Scales.NONE);
            }
        }
        put(cases, "embedding norm", Strategy.named("peri-ln").withEmbeddingNorm(true).applied(decoder(block -> block)), Scales.NONE);
        put(cases, "layer scale behind an output norm", decoder(block -> block.withPlacements(Placement.PERI, Placement.OUTPUT).withScale(BranchScale.VECTOR)), Scales.NONE);
        put(cases, "layer scale with lns", Strategy.named("lns").applied(decoder(block -> block.withScale(BranchScale.VECTOR))),
                new Scales(LayerNormScaling.ofNorms(new double[] {1, 0.7, 0.5}), 0, 0, 0));
        for (Placement placement : List.of(Placement.PERI, Placement.OUTPUT, Placement.POST, Placement.BOTH, Placement.DUAL, Placement.NONE)) {
            put(cases, "SkipInit, " + placement, Strategy.named("pre-ln")
                    .everywhere(block -> block.withPlacement(placement).withScalings(Set.of(Scaling.SKIPINIT))).applied(decoder(block -> block)), new Scales(LayerNormScaling.ofBranches(new double[] {1, 0.7, 0.5}), 0, 0, 0.3));
        }
        for (Scaling place : List.of(Scaling.LNS_ATTENTION, Scaling.LNS_MLP, Scaling.LNS_BEFORE_NORM, Scaling.LNS_RESIDUAL)) {
            Strategy strategy = Strategy.named("pre-ln").everywhere(block -> block.withScalings(Set.of(place)));
            Architecture architecture = strategy.applied(decoder(block -> block));
            put(cases, place.label(), architecture, strategy.scales(architecture));
        }
        put(cases, "SkipInit of a compressed stream", Strategy.named("pre-crmsnorm")
                .everywhere(block -> block.withScalings(Set.of(Scaling.SKIPINIT))).applied(decoder(block -> block)), Scales.NONE);
        put(cases, "head scales behind an inner norm", Strategy.named("sub-ln")
                .everywhere(block -> block.withScalings(Set.of(Scaling.HEADS))).applied(decoder(block -> block)), Scales.NONE);
        mixed().forEach((name, strategy) -> {
            Architecture architecture = strategy.applied(decoder(block -> block));
            put(cases, name, architecture, strategy.scales(architecture, new TrainingRun.Dropout(0, 0, 0.3)));
        });
        put(cases, "factors of branches", decoder(block -> block.withScale(BranchScale.VECTOR)), new Scales(LayerNormScaling.ofBranches(new double[] {1, 0.7, 0.5}), 0, 0, 0));
        for (Activation activation : Activation.values()) {
            put(cases, activation.toString(), decoder(block -> block.withFeedForward(Mlp.plain(20, activation))), Scales.NONE);
            put(cases, "gated " + activation, decoder(block -> block.withFeedForward(Mlp.gated(20, activation))), Scales.NONE);
        }
        put(cases, "gated with biases", decoder(block -> block.withFeedForward(Mlp.gated(20, Activation.SILU).withBiases(true, true))), Scales.NONE);
        Map<String, UnaryOperator<Attention>> kinds = new LinkedHashMap<>();
        kinds.put("shared key-value heads", attention -> attention.withKeyValueHeads(2));
        kinds.put("one key-value head", attention -> attention.withKeyValueHeads(1));
        kinds.put("bidirectional", Attention::bidirectional);
        kinds.put("window", attention -> attention.withWindow(3));
        kinds.put("softcap", attention -> attention.withSoftcap(0.7));
        kinds.put("clip", attention -> attention.withClip(0.4));
        kinds.put("no biases", attention -> attention.withBiases(false, false));
        kinds.put("rotary", attention -> attention.withRotary(Rotary.of(2, 10000, Rotary.Pairing.HALVES)));
        kinds.put("rotary neighbours", attention -> attention.withRotary(Rotary.of(2, 10000, Rotary.Pairing.NEIGHBOURS)));
        for (Alibi alibi : Alibi.values()) {
            kinds.put(alibi.toString(), attention -> attention.withAlibi(alibi));
        }
        for (QueryKeyNorm.Span span : QueryKeyNorm.Span.values()) {
            Norm norm = Norm.of(NormKind.LAYER, 1e-5, Affine.GAIN_AND_BIAS);
            kinds.put("query-key norm " + span, attention -> attention.withQueryKeyNorm(new QueryKeyNorm(norm, span)).withKeyValueHeads(2)
                    .withRotary(Rotary.of(2, 10000, Rotary.Pairing.HALVES)));
            kinds.put("clipped value norm " + span, attention -> attention.withQueryKeyNorm(new QueryKeyNorm(norm, span))
                    .withValueNorm(norm).withClip(1.5));
        }
        kinds.forEach((name, kind) -> put(cases, name, decoder(block -> block.withMixer(kind.apply((Attention) block.mixer()))), Scales.NONE));
        put(cases, "parallel", decoder(block -> new Block(Placement.PRE, Placement.PRE, Wiring.PARALLEL, block.norm(), block.mixer(),
                Optional.empty(), block.feedForward(), 1.5, 0.7, BranchScale.NONE, false, false)), Scales.NONE);
        put(cases, "parallel, one norm", decoder(block -> new Block(Placement.PRE, Placement.PRE, Wiring.PARALLEL_ONE_NORM, block.norm(),
                block.mixer(), Optional.empty(), block.feedForward(), 1, 1, BranchScale.NONE, false, false)), Scales.NONE);
        put(cases, "tied head", decoder(block -> block).withOutput(Output.Words.of(true)), Scales.NONE);
        put(cases, "tied head of a compressed stream",
                Strategy.named("pre-crmsnorm").applied(decoder(block -> block).withOutput(Output.Words.of(true))), Scales.NONE);
        put(cases, "head with bias, scale and softcap", decoder(block -> block).withOutput(
                new Output.Words(true, true, 0, Optional.empty(), 0.3, OptionalDouble.of(0.8))), Scales.NONE);
        put(cases, "segments and a scale", decoder(block -> block).withEmbedding(
                Embedding.Tokens.of(VOCABULARY, WIDTH).withPositions(16, 2, false).withSegments(2).withScale(3)), Scales.NONE);
        put(cases, "dropout and stochastic depth", decoder(block -> block), new Scales(LayerNormScaling.NONE, 0.2, 0, 0.3));
        for (Map.Entry<String, UnaryOperator<Attention>> kind : kinds.entrySet()) {
            if (List.of("shared key-value heads", "window", "softcap", "bidirectional").contains(kind.getKey())) {
                put(cases, "dropout in attention, " + kind.getKey(), decoder(block -> block.withMixer(kind.getValue().apply((Attention) block.mixer()))),
                        new Scales(LayerNormScaling.NONE, 0, 0.3, 0));
            }
        }
        cases.put("dropout in attention, several blocks of queries", new Case("dropout in attention, several blocks of queries", Architecture.of("test", WIDTH, 300,
                Embedding.Tokens.of(VOCABULARY, WIDTH), decoder(block -> block).blocks().subList(0, 1), decoder(block -> block).finalNorm(),
                Output.Words.of(false)), new Scales(LayerNormScaling.NONE, 0, 0.3, 0), words(1, 300)));
        put(cases, "dropout behind an output norm", decoder(block -> block.withPlacements(Placement.PERI, Placement.PERI)),
                new Scales(LayerNormScaling.NONE, 0.2, 0, 0.3));
        for (String name : List.of("pre-ln", "pre-crmsnorm", "peri-ln", "lns")) {
            Strategy strategy = Strategy.named(name);
            Architecture base = decoder(block -> block.withMixer(((Attention) block.mixer()).bidirectional()))
                    .withEmbedding(Embedding.Patches.of(4, 6, 2, 3))
                    .withOutput(Output.Labels.of(7, Output.Pooling.FIRST));
            SplittableRandom random = new SplittableRandom(6);
            float[] pixels = new float[3 * 3 * 4 * 6];
            for (int i = 0; i < pixels.length; i++) {
                pixels[i] = (float) random.nextGaussian();
            }
            cases.put("images " + name, new Case("images " + name, strategy.applied(base), strategy.scales(base),
                    new Examples.Images(new Batch.Images(pixels, 3, 3, 4, 6), new int[] {2, 6, 0})));
            cases.put("mixed images " + name, new Case("mixed images " + name, strategy.applied(base), strategy.scales(base),
                    new Examples.Images(new Batch.Images(pixels, 3, 3, 4, 6), new int[] {2, 6, 0}, Optional.of(new Examples.SoftLabels(new int[] {1, 6, 2}, 0.7, 0.1)))));
        }
        Architecture one = decoder(block -> block.withMixer(((Attention) block.mixer()).withKeyValueHeads(2)));
        cases.put("several blocks of queries", new Case("several blocks of queries", Architecture.of("test", WIDTH, 300,
                Embedding.Tokens.of(VOCABULARY, WIDTH), one.blocks().subList(0, 1), one.finalNorm(), one.output()), Scales.NONE, words(1, 300)));
        return cases.values().stream();
    }

    /** Strategies whose blocks, or whose sub-layers, differ, and several scalings and inner norms together. */
    private static Map<String, Strategy> mixed() {
        Strategy pre = Strategy.named("pre-ln");
        Map<String, Strategy> mixed = new LinkedHashMap<>();
        mixed.put("Keel, LayerNorm Scaling and Pre-LN", pre.in(blocks(0), Strategy.named("keel")).in(blocks(1), Strategy.named("lns")));
        mixed.put("DyT, HybridNorm and no norms", pre.in(blocks(0), Strategy.named("dyt")).in(blocks(1), Strategy.named("hybridnorm"))
                .in(blocks(2), Strategy.named("no-norm")));
        mixed.put("Peri-LN, DeepNorm and output norms", pre.in(blocks(0), Strategy.named("peri-ln")).in(blocks(1), Strategy.named("deepnorm"))
                .in(blocks(2), Strategy.named("output-norm")).withEmbeddingNorm(true));
        mixed.put("CRMSNorms behind the branches and the embedding", Strategy.named("pre-crmsnorm").withEmbeddingNorm(true)
                .in(blocks(0), block -> block.withPlacement(Placement.PERI)).in(blocks(1), block -> block.withPlacements(Placement.OUTPUT, Placement.BOTH)));
        mixed.put("CRMSNorm with blocks that have no norms", Strategy.named("pre-crmsnorm").in(blocks(1), Strategy.named("no-norm")));
        Placement[] placements = Placement.values();
        for (Placement attention : placements) {
            for (Placement mlp : placements) {
                if (attention != mlp && attention != Placement.DUAL && mlp != Placement.DUAL) {
                    mixed.put(attention + " and " + mlp, pre.in(blocks(1, 2), block -> block.withKind(NormKind.RMS).withPlacements(attention, mlp)
                            .withScalings(Set.of(Scaling.DEEPNORM, Scaling.LAYERSCALE))));
                }
            }
        }
        mixed.put("several scalings", pre.everywhere(block -> block.withScalings(
                Set.of(Scaling.LAYERNORM_SCALING, Scaling.KEEL, Scaling.LAYERSCALE, Scaling.HEADS)).withPlacements(Placement.BOTH, Placement.PERI)));
        // RMSNorms: the LayerNorm of a head of three values bends the loss more than the step allows
        mixed.put("several inner norms", Strategy.named("pre-rmsnorm").everywhere(block -> block.withInner(Set.of(Inner.QUERY_KEY_VALUE, Inner.SUB)))
                .in(blocks(1), block -> block.withInner(Set.of(Inner.QUERY_KEY_PROJECTION, Inner.HIDDEN))));
        return mixed;
    }

    private static SortedSet<Integer> blocks(Integer... numbers) {
        return new TreeSet<>(List.of(numbers));
    }

    private static void put(Map<String, Case> cases, String name, Architecture architecture, Scales scales) {
        cases.put(name, new Case(name, architecture, scales, words(3, 9)));
    }

    @ParameterizedTest
    @MethodSource("cases")
    void theGradientIsTheSlopeOfTheLoss(Case given) {
        try (Team team = Team.of(1);
                Parameters parameters = Parameters.of(given.architecture, Type.F64, Type.F64);
                Network network = new Network(given.architecture, parameters, given.scales, team)) {
            SplittableRandom random = new SplittableRandom(7);
            randomize(parameters, random);
            List<double[]> along = new ArrayList<>();
            for (Parameters.Entry entry : parameters.all()) {
                along.add(random.doubles((long) entry.stored(entry.weights()).rows() * entry.shape().columns(), -1, 1).toArray());
            }
            parameters.forgetGradients();
            network.learn(given.examples, 0.5, Seed.of(11));
            network.learn(given.examples, 0.5, Seed.of(11)); // adds to what is there
            parameters.settleGradients();
            double slope = 0;
            int i = 0;
            for (Parameters.Entry entry : parameters.all()) {
                slope += dot(entry.stored(entry.gradient()), along.get(i++));
            }
            move(parameters, along, STEP);
            double above = loss(network, given);
            move(parameters, along, -2 * STEP);
            double below = loss(network, given);
            move(parameters, along, STEP);
            double measured = (above - below) / (2 * STEP);
            double found = slope;
            assertTrue(Math.abs(found - measured) <= RELATIVE * Math.max(Math.abs(measured), 1),
                    () -> given.name + ": the gradient says " + found + ", the loss changes by " + measured);
        }
    }

    /** GPAS stops the gradient of what it subtracts, so only the last gate's is the slope of the loss. */
    @Test
    void theGradientOfTheLastGateIsTheSlopeOfTheLoss() {
        Architecture architecture = Strategy.named("gpas").applied(decoder(block -> block));
        Case given = new Case("gpas", architecture, Scales.NONE, words(3, 9));
        try (Team team = Team.of(1);
                Parameters parameters = Parameters.of(architecture, Type.F64, Type.F64);
                Network network = new Network(architecture, parameters, Scales.NONE, team)) {
            randomize(parameters, new SplittableRandom(7));
            Parameters.Entry gate = parameters.get(Part.MLP_STREAM_GATE, 2, Role.Field.WEIGHT);
            parameters.forgetGradients();
            network.learn(given.examples, 1, Seed.of(11));
            double found = gate.gradient().get(0, 0);
            double at = gate.weights().get(0, 0);
            gate.weights().set(0, 0, at + STEP);
            double above = loss(network, given);
            gate.weights().set(0, 0, at - STEP);
            double measured = (above - loss(network, given)) / (2 * STEP);
            assertEquals(measured, found, RELATIVE * Math.abs(measured));
        }
    }

    /** {@code h - SiLU(g) stopgrad(h)}: behind a gate the stream is another, before it the gradient is the same. */
    @Test
    void aGateLetsTheGradientOfTheStreamPass() {
        Architecture architecture = Strategy.named("gpas").everywhere(block -> block.withPlacement(Placement.NONE)).applied(decoder(block -> block));
        Architecture gated = architecture.withBlocks(architecture.blocks().subList(0, 1));
        Architecture bare = gated.withBlocks(List.of(gated.blocks().getFirst().withGates(false)));
        try (Team team = Team.of(1);
                Parameters parameters = Parameters.of(gated, Type.F64, Type.F64);
                Parameters others = Parameters.of(bare, Type.F64, Type.F64);
                Network network = new Network(gated, parameters, Scales.NONE, team);
                Network other = new Network(bare, others, Scales.NONE, team)) {
            randomize(parameters, new SplittableRandom(8));
            for (Parameters.Entry entry : parameters.all()) { // nothing but the embedding and the head
                boolean gate = entry.role().part() == Part.ATTENTION_STREAM_GATE || entry.role().part() == Part.MLP_STREAM_GATE;
                if (entry.role().block() >= 0) {
                    Parameters.zero(entry.weights());
                }
                if (gate) {
                    entry.weights().set(0, 0, 1.5);
                }
            }
            Role table = Role.of(Part.TOKEN_EMBEDDING, Role.Field.WEIGHT);
            Role head = Role.of(Part.HEAD, Role.Field.WEIGHT);
            double kept = 1 - 1.5 / (1 + Math.exp(-1.5));
            for (Role role : List.of(table, head, Role.of(Part.POSITION_EMBEDDING, Role.Field.WEIGHT))) {
                Rows from = parameters.get(role).weights();
                Rows to = others.get(role).weights();
                for (int r = 0; r < from.rows(); r++) {
                    for (int c = 0; c < from.columns(); c++) {
                        to.set(r, c, role.equals(head) ? from.get(r, c) : kept * kept * from.get(r, c));
                    }
                }
            }
            parameters.refreshValues();
            Examples examples = words(2, 5);
            assertEquals(other.learn(examples, 1, Seed.of(0)), network.learn(examples, 1, Seed.of(0)), 1e-12);
            Rows expected = others.get(table).gradient();
            Rows found = parameters.get(table).gradient();
            for (int r = 0; r < expected.rows(); r++) {
                for (int c = 0; c < expected.columns(); c++) {
                    assertEquals(expected.get(r, c), found.get(r, c), 1e-12);
                }
            }
        }
    }

    /** The loss of a mixed and smoothed label is the mean of those of classes, each as often as the label has it. */
    @Test
    void aSoftLabelIsAMeanOfClasses() {
        Case given = cases().filter(each -> each.name.equals("mixed images pre-ln")).findFirst().orElseThrow();
        Examples.Images images = (Examples.Images) given.examples;
        try (Team team = Team.of(1);
                Parameters parameters = Parameters.of(given.architecture, Type.F64, Type.F64);
                Network network = new Network(given.architecture, parameters, given.scales, team)) {
            randomize(parameters, new SplittableRandom(7));
            ToDoubleFunction<int[]> hard = labels -> loss(network, new Case("", given.architecture, given.scales, new Examples.Images(images.pixels(), labels)));
            double expected = 0.9 * (0.7 * hard.applyAsDouble(images.labels()) + 0.3 * hard.applyAsDouble(images.soft().orElseThrow().others()));
            for (int label = 0; label < 7; label++) {
                expected += 0.1 / 7 * hard.applyAsDouble(new int[] {label, label, label});
            }
            assertEquals(expected, loss(network, given), 1e-12 * expected);
        }
    }

    private static double loss(Network network, Case given) {
        network.parameters().refreshValues();
        return network.learn(given.examples, 0, Seed.of(11)); // with what is dropped by chance
    }

    private static void randomize(Parameters parameters, SplittableRandom random) {
        for (Parameters.Entry entry : parameters.all()) {
            Rows stored = entry.stored(entry.weights());
            double centre = entry.role().field() == Role.Field.GAIN ? 1 : 0;
            for (int r = 0; r < stored.rows(); r++) {
                for (int c = 0; c < stored.columns(); c++) {
                    stored.set(r, c, centre + 0.3 * random.nextGaussian());
                }
            }
        }
        parameters.refreshValues();
    }

    private static double dot(Rows gradient, double[] along) {
        double sum = 0;
        for (int r = 0; r < gradient.rows(); r++) {
            for (int c = 0; c < gradient.columns(); c++) {
                sum += gradient.get(r, c) * along[r * gradient.columns() + c];
            }
        }
        return sum;
    }

    private static void move(Parameters parameters, List<double[]> along, double step) {
        int i = 0;
        for (Parameters.Entry entry : parameters.all()) {
            Rows stored = entry.stored(entry.weights());
            double[] direction = along.get(i++);
            for (int r = 0; r < stored.rows(); r++) {
                for (int c = 0; c < stored.columns(); c++) {
                    stored.set(r, c, stored.get(r, c) + step * direction[r * stored.columns() + c]);
                }
            }
        }
        parameters.refreshValues();
    }
}
