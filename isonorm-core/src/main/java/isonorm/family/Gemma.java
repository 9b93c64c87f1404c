package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Activation;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding;
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
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;

/**
 * Gemma 1, 2 and 3 and VaultGemma: RMSNorm whose gain is stored minus one, scaled embeddings; Gemma 2 and 3 also have norms behind the sub-layers.
 */
final class Gemma implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        String type = config.textOr("gemma", "model_type");
        boolean second = !type.equals("gemma"); // Gemma 2 and what came of it
        boolean peri = second && !type.equals("vaultgemma");
        config.requireFlag(false, "use_bidirectional_attention");
        int width = config.integer("hidden_size");
        int heads = config.integer("num_attention_heads");
        int headWidth = config.integerOr(256, "head_dim");
        boolean bias = config.flagOr(false, "attention_bias");
        Norm norm = Reading.rmsNorm(config.numberOr(1e-6, "rms_norm_eps"));
        Attention plain = Attention.of(heads, headWidth)
                .withKeyValueHeads(config.integerOr(heads, "num_key_value_heads"))
                .withBiases(bias, bias);
        if (second) {
            plain = plain.withScale(1 / Math.sqrt(config.numberOr(256, "query_pre_attn_scalar")));
        }
        if (capped(type)) {
            OptionalDouble softcap = Reading.softcap(config, 50, "attn_logit_softcapping");
            plain = softcap.isPresent() ? plain.withSoftcap(softcap.getAsDouble()) : plain;
        } else {
            config.requireNone("attn_logit_softcapping");
        }
        if (type.equals("gemma3_text")) {
            plain = plain.withQueryKeyNorm(new QueryKeyNorm(norm, QueryKeyNorm.Span.HEAD));
        }
        Mlp mlp = Mlp.gated(config.integer("intermediate_size"), second
                ? Reading.activation(config.textOr("gelu_pytorch_tanh", "hidden_activation"))
                : firstActivation(config));
        Reading.requireWholeHead(config);
        List<Block> all = new ArrayList<>();
        for (int l = 0; l < config.integer("num_hidden_layers"); l++) {
            boolean slides = slides(config, type, l);
            Attention attention = plain.withRotary(rotary(config, type, slides, headWidth));
            all.add(Block.of(peri ? Placement.PERI : Placement.PRE, Wiring.SEQUENTIAL, norm,
                    slides ? attention.withWindow(window(config)) : attention, mlp));
        }
        Output.Words head = Output.Words.of(Reading.tied(config, true));
        OptionalDouble cap = second ? Reading.softcap(config, capped(type) ? 30 : 0, "final_logit_softcapping") : OptionalDouble.empty();
        if (!second) {
            config.requireNone("final_logit_softcapping");
        }
        Architecture architecture = Architecture.of(type, width, config.integerOr(8192, "max_position_embeddings"),
                Embedding.Tokens.of(config.integer("vocab_size"), width).withScale(Math.sqrt(width)), all, Optional.of(norm),
                cap.isPresent() ? head.withSoftcap(cap.getAsDouble()) : head);
        Naming naming = LlamaNames.of(config, tensors).gainsMinusOne();
        return new Description(architecture, !second ? naming : naming
                .whole(ATTENTION_OUTPUT_NORM, "layers.*.post_attention_layernorm")
                .whole(MLP_NORM, "layers.*.pre_feedforward_layernorm")
                .whole(MLP_OUTPUT_NORM, "layers.*.post_feedforward_layernorm"));
    }

    private static boolean capped(String type) {
        return type.equals("gemma2") || type.equals("vaultgemma");
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        return Reading.withWindows(Reading.keeping(config, kept, "num_hidden_layers"), left);
    }

    /** Early files of the first Gemma say "gelu" and mean the tanh form; some say it again under another key, which older code took. */
    private static Activation firstActivation(Config config) throws CheckpointException {
        String word = config.textOr("gelu_pytorch_tanh", "hidden_act");
        Activation activation = word.equals("gelu") ? Activation.GELU_TANH : Reading.activation(word);
        String other = config.textOr(word, "hidden_activation");
        if (!other.equals("gelu") && Reading.activation(other) != activation) {
            throw Config.unsupported("hidden_activation", other, "what hidden_act says, " + word);
        }
        return activation;
    }

    private static int window(Config config) throws CheckpointException {
        return Reading.window(config, 4096).orElseThrow(() -> Config.unsupported("sliding_window", "null", "a number, because some blocks have a window"));
    }

    private static boolean slides(Config config, String type, int l) throws CheckpointException {
        return switch (type) {
            case "gemma2", "vaultgemma" -> Reading.slides(config, l, l % 2 == 0);
            case "gemma3_text" -> {
                int pattern = config.integerOr(6, "sliding_window_pattern");
                if (config.list("layer_types").isEmpty()) {
                    config.require("_sliding_window_pattern", pattern);
                }
                yield Reading.slides(config, l, (l + 1) % pattern != 0);
            }
            default -> false;
        };
    }

    /** Gemma 3 turns the heads of sliding blocks with another base than those of the others. */
    private static Rotary rotary(Config config, String type, boolean slides, int headWidth) throws CheckpointException {
        if (!type.equals("gemma3_text")) {
            return Reading.rotary(config, headWidth, 10000, Pairing.HALVES);
        }
        double base = slides ? config.numberOr(10_000, "rope_local_base_freq") : config.numberOr(1_000_000, "rope_theta");
        return Reading.rotaryOfKind(config, slides, headWidth, base);
    }
}
