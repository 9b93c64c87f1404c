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
import java.util.Optional;
import java.util.Set;

/** GPT-J: parallel blocks with one norm, rotary positions on neighbouring pairs, a head with a bias. */
final class Gptj implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        int width = config.integer("n_embd", "hidden_size");
        int heads = config.integer("n_head", "num_attention_heads");
        Norm norm = Reading.layerNorm(config.numberOr(1e-5, "layer_norm_epsilon"));
        Attention attention = Attention.of(heads, width / heads)
                .withRotary(Rotary.of(config.integerOr(64, "rotary_dim"), 10000, Pairing.NEIGHBOURS))
                .withBiases(false, false);
        Mlp mlp = Mlp.plain(config.integerOr(4 * width, "n_inner"),
                Reading.activation(config.textOr("gelu_new", "activation_function")));
        Architecture architecture = Architecture.of("gptj", width, config.integerOr(2048, "n_positions"),
                Embedding.Tokens.of(config.integer("vocab_size"), width),
                Reading.repeated(config.integer("n_layer", "num_hidden_layers"),
                        Block.of(Placement.PRE, Wiring.PARALLEL_ONE_NORM, norm, attention, mlp)),
                Optional.of(norm), Output.Words.of(Reading.tied(config, false)).withBias(true));
        return new Description(architecture, Naming.of(config, tensors, "transformer.")
                .whole(TOKEN_EMBEDDING, "wte")
                .whole(ATTENTION_NORM, "h.*.ln_1")
                .separate("h.*.attn.q_proj", "h.*.attn.k_proj", "h.*.attn.v_proj")
                .whole(ATTENTION_OUTPUT, "h.*.attn.out_proj")
                .whole(MLP_UP, "h.*.mlp.fc_in")
                .whole(MLP_DOWN, "h.*.mlp.fc_out")
                .whole(FINAL_NORM, "ln_f")
                .whole(HEAD, "/lm_head")
                .ignoring(Reading.BUFFERS));
    }
}
