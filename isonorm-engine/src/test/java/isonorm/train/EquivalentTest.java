package isonorm.train;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

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
import isonorm.architecture.Part;
import isonorm.architecture.Placement;
import isonorm.architecture.Role;
import isonorm.architecture.Wiring;
import isonorm.backpropagation.Examples;
import isonorm.backpropagation.Parameters;
import isonorm.backpropagation.Scales;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.tensor.Team;
import isonorm.weights.Seed;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class EquivalentTest {

    private static final int STEPS = 50;

    private static Architecture decoder(boolean tied, Affine affine) {
        Norm norm = Norm.of(NormKind.LAYER, 1e-5, affine);
        Block block = Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, Attention.of(2, 8), Mlp.plain(40, Activation.GELU));
        Block gated = Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, Attention.of(2, 8).withBiases(false, false), Mlp.gated(24, Activation.SILU));
        return Architecture.of("test", 16, 12, Embedding.Tokens.of(23, 16).withPositions(12, 0, false), List.of(block, gated), Optional.of(norm),
                Output.Words.of(tied));
    }

    private static List<List<Examples>> batches() {
        SplittableRandom random = new SplittableRandom(3);
        List<List<Examples>> steps = new ArrayList<>();
        for (int step = 0; step < STEPS; step++) {
            List<Examples> together = new ArrayList<>();
            for (int batch = 0; batch < 2; batch++) {
                int[][] windows = new int[2][7];
                for (int[] window : windows) {
                    for (int t = 0; t < window.length; t++) {
                        window[t] = t > 0 && random.nextInt(4) > 0 ? (window[t - 1] * 5 + 1) % 23 : random.nextInt(23);
                    }
                }
                together.add(Examples.Tokens.ofWindows(windows));
            }
            steps.add(together);
        }
        return steps;
    }

    private static Learner learner(Architecture architecture, Strategy.Running running, Type type, Team team) {
        Learner learner = new Learner(architecture, running, Scales.NONE, new OptimizerRule.AdamW(0.9, 0.95, 1e-8, 0.1), type, type, team);
        new Beginning(_ -> BlockStrategy.Initialization.NORMAL, 0.2, 9).fill(learner.parameters(), architecture, team);
        learner.begin();
        return learner;
    }

    private static double[] losses(Learner learner) {
        double[] losses = new double[STEPS];
        List<List<Examples>> batches = batches();
        for (int step = 0; step < STEPS; step++) {
            losses[step] = learner.step(batches.get(step), 3e-3, step + 1, 1, Seed.of(0)).loss();
        }
        return losses;
    }

    @ParameterizedTest
    @CsvSource({
        "EQUIVALENT_RMS,  false, GAIN_AND_BIAS",
        "EQUIVALENT_RMS,  true,  GAIN_AND_BIAS",
        "EQUIVALENT_RMS,  false, NONE",
        "EQUIVALENT_CRMS, false, GAIN_AND_BIAS",
        "EQUIVALENT_CRMS, true,  GAIN_AND_BIAS",
        "EQUIVALENT_CRMS, false, GAIN",
        "EQUIVALENT_CRMS, false, NONE"
    })
    void fiftyStepsOfAdamWWithDecayAndClippingAreThoseOfPreLn(Strategy.Running running, boolean tied, Affine affine) {
        try (Team team = Team.of(1);
                Learner original = learner(decoder(tied, affine), Strategy.Running.PLAIN, Type.F64, team);
                Learner equal = learner(decoder(tied, affine), running, Type.F64, team)) {
            double[] expected = losses(original);
            double[] found = losses(equal);
            assertTrue(expected[STEPS - 1] < expected[0] - 0.3, "it must learn");
            for (int step = 0; step < STEPS; step++) {
                assertEquals(expected[step], found[step], 1e-9, "loss of step " + step);
            }
            for (Parameters.Entry entry : original.parameters().all()) {
                Rows weights = entry.weights();
                Rows other = equal.parameters().get(entry.role()).weights();
                for (int r = 0; r < weights.rows(); r++) {
                    for (int c = 0; c < weights.columns(); c++) {
                        assertEquals(weights.get(r, c), other.get(r, c), 1e-7, entry.role().path());
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"EQUIVALENT_RMS", "EQUIVALENT_CRMS"})
    void inFloat32TheCurvesLieOnEachOther(Strategy.Running running) {
        Architecture architecture = decoder(false, Affine.GAIN_AND_BIAS);
        try (Team team = Team.of(1);
                Learner original = learner(architecture, Strategy.Running.PLAIN, Type.F32, team);
                Learner equal = learner(architecture, running, Type.F32, team)) {
            double[] expected = losses(original);
            double[] found = losses(equal);
            for (int step = 0; step < STEPS; step++) {
                assertEquals(expected[step], found[step], 1e-3, "loss of step " + step);
            }
        }
    }

    /** No forward pass uses a mask token, so no loss shows whether its mean is out. */
    @ParameterizedTest
    @EnumSource(value = NormKind.class, names = {"RMS", "CRMS"})
    void everyVectorThatEntersTheStreamHasNoMean(NormKind kind) {
        Norm norm = Norm.of(NormKind.LAYER, 1e-5, Affine.GAIN_AND_BIAS);
        Architecture architecture = Architecture.of("test", 16, 5, Embedding.Patches.of(4, 4, 2, 1).withMaskToken(true),
                List.of(Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, Attention.of(2, 8), Mlp.plain(40, Activation.GELU))), Optional.of(norm),
                Output.Labels.of(3, Output.Pooling.FIRST));
        try (Team team = Team.of(1)) {
            Parameters theta = Parameters.of(architecture, Type.F64, Type.F64);
            new Beginning(_ -> BlockStrategy.Initialization.NORMAL, 0.2, 9).fill(theta, architecture, team);
            Equivalent equivalent = Equivalent.of(architecture, theta, kind, 0);
            for (Part part : List.of(Part.CLASS_TOKEN, Part.MASK_TOKEN)) {
                Role role = Role.of(part, Role.Field.WEIGHT);
                theta.get(role).weights().set(0, 3, 7);
                equivalent.push(team);
                double[] values = IntStream.range(0, 16).mapToDouble(c -> theta.get(role).weights().get(0, c)).toArray();
                double mean = Arrays.stream(values).average().orElseThrow();
                Rows found = equivalent.phi().get(role).weights();
                assertEquals(kind == NormKind.CRMS ? 15 : 16, found.columns());
                for (int c = 0; c < found.columns(); c++) {
                    assertEquals(values[c] - mean, found.get(0, c), 1e-12, part.path());
                }
            }
        }
    }

    /** Without the backward pass through h the weights go elsewhere: what the first test would not see if it compared too little. */
    @Test
    void trainingTheEqualModelItselfIsAnotherTrajectory() {
        Architecture architecture = decoder(false, Affine.GAIN_AND_BIAS);
        try (Team team = Team.of(1);
                Learner original = learner(architecture, Strategy.Running.PLAIN, Type.F64, team);
                Learner plain = learner(Strategy.named("pre-rmsnorm").applied(architecture), Strategy.Running.PLAIN, Type.F64, team)) {
            double[] expected = losses(original);
            double[] found = losses(plain);
            assertTrue(Math.abs(expected[STEPS - 1] - found[STEPS - 1]) > 1e-6);
        }
    }

    @Test
    void whatIsNoPreLnModelIsRefused() {
        Architecture architecture = Strategy.named("peri-ln").applied(decoder(false, Affine.GAIN_AND_BIAS));
        try (Team team = Team.of(1)) {
            String message = assertThrows(IllegalArgumentException.class,
                    () -> learner(architecture, Strategy.Running.EQUIVALENT_RMS, Type.F64, team)).getMessage();
            assertTrue(message.startsWith("equivalent training is for a Pre-LN model"), message);
        }
    }
}
