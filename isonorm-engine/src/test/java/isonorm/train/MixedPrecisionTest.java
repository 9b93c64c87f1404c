package isonorm.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.EveryProcessor;
import isonorm.Played;
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
import isonorm.architecture.Role;
import isonorm.architecture.Wiring;
import isonorm.backpropagation.Examples;
import isonorm.backpropagation.Network;
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
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Training whose products are of a type of 16 bits. */
class MixedPrecisionTest {

    /** Enough to learn something. */
    private static final int STEPS = Played.sample(60, 20);

    /**
     * How far a gradient may be from that of float32, as a share of it. A value is rounded a dozen times between a weight and the loss
     * and back, each time by 1/512 at most, and a small model averages little of that away. A wrong factor or a missing part is more.
     */
    private static final double GRADIENT = 0.1;

    /**
     * The same where norms run over heads of three values, which a division by their small deviation magnifies, where values are cut off, and for
     * a number whose gradient is a sum over everything.
     */
    private static final double STEEP = 0.4;

    /** What float16 rounds by, as a share of bfloat16's: it has three bits more. */
    private static final double FINER = 0.125;

    /** What losses are multiplied with, so that small gradients are no less than float16 has. */
    private static final double SCALE = 256;

    /** Gradients that are zero but for rounding, as that of the keys' bias, are compared with this share of the whole gradient. */
    private static final double SMALL = 0.02;

    /** A rate at which a step of AdamW is far less than bfloat16 has between two numbers near a weight of 0.2. */
    private static final double RATE = 1e-6;

    private static Architecture decoder() {
        Norm norm = Norm.of(NormKind.LAYER, 1e-5, Affine.GAIN_AND_BIAS);
        Block block = Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, Attention.of(2, 16), Mlp.plain(64, Activation.GELU));
        return Architecture.of("test", 32, 16, Embedding.Tokens.of(23, 32).withPositions(16, 0, false), List.of(block, block), Optional.of(norm),
                Output.Words.of(false));
    }

    private static List<Examples> batch(int step) {
        SplittableRandom random = new SplittableRandom(step);
        int[][] windows = new int[4][13];
        for (int[] window : windows) {
            for (int t = 0; t < window.length; t++) {
                window[t] = t > 0 && random.nextInt(4) > 0 ? (window[t - 1] * 5 + 1) % 23 : random.nextInt(23);
            }
        }
        return List.of(Examples.Tokens.ofWindows(windows));
    }

    private static Learner learner(Type type, Type compute, Team team) {
        Learner learner = new Learner(decoder(), Strategy.Running.PLAIN, Scales.NONE, new OptimizerRule.AdamW(0.9, 0.95, 1e-8, 0.1), type, compute, team);
        new Beginning(_ -> BlockStrategy.Initialization.NORMAL, 0.2, 9).fill(learner.parameters(), learner.architecture(), team);
        learner.begin();
        return learner;
    }

    private static double[] weights(Learner learner) {
        return learner.parameters().all().stream().flatMapToDouble(entry -> values(entry.stored(entry.weights())).stream().mapToDouble(v -> v)).toArray();
    }

    private static List<Double> values(Rows rows) {
        List<Double> values = new ArrayList<>();
        for (int r = 0; r < rows.rows(); r++) {
            for (int c = 0; c < rows.columns(); c++) {
                values.add(rows.get(r, c));
            }
        }
        return values;
    }

    static Stream<Arguments> cases() {
        List<String> kinds = List.of("several blocks of queries", "shared key-value heads", "gated SILU", "images pre-ln", "softcap");
        return GradientTest.cases().flatMap(given -> Stream.of(Type.BF16, Type.F16)
                .filter(type -> type == Type.BF16 || kinds.contains(given.name()) || normalizing(given.name()))
                .map(type -> Arguments.of(type, given)));
    }

    /** Without a norm the backward pass leaves what float16 has. */
    private static boolean normalizing(String name) {
        return Strategy.names().contains(name) && !name.equals("no-norm");
    }

    @ParameterizedTest
    @MethodSource("cases")
    void gradientsAreThoseOfFloat32ButForRounding(Type compute, GradientTest.Case given) {
        try (Team team = Team.of(1);
                Parameters exact = Parameters.of(given.architecture(), Type.F32, Type.F32);
                Parameters brief = Parameters.of(given.architecture(), Type.F32, compute);
                Network one = new Network(given.architecture(), exact, given.scales(), team);
                Network other = new Network(given.architecture(), brief, given.scales(), team)) {
            randomize(exact, brief);
            exact.refresh(team);
            brief.refresh(team);
            double loss = learn(one, given);
            assertEquals(loss, learn(other, given), 0.01 * loss, "the loss");
            double whole = 0;
            for (Parameters.Entry entry : exact.all()) {
                whole += squares(entry.stored(entry.gradient()), null);
            }
            double allowed = given.name().matches(".*(norm HEAD|norm EACH_HEAD|inner qk|hybridnorm|clip|SkipInit|skipinit).*") ? STEEP : GRADIENT;
            double share = compute == Type.F16 ? FINER * allowed : allowed;
            for (Parameters.Entry entry : exact.all()) {
                Rows gradient = entry.stored(entry.gradient());
                Parameters.Entry same = brief.get(entry.role());
                double apart = Math.sqrt(squares(gradient, same.stored(same.gradient())));
                double size = Math.max(Math.sqrt(squares(gradient, null)), SMALL * Math.sqrt(whole));
                assertTrue(apart <= share * size, () -> entry.role() + " of " + given.name() + " is " + apart / size + " away");
            }
        }
    }

    /** What bfloat16 has exactly, so that rounding of weights is no part of what is compared. */
    private static void randomize(Parameters exact, Parameters brief) {
        SplittableRandom random = new SplittableRandom(7);
        for (Parameters.Entry entry : exact.all()) {
            Rows stored = entry.stored(entry.weights());
            Parameters.Entry same = brief.get(entry.role());
            double centre = entry.role().field() == Role.Field.GAIN ? 1 : 0;
            for (int r = 0; r < stored.rows(); r++) {
                for (int c = 0; c < stored.columns(); c++) {
                    double value = Math.round(64 * (centre + 0.3 * random.nextGaussian())) / 64.0;
                    stored.set(r, c, value);
                    same.stored(same.weights()).set(r, c, value);
                }
            }
        }
    }

    private static double learn(Network network, GradientTest.Case given) {
        network.parameters().forgetGradients();
        double loss = network.learn(given.examples(), SCALE, Seed.of(11));
        network.learn(given.examples(), SCALE, Seed.of(11)); // adds to what is there
        network.parameters().settleGradients();
        return loss;
    }

    private static double squares(Rows x, Rows other) {
        double sum = 0;
        for (int r = 0; r < x.rows(); r++) {
            for (int c = 0; c < x.columns(); c++) {
                double difference = x.get(r, c) - (other == null ? 0 : other.get(r, c));
                sum += difference * difference;
            }
        }
        return sum;
    }

    @EveryProcessor
    @Test
    void weightsOfFloat32AreNeverRounded() {
        try (Team team = Team.of(1);
                Learner exact = learner(Type.F32, Type.F32, team);
                Learner mixed = learner(Type.F32, Type.BF16, team);
                Learner pure = learner(Type.BF16, Type.BF16, team)) {
            double[] before = weights(mixed);
            double[] rounded = weights(pure);
            assertArrayEquals(weights(exact), before, "as they begin");
            mixed.step(batch(0), RATE, 1, 0, Seed.of(0));
            pure.step(batch(0), RATE, 1, 0, Seed.of(0));
            double[] after = weights(mixed);
            long moved = 0;
            for (int i = 0; i < after.length; i++) {
                double step = Math.abs(after[i] - before[i]);
                assertTrue(step <= 2 * RATE, "AdamW's first step is the rate and a decay, got " + step);
                moved += step > RATE / 2 ? 1 : 0;
            }
            assertTrue(moved > 0.9 * after.length, "only " + moved + " of " + after.length + " weights moved");
            assertArrayEquals(far(rounded), far(weights(pure)),
                    "bfloat16 has nothing between a weight and the next that is so near");
            for (Parameters.Entry entry : mixed.parameters().all()) {
                List<Double> used = values(entry.stored(entry.used()));
                List<Double> weights = values(entry.stored(entry.weights()));
                for (int i = 0; i < used.size(); i++) {
                    assertEquals(brain(weights.get(i)), used.get(i), entry.role() + " is computed with as the nearest bfloat16");
                }
            }
        }
    }

    /** Those that are far from zero, where bfloat16 is coarse. */
    private static double[] far(double[] weights) {
        return Arrays.stream(weights).filter(weight -> Math.abs(weight) > 0.01).toArray();
    }

    /** The nearest bfloat16, ties to even. */
    private static double brain(double value) {
        int bits = Float.floatToRawIntBits((float) value);
        return Float.intBitsToFloat(bits + 0x7fff + (bits >>> 16 & 1) & 0xffff0000);
    }

    /** Rounding shows in a loss, and is no other course of learning. */
    @EveryProcessor
    @ParameterizedTest
    @EnumSource(value = Type.class, names = {"BF16", "F16"})
    void lossesFollowThoseOfFloat32(Type compute) {
        LossScale scale = compute == Type.F16 ? new LossScale(1024, 0) : LossScale.NONE;
        try (Team team = Team.of(1);
                Learner exact = learner(Type.F32, Type.F32, team);
                Learner mixed = learner(Type.F32, compute, team)) {
            double first = 0;
            double last = 0;
            for (int step = 1; step <= STEPS; step++) {
                double expected = exact.step(batch(step), 3e-3, step, 1, Seed.of(0)).loss();
                assertEquals(expected, mixed.step(batch(step), 3e-3, step, 1, Seed.of(0), scale).loss(), 0.02, "step " + step);
                first = step == 1 ? expected : first;
                last = expected;
            }
            assertTrue(last < first - 0.2, "it must learn");
        }
    }

    /** The scale is a matter of range alone: what is learned, and what is told of it, is without it. */
    @Test
    void aScaledLossTakesTheSameStep() {
        try (Team team = Team.of(1);
                Learner plain = learner(Type.F32, Type.F32, team);
                Learner scaled = learner(Type.F32, Type.F32, team)) {
            plain.watch(true);
            scaled.watch(true);
            for (int step = 1; step <= 3; step++) {
                assertEquals(plain.step(batch(step), 3e-3, step, 0.1, Seed.of(0)), scaled.step(batch(step), 3e-3, step, 0.1, Seed.of(0), new LossScale(0x1p20, 0)));
            }
            assertEquals(plain.blocks(), scaled.blocks());
            assertArrayEquals(weights(plain), weights(scaled));
        }
    }

    @Test
    void aGradientThatOverflowsIsNotLearnedFrom() {
        try (Team team = Team.of(1); Learner mixed = learner(Type.F32, Type.F16, team)) {
            double[] before = weights(mixed);
            Learner.Seen seen = mixed.step(batch(0), 3e-3, 1, 1, Seed.of(0), new LossScale(0x1p40, 0));
            assertFalse(seen.finite());
            assertTrue(Double.isFinite(seen.loss()), "the way forward is not scaled");
            assertArrayEquals(before, weights(mixed));
            assertTrue(mixed.step(batch(0), 3e-3, 1, 1, Seed.of(0), new LossScale(0x1p10, 0)).finite());
        }
    }

    @Test
    void theScaleIsHalvedWhereItIsTooLargeAndDoubledAfterManyThatWereNot() {
        LossScale scale = new LossScale(8, 0).after(false, 3).after(false, 3);
        assertEquals(new LossScale(8, 2), scale);
        assertEquals(new LossScale(16, 0), scale.after(false, 3));
        assertEquals(new LossScale(4, 0), scale.after(true, 3));
        assertEquals(new LossScale(4, 1), scale.after(true, 3).after(false, 3));
        assertFalse(scale.vanished());
        assertTrue(new LossScale(0x1p-14, 0).after(true, 3).vanished());
    }
}
