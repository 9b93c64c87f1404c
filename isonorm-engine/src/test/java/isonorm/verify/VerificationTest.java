package isonorm.verify;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.EveryProcessor;
import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.architecture.Stack;
import isonorm.checkpoint.Dtype;
import isonorm.convert.Comparison;
import isonorm.convert.Conversion;
import isonorm.convert.Evidence;
import isonorm.convert.Form;
import isonorm.convert.LoadedModel;
import isonorm.layer.Fixture;
import isonorm.layer.ForwardPass;
import isonorm.layer.Tolerance;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Result;
import isonorm.weights.Dense;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class VerificationTest {

    @EveryProcessor
    @ParameterizedTest
    @ValueSource(strings = {"gpt2", "opt", "vit", "clip_vision", "bert-base", "dinov2-classifier", "bart", "whisper"})
    void aModelIsItself(String name) throws IOException {
        Model model = Fixture.named(name).model();
        Comparison comparison = Verification.of(model, model).run(Progress.NONE);
        assertEquals(0, comparison.largestError());
        assertTrue(comparison.positions() > 0 && comparison.outputDeviation() > 0, comparison.toString());
        if (comparison.compared().equals("logits") || comparison.compared().equals("scores")) {
            assertEquals(0, comparison.kl());
            assertEquals(1, comparison.top1Agreement());
        } else {
            assertTrue(Double.isNaN(comparison.kl()) && Double.isNaN(comparison.top1Agreement()), comparison.toString());
        }
    }

    /** One bias of the last block, moved by a tenth, is far more than float32's rounding. */
    @EveryProcessor
    @Test
    void aChangedWeightIsSeen() throws IOException {
        Model model = Fixture.named("gpt2").model();
        Role role = Role.of(Part.MLP_DOWN, 2, Role.Field.BIAS);
        double[] moved = model.weight(role).vector();
        moved[5] += .1;
        Comparison comparison = Verification.of(model, with(model, role, moved)).run(Progress.NONE);
        assertFalse(comparison.within(Tolerance.WRITTEN_F32), comparison.toString());
        assertTrue(comparison.kl() > 0, comparison.toString());
    }

    /** A wrong weight of a model in bfloat16 hides behind the roundings of what is written, and not before them. */
    @Test
    void whatIsNotEqualIsRefused() throws IOException {
        Role role = Role.of(Part.MLP_DOWN, 2, Role.Field.BIAS);
        for (String name : List.of("gpt2", "gpt2-bf16")) {
            LoadedModel written = LoadedModel.open(Fixture.named(name).folder());
            double[] moved = Model.of(written.model()).weight(role).vector();
            moved[5] += .1;
            Model other = with(Model.of(written.model()), role, moved);
            IOException refused = assertThrows(IOException.class, () -> Verification.verifier().verify(other, other, written.model(), written, Progress.NONE));
            assertTrue(refused.getMessage().contains((name.equals("gpt2") ? "the written model" : "before rounding,") + " is not equal to the original"),
                    refused.getMessage());
        }
    }

    @Test
    void evidenceHoldsWhatRoundingDoesBesideWhatWasRewritten() throws IOException {
        LoadedModel written = LoadedModel.open(Fixture.named("gpt2-bf16").folder());
        Evidence evidence = Verification.verifier().verify(written.model(), written.model(), written.model(), written, Progress.NONE);
        assertEquals(List.of("before rounding f64", "written f64", "original, rounded f32", "written f32", "original bf16"),
                evidence.comparisons().stream().map(row -> row.model().label() + " " + row.computed()).toList());
        assertEquals(0, evidence.decisive().largestError());
        assertEquals(Tolerance.rounded(evidence.rounded().orElseThrow(), Model.of(written.model()), Model.of(written.model())), evidence.limits());
        assertEquals(Optional.of(Dtype.BF16), evidence.rounding());
        Evidence onText = Verification.verifier(TokenizedText.of(3, 1, 2, 3)).verify(written.model(), written.model(), written.model(), written, Progress.NONE);
        assertEquals(3, onText.comparisons().size());
        assertTrue(onText.decisive().perplexityA() > 1);
    }

    /** CLIP's hidden states are the stream, whose mean a conversion takes out; its pooled vectors are compared. */
    @Test
    void clipIsComparedByItsPooledVectors() throws IOException {
        LoadedModel source = LoadedModel.open(Fixture.named("clip_vision").folder());
        Model converted = Model.of(Conversion.of(source, Form.PRE_CRMSNORM).result());
        Comparison comparison = Verification.of(source.model(), converted).compute(Compute.F64, Compute.F64).run(Progress.NONE);
        assertTrue(comparison.compared().startsWith("pooled vectors"), comparison.compared());
        assertTrue(comparison.within(Tolerance.SAME_FUNCTION_F64), comparison.toString());
        assertEquals(2, comparison.positions());
    }

    /** A pooler is part of the model, so a wrong one is an error even where the hidden states agree. */
    @Test
    void aChangedPoolerIsSeen() throws IOException {
        Model model = Fixture.named("bert-base").model();
        Role role = Role.of(Part.POOLER, Role.Field.BIAS);
        double[] moved = model.weight(role).vector();
        moved[0] += 1;
        assertFalse(Verification.of(model, with(model, role, moved)).run(Progress.NONE).within(Tolerance.ORIGINAL_F16));
    }

    @Test
    void paddingIsLeftOut() throws IOException {
        Fixture fixture = Fixture.named("gpt2-mask");
        Batch.Tokens batch = (Batch.Tokens) fixture.batch();
        long seen = Arrays.stream(batch.mask().orElseThrow()).flatMapToLong(Arrays::stream).sum();
        Model model = fixture.model();
        assertEquals(seen, Verification.of(model, model).withInputs(List.of(batch)).run(Progress.NONE).positions());
    }

    /** The perplexity of random weights on random tokens is near that of guessing, and both ways to ask agree. */
    @EveryProcessor
    @Test
    void perplexity() throws IOException {
        Model model = Fixture.named("gpt2").model();
        long[] ids = new long[40 * 32];
        Arrays.setAll(ids, i -> (i / 32 * 31 + i % 32 * 17) % 160);
        TokenizedText text = TokenizedText.of(32, ids);
        List<Long> steps = new ArrayList<>();
        Comparison comparison = Verification.of(model, model).withText(text).compute(Compute.F64, Compute.F32)
                .run((_, done, total) -> {
                    steps.add(done);
                    assertTrue(done <= total);
                });
        double alone = Verification.perplexity(model, text, Compute.F64, Progress.NONE);
        assertEquals(alone, comparison.perplexityA(), 1e-9 * alone);
        assertEquals(alone, comparison.perplexityB(), 1e-4 * alone);
        assertTrue(alone > 40 && alone < 640, "got " + alone);
        assertEquals(40 * 32, comparison.positions());
        assertEquals(steps.stream().sorted().distinct().toList(), steps);
    }

    @Test
    void whatCannotBeComparedIsRefused() throws IOException {
        Model words = Fixture.named("gpt2").model();
        Model images = Fixture.named("vit").model();
        Model hidden = Fixture.named("gpt2-base").model();
        Model masked = Fixture.named("bert").model();
        TokenizedText text = TokenizedText.of(3, 1, 2, 3);
        assertThrows(IllegalArgumentException.class, () -> Verification.of(words, images));
        assertThrows(IllegalArgumentException.class, () -> Verification.of(words, hidden));
        assertThrows(IllegalArgumentException.class, () -> Verification.of(images, images).withText(text));
        assertThrows(IllegalArgumentException.class, () -> Verification.of(words, words).withInputs(List.of()));
        assertThrows(IllegalArgumentException.class, () -> Verification.perplexity(hidden, text, Compute.F32, Progress.NONE));
        assertThrows(IllegalArgumentException.class, () -> Verification.perplexity(masked, text, Compute.F32, Progress.NONE));
        assertTrue(Double.isNaN(Verification.of(masked, masked).withText(text).run(Progress.NONE).perplexityA()));
    }

    /** Every token but the first is predicted once: those at the end of a window predict the first of the next one. */
    @Test
    void theLastTokenOfAWindowPredictsTheNextWindow() throws IOException {
        Model model = Fixture.named("gpt2").model();
        long[][] windows = {{7, 3, 150}, {9, 11, 5}};
        double[] log = new double[5];
        for (int w = 0; w < 2; w++) {
            try (ForwardPass pass = ForwardPass.resident(model, Compute.F64); Result result = pass.run(Batch.Tokens.of(windows[w]))) {
                for (int i = 0; i < (w == 0 ? 3 : 2); i++) {
                    long target = i < 2 ? windows[w][i + 1] : windows[1][0];
                    double[] row = Arrays.copyOfRange(result.outputValues(), i * 160, (i + 1) * 160);
                    log[3 * w + i] = Math.log(Arrays.stream(row).map(Math::exp).sum()) - row[(int) target];
                }
            }
        }
        double expected = Math.exp(Arrays.stream(log).average().orElseThrow());
        TokenizedText text = TokenizedText.of(3, 7, 3, 150, 9, 11, 5);
        assertEquals(expected, Verification.perplexity(model, text, Compute.F64, Progress.NONE), 1e-9 * expected);
    }

    /** The likelihood of overlapping windows is that of each token behind as much of the text as its window shows. */
    @Test
    void overlappingWindowsPredictBehindWhatTheyShow() throws IOException {
        Model model = Fixture.named("gpt2").model();
        long[] ids = {7, 3, 150, 9, 11, 5, 80, 2};
        int[] begins = {0, 0, 0, 0, 0, 3, 3, 3}; // of the first window of five, a stride of three apart, that has the token
        double sum = 0;
        try (ForwardPass pass = ForwardPass.resident(model, Compute.F64)) {
            for (int at = 1; at < ids.length; at++) {
                try (Result result = pass.run(Batch.Tokens.of(Arrays.copyOfRange(ids, begins[at], at)))) {
                    double[] values = result.outputValues();
                    double[] row = Arrays.copyOfRange(values, values.length - 160, values.length);
                    sum += row[(int) ids[at]] - Math.log(Arrays.stream(row).map(Math::exp).sum());
                }
            }
        }
        Likelihood likelihood = Verification.likelihood(model, new TokenizedText(ids, 5, 3, 14), Compute.F64, Progress.NONE);
        assertEquals(sum, likelihood.logLikelihood(), 1e-9);
        assertEquals(7, likelihood.predicted());
        assertEquals(Math.exp(-sum / 7), likelihood.perplexity(), 1e-9 * likelihood.perplexity());
        assertEquals(-sum / Math.log(2) / 14, likelihood.bitsPerByte(), 1e-9);
    }

    /** Windows of several lengths and chunks, by the fused runtime and by the layers; the progress never goes back. */
    @Test
    void theLikelihoodIsTheSameHoweverItIsComputed() throws IOException {
        Model model = Fixture.named("gpt2").model();
        long[] ids = new long[39 * 32 + 5];
        Arrays.setAll(ids, i -> (i / 32 * 31 + i % 32 * 17) % 160);
        TokenizedText text = TokenizedText.of(32, ids);
        double exact = Verification.perplexity(model, text, Compute.F64, Progress.NONE);
        List<Double> done = new ArrayList<>();
        assertEquals(exact, Verification.perplexity(model, text, Compute.F32, (_, part, whole) -> done.add((double) part / whole)),
                Tolerance.ORIGINAL_F32 * exact);
        assertEquals(exact, Verification.perplexity(model, text, Compute.BF16, Progress.NONE), Tolerance.ORIGINAL_BF16 * exact);
        assertEquals(done.stream().sorted().distinct().toList(), done);
        assertEquals(1, done.getLast());
    }

    @Test
    void aWindowBeyondThePositionsIsRefused() throws IOException {
        Model model = Fixture.named("gpt2").model();
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class,
                () -> Verification.requirePrediction(model, 100_000));
        assertTrue(e.getMessage().contains("positions, got a window of 100000 tokens"), e.getMessage());
    }

    /** Where the encoder differs its stream is named, though the decoder's differs then too. */
    @Test
    void theStackThatDiffersIsNamed() throws IOException {
        Model model = Fixture.named("bart").model();
        Batch inputs = Verification.of(model, model).inputs().getFirst();
        Role down = Role.of(Part.MLP_DOWN, 1, Role.Field.BIAS);
        double[] moved = new double[model.architecture().width()];
        moved[3] = 40;
        assertTrue(Streams.parting(model, with(model, down.in(Stack.ENCODER), moved), inputs).orElseThrow()
                .startsWith("of its encoder, the stream jumps away behind block 1, "));
        assertTrue(Streams.parting(model, with(model, down, moved), inputs).orElseThrow().startsWith("of its decoder, the stream jumps away behind block 1, "));
        Model towers = Fixture.named("clip").model();
        assertTrue(Streams.parting(towers, with(towers, down.in(Stack.IMAGE), moved), Verification.of(towers, towers).inputs().getFirst()).orElseThrow()
                .startsWith("of its image tower, the stream jumps away behind block 1, "));
    }

    private static Model with(Model model, Role role, double[] values) {
        Map<Role, Matrix> weights = new LinkedHashMap<>(model.weights());
        weights.put(role, Dense.of(1, values.length, values));
        return new Model(model.architecture(), weights);
    }
}
