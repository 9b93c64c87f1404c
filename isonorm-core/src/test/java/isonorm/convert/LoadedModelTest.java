package isonorm.convert;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Activation;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
import isonorm.architecture.Mlp;
import isonorm.architecture.Output;
import isonorm.architecture.Parameter;
import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.architecture.Rotary;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.CheckpointException.Reason;
import isonorm.checkpoint.Config;
import isonorm.checkpoint.Dtype;
import isonorm.family.Families;
import isonorm.family.Family;
import isonorm.family.Fixtures;
import isonorm.family.Isonorm;
import isonorm.family.Naming;
import isonorm.model.Progress;
import isonorm.weights.Model;
import isonorm.weights.SampleCheckpoint;
import isonorm.weights.Source;
import isonorm.weights.Stored;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/** What opens, what does not, and for which reason. */
class LoadedModelTest {

    private static final ObjectMapper JSON = new ObjectMapper();

    @TempDir
    private Path folder;

    private LoadedModel open(SampleCheckpoint sample) throws IOException {
        return LoadedModel.open(sample.save(folder));
    }

    private static void refused(Reason reason, Executable action, String... named) {
        CheckpointException e = assertThrows(CheckpointException.class, action);
        assertEquals(reason, e.reason(), e.getMessage());
        for (String name : named) {
            assertTrue(e.getMessage().contains(name), () -> name + " is not in: " + e.getMessage());
        }
    }

    @Test
    void everyFixtureOpensWithEveryTensorUsedOnce() throws IOException {
        for (String fixture : Fixtures.all()) {
            LoadedModel model = Fixtures.open(fixture);
            // Of attention's weights ESM guesses which amino acids touch, which is no output here.
            // No register is a tensor without values to DINOv3.
            // And of a table that two stacks would share nothing reads where it is not tied to theirs.
            boolean more = model.config().textOr("", "model_type").equals("esm") || fixture.equals("blenderbot-untied") || fixture.equals("dinov3-gated");
            assertTrue(more || model.unused().isEmpty(), () -> fixture + " has " + model.unused());
            long stored = Fixtures.sample(fixture).tensors.entrySet().stream().filter(each -> !model.unused().contains(each.getKey()))
                    .mapToLong(each -> each.getValue().values().length).sum();
            long parameters = Model.of(model.model()).architecture().parameters().stream()
                    .filter(parameter -> Model.of(model.model()).weight(parameter.role()) instanceof Stored).mapToLong(Parameter::elements).sum();
            long zeros = Model.of(model.model()).weights().values().stream().filter(Stored.class::isInstance)
                    .flatMap(matrix -> ((Stored) matrix).source().pieces().stream()).filter(Source.Piece::isZero).mapToLong(Source.Piece::count).sum();
            assertEquals(stored, parameters - zeros, fixture);
        }
        assertTrue(Fixtures.all().size() >= 86, Fixtures.all().size() + " are there");
    }

    /** A fixture as the language model of a whole, whose tensors begin otherwise, beside those of what sees images. */
    private static SampleCheckpoint whole(String fixture, String type, String layers, String head) throws IOException {
        SampleCheckpoint sample = Fixtures.sample(fixture);
        ObjectNode text = sample.config.deepCopy();
        sample.config.removeAll();
        sample.config.put("model_type", type).putArray("architectures").add("AnyForConditionalGeneration");
        sample.config.set("text_config", text);
        Map<String, SampleCheckpoint.Tensor> tensors = new LinkedHashMap<>(sample.tensors);
        sample.tensors.clear();
        tensors.forEach((name, tensor) -> sample.tensors.put(name.startsWith("model.") ? layers + name.substring(6) : head + name.substring(7), tensor));
        sample.put("vision_tower.layers.0.weight", Dtype.F32, List.of(2L, 2L), 1, 2, 3, 4);
        return sample;
    }

    @Test
    void ofAModelOfSeveralTheLanguageModelIsRead(@TempDir Path folder) throws IOException {
        LoadedModel alone = Fixtures.open("llama");
        for (String layers : List.of("language_model.model.", "model.language_model.", "model.text_model.")) {
            LoadedModel part = open(whole("llama", "llava", layers, "lm_head"));
            assertEquals(Model.of(alone.model()).architecture(), Model.of(part.model()).architecture());
            assertEquals(Optional.of("llava"), part.whole());
            assertEquals(List.of("vision_tower.layers.0.weight"), part.unused());
        }
        assertEquals(Optional.empty(), alone.whole());
        LoadedModel part = open(whole("cohere2", "aya_vision", "language_model.model.", "language_model.lm_head"));
        Conversion.Report report = Conversion.of(part, Form.CENTRED).writeTo(folder.resolve("out"), Progress.NONE);
        assertTrue(report.notes().getFirst().startsWith("This is the language model of aya_vision, alone: 1 tensors"), report.notes().toString());
        LoadedModel written = LoadedModel.open(folder.resolve("out"));
        Set<String> names = new TreeSet<>(Fixtures.open("cohere2").checkpoint().names());
        names.add("lm_head.weight"); // which centring unties
        assertEquals(names, new TreeSet<>(written.checkpoint().names()));
        assertEquals("cohere2", written.config().textOr("", "model_type"));
        Architecture cohere = Model.of(Fixtures.open("cohere2").model()).architecture();
        assertEquals(cohere.withOutput(((Output.Words) cohere.output()).withScale(1).withTied(false)), Model.of(written.model()).architecture(), "the whole scales no logits");
    }

    @Test
    void aModelOfSeveralThatDoesNotFitIsRefused() throws IOException {
        SampleCheckpoint tied = whole("llama", "llava", "language_model.model.", "lm_head");
        tied.config.put("tie_word_embeddings", true);
        refused(Reason.CONFIG_DISAGREES, () -> open(tied), "lm_head.weight", "set tie_word_embeddings to false");
        SampleCheckpoint other = whole("llama", "mllama", "language_model.model.", "lm_head");
        refused(Reason.UNKNOWN_MODEL_TYPE, () -> open(other), "mllama", "text_config", "saved alone");
        SampleCheckpoint missing = whole("llama", "llava", "language_model.model.", "lm_head");
        missing.tensors.remove("language_model.model.layers.1.mlp.up_proj.weight");
        refused(Reason.MISSING_TENSOR, () -> open(missing), "language_model.model.layers.1.mlp.up_proj.weight");
        SampleCheckpoint qwen = whole("qwen3", "qwen3_vl", "model.language_model.", "lm_head");
        ((ObjectNode) qwen.config.get("text_config")).put("model_type", "qwen3_vl_text");
        assertEquals(Model.of(Fixtures.open("qwen3").model()).architecture(), Model.of(open(qwen).model()).architecture());
        ((ObjectNode) qwen.config.get("text_config")).remove("rms_norm_eps");
        refused(Reason.CONFIG_UNSUPPORTED, () -> open(qwen), "rms_norm_eps");
        SampleCheckpoint labels = whole("llama", "llava", "language_model.model.", "lm_head");
        labels.config.putArray("architectures").add("AnyForSequenceClassification");
        refused(Reason.CONFIG_UNSUPPORTED, () -> open(labels), "AnyForSequenceClassification");
    }

    @Test
    void countsAreComparedWithWhatIsThereFirst() throws IOException {
        SampleCheckpoint sample = Fixtures.sample("gpt2");
        sample.config.put("n_layer", 1_000_000_000);
        refused(Reason.CONFIG_UNSUPPORTED, () -> open(sample), "n_layer 1000000000", "tensors, fewer than one a block");
    }

    // Tensors

    @Test
    void aModelWithoutHeadsIsRefused() throws IOException {
        int tried = 0;
        for (String fixture : Fixtures.all()) {
            for (String key : List.of("num_attention_heads", "n_head", "n_heads", "num_heads")) {
                SampleCheckpoint sample = Fixtures.sample(fixture);
                if (sample.config.has(key)) {
                    sample.config.put(key, 0);
                    String said = assertThrows(CheckpointException.class, () -> open(sample), fixture).getMessage();
                    assertTrue(said.contains("head") && !said.contains("zero"), said);
                    tried++;
                }
            }
        }
        assertTrue(tried > 40, "" + tried);
    }

    @Test
    void aMissingTensorIsNamed() throws IOException {
        for (String name : List.of("transformer.wte.weight", "transformer.h.1.ln_2.bias", "transformer.h.2.attn.c_attn.weight", "transformer.ln_f.weight")) {
            SampleCheckpoint sample = Fixtures.sample("gpt2");
            sample.tensors.remove(name);
            refused(Reason.MISSING_TENSOR, () -> open(sample), name);
        }
    }

    @Test
    void anUnexpectedTensorIsNamed() throws IOException {
        for (String name : List.of("transformer.h.3.ln_1.weight", "score.weight", "transformer.h.0.attn.c_attn.lora_A", "lm_head.bias")) {
            SampleCheckpoint sample = Fixtures.sample("gpt2").put(name, Dtype.F32, List.of(2L), 1, 2);
            refused(Reason.UNEXPECTED_TENSOR, () -> open(sample), name, "gpt2", name.startsWith("score") ? "AutoModel" : "gpt2");
        }
    }

    @Test
    void aWrongShapeIsNamedWithBoth() throws IOException {
        SampleCheckpoint sample = Fixtures.sample("gpt2").put("transformer.h.0.mlp.c_fc.weight", Dtype.F32, List.of(192L, 48L), new double[192 * 48]);
        refused(Reason.CONFIG_DISAGREES, () -> open(sample), "transformer.h.0.mlp.c_fc.weight", "[192, 48]", "[48, 192]");
        SampleCheckpoint other = Fixtures.sample("gpt2");
        other.config.put("vocab_size", 161);
        refused(Reason.CONFIG_DISAGREES, () -> open(other), "transformer.wte.weight", "[160, 48]", "[161, 48]");
    }

    @Test
    void aTypeThatIsNoWeightIsNamed() throws IOException {
        SampleCheckpoint sample = Fixtures.sample("gpt2").put("transformer.ln_f.bias", Dtype.I32, List.of(48L), new double[48]);
        refused(Reason.WRONG_DTYPE, () -> open(sample), "transformer.ln_f.bias", "I32");
    }

    @Test
    void anUnknownModelTypeIsRefusedWithTheNearest() throws IOException {
        SampleCheckpoint sample = Fixtures.sample("gpt2");
        sample.config.put("model_type", "gpt_neo_x");
        refused(Reason.UNKNOWN_MODEL_TYPE, () -> open(sample), "gpt_neo_x", "did you mean gpt_neox?");
        for (String other : List.of("mllama", "gemma3", "qwen2_vl", "gpt_neox_swedish", "llama4", "phi4", "opt2", "vitb")) { // no misspellings
            sample.config.put("model_type", other);
            CheckpointException e = assertThrows(CheckpointException.class, () -> open(sample));
            assertTrue(e.getMessage().contains(other) && !e.getMessage().contains("did you mean"), e.getMessage());
        }
        sample.config.put("model_type", "rwkv");
        refused(Reason.UNKNOWN_MODEL_TYPE, () -> open(sample), "rwkv", "gpt2, gpt_bigcode");
        sample.config.remove("model_type");
        refused(Reason.UNKNOWN_MODEL_TYPE, () -> open(sample), "missing");
        Set<String> tested = Fixtures.all().stream().map(f -> {
            try {
                return Families.type(Config.parse(Fixtures.sample(f).config.toString()));
            } catch (IOException e) {
                throw new IllegalStateException(e);
            }
        }).collect(Collectors.toCollection(TreeSet::new));
        tested.addAll(List.of("isonorm", "RefinedWeb", "RefinedWebModel", "stablelm_epoch"));
        assertEquals(tested, new TreeSet<>(Families.types()), "every family has a fixture");
    }

    // Configs

    /** A fixture, a key (a path below the config), a value, and what the message must name. */
    private record Refusal(String fixture, String path, String value, String named) {}

    private static final List<Refusal> UNSUPPORTED = List.of(
            new Refusal("bert", "is_decoder", "true", "is_decoder"),
            new Refusal("bert", "add_cross_attention", "true", "add_cross_attention"),
            new Refusal("bert", "position_embedding_type", "\"relative_key\"", "position_embedding_type"),
            new Refusal("bert", "hidden_act", "\"mish\"", "mish"),
            new Refusal("bloom", "apply_residual_connection_post_layernorm", "true", "apply_residual_connection_post_layernorm"),
            new Refusal("codegen", "n_head", "6", "n_head"),
            new Refusal("dinov2", "apply_layernorm", "false", "apply_layernorm"),
            new Refusal("gemma", "use_bidirectional_attention", "true", "use_bidirectional_attention"),
            new Refusal("gemma3_text", "use_bidirectional_attention", "true", "use_bidirectional_attention"),
            new Refusal("gpt2", "add_cross_attention", "true", "add_cross_attention"),
            new Refusal("gpt2", "activation_function", "\"xielu\"", "xielu"),
            new Refusal("gpt_bigcode", "add_cross_attention", "true", "add_cross_attention"),
            new Refusal("gpt_neo", "attention_layers", "[\"global\"]", "attention_types"),
            new Refusal("gpt_neo", "attention_layers", "[\"global\", \"local\", \"dilated\", \"local\"]", "dilated"),
            new Refusal("mpt", "no_bias", "false", "no_bias"),
            new Refusal("mpt", "attn_config/alibi", "false", "alibi"),
            new Refusal("mpt", "attn_config/qk_ln", "true", "qk_ln"),
            new Refusal("mpt", "attn_config/prefix_lm", "true", "prefix_lm"),
            new Refusal("mpt", "attn_config/attn_type", "\"multiquery_attention\"", "attn_type"),
            new Refusal("mpt", "attn_config/alibi_bias_max", "16", "alibi_bias_max"),
            new Refusal("mpt", "logit_scale", "0.5", "logit_scale"),
            new Refusal("mpt", "expansion_ratio", "2", "expansion_ratio"),
            new Refusal("mpt", "norm_type", "\"rmsnorm\"", "norm_type"),
            new Refusal("mpt", "norm_type", "\"low_precision_rmsnorm\"", "norm_type"),
            new Refusal("mpt", "ffn_config", "{\"ffn_type\": \"mptglu\"}", "ffn_config.ffn_type"),
            new Refusal("mpt", "attn_config/rope", "true", "attn_config.rope"),
            new Refusal("mpt", "attn_config/kv_n_heads", "2", "attn_config.kv_n_heads"),
            new Refusal("mpt", "attn_config/sliding_window_size", "4", "attn_config.sliding_window_size"),
            new Refusal("vit-base", "pooler_act", "\"relu\"", "pooler_act"),
            new Refusal("llama", "rope_parameters/rope_type", "\"axial\"", "axial"),
            new Refusal("llama", "rope_parameters/rope_type", "\"yarn\"", "rope_parameters.factor"),
            new Refusal("llama", "rope_parameters/rope_type", "\"dynamic\"", "rope_parameters.factor"),
            new Refusal("phi", "rope_parameters/rope_type", "\"longrope\"", "short_factor"),
            new Refusal("phi", "rope_parameters/rope_type", "\"proportional\"", "proportional"),
            new Refusal("phi3", "rope_parameters/rope_type", "\"linear\"", "rope_type"),
            new Refusal("phi3-long", "rope_parameters/long_factor", "[1, 2]", "3 pairs"),
            new Refusal("glm", "rope_parameters/partial_rotary_factor", "0.1", "partial_rotary_factor"),
            new Refusal("olmo3-yarn", "rope_parameters/full_attention/truncate", "false", "truncate"),
            new Refusal("smollm3", "no_rope_layers", "[1, 0]", "no_rope_layers"),
            new Refusal("granite", "residual_multiplier", "0", "residual_multiplier"),
            new Refusal("helium", "head_dim", "16", "head_dim"),
            new Refusal("cohere2", "sliding_window", "null", "sliding_window"),
            new Refusal("exaone4-full", "layer_types", "null", "layer_types"),
            new Refusal("gemma3_text", "rope_parameters/full_attention/rope_type", "\"axial\"", "axial"),
            new Refusal("beit", "use_shared_relative_position_bias", "true", "use_shared_relative_position_bias"),
            new Refusal("beit", "image_size", "[32, 16]", "a square"),
            new Refusal("vit_mae", "architectures", "[\"ViTMAEForPreTraining\"]", "ViTMAEForPreTraining"),
            new Refusal("mpnet", "relative_attention_num_buckets", "64", "relative_attention_num_buckets"),
            new Refusal("ernie4_5_moe", "moe_norm_min", "0.5", "moe_norm_min"),
            new Refusal("mixformer-sequential", "architecture/block_cls", "\"sequential\"", "block_cls"),
            new Refusal("timm", "model_args/reg_tokens", "4", "reg_tokens"),
            new Refusal("timm", "global_pool", "\"avg\"", "global_pool"),
            new Refusal("hubert-labels", "use_weighted_layer_sum", "true", "use_weighted_layer_sum"),
            new Refusal("t5", "is_encoder_decoder", "false", "is_encoder_decoder"),
            // What transformers would read in any family's config.
            new Refusal("gpt2", "is_causal", "false", "is_causal"),
            new Refusal("llama", "is_encoder_decoder", "true", "is_encoder_decoder"),
            new Refusal("llama", "per_layer_config", "{\"0\": {\"num_attention_heads\": 2}}", "per_layer_config"),
            new Refusal("llama", "transformers_weights", "\"other.safetensors\"", "transformers_weights"),
            new Refusal("llama", "layer_types", "[\"sliding_attention\", \"full_attention\", \"full_attention\"]", "layer_types"),
            new Refusal("mistral", "layer_types", "[\"sliding_attention\", \"full_attention\", \"sliding_attention\"]", "layer_types"),
            new Refusal("gemma2", "layer_types", "[\"sliding_attention\"]", "layer_types"),
            new Refusal("qwen2-window", "use_sliding_window", "false", "layer_types"),
            // Values that would otherwise be passed over, or taken for other ones.
            new Refusal("gpt2", "num_hidden_layers", "2", "num_hidden_layers"),
            new Refusal("gpt2", "num_attention_heads", "2", "num_attention_heads"),
            new Refusal("llama", "rope_scaling", "{\"type\": \"linear\", \"factor\": 2.0}", "rope_scaling"),
            new Refusal("llama", "rope_parameters", "{\"rope_type\": \"linear\"}", "rope_parameters.factor"),
            new Refusal("llama", "rope_parameters", "{\"rope_type\": \"llama3\", \"factor\": 8.0}", "rope_parameters.low_freq_factor"),
            new Refusal("llama", "rope_parameters", "{\"full_attention\": {\"rope_type\": \"linear\", \"factor\": 2.0}}", "rope_parameters.full_attention"),
            new Refusal("llama", "partial_rotary_factor", "0.5", "partial_rotary_factor"),
            new Refusal("gemma3_text", "rope_parameters", "{\"rope_type\": \"linear\", \"factor\": 2.0}", "rope_parameters"),
            new Refusal("llama", "clip_qkv", "0.5", "clip_qkv"),
            new Refusal("olmo-clip", "clip_qkv", "0", "clip_qkv"),
            new Refusal("mistral", "sliding_window", "0", "sliding_window"),
            new Refusal("starcoder2", "sliding_window", "-1", "sliding_window"),
            new Refusal("gemma2", "sliding_window", "null", "sliding_window"),
            new Refusal("gpt_neo", "window_size", "0", "window_size"),
            new Refusal("gemma2", "final_logit_softcapping", "0.0", "final_logit_softcapping"),
            new Refusal("gemma", "final_logit_softcapping", "30.0", "final_logit_softcapping"),
            new Refusal("gemma3_text", "attn_logit_softcapping", "5.0", "attn_logit_softcapping"),
            new Refusal("gemma", "hidden_activation", "\"relu\"", "hidden_activation"),
            new Refusal("gpt_neox", "head_dim", "16", "head_dim"),
            new Refusal("falcon", "num_ln_in_parallel_attn", "2", "num_ln_in_parallel_attn"),
            new Refusal("falcon-new", "parallel_attn", "false", "parallel_attn"),
            new Refusal("falcon", "apply_residual_connection_post_layernorm", "true", "apply_residual_connection_post_layernorm"),
            new Refusal("gpt_neox", "rope_theta", "500.0", "rope_theta"),
            new Refusal("phi", "rotary_emb_base", "500.0", "rotary_emb_base"),
            new Refusal("gemma3_text", "rope_parameters/full_attention", "{\"type\": \"linear\", \"factor\": 2.0}", "type"),
            new Refusal("nemotron", "rope_percent", "0.25", "rope_percent"),
            new Refusal("stablelm", "rope_pct", "0.25", "rope_pct"),
            new Refusal("cohere", "logit_scale", "null", "logit_scale"),
            new Refusal("vit", "patch_size", "[8, 4]", "patch_size"),
            new Refusal("vit", "image_size", "[32]", "image_size"),
            new Refusal("vit-base", "pooler_output_size", "24", "pooler_output_size"),
            // What no family reads otherwise.
            new Refusal("gpt2", "n_embd", "\"48\"", "n_embd"),
            new Refusal("gpt2", "n_embd", "48.5", "n_embd"),
            new Refusal("gpt2", "n_embd", "4.8e12", "n_embd"),
            new Refusal("gpt2", "n_embd", "null", "n_embd"),
            new Refusal("gpt2", "n_head", "0", "1 head or more"),
            new Refusal("gpt2", "n_head", "-4", "1 head or more"),
            new Refusal("gpt2", "layer_norm_epsilon", "\"small\"", "layer_norm_epsilon"),
            new Refusal("gpt2", "layer_norm_epsilon", "-1", "does not fit together"),
            new Refusal("gpt2", "tie_word_embeddings", "1", "tie_word_embeddings"),
            new Refusal("llama", "num_key_value_heads", "3", "does not fit together"),
            new Refusal("gptj", "rotary_dim", "5", "does not fit together"),
            new Refusal("gptj", "rotary_dim", "64", "does not fit together"),
            new Refusal("vit", "patch_size", "7", "does not fit together"));

    @Test
    void whatNoForwardPassDoesIsRefusedByItsKey() throws IOException {
        for (Refusal refusal : UNSUPPORTED) {
            SampleCheckpoint sample = Fixtures.sample(refusal.fixture());
            ObjectNode at = sample.config;
            String[] path = refusal.path().split("/");
            if (Set.of("rope_theta", "rotary_emb_base").contains(refusal.path())) {
                at.remove("rope_parameters"); // which stand above it
            }
            for (int i = 0; i < path.length - 1; i++) {
                at = (ObjectNode) at.get(path[i]);
            }
            at.set(path[path.length - 1], JSON.readTree(refusal.value()));
            CheckpointException e = assertThrows(CheckpointException.class, () -> open(sample), refusal::toString);
            assertEquals(Reason.CONFIG_UNSUPPORTED, e.reason(), e.getMessage());
            assertTrue(e.getMessage().contains(refusal.named()), () -> refusal + ": " + e.getMessage());
            assertTrue(e.getMessage().startsWith(folder.toString()), e.getMessage());
        }
    }

    /** Whatever a key holds, a family gives a description whose every parameter has a place, or one of the failures that opening turns into a reason. */
    @Test
    void noValueOfAnyKeyEscapes() throws IOException {
        Set<String> families = new TreeSet<>();
        int described = 0;
        int refused = 0;
        for (String fixture : Fixtures.all()) {
            SampleCheckpoint sample = Fixtures.sample(fixture);
            if (!families.add(Families.type(Config.parse(sample.config.toString())))) {
                continue;
            }
            List<String> keys = new ArrayList<>();
            sample.config.fieldNames().forEachRemaining(keys::add);
            keys.remove("model_type");
            for (String key : keys) {
                for (String value : List.of("null", "\"x\"", "-1", "0", "[]", "{}", "0.5", "true")) {
                    ObjectNode json = sample.config.deepCopy();
                    json.set(key, JSON.readTree(value));
                    Config config = Config.parse(json.toString());
                    Family.Description description;
                    try {
                        description = Families.describe(config, sample.tensors.keySet());
                    } catch (CheckpointException | IllegalArgumentException | ArithmeticException e) {
                        refused++;
                        continue;
                    } catch (RuntimeException e) {
                        throw new AssertionError(fixture + " with " + key + " = " + value, e);
                    }
                    Naming naming = description.naming();
                    assertEquals(description.architecture().parameters().stream().filter(parameter -> naming.computed(parameter).isEmpty()).count(),
                            naming.sources(description.architecture()).size());
                    described++;
                }
            }
        }
        assertTrue(described > 2000 && refused > 800, described + " described, " + refused + " refused");
    }

    @Test
    void anIsonormConfigThatMakesNoSenseIsRefused() throws IOException {
        JsonNode good = JSON.readTree(
                Isonorm.config(Model.of(Fixtures.open("gpt2").model()).architecture(), "pre-rmsnorm", Config.of(Map.of()), "0").toString());
        Map<String, String> wrong = Map.ofEntries(Map.entry("/format_version", "3"), Map.entry("/architecture/stream", "\"loose\""),
                Map.entry("/architecture/embedding/kind", "\"sounds\""), Map.entry("/architecture/output/kind", "\"none\""),
                Map.entry("/architecture/blocks/0/repeat", "0"), Map.entry("/architecture/blocks/0/placement", "\"sandwich\""),
                Map.entry("/architecture/blocks/0/norm/kind", "\"batchnorm\""), Map.entry("/architecture/blocks/0/norm/epsilon", "-1"),
                Map.entry("/architecture/blocks/0/mlp/activation", "null"), Map.entry("/architecture/blocks/0/mlp/hidden", "0"),
                Map.entry("/architecture/blocks/0/attention/heads", "\"4\""), Map.entry("/architecture/blocks/0/attention/key_value_heads", "3"),
                Map.entry("/architecture/width", "1"), Map.entry("/architecture", "[]"));
        for (Map.Entry<String, String> entry : wrong.entrySet()) {
            ObjectNode config = (ObjectNode) good.deepCopy();
            int slash = entry.getKey().lastIndexOf('/');
            JsonNode parent = config.at(entry.getKey().substring(0, slash));
            ((ObjectNode) parent).set(entry.getKey().substring(slash + 1), JSON.readTree(entry.getValue()));
            refused(Reason.CONFIG_UNSUPPORTED, () -> open(new SampleCheckpoint(config).put("x", Dtype.F32, List.of(1L), 1)), folder.toString());
        }
    }

    // Old checkpoints

    /** That a variant is the fixture: the same architecture and the same values under every role. */
    private void assertIs(String fixture, LoadedModel variant, String... unused) throws IOException {
        LoadedModel original = Fixtures.open(fixture);
        assertEquals(Model.of(original.model()).architecture(), Model.of(variant.model()).architecture(), fixture);
        assertEquals(Set.of(unused), Set.copyOf(variant.unused()), fixture);
        Model.of(original.model()).weights().forEach((role, matrix) -> {
            try {
                double[] wanted = new double[matrix.rows() * matrix.columns()];
                double[] values = new double[wanted.length];
                matrix.prepare();
                Model.of(variant.model()).weight(role).prepare();
                matrix.read(0, matrix.rows(), wanted);
                Model.of(variant.model()).weight(role).read(0, matrix.rows(), values);
                matrix.release();
                Model.of(variant.model()).weight(role).release();
                assertArrayEquals(wanted, values, role.path());
            } catch (IOException e) {
                throw new IllegalStateException(e);
            }
        });
    }

    @Test
    void gpt2WithoutPrefixWithMasksAndASecondHeadIsTheSame() throws IOException {
        SampleCheckpoint sample = Fixtures.sample("gpt2").rename(name -> name.replace("transformer.", ""));
        sample.tensors.put("lm_head.weight", sample.tensors.get("wte.weight"));
        List<String> unused = new ArrayList<>(List.of("lm_head.weight"));
        for (int l = 0; l < 3; l++) {
            sample.put("h." + l + ".attn.bias", Dtype.U8, List.of(1L, 1L, 64L, 64L), mask(64, 64));
            sample.put("h." + l + ".attn.masked_bias", Dtype.F32, List.of(), -10000);
            unused.add("h." + l + ".attn.bias");
            unused.add("h." + l + ".attn.masked_bias");
        }
        assertIs("gpt2", open(sample), unused.toArray(String[]::new));
    }

    @Test
    void aSecondHeadOfOtherValuesIsRefused() throws IOException {
        SampleCheckpoint sample = Fixtures.sample("gpt2");
        sample.tensors.put("lm_head.weight", sample.tensors.get("transformer.wte.weight").with(7679, 0.25));
        refused(Reason.CONFIG_DISAGREES, () -> open(sample), "lm_head.weight", "transformer.wte.weight", "tie_word_embeddings");
        sample.config.put("tie_word_embeddings", false);
        assertEquals(List.of(), open(sample).unused()); // as the message says
        SampleCheckpoint neox = Fixtures.sample("gpt_neox");
        neox.config.put("tie_word_embeddings", true);
        refused(Reason.CONFIG_DISAGREES, () -> open(neox), "embed_out.weight", "gpt_neox.embed_in.weight");
    }

    @Test
    void bertWithGammaAndBetaAndHeadsOfPreTrainingIsTheSame() throws IOException {
        SampleCheckpoint sample = Fixtures.sample("bert").rename(name -> name.contains("LayerNorm")
                ? name.replace(".weight", ".gamma").replace(".bias", ".beta")
                : name);
        sample.tensors.put("cls.predictions.decoder.weight", sample.tensors.get("bert.embeddings.word_embeddings.weight"));
        sample.put("cls.seq_relationship.weight", Dtype.F32, List.of(2L, 48L), new double[96]);
        sample.put("cls.seq_relationship.bias", Dtype.F32, List.of(2L), 0, 0);
        sample.put("bert.pooler.dense.weight", Dtype.F32, List.of(48L, 48L), new double[48 * 48]);
        sample.put("bert.pooler.dense.bias", Dtype.F32, List.of(48L), new double[48]);
        sample.put("bert.embeddings.position_ids", Dtype.I64, List.of(1L, 64L), counting(64));
        assertIs("bert", open(sample), "cls.predictions.decoder.weight", "cls.seq_relationship.weight", "cls.seq_relationship.bias",
                "bert.pooler.dense.weight", "bert.pooler.dense.bias", "bert.embeddings.position_ids");
    }

    /** A causal mask as old checkpoints hold it. */
    private static double[] mask(int size, int window) {
        double[] mask = new double[size * size];
        for (int i = 0; i < mask.length; i++) {
            mask[i] = i % size <= i / size && i / size - i % size < window ? 1 : 0;
        }
        return mask;
    }

    private static double[] counting(int count) {
        return IntStream.range(0, count).asDoubleStream().toArray();
    }

    /** A tensor that is passed over says what the config says, or the model it was made with is another one. */
    @Test
    void whatIsPassedOverIsComparedWithWhatItRepeats() throws IOException {
        SampleCheckpoint gpt2 = Fixtures.sample("gpt2");
        gpt2.put("transformer.h.1.attn.bias", Dtype.F32, List.of(1L, 1L, 64L, 64L), mask(64, 64));
        gpt2.put("transformer.h.1.attn.masked_bias", Dtype.F32, List.of(), -1e9);
        gpt2.put("transformer.h.0.attn.bias", Dtype.U8, List.of(3L), 1, 1, 1); // no mask at all
        open(gpt2);
        double[] prefix = mask(64, 64);
        prefix[63 * 64 + 2] = 0;
        gpt2.put("transformer.h.1.attn.bias", Dtype.F32, List.of(1L, 1L, 64L, 64L), prefix);
        refused(Reason.CONFIG_DISAGREES, () -> open(gpt2), "transformer.h.1.attn.bias", "position 63 does not see 2");
        double[] both = mask(64, 64);
        both[3] = 1;
        gpt2.put("transformer.h.1.attn.bias", Dtype.BOOL, List.of(1L, 1L, 64L, 64L), both);
        refused(Reason.CONFIG_DISAGREES, () -> open(gpt2), "position 0 sees 3");
        gpt2.tensors.remove("transformer.h.1.attn.bias");
        gpt2.put("transformer.h.1.attn.masked_bias", Dtype.F32, List.of(), -1);
        refused(Reason.CONFIG_DISAGREES, () -> open(gpt2), "masked_bias", "can be seen");

        SampleCheckpoint neo = Fixtures.sample("gpt_neo"); // windows of 8 in every second block
        neo.put("transformer.h.0.attn.attention.bias", Dtype.U8, List.of(1L, 1L, 64L, 64L), mask(64, 64));
        neo.put("transformer.h.1.attn.attention.bias", Dtype.U8, List.of(1L, 1L, 64L, 64L), mask(64, 8));
        open(neo);
        neo.put("transformer.h.1.attn.attention.bias", Dtype.U8, List.of(1L, 1L, 64L, 64L), mask(64, 7));
        refused(Reason.CONFIG_DISAGREES, () -> open(neo), "transformer.h.1.attn.attention.bias", "position 7 does not see 0");

        SampleCheckpoint llama = Fixtures.sample("llama-linear-rope");
        double[] frequencies = attention(open(llama)).positions().rotary().orElseThrow().frequencies();
        for (double times : new double[] {1, 2}) { // divided by the factor, or as they were
            llama.put("model.layers.2.self_attn.rotary_emb.inv_freq", Dtype.BF16, List.of((long) frequencies.length),
                    Arrays.stream(frequencies).map(f -> f * times).toArray());
            open(llama);
        }
        llama.put("model.layers.2.self_attn.rotary_emb.inv_freq", Dtype.F32, List.of((long) frequencies.length),
                Arrays.stream(frequencies).map(f -> f * 3).toArray());
        refused(Reason.CONFIG_DISAGREES, () -> open(llama), "rotary_emb.inv_freq", "other frequencies");

        SampleCheckpoint bert = Fixtures.sample("bert");
        double[] shifted = counting(64);
        shifted[5] = 7;
        bert.put("bert.embeddings.position_ids", Dtype.I64, List.of(1L, 64L), shifted);
        refused(Reason.CONFIG_DISAGREES, () -> open(bert), "position_ids", "7.0 where 5");
    }

    /** BERT's head has its own names for what config.json ties; transformers 5.18 uses what is in the file. */
    @Test
    void bertsDecoderIsTheTableOrIsUsed() throws IOException {
        SampleCheckpoint sample = Fixtures.sample("bert");
        SampleCheckpoint.Tensor table = sample.tensors.get("bert.embeddings.word_embeddings.weight");
        SampleCheckpoint.Tensor bias = sample.tensors.get("cls.predictions.bias");
        sample.tensors.put("cls.predictions.decoder.weight", table);
        sample.tensors.put("cls.predictions.decoder.bias", bias);
        assertIs("bert", open(sample), "cls.predictions.decoder.weight", "cls.predictions.decoder.bias");
        sample.tensors.put("cls.predictions.decoder.bias", bias.with(3, 0.5));
        refused(Reason.CONFIG_DISAGREES, () -> open(sample), "cls.predictions.decoder.bias", "cls.predictions.bias");
        sample.tensors.put("cls.predictions.decoder.bias", bias);
        sample.tensors.put("cls.predictions.decoder.weight", table.with(7679, 0.25));
        refused(Reason.CONFIG_DISAGREES, () -> open(sample), "cls.predictions.decoder.weight", "word_embeddings.weight", "tie_word_embeddings");
        sample.config.put("tie_word_embeddings", false);
        Model untied = Model.of(open(sample).model());
        assertEquals("cls.predictions.decoder.weight", ((Stored) untied.weight(Role.of(Part.HEAD, Role.Field.WEIGHT))).source().tensors().getFirst());
        sample.tensors.put("cls.predictions.bias", bias.with(3, 0.5));
        refused(Reason.CONFIG_DISAGREES, () -> open(sample), "cls.predictions.bias", "cls.predictions.decoder.bias");
    }

    // Messages that lead somewhere

    @Test
    void aQuantizedCheckpointIsCalledSo() throws IOException {
        SampleCheckpoint sample = Fixtures.sample("llama");
        String weight = "model.layers.0.self_attn.q_proj.weight";
        sample.config.putObject("quantization_config").put("quant_method", "gptq").put("bits", 4);
        refused(Reason.CONFIG_UNSUPPORTED, () -> open(sample), "quantized", "gptq of 4 bits");
        sample.config.putObject("quantization_config").put("load_in_8bit", true);
        refused(Reason.CONFIG_UNSUPPORTED, () -> open(sample), "quantized", "bitsandbytes");
        sample.config.remove("quantization_config");
        sample.config.putObject("quantization").put("group_size", 64).put("bits", 4).put("mode", "affine");
        refused(Reason.CONFIG_UNSUPPORTED, () -> open(sample), "quantized", "affine of 4 bits");
        sample.config.putNull("quantization").putObject("quantization_config");
        open(sample);
        sample.tensors.remove(weight);
        sample.put(weight.replace("weight", "qweight"), Dtype.I32, List.of(6L, 48L), new double[288]);
        refused(Reason.CONFIG_UNSUPPORTED, () -> open(sample), "quantized", "q_proj.qweight");
    }

    @Test
    void whatAWrapperPutsInFrontOfNamesIsNamed() throws IOException {
        for (String[] each : new String[][] {{"_orig_mod.", "torch.compile"}, {"module.", "DataParallel"}, {"base_model.model.", "merge_and_unload"},
            {"backbone.", "backbone."}}) {
            for (String fixture : List.of("gpt2", "llama", "bert", "vit")) {
                SampleCheckpoint sample = Fixtures.sample(fixture).rename(name -> each[0] + name);
                refused(Reason.MISSING_TENSOR, () -> open(sample), "begin with " + each[0], each[1]);
            }
        }
    }

    @Test
    void aHeadThatIsNotStoredIsCalledTheHead() throws IOException {
        SampleCheckpoint sample = Fixtures.sample("gpt2");
        sample.config.put("tie_word_embeddings", false);
        refused(Reason.MISSING_TENSOR, () -> open(sample), "lm_head.weight", "tie_word_embeddings");
        SampleCheckpoint gptj = Fixtures.sample("gptj"); // with a bias
        gptj.tensors.remove("lm_head.weight");
        gptj.tensors.remove("lm_head.bias");
        refused(Reason.MISSING_TENSOR, () -> open(gptj), "lm_head.weight", "tie_word_embeddings");
    }

    @Test
    void aHeadOverLabelsThatIsNotStoredIsCalledOne() throws IOException {
        SampleCheckpoint sample = Fixtures.sample("gpt2-labels");
        sample.tensors.remove("score.weight");
        refused(Reason.MISSING_TENSOR, () -> open(sample), "score.weight among its", "; with a class without a head");
        SampleCheckpoint answers = Fixtures.sample("gpt2-answers");
        answers.config.put("num_labels", 3);
        refused(Reason.CONFIG_UNSUPPORTED, () -> open(answers), "num_labels = 3", "where an answer begins");
    }

    @Test
    void aMissingTensorIsNeverTakenForOneThatHasAPlace() throws IOException {
        SampleCheckpoint sample = Fixtures.sample("llama");
        sample.tensors.remove("model.layers.0.self_attn.q_proj.weight");
        CheckpointException e = assertThrows(CheckpointException.class, () -> open(sample));
        assertTrue(e.getMessage().contains("q_proj.weight") && !e.getMessage().contains("did you mean"), e.getMessage());
        sample.tensors.put("model.layers.0.self_attn.query_proj.weight", sample.tensors.get("model.layers.1.self_attn.q_proj.weight"));
        refused(Reason.MISSING_TENSOR, () -> open(sample), "did you mean model.layers.0.self_attn.query_proj.weight?");
    }

    @Test
    void aClassWithAnotherHeadIsNamed() throws IOException {
        for (String[] each : new String[][] {{"gpt2", "GPT2DoubleHeadsModel"}, {"bert", "BertForMultipleChoice"},
            {"opt-postln", "OPTForSequenceClassification"}, {"modernbert-decoder", "ModernBertDecoderForSequenceClassification"}, {"dinov2", "Dinov2Backbone"}, {"gpt2", "GPT2ForMaskedLM"},
            {"clip_vision", "CLIPVisionForMaskedImageModeling"}, {"bert", "BertForCausalLM"}}) {
            SampleCheckpoint sample = Fixtures.sample(each[0]);
            sample.config.putArray("architectures").add(each[1]);
            refused(Reason.CONFIG_UNSUPPORTED, () -> open(sample), each[1], "head is not read");
        }
    }

    @Test
    void aModelOfSeveralNamesTheOneThatIsRead() throws IOException {
        for (String[] each : new String[][] {{"paligemma", "text_config", "gemma"}, {"blip", "vision_config", "clip_vision_model"}, {"mllama", "text_config", "llama"}}) {
            SampleCheckpoint sample = Fixtures.sample("gpt2");
            sample.config.put("model_type", each[0]).putObject(each[1]).put("model_type", each[2]);
            refused(Reason.UNKNOWN_MODEL_TYPE, () -> open(sample), each[0], each[1], each[2], "saved alone");
        }
    }

    /** Older files hold how all patches lie to each other, which the config says. */
    @Test
    void placesOfPatchesAreThoseOfTheConfig() throws IOException {
        SampleCheckpoint beit = Fixtures.sample("beit");
        String name = "encoder.layer.1.attention.attention.relative_position_bias.relative_position_index";
        double[] index = new double[17 * 17];
        for (int query = 0; query < 17; query++) {
            for (int key = 0; key < 17; key++) {
                int down = (query + 3) / 4 - (key + 3) / 4;
                int across = (query + 3) % 4 - (key + 3) % 4;
                index[17 * query + key] = query == 0 && key == 0 ? 51 : key == 0 ? 50 : query == 0 ? 49 : 7 * (down + 3) + across + 3;
            }
        }
        beit.put(name, Dtype.I64, List.of(17L, 17L), index);
        assertIs("beit", open(beit), name);
        index[40]++;
        beit.put(name, Dtype.I64, List.of(17L, 17L), index);
        refused(Reason.CONFIG_DISAGREES, () -> open(beit), name, "other places");
    }

    /** How many parameters those models have is known. */
    @Test
    void timmsNamesSayHowLargeTheirModelsAre() throws IOException {
        Map<String, Long> counts = Map.of("vit_tiny_patch16_224", 5_717_416L, "deit_tiny_patch16_224", 5_717_416L, "vit_small_patch16_224", 22_050_664L,
                "vit_base_patch16_224", 86_567_656L, "vit_base_patch32_384", 88_297_192L, "vit_large_patch16_224", 304_326_632L, "vit_huge_patch14_224", 632_045_800L);
        for (Map.Entry<String, Long> known : counts.entrySet()) {
            Config config = Config.of(Map.of("architecture", known.getKey(), "num_classes", 1000));
            assertEquals(known.getValue(), Families.describe(config, Set.of()).architecture().parameterCount(), known.getKey());
        }
    }

    @Test
    void whyARelativeIsNotReadIsSaid() throws IOException {
        SampleCheckpoint sample = Fixtures.sample("llama");
        sample.config.put("model_type", "internlm3").put("bias", false).put("qkv_bias", false);
        refused(Reason.UNKNOWN_MODEL_TYPE, () -> open(sample), "'internlm3'", "model_type llama", "LlamaForCausalLM");
        sample.config.put("model_type", "llama").putArray("architectures").add("LlamaForCausalLM");
        open(sample); // as was said
    }

    @Test
    void anotherToolsConfigIsNamed() throws IOException {
        SampleCheckpoint sample = Fixtures.sample("vit");
        sample.config.removeAll();
        sample.config.put("architecture", "deit_base_distilled_patch16_224").put("num_classes", 1000).putObject("pretrained_cfg");
        refused(Reason.UNKNOWN_MODEL_TYPE, () -> open(sample), "timm", "plain ViTs");
        sample.config.removeAll();
        sample.config.putObject("model_cfg");
        refused(Reason.UNKNOWN_MODEL_TYPE, () -> open(sample), "OpenCLIP");
    }

    private static Attention attention(LoadedModel model) {
        return (Attention) Model.of(model.model()).architecture().blocks().getFirst().mixer();
    }

    @Test
    void olderWordsForRotaryPositionsMeanTheSame() throws IOException {
        SampleCheckpoint neox = Fixtures.sample("gpt_neox");
        neox.config.remove("rope_parameters");
        neox.config.put("rotary_pct", 0.25).put("rotary_emb_base", 10000);
        double[] frequencies = attention(Fixtures.open("gpt_neox")).positions().rotary().orElseThrow().frequencies();
        for (int l = 0; l < 3; l++) {
            neox.put("gpt_neox.layers." + l + ".attention.rotary_emb.inv_freq", Dtype.F16, List.of(2L), frequencies);
            neox.put("gpt_neox.layers." + l + ".attention.bias", Dtype.BOOL, List.of(1L, 1L, 8L, 8L), mask(8, 8));
            neox.put("gpt_neox.layers." + l + ".attention.masked_bias", Dtype.F32, List.of(), -1e9);
        }
        assertIs("gpt_neox", open(neox), neox.tensors.keySet().stream()
                .filter(name -> name.matches(".*(inv_freq|attention\\.bias|masked_bias)")).toArray(String[]::new));
        neox.config.put("rotary_pct", 0.5);
        refused(Reason.CONFIG_DISAGREES, () -> open(neox), "inv_freq");
        neox.tensors.keySet().removeIf(name -> name.endsWith("inv_freq"));
        assertEquals(6, attention(open(neox)).positions().rotary().orElseThrow().width());

        SampleCheckpoint linear = Fixtures.sample("llama-linear-rope");
        linear.config.remove("rope_parameters");
        linear.config.put("rope_theta", 10000.0).putObject("rope_scaling").put("type", "linear").put("factor", 2.0);
        assertIs("llama-linear-rope", open(linear));

        SampleCheckpoint llama3 = Fixtures.sample("llama3-rope");
        ObjectNode parameters = (ObjectNode) llama3.config.remove("rope_parameters");
        parameters.remove("rope_theta");
        llama3.config.put("rope_theta", 10000.0).set("rope_scaling", parameters);
        assertIs("llama3-rope", open(llama3));
        llama3.config.put("rope_theta", 500000.0);
        Rotary rotary = attention(open(llama3)).positions().rotary().orElseThrow();
        assertEquals(500000, rotary.base());

        SampleCheckpoint phi = Fixtures.sample("phi");
        phi.config.remove("rope_parameters");
        phi.config.put("partial_rotary_factor", 0.5).put("rope_theta", 10000).putNull("rope_scaling");
        assertIs("phi", open(phi));

        SampleCheckpoint stablelm = Fixtures.sample("stablelm");
        stablelm.config.remove(List.of("rope_parameters", "partial_rotary_factor"));
        stablelm.config.put("model_type", "stablelm_epoch").put("rope_pct", 0.5).put("rope_theta", 10000).put("norm_eps", 1e-5).remove("layer_norm_eps");
        assertIs("stablelm", open(stablelm));

        SampleCheckpoint gemma = Fixtures.sample("gemma3_text");
        gemma.config.remove(List.of("rope_parameters", "layer_types"));
        gemma.config.put("rope_theta", 1000000).put("rope_local_base_freq", 10000).put("sliding_window_pattern", 3).remove("_sliding_window_pattern");
        assertIs("gemma3_text", open(gemma));
    }

    /** What a key means that is absent is what transformers takes for it; null is none where there can be none. */
    @Test
    void absentKeysMeanWhatTheyMeanInTransformers() throws IOException {
        SampleCheckpoint gemma = Fixtures.sample("gemma2");
        gemma.config.remove(List.of("attn_logit_softcapping", "final_logit_softcapping"));
        assertIs("gemma2", open(gemma)); // 50 and 30
        gemma.config.putNull("attn_logit_softcapping");
        assertTrue(attention(open(gemma)).scores().softcap().isEmpty());
        gemma.config.put("hidden_activation", "gelu"); // the exact one here, in the first Gemma the tanh form
        assertEquals(Activation.GELU, mlp(open(gemma)).activation());
        SampleCheckpoint first = Fixtures.sample("gemma");
        first.config.put("hidden_act", "gelu").putNull("hidden_activation");
        assertEquals(Activation.GELU_TANH, mlp(open(first)).activation());
        SampleCheckpoint mistral = Fixtures.sample("mistral");
        mistral.config.putNull("sliding_window");
        assertTrue(attention(open(mistral)).scores().window().isEmpty());
        mistral.config.remove("sliding_window");
        assertEquals(4096, attention(open(mistral)).scores().window().orElseThrow());
        SampleCheckpoint llama = Fixtures.sample("llama3-rope");
        llama.config.put("original_max_position_embeddings", 8); // stands above the one among the parameters
        assertEquals(new Rotary.Scaling.Llama3(8, 1, 4, 8), attention(open(llama)).positions().rotary().orElseThrow().scaling());
    }

    @Test
    void sizesOfImagesMayBeTwoNumbers() throws IOException {
        for (String fixture : List.of("vit", "dinov2", "clip_vision")) {
            SampleCheckpoint sample = Fixtures.sample(fixture);
            sample.config.putArray("image_size").add(32).add(32);
            sample.config.putArray("patch_size").add(8).add(8);
            assertIs(fixture, open(sample));
            sample.config.putArray("image_size").add(16).add(64); // as many patches in another order
            assertEquals(64, ((Embedding.Patches) Model.of(open(sample).model()).architecture().embedding()).width());
        }
    }

    private static Mlp mlp(LoadedModel model) {
        return (Mlp) Model.of(model.model()).architecture().blocks().getFirst().feedForward();
    }

    @Test
    void olderWordsForFalconMeanTheSame() throws IOException {
        SampleCheckpoint old = Fixtures.sample("falcon");
        old.config.remove(List.of("hidden_size", "num_hidden_layers", "num_attention_heads", "num_kv_heads", "ffn_hidden_size", "rope_parameters",
                "max_position_embeddings"));
        old.config.put("model_type", "RefinedWebModel").put("hidden_size", 48).put("n_layer", 3).put("n_head", 4);
        assertIs("falcon", open(old));
        SampleCheckpoint large = Fixtures.sample("falcon-new");
        large.config.remove(List.of("num_hidden_layers", "num_attention_heads", "num_kv_heads", "num_ln_in_parallel_attn"));
        large.config.put("model_type", "RefinedWeb").put("n_layer", 3).put("n_head", 4).put("n_head_kv", 2);
        assertIs("falcon-new", open(large));
    }

    @Test
    void bareModelsWithAndWithoutTheirPrefixAreTheSame() throws IOException {
        SampleCheckpoint clip = Fixtures.sample("clip_vision");
        boolean prefixed = clip.tensors.keySet().stream().allMatch(name -> name.startsWith("vision_model."));
        clip.rename(name -> prefixed ? name.substring("vision_model.".length()) : "vision_model." + name);
        clip.put((prefixed ? "" : "vision_model.") + "embeddings.position_ids", Dtype.I64, List.of(1L, 17L), counting(17));
        assertIs("clip_vision", open(clip), (prefixed ? "" : "vision_model.") + "embeddings.position_ids");

        for (String[] each : new String[][] {{"vit-base", "vit."}, {"dinov2", "dinov2."}, {"bert-base", "bert."}, {"gpt2-base", "transformer."}}) {
            assertIs(each[0], open(Fixtures.sample(each[0]).rename(name -> each[1] + name)));
        }
        SampleCheckpoint classifier = Fixtures.sample("vit");
        classifier.put("vit.pooler.dense.weight", Dtype.F32, List.of(48L, 48L), new double[48 * 48]);
        classifier.put("vit.pooler.dense.bias", Dtype.F32, List.of(48L), new double[48]);
        assertTrue(open(classifier).unused().containsAll(List.of("vit.pooler.dense.weight", "vit.pooler.dense.bias")));
    }

    @Test
    void aModelSavedWithoutItsHeadsPrefixIsTheSame() throws IOException {
        for (String[] each : new String[][] {{"bloom", "transformer."}, {"gptj", "transformer."}, {"codegen", "transformer."},
            {"gpt_neo", "transformer."}, {"gpt_bigcode", "transformer."}, {"mpt", "transformer."}, {"falcon", "transformer."},
            {"gpt_neox", "gpt_neox."}, {"llama", "model."}, {"phi", "model."}, {"cohere", "model."}, {"bert", "bert."}, {"dinov2-classifier", "dinov2."}}) {
            SampleCheckpoint sample = Fixtures.sample(each[0]);
            assertTrue(sample.tensors.keySet().stream().anyMatch(name -> name.startsWith(each[1])), each[0]);
            assertIs(each[0], open(sample.rename(name -> name.startsWith(each[1]) ? name.substring(each[1].length()) : name)));
        }
        assertIs("opt", open(Fixtures.sample("opt").rename(name -> name.replace("model.decoder.", "decoder."))));
    }

    @Test
    void vectorsMayHaveDimensionsOfOneMore() throws IOException {
        SampleCheckpoint sample = Fixtures.sample("gpt2");
        SampleCheckpoint.Tensor gain = sample.tensors.get("transformer.ln_f.weight");
        sample.tensors.put("transformer.ln_f.weight", new SampleCheckpoint.Tensor(gain.dtype(), List.of(1L, 48L), gain.bytes()));
        assertIs("gpt2", open(sample));
        assertEquals(48, Arrays.stream(gain.values()).filter(Double::isFinite).count());
    }

    /** Its blocks could be taken for ones whose norms were folded. */
    @Test
    void noFormHasBlocksWithoutNorms() throws IOException {
        LoadedModel gpt2 = Fixtures.open("gpt2");
        Architecture bare = Model.of(gpt2.model()).architecture();
        bare = bare.withBlocks(bare.blocks().stream().map(Block::withoutNorms).toList());
        Config config = Isonorm.config(bare, "pre-rmsnorm", gpt2.config(), "1");
        refused(Reason.CONFIG_UNSUPPORTED, () -> Families.describe(config, Set.of()), "placement = none; supported is blocks without norms in models that have no form");
    }
}
