package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Activation;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Experts;
import isonorm.architecture.FeedForward;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.QueryKeyNorm;
import isonorm.architecture.Rotary.Pairing;
import isonorm.architecture.Routing;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** GLM 4.5 and dots.llm1: grouped heads, and DeepSeek-V3's experts behind some blocks with an MLP alone. */
final class SparseGlm implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        boolean dots = config.textOr("", "model_type").equals("dots1");
        Norm norm = Reading.rmsNorm(config.numberOr(dots ? 1e-6 : 1e-5, "rms_norm_eps"));
        boolean bias = config.flagOr(false, "attention_bias");
        Attention plain = Reading.attention(config, 0, dots ? 0 : 8).withBiases(bias, dots && bias);
        int headWidth = plain.heads().width();
        if (dots) {
            Reading.requireWholeHead(config);
        }
        Attention turned = plain.withRotary(dots ? Reading.rotary(config, headWidth, 10_000, Pairing.HALVES)
                : Reading.rotaryOfShare(config, headWidth, 0.5, Pairing.HALVES));
        Attention attention = dots || config.flagOr(false, "use_qk_norm") ? turned.withQueryKeyNorm(new QueryKeyNorm(norm, QueryKeyNorm.Span.HEAD)) : turned;
        int dense = config.integerOr(dots ? 0 : 1, "first_k_dense_replace");
        int layers = config.integer("num_hidden_layers");
        List<Block> blocks = new ArrayList<>();
        for (int l = 0; l < layers; l++) {
            boolean windows = dots && !(config.has("sliding_window") && config.find("sliding_window").isEmpty())
                    && Reading.slides(config, l, l >= config.integerOr(62, "max_window_layers"));
            blocks.add(Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, windows ? attention.withWindow(Reading.window(config, 4096).orElseThrow()) : attention,
                    feedForward(config, dots, l < dense)));
        }
        String mlp = "layers.*.mlp.";
        Naming naming = LlamaNames.of(config, tensors)
                .whole(ROUTER, mlp + "gate")
                .bare(ROUTER_CORRECTION, mlp + "gate.e_score_correction_bias")
                .whole(SHARED_GATE, mlp + "shared_experts.gate_proj")
                .whole(SHARED_UP, mlp + "shared_experts.up_proj")
                .whole(SHARED_DOWN, mlp + "shared_experts.down_proj");
        if (!dots && (layers == 46 || layers == 92)) {
            naming.passingOver(Repetition.OTHER_OUTPUT, "model\\.layers\\." + layers + "\\..*"); // the block that predicts a token more
        }
        return new Description(Reading.decoder(config, dots ? 2048 : 131_072, norm, blocks, Output.Words.of(Reading.tied(config, false))),
                ExpertNames.of(naming, tensors, mlp + "experts.", List.of("gate_proj", "up_proj", "down_proj")));
    }

    private static FeedForward feedForward(Config config, boolean dots, boolean dense) throws CheckpointException {
        Activation activation = Reading.activation(config.textOr("silu", "hidden_act"));
        if (dense) {
            return Mlp.gated(config.integerOr(10944, "intermediate_size"), activation);
        }
        int hidden = config.integerOr(1408, "moe_intermediate_size");
        int count = dots ? config.integer("n_routed_experts", "num_local_experts") : config.integerOr(128, "n_routed_experts", "num_local_experts");
        int chosen = dots ? config.integer("num_experts_per_tok") : config.integerOr(8, "num_experts_per_tok");
        int shared = dots ? config.integer("n_shared_experts") : config.integerOr(1, "n_shared_experts");
        return Experts.of(Mlp.gated(hidden, activation), count, Routing.softmax(chosen, config.flagOr(!dots, "norm_topk_prob"))
                        .withScores(new Routing.Scores.Sigmoid()).withCorrection()
                        .withGroups(new Routing.Groups(config.integerOr(1, "n_group"), config.integerOr(1, "topk_group"), 2))
                        .withScale(config.numberOr(1, "routed_scaling_factor")))
                .withShared(Mlp.gated(hidden * shared, activation), false);
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        int dense = (int) left.blocks().stream().filter(block -> block.feedForward() instanceof Mlp).count();
        Config fewer = Reading.keeping(config, kept, "num_hidden_layers").with("first_k_dense_replace", dense);
        return left.family().equals("dots1") ? Reading.withWindows(fewer, left) : fewer;
    }
}
