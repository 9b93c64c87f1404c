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
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.Rotary.Pairing;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.Optional;
import java.util.Set;

/** Phi 1, 1.5 and 2: parallel blocks with one norm, rotary positions on a share of each head, biases everywhere. */
final class Phi implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        int width = config.integer("hidden_size");
        int heads = config.integer("num_attention_heads");
        int headWidth = Reading.headWidth(config, width, heads);
        int turned = (int) (headWidth * Reading.rotaryShare(config, 0.5, "partial_rotary_factor"));
        double epsilon = config.numberOr(1e-5, "layer_norm_eps");
        Norm norm = Reading.layerNorm(epsilon);
        Attention plain = Attention.of(heads, headWidth)
                .withKeyValueHeads(config.integerOr(heads, "num_key_value_heads"))
                .withRotary(Reading.rotary(config, turned, 10000, Pairing.HALVES));
        Attention attention = config.flagOr(false, "qk_layernorm")
                ? plain.withQueryKeyNorm(new QueryKeyNorm(norm, QueryKeyNorm.Span.HEAD))
                : plain;
        Mlp mlp = Mlp.plain(config.integerOr(4 * width, "intermediate_size"), Reading.activation(config.textOr("gelu_new", "hidden_act")));
        Architecture architecture = Architecture.of("phi", width, config.integerOr(2048, "max_position_embeddings"),
                Embedding.Tokens.of(config.integer("vocab_size"), width),
                Reading.repeated(config.integer("num_hidden_layers"),
                        Block.of(Placement.PRE, Wiring.PARALLEL_ONE_NORM, norm, attention, mlp)),
                Optional.of(norm), Output.Words.of(Reading.tied(config, false)).withBias(true));
        return new Description(architecture, Naming.of(config, tensors, "model.")
                .whole(TOKEN_EMBEDDING, "embed_tokens")
                .whole(ATTENTION_NORM, "layers.*.input_layernorm")
                .separate("layers.*.self_attn.q_proj", "layers.*.self_attn.k_proj", "layers.*.self_attn.v_proj")
                .whole(QUERY_NORM, "layers.*.self_attn.q_layernorm")
                .whole(KEY_NORM, "layers.*.self_attn.k_layernorm")
                .whole(ATTENTION_OUTPUT, "layers.*.self_attn.dense")
                .whole(MLP_UP, "layers.*.mlp.fc1")
                .whole(MLP_DOWN, "layers.*.mlp.fc2")
                .whole(FINAL_NORM, "final_layernorm")
                .whole(HEAD, "/lm_head")
                .passingOverBuffers());
    }
}
