package isonorm.family;

import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;

/**
 * The language model inside a model of several, such as LLaVA, which gives what the whole gives where there is text alone.
 *
 * @param whole the model_type of the whole
 * @param config the language model's own
 * @param layers what its tensors' names begin with, in the place of {@code model.}
 * @param head what its head's name begins with, in the place of {@code lm_head}
 */
public record LanguagePart(String whole, Config config, String layers, String head) {

    /** Models whose language model is one of a family and reads texts as that does; and which it is where the config does not say it. */
    private static final Map<String, String> WHOLES = Map.ofEntries(
            Map.entry("audioflamingo3", "qwen2"), Map.entry("aya_vision", "cohere2"), Map.entry("cohere2_vision", "cohere2"),
            Map.entry("deepseek_vl", "llama"), Map.entry("exaone4_5", "exaone4"), Map.entry("fuyu", "persimmon"), Map.entry("gemma3", "gemma3_text"),
            Map.entry("glm4v", "glm4v_text"), Map.entry("glm46v", "glm4v_text"), Map.entry("glmasr", "llama"), Map.entry("got_ocr2", "qwen2"), Map.entry("granite_speech", "granite"), Map.entry("granite_speech_plus", "granite"),
            Map.entry("hyperclovax_vision_v2", "hyperclovax"), Map.entry("idefics3", "llama"), Map.entry("internvl", "qwen2"),
            Map.entry("lighton_ocr", "qwen3"), Map.entry("llava", "llama"), Map.entry("llava_next", "llama"), Map.entry("llava_next_video", "llama"),
            Map.entry("llava_onevision", "qwen2"), Map.entry("mistral3", "mistral"), Map.entry("musicflamingo", "qwen2"),
            Map.entry("ovis2", "qwen2"), Map.entry("pp_chart2table", "qwen2"), Map.entry("qwen2_audio", "qwen2"), Map.entry("qwen2_vl", "qwen2_vl_text"), Map.entry("qwen2_5_vl", "qwen2_5_vl_text"),
            Map.entry("qwen3_asr", "qwen3"), Map.entry("qwen3_vl", "qwen3_vl_text"), Map.entry("smolvlm", "llama"),
            Map.entry("video_llama_3", "qwen2"), Map.entry("video_llava", "llama"), Map.entry("vipllava", "llama"), Map.entry("voxtral", "llama"));

    /** Sizes that a config leaves out are those of the family's config class; these are left out in files that people have. */
    private static final Map<String, Map<String, Integer>> SIZES = Map.of(
            "llama", sizes(32_000, 4096, 11_008, 32, 32, 32),
            "mistral", sizes(32_000, 4096, 14_336, 32, 32, 8),
            "qwen2", sizes(151_936, 4096, 22_016, 32, 32, 32),
            "gemma3_text", sizes(262_208, 2304, 9216, 26, 8, 4));

    /** What the language models are, alone, that have names of their own. */
    private static final Map<String, String> ALONE = Map.of("qwen2_vl_text", "qwen2", "qwen2_5_vl_text", "qwen2", "qwen3_vl_text", "qwen3", "glm4v_text", "glm4");

    private static final List<String> LAYERS = List.of("language_model.model.model.", "language_model.model.", "model.language_model.", "model.text_model.", "language_model.", "model.");
    private static final List<String> HEADS = List.of("language_model.model.lm_head", "language_model.lm_head", "lm_head");

    private static Map<String, Integer> sizes(int vocabulary, int width, int hidden, int blocks, int heads, int keyValueHeads) {
        Map<String, Integer> sizes = new LinkedHashMap<>();
        sizes.put("vocab_size", vocabulary);
        sizes.put("hidden_size", width);
        sizes.put("intermediate_size", hidden);
        sizes.put("num_hidden_layers", blocks);
        sizes.put("num_attention_heads", heads);
        sizes.put("num_key_value_heads", keyValueHeads);
        return sizes;
    }

    /** Every model_type of which the language model is read. */
    public static Set<String> types() {
        return new TreeSet<>(WHOLES.keySet());
    }

    /** The language model of a config, where it is one of several whose language model is read. */
    public static Optional<LanguagePart> of(Config whole, Set<String> tensors) throws CheckpointException {
        String type = whole.textOr("", "model_type");
        Config text = whole.object("text_config");
        if (!WHOLES.containsKey(type) || text.isEmpty() && !whole.has("vision_config")) {
            return Optional.empty();
        }
        if (text.isEmpty()) { // early files of Qwen 2 VL have its keys beside vision_config
            text = whole.without("vision_config", "architectures").with("model_type", WHOLES.get(type));
        }
        String named = text.textOr(WHOLES.get(type), "model_type");
        String family = ALONE.getOrDefault(named, named);
        Config config = text.with("model_type", family);
        if (ALONE.containsKey(named)) {
            config = onePosition(config);
        }
        for (Map.Entry<String, Integer> size : SIZES.getOrDefault(family, Map.of()).entrySet()) {
            config = config.has(size.getKey()) ? config : config.with(size.getKey(), size.getValue());
        }
        AnyConfig.require(whole); // quantized is the whole
        String made = whole.modelClass();
        if (made.contains("For") && !made.endsWith("ForConditionalGeneration") && !made.endsWith("ForCausalLM")) {
            throw Config.unsupported("architectures", made, "a class with the language model's head, or without any");
        }
        String layers = LAYERS.stream().filter(prefix -> tensors.contains(prefix + "embed_tokens.weight")).findFirst().orElse(LAYERS.getFirst());
        String head = HEADS.stream().filter(name -> tensors.contains(name + ".weight")).findFirst().orElse("lm_head");
        // The whole's head counts, which the language model's own config does not know: where neither file says it, it is tied if it isn't there.
        config = config.with("tie_word_embeddings", whole.flagOr(!tensors.contains(head + ".weight"), "tie_word_embeddings"));
        config = switch (family) { // whose head scales its logits, and the whole's does not
            case "cohere2" -> config.with("logit_scale", 1);
            case "granite" -> config.with("logits_scaling", 1);
            case "gemma3_text" -> config.without("final_logit_softcapping");
            default -> config;
        };
        boolean bare = whole.isBareModel();
        return Optional.of(new LanguagePart(type, config.with("architectures", bare ? List.of("LanguageModel") : List.of()), layers, head));
    }

    /** Three positions for images are one in texts, so that turning by sections is turning. What else has other defaults alone must be there. */
    private static Config onePosition(Config config) throws CheckpointException {
        Config old = config.object("rope_scaling");
        Config rope = old.isEmpty() ? config.object("rope_parameters") : old;
        double base = rope.numberOr(config.numberOr(0, "rope_theta"), "rope_theta");
        if (base == 0) {
            throw Config.unsupported("rope_theta", "missing", "a number");
        }
        for (String size : List.of("num_key_value_heads", "rms_norm_eps")) {
            if (config.find(size).isEmpty()) {
                throw Config.unsupported(size, "missing", "a number");
            }
        }
        if (config.flagOr(false, "use_sliding_window")) {
            throw Config.unsupported("use_sliding_window", true, "false");
        }
        String family = config.textOr("", "model_type");
        if (!family.equals("qwen3")) {
            int share = Reading.widthOfHead(config.integer("hidden_size"), config.integer("num_attention_heads"));
            config.require("head_dim", share);
            config = config.with("head_dim", share);
        }
        if (family.equals("glm4")) {
            config = config.with("attention_bias", true);
            if (rope.find("partial_rotary_factor").isEmpty() && config.find("partial_rotary_factor").isEmpty()) {
                throw Config.unsupported("partial_rotary_factor", "missing", "a number");
            }
        }
        String type = rope.textOr("default", "rope_type", "type");
        return type.equals("default") || type.equals("mrope")
                ? config.without("rope_scaling")
                .with("rope_parameters", rope.without("type", "mrope_section", "mrope_interleaved").with("rope_type", "default").with("rope_theta", base)) : config;
    }

    /** What the language model says of itself, with its tensors where they lie in the whole. */
    public Family.Description describe(Set<String> tensors) throws CheckpointException {
        Family.Description alone = Families.describe(config, tensors.stream().map(this::inside).collect(Collectors.toSet()));
        return new Family.Description(alone.architecture(), alone.naming().within(this));
    }

    /** A tensor's name in the language model alone; the name of another part's begins with a slash. */
    String inside(String tensor) {
        return tensor.startsWith(layers) ? "model." + tensor.substring(layers.length())
                : tensor.startsWith(head + ".") ? "lm_head" + tensor.substring(head.length())
                : "/" + tensor;
    }

    /** A tensor's name in the whole. */
    String outside(String tensor) {
        return tensor.startsWith("model.") ? layers + tensor.substring("model.".length())
                : tensor.startsWith("lm_head.") ? head + tensor.substring("lm_head".length())
                : tensor;
    }
}
