package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.Rotary;
import isonorm.architecture.Rotary.Pairing;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import java.util.Set;

/**
 * OLMo 2 and 3 and EXAONE 4: RMSNorm behind each sub-layer instead of before it, and on queries and keys. Of OLMo 3's and EXAONE 4's blocks three of four
 * have a window; EXAONE 4 then knows positions in those alone.
 */
final class Olmo2 implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        String type = config.textOr("", "model_type");
        boolean exaone = type.equals("exaone4");
        if (!exaone) {
            config.requireNone("clip_qkv");
        }
        if (!type.equals("olmo3")) {
            Reading.requireWholeHead(config);
        } else {
            config.require("partial_rotary_factor", 1);
        }
        boolean bias = !exaone && config.flagOr(false, "attention_bias");
        Norm norm = Reading.rmsNorm(config.numberOr(1e-5, "rms_norm_eps"));
        Attention everywhere = Reading.attention(config, 0, exaone ? 32 : 0)
                .withQueryKeyNorm(new QueryKeyNorm(norm, exaone ? QueryKeyNorm.Span.HEAD : QueryKeyNorm.Span.PROJECTION))
                .withBiases(bias, bias);
        OptionalInt window = type.equals("olmo2") ? OptionalInt.empty() : Reading.window(config, 4096);
        Mlp mlp = Mlp.gated(config.integer("intermediate_size"), Reading.activation(config.textOr("silu", "hidden_act")));
        List<Block> blocks = new ArrayList<>();
        for (int l = 0; l < config.integer("num_hidden_layers"); l++) {
            boolean slides = !type.equals("olmo2") && slides(config, type, window, l);
            Attention attention = exaone && window.isPresent() && !slides ? everywhere
                    : everywhere.withRotary(rotary(config, type, slides, everywhere.heads().width()));
            blocks.add(Block.of(Placement.OUTPUT, Wiring.SEQUENTIAL, norm, slides ? attention.withWindow(window.orElseThrow(
                    () -> Config.unsupported("sliding_window", "null", "a number, because some blocks have a window"))) : attention, mlp));
        }
        return new Description(Reading.decoder(config, 2048, norm, blocks, Output.Words.of(Reading.tied(config, false))),
                LlamaNames.of(config, tensors)
                        .whole(ATTENTION_OUTPUT_NORM, "layers.*.post_attention_layernorm")
                        .whole(MLP_OUTPUT_NORM, "layers.*.post_feedforward_layernorm"));
    }

    private static boolean slides(Config config, String type, OptionalInt window, int l) throws CheckpointException {
        if (!config.list("layer_types").isEmpty()) {
            return Reading.slides(config, l, false);
        }
        int pattern = type.equals("olmo3") ? 4 : window.isEmpty() ? 0 : config.integerOr(4, "sliding_window_pattern");
        if (pattern < 1) {
            throw Config.unsupported(window.isEmpty() ? "layer_types" : "sliding_window_pattern", window.isEmpty() ? "missing" : pattern,
                    window.isEmpty() ? "one for each block where sliding_window is null" : "1 or more");
        }
        return (l + 1) % pattern != 0;
    }

    /** OLMo 3 has parameters for each kind of block. */
    private static Rotary rotary(Config config, String type, boolean slides, int headWidth) throws CheckpointException {
        if (!type.equals("olmo3")) {
            return Reading.rotary(config, headWidth, 10000, Pairing.HALVES);
        }
        if (config.object("rope_parameters").object(Reading.kind(true)).find("rope_theta").isEmpty()) {
            config.require("rope_theta", 500_000); // transformers takes it for the blocks without a window alone
        }
        return Reading.rotaryOfKind(config, slides, headWidth, config.numberOr(500_000, "rope_theta"));
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        Config fewer = Reading.keeping(config, kept, "num_hidden_layers");
        return left.family().equals("olmo2") ? fewer : Reading.withKinds(fewer, left);
    }
}
