package isonorm.inference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.Output;
import isonorm.convert.Form;
import isonorm.convert.Plan;
import isonorm.family.LoadedModel;
import isonorm.kernel.Rows;
import isonorm.layer.Batch;
import isonorm.layer.Fixture;
import isonorm.layer.ForwardPass;
import isonorm.layer.Result;
import isonorm.layer.Tolerance;
import isonorm.tensor.Compute;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The fused runtime gives what the layers give, for every fixture and every form it can take. */
class InferenceTest {

    private static final int THREADS = 2;

    record Case(Fixture fixture, Optional<Form> form) {
        Model model() throws IOException {
            LoadedModel source = LoadedModel.open(fixture.folder());
            return form.isPresent() ? Plan.of(source, form.get(), false).result() : source.model();
        }

        /** The fixture's inputs without padding. */
        Batch batch() throws IOException {
            return fixture.batch() instanceof Batch.Tokens tokens ? Batch.Tokens.of(tokens.ids()) : fixture.batch();
        }

        @Override
        public String toString() {
            return fixture.name() + form.map(form -> " as " + form.label()).orElse("");
        }
    }

    static List<Case> cases() throws IOException {
        List<Case> cases = new ArrayList<>();
        for (Fixture fixture : Fixture.all()) {
            if (Set.of("bloom-postln-residual").contains(fixture.name())) {
                continue;
            }
            LoadedModel model = LoadedModel.open(fixture.folder());
            cases.add(new Case(fixture, Optional.empty()));
            for (Form form : Form.values()) {
                if (Plan.refusals(model, form).isEmpty()) {
                    cases.add(new Case(fixture, Optional.of(form)));
                }
            }
        }
        return cases;
    }

    static List<Case> continuing() throws IOException {
        List<Case> continuing = new ArrayList<>();
        for (Case one : cases()) {
            Model model = one.model();
            if (model.architecture().output() instanceof Output.Words
                    && model.architecture().blocks().stream().allMatch(block -> block.attention().causal())) {
                continuing.add(one);
            }
        }
        return continuing;
    }

    @ParameterizedTest
    @MethodSource("cases")
    void givesWhatTheLayersGive(Case one) throws IOException {
        Model model = one.model();
        Batch batch = one.batch();
        try (ForwardPass reference = ForwardPass.streaming(model, Compute.F64);
                Result expected = reference.run(batch)) {
            for (Compute compute : List.of(Compute.F32, Compute.BF16, Compute.F16)) {
                try (Inference inference = Inference.load(model, compute, THREADS); Result result = inference.run(batch)) {
                    requireWithin(one + " in " + compute.label(), compute, expected.outputValues(), result.outputValues());
                    if (expected.pooledValues().isPresent()) {
                        requireWithin(one + ", pooled", compute, expected.pooledValues().get(), result.pooledValues().orElseThrow());
                    }
                }
            }
        }
    }

    /** One word after the other, two sequences of different length at once, against the whole text at once. */
    @ParameterizedTest
    @MethodSource("continuing")
    void wordByWordIsTheSameAsAtOnce(Case one) throws IOException {
        Model model = one.model();
        long[][] ids = ((Batch.Tokens) one.batch()).ids();
        int length = ids[0].length;
        try (Inference inference = Inference.load(model, Compute.F32, THREADS);
                Result whole = inference.run(one.batch());
                Sequence first = inference.start();
                Sequence second = inference.start()) {
            double[] expected = whole.outputValues();
            inference.next(List.of(first), List.of(part(ids[0], 0, length / 2)));
            List<float[]> logits = inference.next(List.of(second, first), List.of(part(ids[1 % ids.length], 0, length - 1), part(ids[0], length / 2, length - 1)));
            logits = inference.next(List.of(first, second), List.of(part(ids[0], length - 1, length), part(ids[1 % ids.length], length - 1, length)));
            int vocabulary = logits.getFirst().length;
            for (int s = 0; s < 2; s++) {
                int at = ((s % ids.length) * length + length - 1) * vocabulary;
                double[] last = Arrays.copyOfRange(expected, at, at + vocabulary);
                requireWithin(one + ", row " + s, Compute.F32, last, doubles(logits.get(s)));
            }
            assertEquals(length, first.length());
        }
    }

    private static int[] part(long[] ids, int from, int to) {
        return Arrays.stream(ids, from, to).mapToInt(Math::toIntExact).toArray();
    }

    private static double[] doubles(float[] values) {
        double[] doubles = new double[values.length];
        for (int i = 0; i < values.length; i++) {
            doubles[i] = values[i];
        }
        return doubles;
    }

    private static void requireWithin(String what, Compute compute, double[] expected, double[] values) {
        double worst = Fixture.worst(expected, values);
        assertTrue(worst <= Tolerance.original(compute), what + " is " + worst + " away, allowed are " + Tolerance.original(compute));
    }
}
