package isonorm.measure;

import static java.util.Objects.requireNonNull;

import isonorm.architecture.Architecture;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import isonorm.family.Families;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The shape of a well-known model, as its family's config.json says it. */
public final class Shape {

    private static final Map<String, Config> CONFIGS = new LinkedHashMap<>();

    static {
        CONFIGS.put("vit-ti", vit(192, 12, 3));
        CONFIGS.put("vit-s", vit(384, 12, 6));
        CONFIGS.put("vit-b", vit(768, 12, 12));
        CONFIGS.put("vit-l", vit(1024, 24, 16));
        CONFIGS.put("gpt2-small", gpt2(768, 12, 12));
        CONFIGS.put("gpt2-medium", gpt2(1024, 24, 16));
        CONFIGS.put("gpt2-xl", gpt2(1600, 48, 25));
        CONFIGS.put("llama-134m", llama());
    }

    private final String name;

    private Shape(String name) {
        this.name = name;
    }

    /** The names of all shapes. */
    public static List<String> names() {
        return new ArrayList<>(CONFIGS.keySet());
    }

    /** The shape of that name. */
    public static Shape named(String name) {
        if (!CONFIGS.containsKey(name)) {
            throw new IllegalArgumentException("a shape is one of " + String.join(", ", names()) + ", got " + name);
        }
        return new Shape(name);
    }

    public String name() {
        return name;
    }

    /** The config.json of a checkpoint of this shape. */
    public Config config() {
        return requireNonNull(CONFIGS.get(name), name);
    }

    public Architecture architecture() throws CheckpointException {
        return Families.describe(config(), Set.of()).architecture();
    }

    private static Config vit(int width, int blocks, int heads) {
        return config("ViTForImageClassification", "vit").with("hidden_size", width).with("num_hidden_layers", blocks)
                .with("num_attention_heads", heads).with("intermediate_size", 4 * width).with("patch_size", 16).with("image_size", 224)
                .with("num_channels", 3).with("num_labels", 1000).with("hidden_act", "gelu").with("layer_norm_eps", 1e-6);
    }

    private static Config gpt2(int width, int blocks, int heads) {
        return config("GPT2LMHeadModel", "gpt2").with("n_embd", width).with("n_layer", blocks).with("n_head", heads).with("n_positions", 1024)
                .with("vocab_size", 50257).with("activation_function", "gelu_new").with("layer_norm_epsilon", 1e-5)
                .with("tie_word_embeddings", true);
    }

    private static Config llama() {
        return config("LlamaForCausalLM", "llama").with("hidden_size", 768).with("num_hidden_layers", 12).with("num_attention_heads", 12)
                .with("num_key_value_heads", 12).with("intermediate_size", 2048).with("vocab_size", 32000)
                .with("max_position_embeddings", 2048).with("rms_norm_eps", 1e-6).with("rope_theta", 10000.0)
                .with("tie_word_embeddings", false).with("hidden_act", "silu");
    }

    private static Config config(String model, String type) {
        return Config.of(Map.of()).with("architectures", List.of(model)).with("model_type", type);
    }
}
