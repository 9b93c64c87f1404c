package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Activation;
import isonorm.architecture.Alibi;
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
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** BLOOM: ALiBi, a norm behind the embedding, query, key and value rows head by head. */
final class Bloom implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        config.requireFlag(false, "apply_residual_connection_post_layernorm");
        int width = config.integer("hidden_size", "n_embed", "n_embd");
        int heads = config.integer("n_head", "num_attention_heads");
        Norm norm = Reading.layerNorm(config.numberOr(1e-5, "layer_norm_epsilon"));
        Attention attention = Attention.of(heads, Reading.widthOfHead(width, heads)).withAlibi(Alibi.AFTER_SCALE);
        Architecture architecture = Architecture.of("bloom", width, config.integerOr(2048, "seq_length"),
                Embedding.Tokens.of(config.integer("vocab_size"), width).withNorm(norm),
                Reading.repeated(config.integer("n_layer", "num_hidden_layers"), Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm,
                        attention, Mlp.plain(4 * width, Activation.GELU_TANH))),
                Optional.of(norm), Output.Words.of(Reading.tied(config, true)));
        return new Description(architecture, Naming.of(config, tensors, "transformer.")
                .whole(TOKEN_EMBEDDING, "word_embeddings")
                .whole(EMBEDDING_NORM, "word_embeddings_layernorm")
                .whole(ATTENTION_NORM, "h.*.input_layernorm")
                .fused("h.*.self_attention.query_key_value", Reading::headByHead)
                .whole(ATTENTION_OUTPUT, "h.*.self_attention.dense")
                .whole(MLP_NORM, "h.*.post_attention_layernorm")
                .whole(MLP_UP, "h.*.mlp.dense_h_to_4h")
                .whole(MLP_DOWN, "h.*.mlp.dense_4h_to_h")
                .whole(FINAL_NORM, "ln_f")
                .whole(HEAD, "/lm_head"));
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        return Reading.keeping(config, kept, "n_layer", "num_hidden_layers");
    }
}
