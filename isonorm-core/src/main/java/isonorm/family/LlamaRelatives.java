package isonorm.family;

import static java.util.Objects.requireNonNull;

import isonorm.architecture.Activation;
import isonorm.architecture.Architecture;
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
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Models with Llama's tensors that differ from it in few things: Arcee (an MLP without a gate), CWM (windows in three of four blocks), ERNIE 4.5
 * and Helium (neighbours are turned together), Jais 2 (LayerNorm, no gate), Ministral (windows), Seed-OSS (biases of attention), SmolLM3 (no positions
 * in every fourth block).
 */
final class LlamaRelatives implements Family {

    /** What a family's config says where a file says nothing. */
    private record Absent(int headWidth, int keyValueHeads, double base, int context, double epsilon, String activation, boolean tied) {}

    private static final Map<String, Absent> ABSENT = Map.of(
            "arcee", new Absent(0, 0, 10_000, 4096, 1e-5, "relu2", false),
            "cwm", new Absent(128, 8, 1_000_000, 131_072, 1e-5, "silu", false),
            "ernie4_5", new Absent(128, 2, 500_000, 131_072, 1e-5, "silu", true),
            "helium", new Absent(128, 20, 100_000, 4096, 1e-8, "silu", false),
            "jais2", new Absent(0, 0, 10_000, 8192, 1e-5, "relu2", false),
            "ministral", new Absent(0, 8, 10_000, 131_072, 1e-6, "silu", false),
            "seed_oss", new Absent(128, 8, 10_000, 524_288, 1e-6, "silu", false),
            "smollm3", new Absent(0, 4, 2_000_000, 32_768, 1e-6, "silu", true));

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        String type = config.textOr("", "model_type");
        Absent absent = requireNonNull(ABSENT.get(type));
        Reading.requireWholeHead(config);
        Norm norm = type.equals("jais2") ? Reading.layerNorm(config.numberOr(absent.epsilon, "layer_norm_eps"))
                : Reading.rmsNorm(config.numberOr(absent.epsilon, "rms_norm_eps"));
        Attention everywhere = biased(config, type, Reading.attention(config, absent.headWidth, absent.keyValueHeads));
        if (type.equals("helium") && everywhere.outputColumns() != config.integer("hidden_size")) {
            throw Config.unsupported("head_dim", everywhere.heads().width(), "hidden_size / num_attention_heads");
        }
        Rotary rotary = rotary(config, type, absent, everywhere.heads().width());
        List<Block> blocks = new ArrayList<>();
        for (int l = 0; l < config.integer("num_hidden_layers"); l++) {
            boolean turns = !type.equals("smollm3") || turns(config, l);
            Attention attention = turns ? everywhere.withRotary(rotary) : everywhere;
            blocks.add(Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm,
                    slides(config, type, l, turns) ? attention.withWindow(window(config, type)) : attention, mlp(config, type, absent)));
        }
        return new Description(Reading.decoder(config, absent.context, norm, blocks, Output.Words.of(Reading.tied(config, absent.tied))),
                LlamaNames.of(config, tensors));
    }

    private static Attention biased(Config config, String type, Attention attention) throws CheckpointException {
        return switch (type) {
            case "cwm", "ministral" -> attention;
            case "ernie4_5" -> {
                boolean all = config.flagOr(false, "use_bias");
                yield attention.withBiases(all, all);
            }
            case "helium" -> attention.withBiases(config.flagOr(false, "attention_bias"), false);
            case "seed_oss" -> attention.withBiases(config.flagOr(true, "attention_bias"), config.flagOr(false, "attention_out_bias"));
            default -> {
                boolean all = config.flagOr(type.equals("jais2"), "attention_bias");
                yield attention.withBiases(all, all);
            }
        };
    }

    private static Mlp mlp(Config config, String type, Absent absent) throws CheckpointException {
        int hidden = config.integer("intermediate_size");
        Activation activation = Reading.activation(config.textOr(absent.activation, "hidden_act"));
        Mlp plain = type.equals("arcee") || type.equals("jais2") ? Mlp.plain(hidden, activation) : Mlp.gated(hidden, activation);
        boolean bias = switch (type) {
            case "ministral" -> false;
            case "ernie4_5" -> config.flagOr(false, "use_bias");
            default -> config.flagOr(type.equals("jais2"), "mlp_bias");
        };
        return plain.withBiases(bias, bias);
    }

    private static Rotary rotary(Config config, String type, Absent absent, int headWidth) throws CheckpointException {
        Pairing pairing = type.equals("ernie4_5") || type.equals("helium") ? Pairing.NEIGHBOURS : Pairing.HALVES;
        if (type.equals("cwm") && config.object("rope_parameters").isEmpty() && config.object("rope_scaling").isEmpty()) {
            config.require("rope_theta", 1_000_000); // the parameters that stand for absent ones have their own
            return Reading.rotary(config.with("rope_parameters", Map.of("rope_type", "llama3", "factor", 16, "low_freq_factor", 1,
                    "high_freq_factor", 4, "original_max_position_embeddings", 8192)), headWidth, absent.base, pairing);
        }
        return Reading.rotary(config, headWidth, absent.base, pairing);
    }

    /** Whether SmolLM3 turns queries and keys in block {@code l}. */
    private static boolean turns(Config config, int l) throws CheckpointException {
        List<?> listed = config.list("no_rope_layers");
        if (config.find("no_rope_layers").isEmpty()) {
            int interval = config.integerOr(4, "no_rope_layer_interval");
            if (interval < 1) {
                throw Config.unsupported("no_rope_layer_interval", interval, "1 or more");
            }
            return (l + 1) % interval != 0;
        }
        if (l >= listed.size() || !(listed.get(l) instanceof Integer turns) || turns < 0 || turns > 1) {
            throw Config.unsupported("no_rope_layers", l < listed.size() ? listed.get(l) : "nothing for block " + l, "1 or 0 for each block");
        }
        return turns == 1;
    }

    private static boolean slides(Config config, String type, int l, boolean turns) throws CheckpointException {
        return switch (type) {
            case "cwm" -> Reading.slides(config, l, l % 4 != 0);
            case "ministral" -> Reading.slides(config, l, Reading.window(config, 4096).isPresent());
            case "smollm3" -> config.flagOr(false, "use_sliding_window") && config.find("sliding_window").isPresent() && Reading.slides(config, l, !turns);
            default -> false;
        };
    }

    private static int window(Config config, String type) throws CheckpointException {
        return Reading.window(config, type.equals("cwm") ? 8192 : 4096)
                .orElseThrow(() -> Config.unsupported("sliding_window", "null", "a number, because some blocks have a window"));
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        Config fewer = Reading.withWindows(Reading.keeping(config, kept, "num_hidden_layers"), left);
        return left.family().equals("smollm3") ? fewer.with("no_rope_layers", Reading.turned(left)) : fewer;
    }
}
