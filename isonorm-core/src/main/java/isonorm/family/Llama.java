package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
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
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;

/** Llama, Mistral, Qwen 2, Qwen 3 and OLMo: a norm before attention and before a gated MLP, rotary positions. */
final class Llama implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        String type = config.textOr("llama", "model_type");
        int width = config.integer("hidden_size");
        int heads = config.integer("num_attention_heads");
        int blocks = config.integer("num_hidden_layers");
        int headWidth = config.integerOr(type.equals("qwen3") ? 128 : Reading.widthOfHead(width, heads), "head_dim");
        boolean attentionBias = config.flagOr(false, "attention_bias");
        boolean mlpBias = config.flagOr(false, "mlp_bias");
        // OLMo's norm has no parameters, a fixed epsilon, and takes the mean out: it is the one LayerNorm among these.
        Norm norm = type.equals("olmo")
                ? Norm.of(NormKind.LAYER, 1e-5, Affine.NONE)
                : Reading.rmsNorm(config.numberOr(1e-6, "rms_norm_eps"));
        Attention everywhere = Attention.of(heads, headWidth)
                .withKeyValueHeads(config.integerOr(type.equals("mistral") && !config.has("num_key_value_heads") ? 8 : heads, "num_key_value_heads"))
                .withRotary(Reading.rotary(config, headWidth, 10000, Pairing.HALVES))
                .withBiases(attentionBias || type.equals("qwen2"), attentionBias);
        if (type.equals("qwen3")) {
            everywhere = everywhere.withQueryKeyNorm(new QueryKeyNorm(norm, QueryKeyNorm.Span.HEAD));
        }
        Reading.requireWholeHead(config);
        if (!type.equals("olmo")) {
            config.requireNone("clip_qkv");
        } else if (config.find("clip_qkv").isPresent()) {
            double clip = config.numberOr(0, "clip_qkv");
            if (!(clip > 0)) {
                throw Config.unsupported("clip_qkv", clip, "above 0, or null for none");
            }
            everywhere = everywhere.withClip(clip);
        }
        Mlp mlp = Mlp.gated(config.integer("intermediate_size"), Reading.activation(config.textOr("silu", "hidden_act")))
                .withBiases(mlpBias, mlpBias);
        List<Block> all = new ArrayList<>();
        for (int l = 0; l < blocks; l++) {
            OptionalInt window = window(config, type, l);
            all.add(Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, window.isPresent() ? everywhere.withWindow(window.getAsInt()) : everywhere, mlp));
        }
        Architecture architecture = Architecture.of(type, width, config.integerOr(2048, "max_position_embeddings"),
                Embedding.Tokens.of(config.integer("vocab_size"), width), all, Optional.of(norm),
                Output.Words.of(Reading.tied(config, false)));
        return new Description(architecture, LlamaNames.of(config, tensors));
    }

    @Override
    public Optional<Stock> stock() {
        return Optional.of(new StockDecoder("llama", "Llama", Wiring.SEQUENTIAL, Pairing.HALVES, Set.of(StockDecoder.Place.MLP_BIASES)));
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        Config fewer = Reading.keeping(config, kept, "num_hidden_layers");
        return switch (left.family()) {
            case "qwen2", "qwen3" -> {
                int full = config.integerOr(28, "max_window_layers"); // so many blocks at the begin have no window
                yield Reading.withWindows(config.has("max_window_layers")
                        ? fewer.with("max_window_layers", (int) kept.stream().filter(block -> block < full).count()) : fewer, left);
            }
            default -> fewer;
        };
    }

    /** How many positions block {@code l} sees; empty for all. */
    private static OptionalInt window(Config config, String type, int l) throws CheckpointException {
        return switch (type) {
            case "mistral" -> Reading.window(config, 4096);
            case "qwen2", "qwen3" -> {
                OptionalInt window = config.flagOr(false, "use_sliding_window") ? Reading.window(config, 4096) : OptionalInt.empty();
                // Without a window no block slides, and a list that says so of one is refused where it is compared with the blocks.
                yield Reading.slides(config, l, l >= config.integerOr(28, "max_window_layers")) ? window : OptionalInt.empty();
            }
            default -> OptionalInt.empty();
        };
    }
}
