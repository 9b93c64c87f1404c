package isonorm.layer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.Output;
import isonorm.checkpoint.Dtype;
import isonorm.convert.Comparison;
import isonorm.convert.Conversion;
import isonorm.convert.Form;
import isonorm.convert.LoadedModel;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Result;
import isonorm.verify.Verification;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * A model and its rewritten form are one function: with weights that are not rounded in between, they differ by the order of
 * float64 operations alone. That covers centred and compressed streams, tied heads on them, and recentring.
 */
class ConvertedTest {

    record Case(Fixture fixture, Form form) {
        @Override
        public String toString() {
            return fixture.name() + " as " + form.label();
        }
    }

    static List<Case> cases() throws IOException {
        List<Case> cases = new ArrayList<>();
        for (Fixture fixture : FixtureTest.supported()) {
            LoadedModel model = LoadedModel.open(fixture.folder());
            for (Form form : Form.values()) {
                if (Conversion.refusals(model, form).isEmpty()) {
                    cases.add(new Case(fixture, form));
                }
            }
        }
        return cases;
    }

    /** A third of them, or all with {@code -Disonorm.all=true}. */
    static List<Case> written() throws IOException {
        SplittableRandom random = new SplittableRandom(31);
        return cases().stream().filter(_ -> Boolean.getBoolean("isonorm.all") || random.nextInt(3) == 0).toList();
    }

    @Test
    void everyFormIsThere() throws IOException {
        Map<Form, Integer> counts = new EnumMap<>(Form.class);
        cases().forEach(one -> counts.merge(one.form(), 1, Integer::sum));
        for (Form form : List.of(Form.CENTRED, Form.PRE_RMSNORM, Form.PRE_CRMSNORM)) {
            assertTrue(counts.getOrDefault(form, 0) >= 20, () -> "only " + counts.get(form) + " models were compared as " + form);
        }
        assertTrue(counts.getOrDefault(Form.RMSNORM, 0) >= 1, "no Post-LN model was compared");
    }

    @ParameterizedTest
    @MethodSource("cases")
    void isTheSameFunction(Case one) throws IOException {
        LoadedModel source = LoadedModel.open(one.fixture().folder());
        Model converted = Model.of(Conversion.of(source, one.form()).result());
        Comparison comparison = Verification.of(source.model(), converted)
                .withInputs(List.of(one.fixture().batch()))
                .compute(Compute.F64, Compute.F64)
                .run(Progress.NONE);
        assertTrue(comparison.within(Tolerance.SAME_FUNCTION_F64), comparison.toString());
    }

    /** The file itself, against the reference's outputs: rounded once to float32, computed in float64 and in float32. */
    @ParameterizedTest
    @MethodSource("written")
    void writtenInFloat32ItGivesTheReferencesOutput(Case one, @TempDir Path temporary) throws IOException {
        Path folder = temporary.resolve("out");
        Conversion.of(LoadedModel.open(one.fixture().folder()), one.form()).inType(Dtype.F32).writeTo(folder, Progress.NONE);
        Model written = Model.of(LoadedModel.open(folder).model());
        boolean bareStream = written.architecture().output() instanceof Output.Hidden hidden && hidden.pooler().bareStream();
        Batch batch = one.fixture().batch();
        double[] reference = bareStream ? one.fixture().pooled().orElseThrow() : one.fixture().output();
        Map<Compute, Double> tolerances = Map.of(Compute.F64, Tolerance.CONVERTED_F64, Compute.F32, Tolerance.CONVERTED_F32);
        for (Map.Entry<Compute, Double> each : tolerances.entrySet()) {
            try (ForwardPass pass = ForwardPass.resident(written, each.getKey()); Result result = pass.run(batch)) {
                double[] values = bareStream ? result.pooledValues().orElseThrow() : result.outputValues();
                double worst = bareStream ? Fixture.worst(reference, values) : Fixture.worst(reference, values, batch);
                assertTrue(worst <= each.getValue(), one + " in " + each.getKey().label() + " is " + worst + " away");
                if (written.architecture().output() instanceof Output.Words) {
                    int width = (int) result.outputShape()[2];
                    assertEquals(tops(reference, width, batch), tops(values, width, batch), one + " in " + each.getKey().label());
                }
            }
        }
    }

    /** The likeliest word at every position that is not padding. */
    private static List<Integer> tops(double[] logits, int width, Batch batch) {
        Batch.Tokens tokens = (Batch.Tokens) (batch instanceof Batch.Both both ? both.main() : batch);
        List<Integer> tops = new ArrayList<>();
        for (int p = 0; p < logits.length / width; p++) {
            if (tokens.seen(p / tokens.length(), p % tokens.length())) {
                int top = 0;
                for (int i = 1; i < width; i++) {
                    top = logits[p * width + i] > logits[p * width + top] ? i : top;
                }
                tops.add(top);
            }
        }
        assertFalse(tops.isEmpty(), "nothing was compared");
        return tops;
    }
}
