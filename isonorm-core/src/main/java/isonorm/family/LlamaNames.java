package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.checkpoint.Config;
import java.util.Set;

/** The tensor names that Llama introduced and many families share. */
final class LlamaNames {

    private LlamaNames() {}

    /** Names for blocks whose MLP norm, if any, is called post_attention_layernorm. */
    static Naming of(Config config, Set<String> tensors) {
        return Naming.of(config, tensors, "model.")
                .whole(TOKEN_EMBEDDING, "embed_tokens")
                .whole(ATTENTION_NORM, "layers.*.input_layernorm")
                .separate("layers.*.self_attn.q_proj", "layers.*.self_attn.k_proj", "layers.*.self_attn.v_proj")
                .whole(QUERY_NORM, "layers.*.self_attn.q_norm")
                .whole(KEY_NORM, "layers.*.self_attn.k_norm")
                .whole(ATTENTION_OUTPUT, "layers.*.self_attn.o_proj")
                .whole(MLP_NORM, "layers.*.post_attention_layernorm")
                .whole(MLP_GATE, "layers.*.mlp.gate_proj")
                .whole(MLP_UP, "layers.*.mlp.up_proj")
                .whole(MLP_DOWN, "layers.*.mlp.down_proj")
                .whole(FINAL_NORM, "norm")
                .whole(HEAD, "/lm_head")
                .passingOverBuffers();
    }
}
