package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Activation;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Experts;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.Rotary.Pairing;
import isonorm.architecture.Routing;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import isonorm.family.Naming.Stacking;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** gpt-oss: experts with bounded gates and biases, attention with sinks, windows in every second block. */
final class GptOss implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        config.require("hidden_act", "silu"); // whatever it is, transformers computes x sigmoid(1.702 x), up to 7
        config.require("swiglu_limit", 7, 7.0);
        Reading.requireWholeHead(config);
        if (config.object("rope_parameters").isEmpty() && config.object("rope_scaling").isEmpty()) {
            throw Config.unsupported("rope_parameters", "missing", "the parameters of rotary positions, which have no default here");
        }
        Norm norm = Reading.rmsNorm(config.numberOr(1e-5, "rms_norm_eps"));
        boolean bias = config.flagOr(true, "attention_bias");
        Attention plain = Reading.attention(config, 64, 8).withSinks();
        Attention attention = plain.withRotary(Reading.rotary(config, plain.heads().width(), 150_000, Pairing.HALVES)).withBiases(bias, bias);
        Mlp expert = Mlp.gated(config.integerOr(2880, "intermediate_size"), Activation.QUICK_GELU).withBiases(true, true).withClamp(7, 1);
        Experts experts = Experts.of(expert, config.integerOr(128, "num_local_experts", "num_experts"),
                Routing.softmax(config.integerOr(4, "num_experts_per_tok", "experts_per_token"), true).withBias(true));
        List<Block> blocks = new ArrayList<>();
        for (int l = 0; l < config.integer("num_hidden_layers"); l++) {
            boolean slides = Reading.slides(config, l, l % 2 == 0) && Reading.window(config, 128).isPresent();
            blocks.add(Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, slides ? attention.withWindow(Reading.window(config, 128).getAsInt()) : attention, experts));
        }
        return new Description(Reading.decoder(config, 131_072, norm, blocks, Output.Words.of(Reading.tied(config, false))),
                LlamaNames.of(config, tensors)
                        .bare(ATTENTION_SINK, "layers.*.self_attn.sinks")
                        .whole(ROUTER, "layers.*.mlp.router")
                        .experts(MLP_GATE, "layers.*.mlp.experts.gate_up_proj", Stacking.INTERLEAVED_COLUMNS, 0, 2)
                        .experts(MLP_UP, "layers.*.mlp.experts.gate_up_proj", Stacking.INTERLEAVED_COLUMNS, 1, 2)
                        .experts(MLP_DOWN, "layers.*.mlp.experts.down_proj", Stacking.COLUMNS, 0, 1));
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        return Reading.withWindows(Reading.keeping(config, kept, "num_hidden_layers"), left);
    }
}
