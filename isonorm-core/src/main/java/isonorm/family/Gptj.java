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
import isonorm.architecture.Rotary;
import isonorm.architecture.Rotary.Pairing;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import isonorm.weights.Source.Piece;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * GPT-J and CodeGen: parallel blocks with one norm, rotary positions on neighbouring pairs, a head with a bias. CodeGen fuses query,
 * value and key rows in four runs of heads.
 */
final class Gptj implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        String type = config.textOr("gptj", "model_type");
        boolean fused = type.equals("codegen");
        int width = config.integer("n_embd", "hidden_size");
        int heads = config.integer("n_head", "num_attention_heads");
        if (fused && heads % RUNS != 0) {
            throw Config.unsupported("n_head", heads, "a multiple of " + RUNS);
        }
        Norm norm = Reading.layerNorm(config.numberOr(1e-5, "layer_norm_epsilon"));
        Attention attention = Attention.of(heads, Reading.widthOfHead(width, heads))
                .withRotary(Rotary.of(config.integerOr(64, "rotary_dim"), 10000, Pairing.NEIGHBOURS))
                .withBiases(false, false);
        Mlp mlp = Mlp.plain(config.integerOr(4 * width, "n_inner"),
                Reading.activation(config.textOr("gelu_new", "activation_function")));
        Architecture architecture = Architecture.of(type, width, config.integerOr(2048, "n_positions", "max_position_embeddings"),
                Embedding.Tokens.of(config.integer("vocab_size"), width),
                Reading.repeated(config.integer("n_layer", "num_hidden_layers"),
                        Block.of(Placement.PRE, Wiring.PARALLEL_ONE_NORM, norm, attention, mlp)),
                Optional.of(norm), Output.Words.of(Reading.tied(config, false)).withBias(true));
        Naming naming = Naming.of(config, tensors, "transformer.")
                .whole(TOKEN_EMBEDDING, "wte")
                .whole(ATTENTION_NORM, "h.*.ln_1")
                .whole(ATTENTION_OUTPUT, "h.*.attn.out_proj")
                .whole(MLP_UP, "h.*.mlp.fc_in")
                .whole(MLP_DOWN, "h.*.mlp.fc_out")
                .whole(FINAL_NORM, "ln_f")
                .whole(HEAD, "/lm_head")
                .passingOverBuffers();
        return new Description(architecture, fused
                ? naming.fused("h.*.attn.qkv_proj", Gptj::fourRuns)
                : naming.separate("h.*.attn.q_proj", "h.*.attn.k_proj", "h.*.attn.v_proj"));
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        return Reading.keeping(config, kept, "n_layer", "num_hidden_layers");
    }

    /** The layout of the four accelerators the model was trained on: each run holds its heads' queries, values, keys. */
    private static final int RUNS = 4;

    private static List<Piece> fourRuns(String tensor, Attention attention) {
        int run = attention.heads().count() / RUNS * attention.heads().width();
        List<Piece> pieces = new ArrayList<>();
        for (int part : new int[] {0, 2, 1}) {
            for (int r = 0; r < RUNS; r++) {
                pieces.add(new Piece(tensor, (3 * r + part) * run, run));
            }
        }
        return pieces;
    }
}
