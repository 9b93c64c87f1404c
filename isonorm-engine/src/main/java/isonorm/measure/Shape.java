package isonorm.measure;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Architecture;
import isonorm.checkpoint.CheckpointException;
import isonorm.family.Config;
import isonorm.family.Families;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Consumer;

/** The shape of a well-known model, as its family's config.json says it. */
public final class Shape {

    private static final Map<String, Consumer<ObjectNode>> CONFIGS = new LinkedHashMap<>();

    static {
        CONFIGS.put("vit-ti", json -> vit(json, 192, 12, 3));
        CONFIGS.put("vit-s", json -> vit(json, 384, 12, 6));
        CONFIGS.put("vit-b", json -> vit(json, 768, 12, 12));
        CONFIGS.put("vit-l", json -> vit(json, 1024, 24, 16));
        CONFIGS.put("gpt2-small", json -> gpt2(json, 768, 12, 12));
        CONFIGS.put("gpt2-medium", json -> gpt2(json, 1024, 24, 16));
        CONFIGS.put("gpt2-xl", json -> gpt2(json, 1600, 48, 25));
        CONFIGS.put("llama-134m", Shape::llama);
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
    public ObjectNode config() {
        ObjectNode json = new ObjectMapper().createObjectNode();
        CONFIGS.get(name).accept(json);
        return json;
    }

    public Architecture architecture() throws CheckpointException {
        return Families.describe(Config.of(config()), Set.of()).architecture();
    }

    private static void vit(ObjectNode json, int width, int blocks, int heads) {
        json.putArray("architectures").add("ViTForImageClassification");
        json.put("model_type", "vit").put("hidden_size", width).put("num_hidden_layers", blocks).put("num_attention_heads", heads)
                .put("intermediate_size", 4 * width).put("patch_size", 16).put("image_size", 224).put("num_channels", 3)
                .put("num_labels", 1000).put("hidden_act", "gelu").put("layer_norm_eps", 1e-6);
    }

    private static void gpt2(ObjectNode json, int width, int blocks, int heads) {
        json.putArray("architectures").add("GPT2LMHeadModel");
        json.put("model_type", "gpt2").put("n_embd", width).put("n_layer", blocks).put("n_head", heads).put("n_positions", 1024)
                .put("vocab_size", 50257).put("activation_function", "gelu_new").put("layer_norm_epsilon", 1e-5)
                .put("tie_word_embeddings", true);
    }

    private static void llama(ObjectNode json) {
        json.putArray("architectures").add("LlamaForCausalLM");
        json.put("model_type", "llama").put("hidden_size", 768).put("num_hidden_layers", 12).put("num_attention_heads", 12)
                .put("num_key_value_heads", 12).put("intermediate_size", 2048).put("vocab_size", 32000)
                .put("max_position_embeddings", 2048).put("rms_norm_eps", 1e-6).put("rope_theta", 10000.0)
                .put("tie_word_embeddings", false).put("hidden_act", "silu");
    }
}
