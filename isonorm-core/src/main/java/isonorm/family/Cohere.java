package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.Rotary.Pairing;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/**
 * Command R and R7B: LayerNorm with a gain only, parallel branches behind one norm, scaled logits of a tied head. In the later one three of four blocks have
 * a window, and only they know positions.
 */
final class Cohere implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        boolean second = config.textOr("", "model_type").equals("cohere2");
        Reading.requireWholeHead(config);
        boolean bias = config.flagOr(false, "attention_bias");
        Norm norm = Norm.of(NormKind.LAYER, config.numberOr(1e-5, "layer_norm_eps"), Affine.GAIN);
        Attention.Heads heads = Reading.attention(config, 0, 0).heads();
        if (second) {
            config.require("head_dim", Reading.widthOfHead(config.integer("hidden_size"), heads.count()));
        }
        Attention plain = Attention.of(heads.count(), heads.width()).withKeyValueHeads(heads.keyValue()).withBiases(bias, bias);
        Attention everywhere = !second && config.flagOr(false, "use_qk_norm")
                ? plain.withQueryKeyNorm(new QueryKeyNorm(norm, QueryKeyNorm.Span.EACH_HEAD))
                : plain;
        Attention turned = everywhere.withRotary(Reading.rotary(config, heads.width(), second ? 10_000 : 500_000, Pairing.NEIGHBOURS));
        if (config.has("logit_scale") && config.find("logit_scale").isEmpty()) {
            throw Config.unsupported("logit_scale", "null", "a number");
        }
        Mlp mlp = Mlp.gated(config.integer("intermediate_size"), Reading.activation(config.textOr("silu", "hidden_act")));
        List<Block> blocks = new ArrayList<>();
        for (int l = 0; l < config.integer("num_hidden_layers"); l++) {
            Attention attention = !second ? turned : slides(config, l) ? turned.withWindow(window(config)) : everywhere;
            blocks.add(Block.of(Placement.PRE, Wiring.PARALLEL_ONE_NORM, norm, attention, mlp));
        }
        Architecture architecture = Reading.decoder(config, 8192, norm, blocks,
                Output.Words.of(Reading.tied(config, true)).withScale(config.numberOr(0.0625, "logit_scale")));
        return new Description(architecture, LlamaNames.of(config, tensors)
                .shaped(QUERY_NORM, (long) heads.count(), (long) heads.width())
                .shaped(KEY_NORM, (long) heads.keyValue(), (long) heads.width()));
    }

    private static boolean slides(Config config, int l) throws CheckpointException {
        if (!config.list("layer_types").isEmpty()) {
            return Reading.slides(config, l, false);
        }
        int pattern = config.integerOr(4, "sliding_window_pattern");
        if (pattern < 1) {
            throw Config.unsupported("sliding_window_pattern", pattern, "1 or more");
        }
        return (l + 1) % pattern != 0;
    }

    private static int window(Config config) throws CheckpointException {
        return Reading.window(config, 4096).orElseThrow(() -> Config.unsupported("sliding_window", "null", "a number, because some blocks have a window"));
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        Config fewer = Reading.keeping(config, kept, "num_hidden_layers");
        return left.family().equals("cohere2") ? Reading.withKinds(fewer, left) : fewer;
    }
}
