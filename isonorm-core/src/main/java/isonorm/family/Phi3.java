package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.Rotary;
import isonorm.architecture.Rotary.Pairing;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.OptionalInt;
import java.util.Set;

/** Phi 3 and 4: Llama with one tensor for queries, keys and values and one for gate and up, and LongRoPE for long texts. */
final class Phi3 implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        Norm norm = Reading.rmsNorm(config.numberOr(1e-5, "rms_norm_eps"));
        Attention plain = Reading.attention(config, 0, 0);
        OptionalInt window = config.has("sliding_window") ? Reading.window(config, 0) : OptionalInt.empty();
        Attention everywhere = plain.withRotary(rotary(config, plain.heads().width()));
        Mlp mlp = Mlp.gated(config.integer("intermediate_size"), Reading.activation(config.textOr("silu", "hidden_act")));
        Block block = Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, window.isPresent() ? everywhere.withWindow(window.getAsInt()) : everywhere, mlp);
        return new Description(
                Reading.decoder(config, 4096, norm, Reading.repeated(config.integer("num_hidden_layers"), block), Output.Words.of(Reading.tied(config, false))),
                LlamaNames.of(config, tensors)
                        .whole(QUERY_KEY_VALUE, "layers.*.self_attn.qkv_proj")
                        .part(MLP_GATE, "layers.*.mlp.gate_up_proj", 0, 2)
                        .part(MLP_UP, "layers.*.mlp.gate_up_proj", 1, 2));
    }

    /** Early files call LongRoPE su, or yarn, which it is not. */
    private static Rotary rotary(Config config, int headWidth) throws CheckpointException {
        Config named = config.has("original_max_position_embeddings") ? config : config.with("original_max_position_embeddings", 4096);
        for (String key : new String[] {"rope_scaling", "rope_parameters"}) {
            Config rope = config.object(key);
            String type = rope.textOr("default", "rope_type", "type");
            if (!rope.isEmpty()) {
                named = switch (type) {
                    case "default", "longrope" -> named;
                    case "su", "yarn" -> named.with(key, rope.without("type").with("rope_type", "longrope"));
                    default -> throw Config.unsupported("rope_type", type, "default or longrope");
                };
            }
        }
        return Reading.rotaryOfShare(named, headWidth, 1, Pairing.HALVES);
    }
}
