package isonorm.measure;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.Architecture;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.Stream;
import isonorm.layer.ForwardPass;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Result;
import isonorm.weights.Model;
import java.io.IOException;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

class NormTimesTest {

    private static final NormTimes TIMES = new NormTimes(Plain::load, 1, 3, Duration.ZERO, 5);

    /** All but the one without norms, whose outputs are others. */
    @Test
    void variantsAreOneFunction() throws IOException {
        Model preLn = RandomWeights.model(Tiny.vit(), 1);
        double[] expected = output(Variant.PRE_LN.of(preLn));
        assertTrue(NormTimes.error(output(Variant.PRE_RMSNORM.of(preLn)), expected) < 1e-12);
        assertTrue(NormTimes.error(output(Variant.PRE_CRMSNORM.of(preLn)), expected) < 1e-12);
        assertTrue(NormTimes.error(output(Variant.NONE.of(preLn)), expected) > 0.1);
    }

    @Test
    void variantsAreWhatTheirNamesSay() {
        Model preLn = RandomWeights.model(Variant.preLn(Tiny.words()), 1);
        Architecture none = Variant.NONE.of(preLn).architecture();
        assertTrue(none.blocks().stream().allMatch(block -> block.both(Placement.NONE)));
        assertTrue(none.finalNorm().isEmpty());
        assertEquals(NormKind.RMS, Variant.PRE_RMSNORM.of(preLn).architecture().blocks().getFirst().norm().kind());
        Architecture compressed = Variant.PRE_CRMSNORM.of(preLn).architecture();
        assertEquals(NormKind.CRMS, compressed.blocks().getFirst().norm().kind());
        assertEquals(Stream.COMPRESSED, compressed.stream());
    }

    @Test
    void everyVariantTakesEveryPlaceAndFollowsEveryOtherEquallyOften() {
        int count = Variant.values().length;
        int[][] places = new int[count][count];
        int[][] follows = new int[count][count];
        for (int round = 0; round < count; round++) {
            int[] order = NormTimes.order(round, count);
            for (int turn = 0; turn < count; turn++) {
                places[order[turn]][turn]++;
                if (turn > 0) {
                    follows[order[turn]][order[turn - 1]]++;
                }
            }
        }
        for (int variant = 0; variant < count; variant++) {
            for (int other = 0; other < count; other++) {
                assertEquals(1, places[variant][other]);
                assertEquals(variant == other ? 0 : 1, follows[variant][other]);
            }
        }
    }

    /** What is fast computes what is plain, norms or none. */
    @Test
    void theEngineRunsEveryVariant() throws IOException {
        Model preLn = RandomWeights.model(Tiny.vit(), 1);
        for (Variant variant : Variant.values()) {
            try (Loaded loaded = Loaded.Engine.INFERENCE.load(variant.of(preLn), Compute.F32, 2); Result result = loaded.run(images())) {
                assertTrue(NormTimes.error(result.outputValues(), output(variant.of(preLn))) < 1e-4, variant.label());
            }
        }
    }

    @Test
    void everyShapeHasAPreLnModel() throws IOException {
        for (String name : Shape.names()) {
            Architecture preLn = Variant.preLn(Shape.named(name).architecture());
            assertTrue(preLn.blocks().stream().map(block -> block.norm().kind()).allMatch(kind -> kind == NormKind.LAYER), name);
        }
        assertEquals(1000, ((Output.Labels) Shape.named("vit-ti").architecture().output()).labels());
        assertThrows(IllegalArgumentException.class, () -> Shape.named("vit-xxl"));
        assertThrows(IllegalArgumentException.class,
                () -> Variant.preLn(Tiny.vit().withBlocks(List.of(Tiny.vit().blocks().getFirst().withoutNorms()))));
    }

    @Test
    void allVariantsAreTimedForEachBatch() throws IOException {
        for (Architecture shape : List.of(Tiny.vit(), Tiny.words())) {
            List<NormTimes.Time> times = TIMES.of("tiny", shape, Compute.F32, List.of(1, 2), Progress.NONE);
            assertEquals(8, times.size());
            assertEquals(List.of(1, 1, 1, 1, 2, 2, 2, 2), times.stream().map(NormTimes.Time::batch).toList());
            assertEquals(Arrays.asList(Variant.values()), times.subList(4, 8).stream().map(NormTimes.Time::variant).toList());
            assertEquals(new Quartiles(1, 1, 1), times.get(1).toPreLn());
            assertTrue(times.stream().allMatch(time -> time.milliseconds().lower() > 0 && time.milliseconds().lower() <= time.milliseconds().upper()));
        }
    }

    @Test
    void differentFunctionsAreNotTimed() {
        NormTimes wrong = new NormTimes((model, compute, threads) -> Plain.load(new Model(otherEpsilon(model.architecture()), model.weights()), compute, threads),
                1, 1, Duration.ZERO, 5);
        IOException refused = assertThrows(IOException.class, () -> wrong.of("tiny", Tiny.vit(), Compute.F32, List.of(1), Progress.NONE));
        assertTrue(refused.getMessage().contains("the pre-rmsnorm form of tiny must be the function of the pre-ln one"), refused.getMessage());
    }

    private static Architecture otherEpsilon(Architecture architecture) {
        return architecture.withFinalNorm(architecture.finalNorm()
                .map(norm -> norm.kind() == NormKind.LAYER ? norm : new Norm(norm.kind(), 1, norm.affine(), norm.folded())));
    }

    @Test
    void whatCannotBeMeasuredIsRefused() {
        assertThrows(IllegalArgumentException.class, () -> new NormTimes(Plain::load, 1, 0, Duration.ZERO, 5));
        NormTimes longPrompts = new NormTimes(Plain::load, 1, 1, Duration.ZERO, 65);
        assertEquals("tiny has 64 positions, got prompts of 65 tokens",
                assertThrows(IllegalArgumentException.class, () -> longPrompts.require("tiny", Tiny.words())).getMessage());
    }

    private static double[] output(Model model) throws IOException {
        try (ForwardPass pass = ForwardPass.resident(model, Compute.F64); Result result = pass.run(images())) {
            return result.outputValues();
        }
    }

    private static Batch images() {
        float[] pixels = new float[2 * 3 * 8 * 8];
        for (int i = 0; i < pixels.length; i++) {
            pixels[i] = (float) Math.sin(i * i);
        }
        return new Batch.Images(pixels, 2, 3, 8, 8);
    }
}
