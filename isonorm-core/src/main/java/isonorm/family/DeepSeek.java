package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Activation;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Experts;
import isonorm.architecture.FeedForward;
import isonorm.architecture.LatentAttention;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.Rotary;
import isonorm.architecture.Rotary.Pairing;
import isonorm.architecture.Routing;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.Set;

/** DeepSeek-V2 and V3: latent attention, and experts with a shared MLP behind some blocks with an MLP alone. */
final class DeepSeek implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        boolean third = config.textOr("", "model_type").equals("deepseek_v3");
        Norm norm = Reading.rmsNorm(config.numberOr(1e-6, "rms_norm_eps"));
        config.require("moe_layer_freq", 1);
        config.require("scoring_func", third ? "sigmoid" : "softmax");
        LatentAttention attention = attention(config, third);
        int dense = config.integerOr(third ? 3 : 0, "first_k_dense_replace");
        List<Block> blocks = new ArrayList<>();
        for (int l = 0; l < config.integer("num_hidden_layers"); l++) {
            blocks.add(Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, attention, feedForward(config, third, l < dense)));
        }
        return new Description(Reading.decoder(config, third ? 4096 : 2048, norm, blocks, Output.Words.of(Reading.tied(config, false))),
                naming(config, tensors, attention));
    }

    private static LatentAttention attention(Config config, boolean third) throws CheckpointException {
        int heads = config.integer("num_attention_heads");
        config.require("num_key_value_heads", heads);
        boolean direct = config.has("q_lora_rank") && config.find("q_lora_rank").isEmpty();
        OptionalInt queryRank = direct ? OptionalInt.empty() : OptionalInt.of(config.integerOr(1536, "q_lora_rank"));
        boolean bias = config.flagOr(false, "attention_bias");
        if (direct && bias) {
            throw Config.unsupported("attention_bias", true, "false where q_lora_rank is null, for then the queries alone have none");
        }
        Reading.requireWholeHead(config);
        boolean halves = third && !config.flagOr(true, "rope_interleave");
        Rotary rotary = Reading.rotary(config, config.integerOr(64, "qk_rope_head_dim"), 10_000, halves ? Pairing.HALVES : Pairing.NEIGHBOURS);
        int plain = config.integerOr(128, "qk_nope_head_dim");
        double magnitude = Reading.latentMagnitude(config);
        return new LatentAttention(heads, queryRank, config.integerOr(512, "kv_lora_rank"), plain, config.integerOr(128, "v_head_dim"),
                new Attention.Scores(true, magnitude * magnitude / Math.sqrt(plain + rotary.width()), OptionalInt.empty(), OptionalDouble.empty()),
                rotary, Reading.rmsNorm(1e-6), bias, bias);
    }

    private static FeedForward feedForward(Config config, boolean third, boolean dense) throws CheckpointException {
        Activation activation = Reading.activation(config.textOr("silu", "hidden_act"));
        boolean bias = !third && config.flagOr(false, "mlp_bias");
        if (dense) {
            return Mlp.gated(config.integerOr(third ? 18432 : 11008, "intermediate_size"), activation).withBiases(bias, bias);
        }
        int hidden = config.integerOr(third ? 2048 : 1407, "moe_intermediate_size");
        int count = third ? config.integerOr(256, "n_routed_experts", "num_local_experts") : config.integerOr(64, "n_routed_experts", "num_experts");
        int chosen = third ? config.integerOr(8, "num_experts_per_tok") : config.integer("num_experts_per_tok");
        Routing routing = third
                ? Routing.softmax(chosen, config.flagOr(true, "norm_topk_prob")).withScores(new Routing.Scores.Sigmoid()).withCorrection()
                        .withGroups(new Routing.Groups(config.integerOr(8, "n_group"), config.integerOr(4, "topk_group"), 2))
                        .withScale(config.numberOr(2.5, "routed_scaling_factor"))
                : Routing.softmax(chosen, false).withGroups(groups(config)).withScale(config.numberOr(1, "routed_scaling_factor"));
        if (third) {
            config.require("topk_method", "noaux_tc");
        } else {
            config.requireFlag(false, "norm_topk_prob"); // transformers passes it over, the makers' own code does not
        }
        return Experts.of(Mlp.gated(hidden, activation), count, routing)
                .withShared(Mlp.gated(hidden * config.integerOr(third ? 1 : 2, "n_shared_experts"), activation).withBiases(bias, bias), false);
    }

    private static Routing.Groups groups(Config config) throws CheckpointException {
        config.require("topk_method", "greedy", "group_limited_greedy");
        return config.textOr("greedy", "topk_method").equals("greedy")
                ? Routing.Groups.NONE
                : new Routing.Groups(config.integer("n_group"), config.integer("topk_group"), 1);
    }

    private static Naming naming(Config config, Set<String> tensors, LatentAttention attention) throws CheckpointException {
        String own = "layers.*.self_attn.";
        String mlp = "layers.*.mlp.";
        Naming naming = LlamaNames.of(config, tensors)
                .latent(own + (attention.queryRank().isPresent() ? "q_a_proj" : "q_proj"), own + "kv_a_proj_with_mqa")
                .whole(QUERY_NORM, own + "q_a_layernorm")
                .whole(QUERY_UP, own + "q_b_proj")
                .whole(KEY_NORM, own + "kv_a_layernorm")
                .whole(KEY_VALUE_UP, own + "kv_b_proj")
                .whole(ROUTER, mlp + "gate")
                .bare(ROUTER_CORRECTION, mlp + "gate.e_score_correction_bias")
                .whole(SHARED_GATE, mlp + "shared_experts.gate_proj")
                .whole(SHARED_UP, mlp + "shared_experts.up_proj")
                .whole(SHARED_DOWN, mlp + "shared_experts.down_proj");
        if (config.integer("num_hidden_layers") == 61) {
            naming.passingOver(Repetition.OTHER_OUTPUT, "model\\.layers\\.61\\..*"); // DeepSeek-V3's block that predicts a token more
        }
        return ExpertNames.of(naming, tensors, mlp + "experts.", List.of("gate_proj", "up_proj", "down_proj"));
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        int dense = (int) left.blocks().stream().filter(block -> block.feedForward() instanceof Mlp).count();
        return Reading.keeping(config, kept, "num_hidden_layers").with("first_k_dense_replace", dense);
    }
}
