package isonorm.convert;

import static isonorm.architecture.Part.*;
import static isonorm.architecture.Role.Field.*;
import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Role;
import isonorm.checkpoint.Dtype;
import isonorm.convert.PlainForward.Input;
import isonorm.convert.PlainForward.Result;
import isonorm.family.Fixtures;
import isonorm.model.ConversionRefused;
import isonorm.model.Progress;
import isonorm.rewrite.Rewrite;
import isonorm.weights.Dense;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import isonorm.weights.SampleCheckpoint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Whole models, in every form, against an independent forward pass, which itself is held against the reference outputs. */
class ModelEqualityTest {

    @Test
    void thePlainForwardPassGivesTheReferenceOutputs() throws IOException {
        List<String> wrong = new ArrayList<>();
        int compared = 0;
        int pooled = 0;
        for (String fixture : Fixtures.all()) {
            Map<String, SampleCheckpoint.Tensor> golden = Fixtures.golden(fixture);
            PlainForward forward = new PlainForward(Fixtures.open(fixture).model());
            double[] reference = golden.get("output").values();
            double[] values = new double[reference.length];
            boolean[] counts = new boolean[reference.length];
            List<Input> inputs = Models.inputs(golden);
            int at = 0;
            int atPooled = 0;
            double[] pooledValues = new double[golden.containsKey("pooled") ? golden.get("pooled").values().length : 0];
            for (Input input : inputs) {
                Result result = forward.run(input);
                for (int i = 0; i < result.output().length; i++) {
                    int n = result.output()[i].length;
                    System.arraycopy(result.output()[i], 0, values, at, n);
                    Arrays.fill(counts, at, at + n, input.seen() == null || input.seen()[i]);
                    at += n;
                }
                if (pooledValues.length > 0) {
                    System.arraycopy(result.pooled(), 0, pooledValues, atPooled, result.pooled().length);
                    atPooled += result.pooled().length;
                }
            }
            assertEquals(reference.length, at);
            assertEquals(pooledValues.length, atPooled);
            double difference = Models.largestDifference(reference, values, counts) / Models.deviation(reference);
            if (!(difference < ConversionTolerance.REFERENCE)) {
                wrong.add(fixture + " differs by " + difference);
            }
            compared++;
            if (pooledValues.length > 0) {
                double[] wanted = golden.get("pooled").values();
                double apart = Models.largestDifference(wanted, pooledValues, null) / Models.deviation(wanted);
                if (!(apart < ConversionTolerance.REFERENCE)) {
                    wrong.add(fixture + "'s pooled output differs by " + apart);
                }
                pooled++;
            }
        }
        assertEquals(List.of(), wrong);
        assertEquals(Fixtures.all().size(), compared);
        assertTrue(pooled >= 5, pooled + " pooled");
    }

    /** Every way from a fixture to a form, with and without untying, and on from form to form. */
    static Map<String, Plan> plans(LoadedModel source) throws IOException {
        Map<String, Plan> plans = new LinkedHashMap<>();
        for (Form form : Form.values()) {
            if (Plan.refusals(source, form).isEmpty()) {
                plans.put(form.label(), Plan.of(source, form, false));
                if (Model.of(source.model()).architecture().tied() && (form == Form.PRE_RMSNORM || form == Form.PRE_CRMSNORM)) {
                    plans.put(form + " untied", Plan.of(source, form, true));
                }
            }
        }
        for (Map.Entry<String, Plan> entry : Map.copyOf(plans).entrySet()) {
            if (!entry.getValue().form().isFamilyFormat()) {
                LoadedModel between = Models.loaded(entry.getValue());
                for (Form form : Form.values()) {
                    if (Plan.refusals(between, form).isEmpty()) {
                        plans.put(entry.getKey() + " to " + form, Plan.of(between, form, false));
                    }
                }
            }
        }
        return plans;
    }

    @Test
    void everyFormOfEveryFixtureIsEqualToIt() throws IOException {
        List<String> wrong = new ArrayList<>();
        Map<String, Integer> compared = new TreeMap<>();
        for (String fixture : Fixtures.all()) {
            LoadedModel source = Models.inMemory(fixture);
            Input input = Models.sample(Fixtures.golden(fixture));
            Result wanted = new PlainForward(source.model()).run(input);
            for (Map.Entry<String, Plan> entry : plans(source).entrySet()) {
                double apart = Models.difference(source.model(), wanted, new PlainForward(entry.getValue().result()).run(input));
                if (!(apart < ConversionTolerance.SAME)) {
                    wrong.add(fixture + " as " + entry.getKey() + " differs by " + apart);
                }
                compared.merge(entry.getKey(), 1, Integer::sum);
            }
        }
        assertEquals(List.of(), wrong);
        // How many fixtures there were for each way: were it none, nothing would have been shown.
        requireAtLeast(new TreeMap<>(Map.ofEntries(Map.entry("centred", 41), Map.entry("rmsnorm", 4),
                Map.entry("pre-rmsnorm", 45), Map.entry("pre-rmsnorm untied", 25),
                Map.entry("pre-crmsnorm", 45), Map.entry("pre-crmsnorm untied", 25),
                Map.entry("pre-rmsnorm to centred", 41), Map.entry("pre-rmsnorm to pre-crmsnorm", 45), Map.entry("pre-rmsnorm to pre-ln", 45),
                Map.entry("pre-crmsnorm to centred", 41), Map.entry("pre-crmsnorm to pre-rmsnorm", 45), Map.entry("pre-crmsnorm to pre-ln", 45),
                Map.entry("pre-rmsnorm untied to centred", 22), Map.entry("pre-rmsnorm untied to pre-crmsnorm", 25),
                Map.entry("pre-rmsnorm untied to pre-ln", 25), Map.entry("pre-crmsnorm untied to centred", 22),
                Map.entry("pre-crmsnorm untied to pre-rmsnorm", 25), Map.entry("pre-crmsnorm untied to pre-ln", 25))), compared);
    }

    /** Every outcome that is wanted and no other, each as often as here or, of the fixtures that came later, oftener. */
    private static void requireAtLeast(Map<String, Integer> fewest, Map<String, Integer> counts) {
        assertEquals(fewest.keySet(), counts.keySet(), counts.toString());
        fewest.forEach((outcome, count) -> assertTrue(counts.get(outcome) >= count, outcome + " " + counts.get(outcome) + " times of " + count));
    }

    @Test
    void everyWrittenFormOfEveryFixtureIsEqualToIt(@TempDir Path folder) throws IOException {
        List<String> wrong = new ArrayList<>();
        Set<String> families = new HashSet<>();
        int compared = 0;
        for (String fixture : Fixtures.all()) {
            LoadedModel source = Fixtures.open(fixture);
            Input input = Models.sample(Fixtures.golden(fixture));
            Result wanted = new PlainForward(source.model()).run(input);
            // Every form once a family, and of the other fixtures the one that goes through every step.
            boolean first = families.add(Model.of(source.model()).architecture().family());
            for (Form form : first ? List.of(Form.values()) : List.of(Form.PRE_CRMSNORM, Form.RMSNORM)) {
                LoadedModel from = form == Form.PRE_LN && Files.exists(folder.resolve(fixture + "-" + Form.PRE_CRMSNORM))
                        ? LoadedModel.open(folder.resolve(fixture + "-" + Form.PRE_CRMSNORM))
                        : source;
                if (Plan.refusals(from, form).isEmpty()) {
                    LoadedModel written = written(from, form, folder.resolve(fixture + "-" + form));
                    double apart = Models.difference(source.model(), wanted, new PlainForward(written.model()).run(input));
                    if (!(apart < ConversionTolerance.FLOAT32)) {
                        wrong.add(fixture + " as " + form + " differs by " + apart);
                    }
                    compared++;
                }
            }
        }
        assertEquals(List.of(), wrong);
        assertTrue(compared >= 19 * 3 + 17 + 26 + 4, compared + " were compared");
    }

    /** In the types it is stored in, or in float32 where those have 16 bits. */
    private static LoadedModel written(LoadedModel source, Form form, Path folder) throws IOException {
        Conversion conversion = Conversion.of(source, form);
        boolean coarse = Model.of(source.model()).coarsest().bytes() < Dtype.F32.bytes();
        (coarse ? conversion.inType(Dtype.F32) : conversion).writeTo(folder, Progress.NONE);
        return LoadedModel.open(folder);
    }

    @Test
    void aStepLeftOutIsCaught() throws IOException {
        Map<String, Integer> outcomes = new TreeMap<>();
        for (String fixture : Fixtures.all()) {
            LoadedModel source = Models.inMemory(fixture);
            Input input = Models.sample(Fixtures.golden(fixture));
            Result wanted = new PlainForward(source.model()).run(input);
            for (Form form : Form.values()) {
                if (!Plan.refusals(source, form).isEmpty()) {
                    continue;
                }
                Plan plan = Plan.of(source, form, false);
                for (int left = 0; left < plan.rewrites().size(); left++) {
                    List<Rewrite> others = new ArrayList<>(plan.rewrites());
                    Rewrite step = others.remove(left);
                    String outcome;
                    try {
                        double apart = Models.difference(source.model(), wanted, new PlainForward(Rewrite.all(Model.of(plan.source().model()), others)).run(input));
                        outcome = apart < ConversionTolerance.SAME ? "equal" : apart > ConversionTolerance.BROKEN ? "broken" : "unclear " + fixture + apart;
                    } catch (IllegalArgumentException e) {
                        outcome = "does not fit";
                    }
                    outcomes.merge(form + " without " + step.getClass().getSimpleName() + ": " + outcome, 1, Integer::sum);
                }
            }
        }
        // Centring is what makes the forms different; the others are other ways to write the same, or leave shapes behind.
        requireAtLeast(new TreeMap<>(Map.ofEntries(
                Map.entry("pre-rmsnorm without Centre: broken", 45), Map.entry("pre-rmsnorm without ToRmsNorm: equal", 45),
                Map.entry("pre-rmsnorm without Fold: equal", 45),
                Map.entry("pre-crmsnorm without Centre: broken", 45), Map.entry("pre-crmsnorm without ToRmsNorm: equal", 45),
                Map.entry("pre-crmsnorm without Fold: does not fit", 43), Map.entry("pre-crmsnorm without Fold: equal", 2),
                Map.entry("pre-crmsnorm without Compress: equal", 45),
                // DINOv2's LayerScale is written as ones, which needs it folded.
                Map.entry("centred without Centre: broken", 3), Map.entry("centred without Centre: equal", 40),
                Map.entry("centred without UnitScale: equal", 3), Map.entry("centred without Unshare: equal", 1), Map.entry("rmsnorm without PostToRmsNorm: equal", 4))), outcomes);
    }

    @Test
    void aPartLeftAsItWasIsCaught() throws IOException {
        List<String> unnoticed = new ArrayList<>();
        int compared = 0;
        for (String fixture : Fixtures.all()) {
            LoadedModel source = Models.inMemory(fixture);
            Input input = Models.sample(Fixtures.golden(fixture));
            Result wanted = new PlainForward(source.model()).run(input);
            for (Form form : List.of(Form.PRE_RMSNORM, Form.RMSNORM)) {
                if (!Plan.refusals(source, form).isEmpty()) {
                    continue;
                }
                Model lazy = Plan.of(source, form, false).result();
                Model result = Models.inMemory(lazy);
                Map<String, List<Role>> changed = new TreeMap<>();
                lazy.weights().forEach((role, matrix) -> {
                    if (Model.of(source.model()).weights().containsKey(role) && Model.of(source.model()).weight(role) != matrix) {
                        changed.computeIfAbsent(role.part() + " " + role.field(), _ -> new ArrayList<>()).add(role);
                    }
                });
                changed.remove("MASK_TOKEN WEIGHT"); // no forward pass reads it
                changed.values().removeIf(roles -> !sameShape(Model.of(source.model()).weight(roles.getFirst()), lazy.weight(roles.getFirst())));
                for (Map.Entry<String, List<Role>> entry : changed.entrySet()) {
                    Map<Role, Matrix> weights = new HashMap<>(result.weights());
                    entry.getValue().forEach(role -> weights.put(role, Model.of(source.model()).weight(role)));
                    double apart = Models.difference(source.model(), wanted, new PlainForward(new Model(result.architecture(), weights)).run(input));
                    if (!(apart > ConversionTolerance.BROKEN)) {
                        unnoticed.add(fixture + " as " + form + " with " + entry.getKey() + " as it was: " + apart);
                    }
                    compared++;
                }
            }
        }
        assertEquals(List.of(), unnoticed);
        assertTrue(compared >= 416, compared + " were compared");
    }

    private static boolean sameShape(Matrix one, Matrix other) {
        return one.rows() == other.rows() && one.columns() == other.columns();
    }

    /** The note of the plan says so: where the stream is the output, it comes without each token's mean. */
    @Test
    void aStreamThatIsTheOutputIsCentred() throws IOException {
        LoadedModel source = Models.inMemory("clip_vision");
        Input input = Models.sample(Fixtures.golden("clip_vision"));
        for (Form form : List.of(Form.PRE_RMSNORM, Form.PRE_CRMSNORM)) {
            Plan plan = Plan.of(source, form, false);
            assertEquals(1, plan.notes().size());
            for (double[] row : new PlainForward(plan.result()).run(input).output()) {
                assertEquals(0, Arrays.stream(row).average().orElseThrow(), ConversionTolerance.SAME);
            }
        }
    }

    private static ObjectNode config(String fixture, Object... changes) throws IOException {
        ObjectNode config = Fixtures.sample(fixture).config;
        for (int i = 0; i < changes.length; i += 2) {
            config.putPOJO((String) changes[i], changes[i + 1]);
        }
        return (ObjectNode) new ObjectMapper().readTree(config.toString());
    }

    @Test
    void everyFormOfArchitecturesThatNoFixtureHasIsEqualToo() throws IOException {
        List<ObjectNode> configs = List.of(
                config("opt", "word_embed_proj_dim", 32), // projected in and out around Pre-LN
                config("opt", "word_embed_proj_dim", 32, "layer_norm_elementwise_affine", false), // a bare norm before the projection
                config("opt", "layer_norm_elementwise_affine", false),
                config("opt", "enable_bias", false, "tie_word_embeddings", false),
                config("opt-postln", "word_embed_proj_dim", 48), // Post-LN whose head is the table that enters the stream
                config("opt-postln", "layer_norm_elementwise_affine", false),
                config("opt-postln", "word_embed_proj_dim", 48, "tie_word_embeddings", false, "layer_norm_elementwise_affine", false),
                config("bert", "tie_word_embeddings", false),
                config("phi", "tie_word_embeddings", true), // a tied head with a bias
                config("gptj", "tie_word_embeddings", true),
                config("codegen", "tie_word_embeddings", true),
                config("cohere", "tie_word_embeddings", false, "attention_bias", true),
                config("nemotron", "tie_word_embeddings", true, "attention_bias", true, "mlp_bias", true),
                config("mpt", "tie_word_embeddings", false),
                config("bloom", "tie_word_embeddings", false),
                config("falcon", "tie_word_embeddings", false, "bias", true),
                config("falcon-new", "bias", true),
                config("stablelm", "use_qkv_bias", false, "tie_word_embeddings", true),
                config("starcoder2", "tie_word_embeddings", false, "use_bias", false),
                config("gpt_neox", "tie_word_embeddings", true, "attention_bias", false),
                config("vit", "qkv_bias", false),
                config("dinov2-classifier", "use_swiglu_ffn", true, "qkv_bias", false));
        List<String> wrong = new ArrayList<>();
        int compared = 0;
        for (ObjectNode config : configs) {
            LoadedModel source = Models.random(config, 5);
            double[] pixels = new SplittableRandom(6).doubles(3 * 32 * 32, -1, 1).toArray();
            Input input = config.has("vocab_size") ? Input.tokens(3, 14, 159, 26, 5, 3) : new Input(null, pixels, null);
            Result wanted = new PlainForward(source.model()).run(input);
            for (Map.Entry<String, Plan> entry : plans(source).entrySet()) {
                double apart = Models.difference(source.model(), wanted, new PlainForward(entry.getValue().result()).run(input));
                if (!(apart < ConversionTolerance.SAME)) {
                    wrong.add(config + " as " + entry.getKey() + " differs by " + apart);
                }
                compared++;
            }
        }
        assertEquals(List.of(), wrong);
        assertEquals(243, compared);
    }

    @Test
    void aGainOfZeroSurvivesTheWayBackWhereABiasHoldsWhatItHid() throws IOException {
        LoadedModel source = Models.inMemory("gpt_neo"); // no bias behind the first norm, one behind the second
        Map<Role, Matrix> weights = new HashMap<>(Model.of(source.model()).weights());
        double[] gain = Model.of(source.model()).weight(Role.of(MLP_NORM, 1, GAIN)).vector();
        gain[7] = 0;
        weights.put(Role.of(MLP_NORM, 1, GAIN), Dense.of(1, 48, gain));
        LoadedModel zero = new LoadedModel(source.checkpoint(), source.config(), new Model(Model.of(source.model()).architecture(), weights), List.of());
        Input input = Models.sample(Fixtures.golden("gpt_neo"));
        Result wanted = new PlainForward(zero.model()).run(input);
        LoadedModel isonorm = Models.loaded(Plan.of(zero, Form.PRE_CRMSNORM, false));
        Result back = new PlainForward(Plan.of(isonorm, Form.PRE_LN, false).result()).run(input);
        assertTrue(Models.difference(zero.model(), wanted, back) < ConversionTolerance.SAME);
    }

    @Test
    void aGainOfZeroIsRefusedOnTheWayBackWhereItHidABiasForGood() throws IOException {
        LoadedModel source = Models.inMemory("gpt_neo");
        Map<Role, Matrix> weights = new HashMap<>(Model.of(source.model()).weights());
        double[] gain = Model.of(source.model()).weight(Role.of(ATTENTION_NORM, 1, GAIN)).vector();
        gain[7] = 0;
        weights.put(Role.of(ATTENTION_NORM, 1, GAIN), Dense.of(1, 48, gain));
        LoadedModel zero = new LoadedModel(source.checkpoint(), source.config(), new Model(Model.of(source.model()).architecture(), weights), List.of());
        Model back = Plan.of(Models.loaded(Plan.of(zero, Form.PRE_RMSNORM, false)), Form.PRE_LN, false).result();
        ConversionRefused refused = assertThrows(ConversionRefused.class, () -> back.weight(Role.of(QUERY_KEY_VALUE, 1, WEIGHT)).prepare());
        assertTrue(refused.getMessage().contains("gain 0"), refused.getMessage());
    }
}
