package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.Rotary.Pairing;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.Set;

/** GLM 4: neighbours in a half of each head are turned together, gate and up are one tensor; the later one has norms behind the sub-layers too. */
final class Glm implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        Norm norm = Reading.rmsNorm(config.numberOr(1.5625e-7, "rms_norm_eps"));
        Attention plain = Reading.attention(config, 128, 2);
        Attention attention = plain
                .withRotary(Reading.rotaryOfShare(config, plain.heads().width(), 0.5, Pairing.NEIGHBOURS))
                .withBiases(config.flagOr(true, "attention_bias"), false);
        Mlp mlp = Mlp.gated(config.integer("intermediate_size"), Reading.activation(config.textOr("silu", "hidden_act")));
        Placement placement = config.textOr("", "model_type").equals("glm4") ? Placement.PERI : Placement.PRE;
        return new Description(
                Reading.decoder(config, 131_072, norm, Reading.repeated(config.integer("num_hidden_layers"),
                        Block.of(placement, Wiring.SEQUENTIAL, norm, attention, mlp)), Output.Words.of(Reading.tied(config, false))),
                LlamaNames.of(config, tensors)
                        .whole(ATTENTION_OUTPUT_NORM, "layers.*.post_self_attn_layernorm")
                        .whole(MLP_OUTPUT_NORM, "layers.*.post_mlp_layernorm")
                        .part(MLP_GATE, "layers.*.mlp.gate_up_proj", 0, 2)
                        .part(MLP_UP, "layers.*.mlp.gate_up_proj", 1, 2));
    }
}
