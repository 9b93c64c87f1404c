package isonorm.onnx.export;

import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.Output;
import isonorm.convert.Conversion;
import isonorm.convert.Form;
import isonorm.convert.LoadedModel;
import isonorm.layer.Fixture;
import isonorm.layer.Tolerance;
import isonorm.model.Batch;
import isonorm.onnx.Here;
import isonorm.onnx.OnnxRuntime;
import isonorm.onnx.OnnxRuntime.Values;
import isonorm.onnx.graph.ElementType;
import isonorm.onnx.graph.Encoder;
import isonorm.onnx.graph.OnnxModel;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What ONNX Runtime makes of an exported graph is what the reference implementation gives. */
class ExporterTest {

    private static final Exporter.Options PLAIN = new Exporter.Options(23, ElementType.FLOAT, true);

    /** A fixture as it is, or in a form. */
    record Case(Fixture fixture, Optional<Form> form) {

        Model model() throws IOException {
            LoadedModel source = LoadedModel.open(fixture.folder());
            return Model.of(form.isPresent() ? Conversion.of(source, form.get()).result() : source.model());
        }

        @Override
        public String toString() {
            return fixture.name() + form.map(as -> " as " + as.label()).orElse("");
        }
    }

    static List<Case> cases() throws IOException {
        List<Case> cases = new ArrayList<>();
        for (Fixture fixture : Fixture.all()) {
            if (fixture.name().equals("bloom-postln-residual")) {
                continue; // it cannot be opened
            }
            cases.add(new Case(fixture, Optional.empty()));
            LoadedModel model = LoadedModel.open(fixture.folder());
            for (Form form : List.of(Form.PRE_RMSNORM, Form.PRE_CRMSNORM, Form.RMSNORM)) {
                if (Conversion.refusals(model, form).isEmpty()) {
                    cases.add(new Case(fixture, Optional.of(form)));
                }
            }
        }
        return cases;
    }

    @ParameterizedTest
    @MethodSource("cases")
    void givesTheReferencesOutput(Case one, @TempDir Path temporary) throws IOException {
        OnnxRuntime runtime = Here.runtime();
        Model model = one.model();
        OnnxModel graph = Exporter.graph(model, PLAIN);
        // Where -Disonorm.graphs=DIR says so they stay there, for check_onnx.py to look through.
        String kept = System.getProperty("isonorm.graphs", "");
        Path file = kept.isEmpty() ? temporary.resolve("model.onnx") : Path.of(kept).resolve(one.toString().replace(' ', '_') + ".onnx");
        Encoder.write(graph, file, false);
        Batch batch = one.fixture.batch();
        try (OnnxRuntime.Session session = runtime.open(file, 1)) {
            Map<String, Values> given = session.run(Feeds.of(graph, batch));
            boolean bareStream = model.architecture().output() instanceof Output.Hidden hidden && hidden.pooler().bareStream() && one.form.isPresent();
            if (!bareStream) {
                requireClose(one.toString(), one.fixture.output(), given.values().iterator().next(), batch);
            }
            if (one.fixture.pooled().isPresent()) {
                requireClose(one + ", pooled", one.fixture.pooled().get(), pooled(given), new Batch.Images(new float[1], 1, 1, 1, 1));
            }
        }
    }

    private static Values pooled(Map<String, Values> given) {
        return List.of("text_embeds", "pooler_output", "image_embeds").stream().filter(given::containsKey).map(given::get).findFirst().orElseThrow();
    }

    private static void requireClose(String what, double[] expected, Values given, Batch batch) {
        float[] values = ((Values.Reals) given).values();
        double[] wide = new double[values.length];
        for (int i = 0; i < values.length; i++) {
            wide[i] = values[i];
        }
        double worst = Fixture.worst(expected, wide, batch);
        assertTrue(worst <= Tolerance.ORIGINAL_F32, what + ": the worst element is " + worst + " of the deviation away");
    }
}
