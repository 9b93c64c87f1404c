package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** GPT-Neo: unscaled attention, every second block within a window. */
final class GptNeo implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        int width = config.integer("hidden_size");
        int heads = config.integer("num_heads", "num_attention_heads");
        int blocks = config.integer("num_layers", "num_hidden_layers");
        Norm norm = Reading.layerNorm(config.numberOr(1e-5, "layer_norm_epsilon"));
        Attention everywhere = Attention.of(heads, Reading.widthOfHead(width, heads)).withScale(1).withBiases(false, true);
        Mlp mlp = Mlp.plain(config.integerOr(4 * width, "intermediate_size"),
                Reading.activation(config.textOr("gelu_new", "activation_function")));
        int window = config.integerOr(256, "window_size");
        if (window < 1) {
            throw Config.unsupported("window_size", window, "1 or more");
        }
        List<String> kinds = kinds(config);
        if (kinds.size() != blocks) {
            throw Config.unsupported("attention_types", kinds.size() + " layers", "as many as num_layers, " + blocks);
        }
        List<Block> all = new ArrayList<>();
        for (String kind : kinds) {
            Attention attention = switch (kind) {
                case "global" -> everywhere;
                case "local" -> everywhere.withWindow(window);
                default -> throw Config.unsupported("attention_types", kind, "global or local");
            };
            all.add(Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, attention, mlp));
        }
        int positions = config.integerOr(2048, "max_position_embeddings");
        Architecture architecture = Architecture.of("gpt_neo", width, positions,
                Embedding.Tokens.of(config.integer("vocab_size"), width).withPositions(positions, 0, false),
                all, Optional.of(norm), Output.Words.of(Reading.tied(config, true)));
        return new Description(architecture, Naming.of(config, tensors, "transformer.")
                .whole(TOKEN_EMBEDDING, "wte")
                .whole(POSITION_EMBEDDING, "wpe")
                .whole(ATTENTION_NORM, "h.*.ln_1")
                .separate("h.*.attn.attention.q_proj", "h.*.attn.attention.k_proj", "h.*.attn.attention.v_proj")
                .whole(ATTENTION_OUTPUT, "h.*.attn.attention.out_proj")
                .whole(MLP_NORM, "h.*.ln_2")
                .whole(MLP_UP, "h.*.mlp.c_fc")
                .whole(MLP_DOWN, "h.*.mlp.c_proj")
                .whole(FINAL_NORM, "ln_f")
                .whole(HEAD, "/lm_head")
                .passingOverBuffers());
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        List<String> kinds = kinds(config.without("attention_layers"));
        Config fewer = Reading.keeping(config, kept, "num_layers", "num_hidden_layers");
        return kinds.isEmpty() ? fewer : fewer.with("attention_types", List.of(List.of(kept.stream().map(kinds::get).toList(), 1)));
    }

    /** {@code [[["global", "local"], 12]]} is the pair twelve times over. */
    private static List<String> kinds(Config config) {
        List<String> kinds = new ArrayList<>(config.words("attention_layers"));
        if (kinds.isEmpty()) {
            for (Object entry : config.list("attention_types")) {
                if (entry instanceof List<?> pair && pair.size() == 2 && pair.get(0) instanceof List<?> words && pair.get(1) instanceof Number times) {
                    for (int i = 0; i < times.intValue(); i++) {
                        words.forEach(kind -> kinds.add(String.valueOf(kind)));
                    }
                }
            }
        }
        return kinds;
    }
}
