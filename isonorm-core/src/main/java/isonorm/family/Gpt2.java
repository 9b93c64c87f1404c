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

/** GPT-2: learned positions, linear weights stored (in, out), one fused query-key-value tensor. */
final class Gpt2 implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        config.requireFlag(false, "add_cross_attention");
        int width = config.integer("n_embd", "hidden_size");
        int heads = config.integer("n_head", "num_attention_heads");
        int blocks = config.integer("n_layer", "num_hidden_layers");
        Norm norm = Reading.layerNorm(config.numberOr(1e-5, "layer_norm_epsilon"));
        boolean scaled = config.flagOr(true, "scale_attn_weights");
        boolean byDepth = config.flagOr(false, "scale_attn_by_inverse_layer_idx");
        Mlp mlp = Mlp.plain(config.integerOr(4 * width, "n_inner"),
                Reading.activation(config.textOr("gelu_new", "activation_function")));
        List<Block> all = new ArrayList<>();
        for (int l = 0; l < blocks; l++) {
            double scale = (scaled ? 1 / Math.sqrt(Reading.widthOfHead(width, heads)) : 1) / (byDepth ? l + 1 : 1);
            all.add(Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, Attention.of(heads, Reading.widthOfHead(width, heads)).withScale(scale), mlp));
        }
        int positions = config.integerOr(1024, "n_positions", "max_position_embeddings");
        Architecture architecture = Architecture.of("gpt2", width, positions,
                Embedding.Tokens.of(config.integer("vocab_size"), width).withPositions(positions, 0, false),
                all, Optional.of(norm), Output.Words.of(Reading.tied(config, true)));
        return new Description(architecture, Naming.of(config, tensors, "transformer.")
                .whole(TOKEN_EMBEDDING, "wte")
                .whole(POSITION_EMBEDDING, "wpe")
                .whole(ATTENTION_NORM, "h.*.ln_1")
                .transposed(QUERY_KEY_VALUE, "h.*.attn.c_attn")
                .transposed(ATTENTION_OUTPUT, "h.*.attn.c_proj")
                .whole(MLP_NORM, "h.*.ln_2")
                .transposed(MLP_UP, "h.*.mlp.c_fc")
                .transposed(MLP_DOWN, "h.*.mlp.c_proj")
                .whole(FINAL_NORM, "ln_f")
                .whole(HEAD, "/lm_head")
                .passingOverBuffers());
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        return Reading.keeping(config, kept, "n_layer", "num_hidden_layers");
    }
}
