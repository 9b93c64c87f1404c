package isonorm.layer;

import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.convert.Form;
import isonorm.convert.Plan;
import isonorm.family.LoadedModel;
import isonorm.verify.Comparison;
import isonorm.verify.Verification;
import isonorm.weights.Model;
import isonorm.weights.Progress;
import java.io.IOException;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
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
                if (Plan.refusals(model, form).isEmpty()) {
                    cases.add(new Case(fixture, form));
                }
            }
        }
        return cases;
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
        Model converted = Plan.of(source, one.form(), false).result();
        Comparison comparison = Verification.of(source.model(), converted)
                .withInputs(List.of(one.fixture().batch()))
                .compute(Compute.F64, Compute.F64)
                .run(Progress.NONE);
        assertTrue(comparison.within(Tolerance.SAME_FUNCTION_F64), comparison.toString());
    }
}
