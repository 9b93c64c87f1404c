package isonorm.family;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import isonorm.architecture.Architecture;
import isonorm.checkpoint.Checkpoint;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** That docs/config-keys.md says of every key what the code does with it. */
class ConfigKeysTest {

    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String ANY = "Any family";
    private static final String ROTARY = "Rotary positions";
    private static final Pattern KEY = Pattern.compile("`([^`]+)`");

    /** Values of all kinds; one of them is another model, or none, wherever a key means something. */
    private static final List<Object> PROBES = List.of(true, false, -1, 0, 1, 2, 3.5, "x", "relu", "silu", List.of(), List.of("x"), List.of(2, 2), Map.of(),
            Map.of("x", 1), Map.of("0", Map.of("x", 1)), List.of("sliding_attention"), List.of(List.of(List.of("local"), 4)),
            Map.of("rope_type", "linear", "factor", 3));

    /** Keys of files as their makers published them, which transformers has no more or never had. */
    private static final Map<String, String> PUBLISHED = Map.of(
            "gpt2", "activation_function architectures attn_pdrop bos_token_id embd_pdrop eos_token_id initializer_range layer_norm_epsilon n_ctx n_embd n_head n_layer"
                    + " n_positions resid_pdrop summary_activation summary_first_dropout summary_proj_to_labels summary_type summary_use_proj"
                    + " task_specific_params vocab_size",
            "bert", "architectures attention_probs_dropout_prob directionality gradient_checkpointing hidden_act hidden_dropout_prob hidden_size initializer_range"
                    + " intermediate_size layer_norm_eps max_position_embeddings num_attention_heads num_hidden_layers pad_token_id pooler_fc_size"
                    + " pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head pooler_type position_embedding_type transformers_version"
                    + " type_vocab_size use_cache vocab_size",
            "bloom", "apply_residual_connection_post_layernorm attention_dropout attention_softmax_in_fp32 bias_dropout_fusion hidden_dropout masked_softmax_fusion"
                    + " n_embed n_layer num_attention_heads offset_alibi pretraining_tp seq_length skip_bias_add skip_bias_add_qkv slow_but_exact unk_token_id",
            "mpt", "_name_or_path auto_map d_model emb_pdrop embedding_fraction expansion_ratio init_config init_device learned_pos_emb logit_scale max_seq_len n_heads"
                    + " n_layers no_bias norm_type resid_pdrop tokenizer_name torch_dtype use_cache verbose vocab_size",
            "gptj", "gradient_checkpointing n_embd n_head n_inner n_layer n_positions rotary rotary_dim scale_attn_weights summary_activation tie_word_embeddings"
                    + " tokenizer_class use_cache",
            "opt", "_remove_final_layer_norm activation_dropout do_layer_norm_before dropout ffn_dim init_std layerdrop prefix word_embed_proj_dim",
            "starcoder2", "activation_function embedding_dropout mlp_type norm_epsilon norm_type residual_dropout rope_theta sliding_window use_bias",
            "gpt_bigcode", "inference_runner max_batch_size max_sequence_length multi_query pad_key_length pre_allocate_kv_cache validate_runner_input",
            "llama", "do_sample max_length num_beams pruned_heads pretraining_tp temperature top_k top_p torchscript typical_p use_bfloat16 rope_scaling");

    /** Families of which transformers has no config class. */
    private static final Set<String> ELSEWHERE = Set.of("mixformer-sequential", "phi-msft", "timm");

    private enum Kind { READ, REFUSED, IRRELEVANT }

    /** A config with the tensors it is read with. */
    private record Variant(Config config, Set<String> tensors) {

        Optional<Architecture> described() {
            try {
                return Optional.of(Families.describe(config, tensors).architecture());
            } catch (CheckpointException | IllegalArgumentException | ArithmeticException e) {
                return Optional.empty();
            }
        }

        Variant with(String key, Object value) {
            return new Variant(with(config, key, value), tensors);
        }

        private static Config with(Config config, String key, Object value) {
            int dot = key.indexOf('.');
            return dot < 0 ? config.with(key, value)
                    : config.with(key.substring(0, dot), with(config.object(key.substring(0, dot)), key.substring(dot + 1), value));
        }
    }

    private static final Map<String, List<Variant>> VARIANTS = new TreeMap<>();
    private static final Map<String, Map<String, Kind>> PAGE = new LinkedHashMap<>();

    @BeforeAll
    static void read() throws IOException {
        for (String fixture : Fixtures.all()) {
            Checkpoint checkpoint = Checkpoint.open(Fixtures.folder(fixture));
            Config config = checkpoint.config();
            // As it is, and as other classes of the family would have written it.
            String model = config.modelClass().replaceAll("(For[A-Z]|LMHead|Model).*", "");
            List<Config> configs = List.of(config, config.with("architectures", List.of(model + "ForTokenClassification")),
                    config.with("architectures", List.of(model + (config.has("conv_dim") ? "ForSequenceClassification" : "ForImageClassification"))), config.without("rope_parameters"), config.without("attention_layers", "no_rope_layers"),
                    config.without("layer_types").with("use_sliding_window", true).with("mlp_only_layers", List.of(0)),
                    config.with("rope_parameters", Map.of("rope_type", "llama3", "factor", 8, "low_freq_factor", 1, "high_freq_factor", 4)));
            for (Config each : configs) {
                for (Set<String> tensors : List.of(checkpoint.names(), Set.<String>of())) {
                    VARIANTS.computeIfAbsent(Families.type(config), _ -> new ArrayList<>()).add(new Variant(each, tensors));
                }
            }
        }
        List<String> sections = List.of();
        for (String line : Files.readAllLines(Path.of("..", "docs", "config-keys.md"))) {
            if (line.startsWith("## ")) {
                sections = List.of(line.substring(3).replace("`", "").split(", ")); // of one, or of several that have the same keys
                sections.forEach(section -> PAGE.put(section, new LinkedHashMap<>()));
            }
            String[] cells = line.split("\\|");
            if (cells.length != 3 || !cells[1].contains("`")) {
                continue;
            }
            String says = cells[2].strip();
            Kind kind = says.startsWith("read") ? Kind.READ : says.startsWith("refused unless ") ? Kind.REFUSED
                    : says.startsWith("irrelevant: ") ? Kind.IRRELEVANT : null;
            Matcher key = KEY.matcher(cells[1]);
            while (key.find()) {
                for (String section : sections) {
                    assertEquals(null, PAGE.get(section).put(key.group(1), Objects.requireNonNull(kind, line)), "twice in " + section + ": " + key.group(1));
                }
            }
        }
    }

    /** What the page says of a family's keys; its own section stands above that for all. */
    private static Map<String, Kind> said(String family) {
        Map<String, Kind> said = new TreeMap<>(PAGE.get(ANY));
        said.putAll(PAGE.get(family));
        return said;
    }

    /** Every key that is asked for, those within the object of rotary positions left out. */
    private static Set<String> asked(String family) {
        Set<String> keys = new TreeSet<>();
        for (Variant variant : VARIANTS.get(family)) {
            new Variant(variant.config().recording(keys::add), variant.tensors()).described();
        }
        keys.removeIf(key -> key.startsWith("rope_parameters.") || key.startsWith("rope_scaling."));
        return keys;
    }

    @Test
    void thereIsASectionForEveryFamily() {
        Set<String> sections = new TreeSet<>(VARIANTS.keySet());
        sections.addAll(List.of(ANY, ROTARY));
        assertEquals(sections, new TreeSet<>(PAGE.keySet()));
        assertEquals(VARIANTS.keySet(), Set.copyOf(VARIANTS.keySet()));
    }

    @Test
    void everyKeyThatTransformersHasIsThere() throws IOException {
        JsonNode keys = JSON.readTree(Fixtures.folder("config_keys.json").toFile());
        for (String family : VARIANTS.keySet()) {
            Set<String> missing = new TreeSet<>();
            keys.path("").forEach(key -> missing.add(key.asText()));
            keys.path(family).forEach(key -> missing.add(key.asText()));
            assertTrue(missing.size() > 20 || ELSEWHERE.contains(family), family);
            missing.removeAll(said(family).keySet());
            missing.removeIf(key -> said(family).keySet().stream().anyMatch(each -> each.startsWith(key + "."))); // an object, by its parts
            missing.removeIf(key -> key.contains(".") && said(family).containsKey(key.substring(0, key.indexOf('.')))); // its parts, by the object
            assertEquals(Set.of(), missing, family);
        }
    }

    @Test
    void whatIsReadIsThereAndWhatIsThereIsRead() {
        for (String family : VARIANTS.keySet()) {
            Set<String> asked = asked(family);
            Set<String> missing = new TreeSet<>(asked);
            missing.removeIf(key -> said(family).getOrDefault(key, Kind.IRRELEVANT) != Kind.IRRELEVANT
                    || PAGE.get(family).keySet().stream().anyMatch(each -> each.startsWith(key + ".")));
            assertEquals(Set.of(), missing, family + " reads");
            PAGE.get(family).forEach((key, kind) -> assertEquals(kind != Kind.IRRELEVANT, asked.contains(key), family + ": " + key + " is " + kind));
        }
    }

    @Test
    void whatIsReadChangesTheModel() {
        for (String family : VARIANTS.keySet()) {
            PAGE.get(family).forEach((key, kind) -> assertTrue(kind != Kind.READ || VARIANTS.get(family).stream().anyMatch(
                    variant -> PROBES.stream().anyMatch(probe -> !variant.with(key, probe).described().equals(variant.described()))), family + ": " + key));
        }
    }

    @Test
    void whatIsIrrelevantChangesNothing() {
        int tried = 0;
        for (String family : VARIANTS.keySet()) {
            for (Map.Entry<String, Kind> entry : said(family).entrySet()) {
                if (entry.getValue() != Kind.IRRELEVANT) {
                    continue;
                }
                Variant variant = VARIANTS.get(family).getFirst();
                for (Object probe : PROBES) {
                    assertEquals(variant.described(), variant.with(entry.getKey(), probe).described(), family + ": " + entry.getKey() + " = " + probe);
                    tried++;
                }
            }
        }
        assertTrue(tried > 5000, tried + " tried");
    }

    @Test
    void whatIsRefusedIsRefusedByItsName() {
        for (String family : VARIANTS.keySet()) {
            Set<String> asked = asked(family);
            said(family).forEach((key, kind) -> {
                if (kind == Kind.REFUSED && asked.contains(key)) {
                    String name = key.substring(key.lastIndexOf('.') + 1);
                    assertTrue(VARIANTS.get(family).stream().anyMatch(variant -> PROBES.stream().anyMatch(probe -> refused(variant.with(key, probe), name))),
                            family + ": " + key);
                }
            });
        }
    }

    private static boolean refused(Variant variant, String name) {
        try {
            Families.describe(variant.config(), variant.tensors());
            return false;
        } catch (CheckpointException e) {
            return e.getMessage().contains(name);
        } catch (IllegalArgumentException | ArithmeticException e) {
            return false;
        }
    }

    @Test
    void nothingIsUnknownThatTheLibraryOrPublishersWrite() throws IOException {
        for (String fixture : Fixtures.all()) {
            assertEquals(List.of(), Families.unknownKeys(Checkpoint.open(Fixtures.folder(fixture)).config()), fixture);
        }
        for (Map.Entry<String, String> published : PUBLISHED.entrySet()) {
            Config config = Config.of(Map.of("model_type", published.getKey()));
            for (String key : published.getValue().split(" ")) {
                config = config.with(key, 1);
            }
            assertEquals(List.of(), Families.unknownKeys(config), published.getKey());
        }
    }

    @Test
    void whatNobodyKnowsIsNamed() throws IOException {
        Config gpt2 = Checkpoint.open(Fixtures.folder("gpt2")).config();
        assertEquals(List.of("residual_scale", "rotary_pct"), Families.unknownKeys(gpt2.with("residual_scale", 0.5).with("rotary_pct", 1).with("other", null)));
        Config gemma = Config.of(Map.of("model_type", "gemma3_text", "rope_parameters", Map.of("full_attention", Map.of("rope_theta", 1e4, "attention_bonus", 32))));
        assertEquals(List.of("rope_parameters.full_attention.attention_bonus"), Families.unknownKeys(gemma));
        Config mpt = Config.of(Map.of("model_type", "mpt", "attn_config", Map.of("model_type", "", "alibi", true, "rope_theta", 10000)));
        assertEquals(List.of("attn_config.rope_theta"), Families.unknownKeys(mpt));
        assertEquals(List.of("layer_scale"), Families.unknownKeys(Config.of(Map.of("model_type", "RefinedWeb", "layer_scale", 1, "multi_query", true))));
    }

    @Test
    void ofIsonormsOwnFormatWhatIsNotAskedForIsUnknown() throws IOException {
        for (String fixture : Fixtures.all()) {
            Checkpoint checkpoint = Checkpoint.open(Fixtures.folder(fixture));
            Architecture architecture = Families.describe(checkpoint.config(), checkpoint.names()).architecture();
            Config config = Isonorm.config(architecture, "pre-rmsnorm", checkpoint.config().with("whatever", 1), Isonorm.VERSION);
            assertEquals(List.of(), Families.unknownKeys(config), fixture);
            Config object = config.object("architecture");
            Config block = object.objects("blocks").getFirst().with("skip_scale", 0.5);
            assertEquals(List.of("architecture.colour", "architecture.blocks.skip_scale"), sorted(Families.unknownKeys(
                    config.with("architecture", object.with("blocks", List.of(block.values())).with("colour", "red")))), fixture);
        }
    }

    private static List<String> sorted(List<String> keys) {
        return keys.stream().sorted(Comparator.comparing(String::length)).toList();
    }

    /** The object of rotary positions has the same keys in every family. */
    @Test
    void theKeysOfRotaryPositionsAreThose() {
        Set<String> asked = new TreeSet<>();
        for (List<Variant> family : VARIANTS.values()) {
            for (Variant variant : family) {
                Set<String> keys = new TreeSet<>();
                new Variant(variant.config().recording(keys::add), variant.tensors()).described();
                keys.stream().filter(key -> key.startsWith("rope_parameters.") || key.startsWith("rope_scaling."))
                        .map(key -> key.substring(key.lastIndexOf('.') + 1)).filter(key -> !key.endsWith("_attention")).forEach(asked::add);
            }
        }
        assertEquals(asked, new TreeSet<>(PAGE.get(ROTARY).keySet()));
        assertFalse(asked.isEmpty());
    }
}
