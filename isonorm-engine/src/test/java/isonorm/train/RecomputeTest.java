package isonorm.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.EveryProcessor;
import isonorm.architecture.Activation;
import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.Wiring;
import isonorm.backpropagation.Examples;
import isonorm.backpropagation.Network;
import isonorm.backpropagation.Parameters;
import isonorm.backpropagation.Scales;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.tensor.Team;
import isonorm.weights.Seed;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Activation checkpointing: what is computed again is what was computed. */
class RecomputeTest {

    static Stream<GradientTest.Case> cases() {
        return GradientTest.cases();
    }

    @ParameterizedTest
    @MethodSource("cases")
    void lossesAndGradientsAreTheSameBits(GradientTest.Case given) {
        Type compute = Strategy.names().contains(given.name()) ? Type.BF16 : Type.F32;
        try (Team team = Team.of(1);
                Parameters parameters = Parameters.of(given.architecture(), Type.F32, compute);
                Network network = new Network(given.architecture(), parameters, given.scales(), team)) {
            SplittableRandom random = new SplittableRandom(7);
            for (Parameters.Entry entry : parameters.all()) {
                Rows stored = entry.stored(entry.weights());
                for (int r = 0; r < stored.rows(); r++) {
                    for (int c = 0; c < stored.columns(); c++) {
                        stored.set(r, c, 0.5 + 0.3 * random.nextGaussian());
                    }
                }
            }
            parameters.refresh(team);
            double loss = learn(network, given);
            double[][] gradients = parameters.all().stream().map(entry -> values(entry.stored(entry.gradient()))).toArray(double[][]::new);
            network.recompute(true);
            assertEquals(loss, learn(network, given));
            int i = 0;
            for (Parameters.Entry entry : parameters.all()) {
                double[] expected = gradients[i++];
                double[] found = values(entry.stored(entry.gradient()));
                for (int j = 0; j < expected.length; j++) {
                    assertEquals(expected[j], found[j], entry.role().path());
                }
            }
        }
    }

    /** Measuring adds what waits to be added, here as there. */
    @EveryProcessor
    @Test
    void blocksMeasureTheSame() {
        GradientTest.Case given = cases().filter(each -> each.name().equals("pre-ln")).findFirst().orElseThrow();
        try (Team team = Team.of(1); Parameters parameters = Parameters.of(given.architecture(), Type.F32, Type.F32);
                Network network = new Network(given.architecture(), parameters, given.scales(), team)) {
            new Beginning(_ -> BlockStrategy.Initialization.NORMAL, 0.3, 1).fill(parameters, given.architecture(), team);
            network.watch(true);
            learn(network, given);
            List<Network.Entered> entered = network.entered();
            network.recompute(true);
            learn(network, given);
            assertEquals(entered, network.entered());
        }
    }

    @Test
    void memoryIsThatOfOneBlock() {
        Block block = Block.of(Placement.PRE, Wiring.SEQUENTIAL, Norm.of(NormKind.RMS, 1e-5, Affine.GAIN), Attention.of(2, 64),
                Mlp.gated(512, Activation.SILU));
        Architecture deep = Architecture.of("test", 128, 512, Embedding.Tokens.of(9, 128), Collections.nCopies(20, block),
                Optional.of(block.norm()), Output.Words.of(false));
        long kept = memory(deep, false);
        long again = memory(deep, true);
        assertTrue(again <= kept / 2, again + " bytes in place of " + kept);
    }

    private static long memory(Architecture architecture, boolean again) {
        try (Team team = Team.of(1);
                Parameters parameters = Parameters.of(architecture, Type.F32, Type.BF16);
                Network network = new Network(architecture, parameters, Scales.NONE, team)) {
            network.recompute(again);
            network.learn(new Examples.Tokens(new int[2][512], new int[2][512]), 1, Seed.of(0));
            return network.memory();
        }
    }

    private static double learn(Network network, GradientTest.Case given) {
        network.parameters().forgetGradients();
        double loss = network.learn(given.examples(), 0.5, Seed.of(11)) + network.learn(given.examples(), 0.5, Seed.of(12));
        network.parameters().settleGradients();
        return loss;
    }

    private static double[] values(Rows rows) {
        double[] values = new double[rows.rows() * rows.columns()];
        for (int i = 0; i < values.length; i++) {
            values[i] = rows.get(i / rows.columns(), i % rows.columns());
        }
        return values;
    }
}
