package isonorm.convert;

import static isonorm.architecture.Part.*;
import static isonorm.architecture.Role.Field.*;
import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Role;
import isonorm.architecture.Stream;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.CheckpointException.Reason;
import isonorm.family.Fixtures;
import isonorm.model.ConversionRefused;
import isonorm.rewrite.Rewrite;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import isonorm.weights.SampleCheckpoint;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PlanTest {

    private static final String EMBEDDING = "its embedding norm has a gain, so what it writes into the stream needs an explicit recentring, for which"
            + " %s's format has no place; ask for pre-rmsnorm or pre-crmsnorm";
    private static final String ACTIVATED = "what enters its stream comes out of an activation, so it needs an explicit recentring, for which %s's format has"
            + " no place; ask for pre-rmsnorm or pre-crmsnorm";
    private static final String POST = "its norms stand behind the sum (Post-LN, 3 of 3 blocks): the sub-layers read the stream without a norm,"
            + " so its mean is not redundant; ask for rmsnorm";
    private static final String POST_OF_TWO = POST.replace("3 of 3", "2 of 2");
    private static final String NO_FINAL_NORM = "it has no final norm: its output reads the stream, mean included";
    private static final String PRE = "its norms stand before the sub-layers (Pre-LN, %d of %d blocks); ask for pre-rmsnorm or pre-crmsnorm";
    private static final String RMS = "its norms are rmsnorm already (%d of %d blocks): they see the mean of the stream,"
            + " so taking the mean out would change the function";
    private static final String NOT_BEHIND = "its norms do not stand behind the sum (%s); rmsnorm is the form of Post-LN models";
    private static final String OUTPUT = "its sub-layers read the stream without a norm (%d of %d blocks have norms on their outputs alone),"
            + " so its mean is not redundant";
    private static final String PERI = "norms with a gain write into its stream (%d of %d blocks have norms on their outputs),"
            + " so the stream is not centred by its weights";
    private static final String BARE = "sub-layers of it have no norm at all and read the stream as it is (1 of %d blocks), so its mean is not redundant";
    private static final String ORDINARY = "it is an ordinary checkpoint of %s already; pre-ln leads back from pre-rmsnorm and pre-crmsnorm";

    /** Fixtures of one kind, and what speaks against centred, against the two Pre- forms, and against rmsnorm. */
    private record Kind(List<String> fixtures, int blocks, List<String> centred, List<String> pre, List<String> rmsnorm) {}

    private static List<String> of(String... words) {
        return List.of(words);
    }

    private static final String COMPUTED = "its positions are computed and not stored, so there is no place where their mean could be taken out; ask for"
            + " pre-rmsnorm or pre-crmsnorm";

    private static List<String> said(String words, Object... values) {
        return List.of(words.formatted(values));
    }

    /** A reason against a decoder of three blocks, and against its encoder of two. */
    private static List<String> bothStacks(String words) {
        return List.of(words.formatted(3, 3), "of its encoder: " + words.formatted(2, 2).replace("3 of 3", "2 of 2"));
    }

    /** Of which the first attention reads what the embedding's norm gives. */
    private static Kind first(int blocks, String family, String... fixtures) {
        return new Kind(of(fixtures), blocks, of(BARE.formatted(blocks), EMBEDDING.formatted(family)), said(BARE, blocks), of(NOT_BEHIND.formatted("none and pre")));
    }

    private static Kind output(int blocks, String... fixtures) {
        List<String> both = of(RMS.formatted(blocks, blocks), OUTPUT.formatted(blocks, blocks));
        return new Kind(of(fixtures), blocks, both, both, of(RMS.formatted(blocks, blocks), NOT_BEHIND.formatted("output")));
    }

    private static final List<Kind> KINDS = List.of(
            new Kind(of("biogpt", "codegen", "cohere", "cohere-qknorm", "dbrx", "dinov2", "dinov2-classifier", "dinov2-swiglu", "falcon", "falcon-alibi",
                    "falcon-alibi-12heads", "falcon-new", "falcon-new-one-norm", "gpt2", "gpt2-base", "gpt2-bf16", "gpt2-f16", "gpt2-mask",
                    "gpt2-untied", "gpt_bigcode", "gpt_bigcode-mha", "gpt_neox", "gpt_neox_japanese", "gpt_neox-nobias", "gpt_neox-sequential", "gpt_neox-sharded",
                    "gptj", "jais2", "mpt", "mpt-6heads", "mpt-clip", "nemotron", "olmo", "olmo-clip", "opt", "opt-mask", "persimmon", "phi", "phi-gqa", "phimoe",
                    "stablelm",
                    "cohere2_moe-layernorm", "stablelm-parallel", "starcoder2", "starcoder2-window", "vit", "vit-base"), 3, of(), of(), said(PRE, 3, 3)),
            new Kind(of("cohere2", "gpt_neo"), 4, of(), of(), said(PRE, 4, 4)),
            new Kind(of("bloom", "bloom-12heads", "bloom-mask"), 3, said(EMBEDDING, "bloom"), of(), said(PRE, 3, 3)),
            new Kind(of("clip_vision"), 3, said(EMBEDDING, "clip_vision_model"), of(), said(PRE, 3, 3)),
            new Kind(of("bert", "bert-base", "bert-mask", "opt-postln"), 3, of(POST), of(POST), of()),
            new Kind(of("mbart", "mbart-mask"), 3, said(EMBEDDING, "mbart"), of(), bothStacks(PRE)),
            new Kind(of("whisper"), 3, said("of its encoder: " + ACTIVATED, "whisper"), of(), said(PRE, 3, 3)),
            new Kind(of("whisper-base"), 3, said("of its encoder: " + ACTIVATED, "whisper"), of(), bothStacks(PRE)),
            new Kind(of("speech_to_text", "speech_to_text-untied"), 3, said("of its encoder: " + ACTIVATED, "speech_to_text"), of(), bothStacks(PRE)),
            new Kind(of("t5", "t5-mask", "mt5", "umt5"), 3, bothStacks(RMS), bothStacks(RMS),
                    of(RMS.formatted(3, 3), NOT_BEHIND.formatted("pre"), "of its encoder: " + RMS.formatted(2, 2))),
            new Kind(of("t5-encoder", "umt5-encoder"), 2, said(RMS, 2, 2), said(RMS, 2, 2), of(RMS.formatted(2, 2), NOT_BEHIND.formatted("pre"))),
            new Kind(of("wav2vec2-stable"), 3, said(ACTIVATED, "wav2vec2"), of(), said(PRE, 3, 3)),
            new Kind(of("wav2vec2-base"), 2, said(ACTIVATED, "wav2vec2"), of(), said(PRE, 2, 2)),
            new Kind(of("hubert"), 2, said(ACTIVATED, "hubert"), of(), said(PRE, 2, 2)),
            new Kind(of("wavlm", "wavlm-labels"), 2, said(ACTIVATED, "wavlm"), of(), said(PRE, 2, 2)),
            new Kind(of("unispeech"), 2, said(ACTIVATED, "unispeech"), of(), said(PRE, 2, 2)),
            new Kind(of("data2vec-audio", "data2vec-audio-frames", "hubert-base", "hubert-labels", "unispeech-sat", "unispeech-sat-ctc", "wav2vec2", "wav2vec2-frames", "wavlm-base"), 2,
                    of(POST_OF_TWO), of(POST_OF_TWO), of()),
            new Kind(of("m2m_100"), 3, of(COMPUTED), of(), bothStacks(PRE)),
            new Kind(of("xglm"), 3, of(COMPUTED), of(), said(PRE, 3, 3)),
            new Kind(of("blenderbot-untied", "pegasus"), 3, of(), of(), bothStacks(PRE)),
            new Kind(of("bart", "marian", "plbart"), 3, bothStacks(POST), bothStacks(POST), of()),
            new Kind(of("arcee", "cohere2_moe", "deepseek_v2", "deepseek_v2-groups", "deepseek_v3", "ernie4_5", "gemma", "glm", "gpt_oss", "granite", "helium", "llama", "llama-dynamic-rope", "llama-linear-rope",
                    "llama-proportional-rope", "llama-yarn-rope", "llama3-rope", "ministral", "mistral", "mixtral", "olmoe", "phi3", "phi3-long",
                    "phi3-short", "qwen2",
                    "qwen2-window", "qwen2_moe", "qwen3", "qwen3_moe", "seed_oss"), 3,
                    said(RMS, 3, 3), said(RMS, 3, 3), of(RMS.formatted(3, 3), NOT_BEHIND.formatted("pre"))),
            new Kind(of("cwm", "smollm3", "smollm3-window"), 4,
                    said(RMS, 4, 4), said(RMS, 4, 4), of(RMS.formatted(4, 4), NOT_BEHIND.formatted("pre"))),
            new Kind(of("internvl_vision-rms", "llama-labels", "llama-token-labels"), 2, said(RMS, 2, 2), said(RMS, 2, 2), of(RMS.formatted(2, 2), NOT_BEHIND.formatted("pre"))),
            new Kind(of("internvl_vision-bare"), 2, of(NO_FINAL_NORM), of(NO_FINAL_NORM), said(PRE, 2, 2)),
            new Kind(of("dots1", "ernie4_5_moe", "glm4_moe", "granitemoe", "granitemoeshared", "nanochat", "vaultgemma"), 2, said(RMS, 2, 2), said(RMS, 2, 2), of(RMS.formatted(2, 2), NOT_BEHIND.formatted("pre"))),
            first(4, "modernbert", "modernbert"), first(3, "modernbert", "modernbert-labels", "modernbert-mask", "modernbert-token-labels"),
            first(3, "modernbert-decoder", "modernbert-decoder"),
            output(2, "exaone4-full"), output(3, "olmo2"), output(4, "exaone4", "olmo3", "olmo3-yarn"),
            new Kind(of("glm4", "hyperclovax"), 3, of(RMS.formatted(3, 3), PERI.formatted(3, 3)), of(RMS.formatted(3, 3), PERI.formatted(3, 3)),
                    of(RMS.formatted(3, 3), NOT_BEHIND.formatted("peri"))),
            new Kind(of("roberta"), 3, of(POST), of(POST), of()),
            new Kind(of("bert-answers", "bert-generation", "bert-labels", "bert-next-sentence", "bert-token-labels", "camembert", "data2vec-text", "distilbert", "distilbert-base",
                    "distilbert-labels", "electra-discriminator", "electra-generator", "electra-labels", "ernie", "mpnet", "mpnet-words",
                    "roberta-base", "roberta-labels", "roberta-mask", "splinter", "xlm-roberta"), 2, of(POST_OF_TWO), of(POST_OF_TWO), of()),
            new Kind(of("ast", "deit", "dinov2-registers", "dinov3", "esm", "xlm-roberta-xl"), 3, of(), of(), said(PRE, 3, 3)),
            new Kind(of("clip"), 3, said("of its image tower: " + EMBEDDING, "clip_vision_model"), of(), said(PRE, 3, 3)),
            new Kind(of("clip-mask"), 2, said("of its image tower: " + EMBEDDING, "clip_vision_model"), of(), said(PRE, 2, 2)),
            new Kind(of("siglip"), 3, of(), of(), said(PRE, 3, 3)),
            new Kind(of("clip_vision-projection"), 2, said(EMBEDDING, "clip_vision_model"), of(), said(PRE, 2, 2)),
            new Kind(of("ast-base", "beit", "beit-codes", "beit-first", "beit-shared", "data2vec-vision", "mixformer-sequential", "phi-msft", "timm", "timm-features", "vit_mae", "clip_text", "clip_text-projection", "deit-base", "deit-labels", "deit-pixels", "vit-pixels", "dinov2-registers-labels", "dinov3-gated", "esm-hidden", "esm-labels", "gpt2-answers", "gpt2-labels", "gpt2-token-labels", "ijepa", "ijepa-labels", "megatron-bert",
                    "megatron-bert-labels", "siglip_text", "siglip_vision", "vit_msn", "internvl_vision"), 2, of(), of(), said(PRE, 2, 2)),
            new Kind(of("esm-absolute"), 2, said(EMBEDDING, "esm"), of(), said(PRE, 2, 2)),
            new Kind(of("roberta-prelayernorm", "roberta-prelayernorm-labels"), 2, said(EMBEDDING, "roberta-prelayernorm"), of(), said(PRE, 2, 2)),
            new Kind(of("gemma2"), 4, of(RMS.formatted(4, 4), PERI.formatted(4, 4)), of(RMS.formatted(4, 4), PERI.formatted(4, 4)),
                    of(RMS.formatted(4, 4), NOT_BEHIND.formatted("peri"))),
            new Kind(of("gemma3_text"), 6, of(RMS.formatted(6, 6), PERI.formatted(6, 6)), of(RMS.formatted(6, 6), PERI.formatted(6, 6)),
                    of(RMS.formatted(6, 6), NOT_BEHIND.formatted("peri"))));

    @Test
    void everyFixtureHasTheFormsOfItsKindAndEveryReasonAgainstTheOthers() throws IOException {
        List<String> known = new ArrayList<>();
        for (Kind kind : KINDS) {
            for (String fixture : kind.fixtures()) {
                LoadedModel model = Fixtures.open(fixture);
                known.add(fixture);
                assertEquals(Optional.empty(), Plan.currentForm(model));
                assertEquals(kind.blocks(), Model.of(model.model()).architecture().blocks().size());
                assertEquals(kind.centred(), Plan.refusals(model, Form.CENTRED), fixture);
                assertEquals(kind.pre(), Plan.refusals(model, Form.PRE_RMSNORM), fixture);
                assertEquals(kind.pre(), Plan.refusals(model, Form.PRE_CRMSNORM), fixture);
                assertEquals(kind.rmsnorm(), Plan.refusals(model, Form.RMSNORM), fixture);
                assertEquals(said(ORDINARY, Model.of(model.model()).architecture().family()), Plan.refusals(model, Form.PRE_LN), fixture);
            }
        }
        assertEquals(Fixtures.all(), known.stream().sorted().toList());
    }

    @Test
    void aRefusalCarriesEveryReason() throws IOException {
        LoadedModel olmo2 = Fixtures.open("olmo2");
        ConversionRefused refused = assertThrows(ConversionRefused.class, () -> Plan.of(olmo2, Form.CENTRED, false));
        assertEquals(Plan.refusals(olmo2, Form.CENTRED), refused.reasons());
        assertEquals(String.join("; ", refused.reasons()), refused.getMessage());
    }

    @Test
    void whatHasNoFinalNormOrNoBlocksIsRefused() throws IOException {
        ObjectNode bare = Fixtures.sample("opt").config.put("_remove_final_layer_norm", true);
        assertEquals(List.of(NO_FINAL_NORM),
                Plan.refusals(Models.random(bare, 1), Form.PRE_RMSNORM));
        ObjectNode empty = Fixtures.sample("gpt2").config.put("n_layer", 0);
        assertEquals(List.of("it has no blocks"), Plan.refusals(Models.random(empty, 1), Form.CENTRED));
    }

    private static LoadedModel as(String fixture, Form form) throws IOException {
        return Models.loaded(Plan.of(Fixtures.open(fixture), form, false));
    }

    @Test
    void isonormFormsLeadToEachOtherAndBack() throws IOException {
        for (Form from : List.of(Form.PRE_RMSNORM, Form.PRE_CRMSNORM)) {
            LoadedModel model = as("gpt2", from);
            assertEquals(Optional.of(from), Plan.currentForm(model));
            for (Form to : Form.values()) {
                List<String> reasons = to == from ? said("it is %s already", from)
                        : to == Form.RMSNORM ? said("it is a Pre-LN model in the %s form; rmsnorm is the form of Post-LN models", from)
                        : of();
                assertEquals(reasons, Plan.refusals(model, to));
            }
            assertEquals(said(EMBEDDING, "bloom"), Plan.refusals(as("bloom", from), Form.CENTRED));
            assertEquals(of(), Plan.refusals(as("bloom", from), Form.PRE_LN));
        }
        LoadedModel post = as("bert", Form.RMSNORM);
        for (Form to : Form.values()) {
            assertEquals(to == Form.RMSNORM ? of("it is rmsnorm already") : of("it is a Post-LN model in the rmsnorm form,"
                    + " which has no other form; keep the checkpoint it came from"), Plan.refusals(post, to));
        }
    }

    private static List<String> steps(Plan plan) {
        return plan.rewrites().stream().map(rewrite -> rewrite instanceof Rewrite.Restore ? "Restore" : rewrite instanceof Rewrite.Refold ? "Refold" : rewrite.toString()).toList();
    }

    @Test
    void aPlanIsTheseSteps() throws IOException {
        Map<String, List<String>> wanted = new LinkedHashMap<>();
        Map<String, List<String>> planned = new LinkedHashMap<>();
        for (String fixture : of("gpt2", "dinov2")) {
            boolean scale = fixture.equals("dinov2");
            LoadedModel source = Fixtures.open(fixture);
            planned.put(fixture + " centred", steps(Plan.of(source, Form.CENTRED, false)));
            wanted.put(fixture + " centred", scale ? of("Centre[untie=true]", "UnitScale[scale=VECTOR]") : of("Centre[untie=true]"));
            planned.put(fixture + " rms", steps(Plan.of(source, Form.PRE_RMSNORM, false)));
            wanted.put(fixture + " rms", of("Centre[untie=false]", "ToRmsNorm[]", "Fold[]"));
            planned.put(fixture + " crms", steps(Plan.of(source, Form.PRE_CRMSNORM, true)));
            wanted.put(fixture + " crms", of("Centre[untie=true]", "ToRmsNorm[]", "Fold[]", "Compress[]"));
            LoadedModel crms = as(fixture, Form.PRE_CRMSNORM);
            planned.put(fixture + " crms to ln", steps(Plan.of(crms, Form.PRE_LN, false)));
            wanted.put(fixture + " crms to ln", scale ? of("Expand[]", "Refold", "UnitScale[scale=VECTOR]", "Restore") : of("Expand[]", "Refold", "Restore"));
            planned.put(fixture + " crms to centred", steps(Plan.of(crms, Form.CENTRED, false)));
            wanted.put(fixture + " crms to centred", scale
                    ? of("Expand[]", "Refold", "UnitScale[scale=VECTOR]", "Restore", "Centre[untie=true]", "UnitScale[scale=VECTOR]")
                    : of("Expand[]", "Refold", "Restore", "Centre[untie=true]"));
            planned.put(fixture + " crms to rms", steps(Plan.of(crms, Form.PRE_RMSNORM, false)));
            wanted.put(fixture + " crms to rms", of("Expand[]"));
            planned.put(fixture + " rms to crms", steps(Plan.of(as(fixture, Form.PRE_RMSNORM), Form.PRE_CRMSNORM, false)));
            wanted.put(fixture + " rms to crms", of("Recentre[]", "Compress[]"));
        }
        planned.put("bert", steps(Plan.of(Fixtures.open("bert"), Form.RMSNORM, false)));
        wanted.put("bert", of("PostToRmsNorm[]"));
        assertEquals(wanted, planned);
    }

    private static double[] values(Matrix matrix) throws IOException {
        double[] values = new double[matrix.rows() * matrix.columns()];
        matrix.prepare();
        matrix.read(0, matrix.rows(), values);
        matrix.release();
        return values;
    }

    private static final Role TABLE = Role.of(TOKEN_EMBEDDING, WEIGHT);
    private static final Role HEAD_WEIGHT = Role.of(HEAD, WEIGHT);

    @Test
    void anUntiedHeadIsTheTableAsItWas() throws IOException {
        LoadedModel gpt2 = Fixtures.open("gpt2");
        double[] table = Fixtures.sample("gpt2").tensors.get("transformer.wte.weight").values();
        Plan centred = Plan.of(gpt2, Form.CENTRED, false);
        assertFalse(centred.result().architecture().tied(), "the family's format has no place for means");
        assertArrayEquals(table, values(centred.result().weight(HEAD_WEIGHT)));
        assertNotEquals(table[0], values(centred.result().weight(TABLE))[0]);
        assertFalse(centred.config().flagOr(true, "tie_word_embeddings"));
        assertTrue(gpt2.config().flagOr(false, "tie_word_embeddings"), "the source's config is left alone");

        Plan untied = Plan.of(gpt2, Form.PRE_RMSNORM, true);
        double[] gain = Fixtures.sample("gpt2").tensors.get("transformer.ln_f.weight").values();
        double[] head = values(untied.result().weight(HEAD_WEIGHT)); // with the final norm's gain in it
        for (int i = 0; i < head.length; i++) {
            assertEquals(table[i] * gain[i % 48], head[i], 1e-15);
        }
        assertTrue(untied.result().weights().containsKey(Role.of(HEAD, BIAS)));
        assertTrue(untied.config().object("source_config").flagOr(false, "tie_word_embeddings"), "the source's config is kept as it was");
    }

    @Test
    void aTiedHeadKeepsTheTablesMeansWhereItCanTell() throws IOException {
        Plan tied = Plan.of(Fixtures.open("gpt2"), Form.PRE_RMSNORM, false);
        double[] table = Fixtures.sample("gpt2").tensors.get("transformer.wte.weight").values();
        double[] means = values(tied.result().weight(Role.of(TOKEN_EMBEDDING, MEANS)));
        for (int row = 0; row < 160; row++) {
            double sum = 0;
            for (int c = 0; c < 48; c++) {
                sum += table[row * 48 + c];
            }
            assertEquals(sum / 48, means[row], 1e-15);
        }
        assertTrue(tied.result().architecture().tied());
        assertFalse(tied.result().weights().containsKey(HEAD_WEIGHT));
        // A final norm without gain and bias gives what sums to zero, which cannot see them; a head of its own has no table.
        for (String blind : of("olmo-clip", "gpt_neox", "gpt2-untied", "gpt2-base", "vit")) {
            assertFalse(Plan.of(Fixtures.open(blind), Form.PRE_RMSNORM, false).result().weights().containsKey(Role.of(TOKEN_EMBEDDING, MEANS)), blind);
        }
    }

    @Test
    void untyingChangesNothingWhereNothingIsTied() throws IOException {
        LoadedModel source = Fixtures.open("gpt_neox");
        assertEquals(Plan.of(source, Form.PRE_CRMSNORM, false).result().architecture(), Plan.of(source, Form.PRE_CRMSNORM, true).result().architecture());
    }

    @Test
    void betweenIsonormFormsNothingIsUntied() throws IOException {
        LoadedModel rms = as("gpt2", Form.PRE_RMSNORM);
        ConversionRefused refused = assertThrows(ConversionRefused.class, () -> Plan.of(rms, Form.PRE_CRMSNORM, true));
        assertTrue(refused.getMessage().contains("convert the original checkpoint"), refused.getMessage());
    }

    @Test
    void makingAPlanReadsNoWeights(@TempDir Path folder) throws IOException {
        SampleCheckpoint sample = Fixtures.sample("gpt2");
        for (String name : List.copyOf(sample.tensors.keySet())) {
            sample.set(name, 0, Double.NaN);
        }
        LoadedModel source = LoadedModel.open(sample.save(folder));
        for (Form form : List.of(Form.CENTRED, Form.PRE_RMSNORM, Form.PRE_CRMSNORM)) {
            Plan plan = Plan.of(source, form, false);
            assertEquals(form, plan.form());
            assertThrows(CheckpointException.class, () -> values(plan.result().weight(TABLE)));
        }
    }

    @Test
    void aFormIsWhatItsNameSays() throws IOException {
        assertEquals(Stream.CENTRED, Plan.of(Fixtures.open("gpt2"), Form.PRE_RMSNORM, false).result().architecture().stream());
        assertEquals(47, Plan.of(Fixtures.open("gpt2"), Form.PRE_CRMSNORM, false).result().architecture().streamWidth());
        for (Form form : Form.values()) {
            assertEquals(Optional.of(form), Form.named(form.label()));
            assertEquals(form.label(), form.toString());
        }
        assertEquals(Optional.empty(), Form.named("pre-dyt"));
    }

    @Test
    void aResidualBehindTheNormIsRefusedByItsKey() {
        CheckpointException e = assertThrows(CheckpointException.class, () -> Fixtures.open(Fixtures.UNSUPPORTED));
        assertEquals(Reason.CONFIG_UNSUPPORTED, e.reason());
        assertTrue(e.getMessage().contains("apply_residual_connection_post_layernorm = true"), e.getMessage());
        assertInstanceOf(CheckpointException.class, e.getCause());
    }

    /** A head is untied wherever it is asked for: in the Post-LN form and on the way back too. */
    @Test
    void untieReachesEveryForm() throws IOException {
        Plan bert = Plan.of(Fixtures.open("bert"), Form.RMSNORM, true);
        assertFalse(bert.result().architecture().tied());
        assertArrayEquals(values(Model.of(bert.source().model()).weight(Role.of(TOKEN_EMBEDDING, Role.Field.WEIGHT))), values(bert.result().weight(HEAD_WEIGHT)));
        Plan opt = Plan.of(Fixtures.open("opt-postln"), Form.RMSNORM, true);
        assertFalse(opt.result().architecture().tied());
    }
}
