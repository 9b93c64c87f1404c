package isonorm.train;

import static java.util.Objects.requireNonNull;

import isonorm.checkpoint.Config;
import isonorm.words.Names;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Shapes of models that papers train, as the config.json of the family that has them: the LayerNorm Scaling paper's Llama shapes and Qwen2.5-0.5B's (arXiv
 * 2502.05795), GPT-2's, GPT-3's and ViT's (arXiv 2305.14858), and a small decoder for a first try.
 */
final class Presets {

    /** Width, blocks, heads, those of keys and values, and the MLP's width. */
    private record Size(String family, int width, int blocks, int heads, int keyValue, int hidden) {

        Size(String family, int width, int blocks, int heads, int hidden) {
            this(family, width, blocks, heads, heads, hidden);
        }
    }

    private static final Map<String, Size> SIZES = new LinkedHashMap<>();

    static {
        SIZES.put("shakespeare", new Size("gpt2", 192, 6, 6, 768));
        SIZES.put("llama-60m", new Size("llama", 512, 8, 8, 1376));
        SIZES.put("llama-130m", new Size("llama", 768, 12, 12, 2048));
        SIZES.put("llama-250m", new Size("llama", 768, 24, 16, 2560));
        SIZES.put("llama-350m", new Size("llama", 1024, 24, 16, 2736));
        SIZES.put("llama-1b", new Size("llama", 2048, 24, 32, 5461));
        SIZES.put("gpt2-small", new Size("gpt2", 768, 12, 12, 3072));
        SIZES.put("gpt2-medium", new Size("gpt2", 1024, 24, 16, 4096));
        SIZES.put("gpt3-small", new Size("gpt2", 768, 12, 12, 3072));
        SIZES.put("gpt3-medium", new Size("gpt2", 1024, 24, 16, 4096));
        SIZES.put("gpt3-large", new Size("gpt2", 1536, 24, 16, 6144));
        SIZES.put("gpt3-xl", new Size("gpt2", 2048, 24, 16, 8192)); // the paper's table has 24 heads of 128 values, which would be more than 2048
        SIZES.put("gpt3-2.7b", new Size("gpt2", 2560, 32, 32, 10240));
        SIZES.put("qwen2.5-0.5b", new Size("qwen2", 896, 24, 14, 2, 4864));
        SIZES.put("vit-ti", new Size("vit", 192, 12, 3, 768));
        SIZES.put("vit-s", new Size("vit", 384, 12, 6, 1536));
        SIZES.put("vit-b", new Size("vit", 768, 12, 12, 3072));
    }

    private Presets() {}

    /** The names of all presets. */
    public static List<String> names() {
        return List.copyOf(SIZES.keySet());
    }

    /** Refuses a name that no preset has. */
    static void require(String name) {
        if (!SIZES.containsKey(name)) {
            throw new IllegalArgumentException("there is no preset " + name + Names.nearest(name, names()).map(near -> "; did you mean " + near + "?")
                    .orElse("") + " There are " + String.join(", ", names()));
        }
    }

    /** How many blocks a preset has. */
    static int blocks(String name) {
        return requireNonNull(SIZES.get(name), name).blocks;
    }

    /**
     * The config.json of a new model.
     *
     * @param vocabulary of the data; labels for images
     * @param context the longest sequence; pixels of an image's side
     */
    static Config config(TrainingRun.Start.New model, int vocabulary, int context) {
        Size size = requireNonNull(SIZES.get(model.preset()), model.preset());
        int width = model.width().orElse(size.width);
        int blocks = model.blocks().orElse(size.blocks);
        int heads = model.heads().orElse(size.heads);
        boolean grouped = size.keyValue < size.heads && heads % size.keyValue == 0; // other heads than the preset's may not fall into its groups
        int keyValue = grouped ? size.keyValue : heads;
        int hidden = model.hidden().orElse((int) Math.round((double) size.hidden * width / size.width));
        if (width % heads != 0) {
            throw new IllegalArgumentException("model.width must be a multiple of model.heads, got " + width + " and " + heads);
        }
        return switch (size.family) {
            case "gpt2" -> config("GPT2LMHeadModel", "gpt2").with("n_embd", width).with("n_layer", blocks).with("n_head", heads)
                    .with("n_inner", hidden).with("n_positions", context).with("n_ctx", context).with("vocab_size", vocabulary)
                    .with("activation_function", "gelu_new").with("layer_norm_epsilon", 1e-5).with("tie_word_embeddings", true);
            case "llama" -> config("LlamaForCausalLM", "llama").with("hidden_size", width).with("num_hidden_layers", blocks)
                    .with("num_attention_heads", heads).with("num_key_value_heads", heads).with("intermediate_size", hidden)
                    .with("vocab_size", vocabulary).with("max_position_embeddings", context).with("rms_norm_eps", 1e-6)
                    .with("rope_theta", 10000.0).with("tie_word_embeddings", false).with("hidden_act", "silu");
            case "qwen2" -> config("Qwen2ForCausalLM", "qwen2").with("hidden_size", width).with("num_hidden_layers", blocks)
                    .with("num_attention_heads", heads).with("num_key_value_heads", keyValue).with("intermediate_size", hidden)
                    .with("vocab_size", vocabulary).with("max_position_embeddings", context).with("rms_norm_eps", 1e-6)
                    .with("rope_theta", 1000000.0).with("tie_word_embeddings", true).with("hidden_act", "silu").with("use_sliding_window", false);
            default -> config("ViTForImageClassification", "vit").with("hidden_size", width).with("num_hidden_layers", blocks)
                    .with("num_attention_heads", heads).with("intermediate_size", hidden).with("patch_size", 16).with("image_size", context)
                    .with("num_channels", 3).with("num_labels", vocabulary).with("hidden_act", "gelu").with("layer_norm_eps", 1e-6);
        };
    }

    private static Config config(String model, String type) {
        return Config.of(Map.of()).with("architectures", List.of(model)).with("model_type", type);
    }
}
