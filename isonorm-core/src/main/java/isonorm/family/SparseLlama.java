package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Activation;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
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
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;

/** Mixtral, Qwen 2 and 3 MoE, OLMoE and Phi-3.5 MoE: Llama with experts in the place of its MLP. */
final class SparseLlama implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        String type = config.textOr("mixtral", "model_type");
        boolean qwen = type.startsWith("qwen");
        int width = config.integer("hidden_size");
        int heads = config.integer("num_attention_heads");
        int headWidth = Reading.headWidth(config, width, heads);
        double epsilon = config.numberOr(qwen ? 1e-6 : 1e-5, "rms_norm_eps");
        Norm norm = type.equals("phimoe") ? Reading.layerNorm(epsilon) : Reading.rmsNorm(epsilon);
        Reading.requireWholeHead(config);
        if (type.equals("phimoe")) { // whose longrope has factors of its own
            for (String name : List.of("rope_parameters", "rope_scaling")) {
                config.object(name).require("rope_type", "default");
                config.object(name).require("type", "default");
            }
        }
        Attention plain = Attention.of(heads, headWidth)
                .withKeyValueHeads(config.has("num_key_value_heads") ? config.integerOr(heads, "num_key_value_heads") : keyValueHeads(type, heads))
                .withRotary(Reading.rotary(config, headWidth, type.equals("phimoe") || type.equals("mixtral") ? 1_000_000 : 10_000, Pairing.HALVES));
        Attention attention = switch (type) {
            case "mixtral" -> plain.withBiases(false, false);
            case "qwen2_moe" -> plain.withBiases(config.flagOr(true, "qkv_bias"), false);
            default -> {
                boolean bias = config.flagOr(false, "attention_bias");
                yield plain.withBiases(bias, bias);
            }
        };
        if (type.equals("qwen3_moe") || type.equals("olmoe")) {
            attention = attention.withQueryKeyNorm(new QueryKeyNorm(norm, qwen ? QueryKeyNorm.Span.HEAD : QueryKeyNorm.Span.PROJECTION));
        }
        if (type.equals("olmoe")) {
            config.requireNone("clip_qkv"); // of queries and keys behind their norms
            config.requireNone("sliding_window");
        }
        int blocks = config.integer("num_hidden_layers");
        List<Block> all = new ArrayList<>();
        for (int l = 0; l < blocks; l++) {
            OptionalInt window = window(config, type, l);
            all.add(Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, window.isPresent() ? attention.withWindow(window.getAsInt()) : attention,
                    feedForward(config, type, l)));
        }
        Output.Words output = Output.Words.of(Reading.tied(config, false));
        Architecture architecture = Architecture.of(type, width, config.integerOr(context(type), "max_position_embeddings"),
                Embedding.Tokens.of(config.integer("vocab_size"), width), all, Optional.of(norm),
                type.equals("phimoe") ? output.withBias(config.flagOr(false, "lm_head_bias")) : output);
        return new Description(architecture, naming(config, tensors, type));
    }

    private static int keyValueHeads(String type, int heads) {
        return switch (type) {
            case "mixtral", "phimoe" -> 8;
            case "qwen2_moe" -> 16;
            case "qwen3_moe" -> 4;
            default -> heads;
        };
    }

    private static int context(String type) {
        return switch (type) {
            case "mixtral", "phimoe" -> 4096 * 32;
            case "olmoe" -> 4096;
            default -> 32768;
        };
    }

    /** How many positions block {@code l} sees; empty for all. */
    private static OptionalInt window(Config config, String type, int l) throws CheckpointException {
        return switch (type) {
            case "mixtral", "phimoe" -> config.find("sliding_window").isPresent() ? Reading.window(config, 0) : OptionalInt.empty();
            case "qwen3_moe" -> config.flagOr(false, "use_sliding_window") ? Reading.window(config, 4096) : OptionalInt.empty();
            case "qwen2_moe" -> {
                OptionalInt window = config.flagOr(false, "use_sliding_window") ? Reading.window(config, 4096) : OptionalInt.empty();
                yield Reading.slides(config, l, l % 2 == 0 && l < config.integerOr(28, "max_window_layers")) ? window : OptionalInt.empty();
            }
            default -> OptionalInt.empty();
        };
    }

    private static FeedForward feedForward(Config config, String type, int l) throws CheckpointException {
        Activation activation = Reading.activation(config.textOr("silu", "hidden_act"));
        return switch (type) {
            case "qwen2_moe", "qwen3_moe" -> {
                boolean second = type.equals("qwen2_moe");
                int count = config.integerOr(second ? 60 : 128, second ? new String[] {"num_experts"} : new String[] {"num_experts", "num_local_experts"});
                if (count == 0 || config.list("mlp_only_layers").contains(l) || (l + 1) % config.integerOr(1, "decoder_sparse_step") != 0) {
                    yield Mlp.gated(config.integerOr(second ? 5632 : 6144, "intermediate_size"), activation);
                }
                Experts experts = Experts.of(Mlp.gated(config.integerOr(second ? 1408 : 768, "moe_intermediate_size"), activation), count,
                        Routing.softmax(config.integerOr(second ? 4 : 8, "num_experts_per_tok"), config.flagOr(false, "norm_topk_prob")));
                yield second ? experts.withShared(Mlp.gated(config.integerOr(5632, "shared_expert_intermediate_size"), activation), true) : experts;
            }
            case "olmoe" ->
                Experts.of(Mlp.gated(config.integerOr(2048, "intermediate_size"), activation), config.integerOr(64, "num_experts", "num_local_experts"),
                        Routing.softmax(config.integerOr(8, "num_experts_per_tok"), config.flagOr(false, "norm_topk_prob")));
            case "phimoe" -> {
                config.require("num_experts_per_tok", 2);
                yield Experts.of(Mlp.gated(config.integerOr(6400, "intermediate_size"), activation), config.integerOr(16, "num_local_experts"),
                        Routing.softmax(2, false).withScores(new Routing.Scores.SparseMixer(config.numberOr(0.01, "router_jitter_noise"))));
            }
            default ->
                Experts.of(Mlp.gated(config.integerOr(14336, "intermediate_size"), activation), config.integerOr(8, "num_local_experts", "num_experts"),
                        Routing.softmax(config.integerOr(2, "num_experts_per_tok"), true));
        };
    }

    /** Experts have a tensor each in most files, and one for all in some. */
    private static Naming naming(Config config, Set<String> tensors, String type) {
        Naming llama = LlamaNames.of(config, tensors);
        boolean mixtral = type.equals("mixtral") || type.equals("phimoe");
        boolean older = tensors.isEmpty() || tensors.stream().anyMatch(name -> name.contains(".block_sparse_moe."));
        String experts = "layers.*." + (mixtral && older ? "block_sparse_moe" : "mlp") + ".";
        boolean router = tensors.stream().anyMatch(name -> name.endsWith("mlp.router.weight"));
        llama.whole(ROUTER, experts + (type.equals("phimoe") && router ? "router" : "gate"))
                .whole(SHARED_WEIGHT, experts + "shared_expert_gate")
                .whole(SHARED_GATE, experts + "shared_expert.gate_proj")
                .whole(SHARED_UP, experts + "shared_expert.up_proj")
                .whole(SHARED_DOWN, experts + "shared_expert.down_proj");
        return ExpertNames.of(llama, tensors, experts + "experts.", mixtral ? List.of("w1", "w3", "w2") : List.of("gate_proj", "up_proj", "down_proj"));
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        Config fewer = Reading.keeping(config, kept, "num_hidden_layers");
        if (!left.family().startsWith("qwen")) {
            return fewer;
        }
        List<Integer> dense = new ArrayList<>();
        for (int l = 0; l < left.blocks().size(); l++) {
            if (left.blocks().get(l).feedForward() instanceof Mlp) {
                dense.add(l);
            }
        }
        Config named = dense.isEmpty() && !config.has("mlp_only_layers") ? fewer : fewer.with("mlp_only_layers", dense);
        Config stepped = config.has("decoder_sparse_step") ? named.with("decoder_sparse_step", 1) : named;
        return left.family().equals("qwen2_moe") ? Reading.withWindows(stepped, left) : stepped;
    }
}
