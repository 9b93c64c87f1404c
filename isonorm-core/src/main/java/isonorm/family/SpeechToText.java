package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Activation;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Bases;
import isonorm.architecture.Block;
import isonorm.architecture.Companion;
import isonorm.architecture.CrossAttention;
import isonorm.architecture.Embedding;
import isonorm.architecture.Embedding.Sound;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.Stream;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import isonorm.weights.Sinusoids;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;

/**
 * Encoders of spectrograms beside decoders of texts, both Pre-LN: Whisper (arXiv 2212.04356), whose keys have no bias and whose positions are stored,
 * and Speech2Text (arXiv 2010.05171), whose positions are computed.
 */
final class SpeechToText implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        String type = config.textOr("", "model_type");
        boolean whisper = type.equals("whisper");
        config.requireFlag(true, "is_encoder_decoder");
        int width = config.integer("d_model", "hidden_size");
        int sourcePositions = config.integerOr(whisper ? 1500 : 6000, "max_source_positions");
        int targetPositions = config.integerOr(whisper ? 448 : 1024, "max_target_positions");
        Norm norm = Reading.layerNorm(1e-5);
        Activation activation = Reading.activation(config.textOr(whisper ? "gelu" : "relu", "activation_function"));
        int vocabulary = config.integer("vocab_size");
        boolean tied = Reading.tied(config, true);
        Architecture encoder = Architecture.of(type, width, sourcePositions,
                whisper ? frames(config, width, sourcePositions) : subsampled(config, width, sourcePositions),
                Reading.repeated(config.integer("encoder_layers", "num_hidden_layers"), block(config, norm, activation, width, "encoder")),
                Optional.of(norm), new Output.Hidden(Output.Pooler.NONE));
        Embedding.Tokens tokens = Embedding.Tokens.of(vocabulary, width);
        Architecture decoder = new Architecture(type, width, targetPositions,
                whisper ? tokens.withPositions(targetPositions, 0, false)
                        : tokens.withScale(scale(config, width)).withPositions(targetPositions + padding(config) + 1, padding(config) + 1, false)
                                .withSpecial(new Embedding.Special(OptionalInt.of(padding(config)), OptionalInt.empty())),
                Reading.repeated(config.integer("decoder_layers"), block(config, norm, activation, width, "decoder")),
                Optional.of(norm), Output.Words.of(tied), Stream.FREE, Bases.ONE, Optional.of(new Companion.Encoder(encoder, false)));
        Naming encoderNames = naming(config, tensors, whisper, "encoder")
                .convolutions(CONVOLUTION, whisper ? List.of("encoder.conv1", "encoder.conv2") : subsamplers(config));
        Naming names = naming(config, tensors, whisper, "decoder")
                .whole(TOKEN_EMBEDDING, "decoder.embed_tokens")
                .whole(CROSS_NORM, "decoder.layers.*.encoder_attn_layer_norm")
                .whole(CROSS_QUERY, "decoder.layers.*.encoder_attn.q_proj")
                .keyValue("decoder.layers.*.encoder_attn.k_proj", "decoder.layers.*.encoder_attn.v_proj")
                .whole(CROSS_OUTPUT, "decoder.layers.*.encoder_attn.out_proj")
                .whole(HEAD, whisper ? "/proj_out" : "/lm_head")
                .beside(encoderNames);
        return new Description(decoder, names);
    }

    /** Whisper's two convolutions, of which the second halves the frames; as many must come in as there are positions. */
    private static Sound frames(Config config, int width, int positions) throws CheckpointException {
        Optional<Activation> gelu = Optional.of(Activation.GELU);
        return new Sound(config.integerOr(80, "num_mel_bins"), OptionalInt.of(2 * positions), false,
                List.of(Sound.Convolution.of(width, 3, 1, 1, gelu), Sound.Convolution.of(width, 3, 2, 1, gelu)), Optional.empty(), 1,
                new Sound.Places.Table(positions, 0), false, Optional.empty(), false);
    }

    /** Speech2Text's convolutions, each of which halves the frames, with gated linear units. */
    private static Sound subsampled(Config config, int width, int positions) throws CheckpointException {
        List<Integer> kernels = kernels(config);
        int channels = config.integerOr(1024, "conv_channels");
        if (channels % 2 != 0) {
            throw Config.unsupported("conv_channels", channels, "an even number, of which half are gates");
        }
        List<Sound.Convolution> convolutions = new ArrayList<>();
        for (int i = 0; i < kernels.size(); i++) {
            int kernel = kernels.get(i);
            convolutions.add(Sound.Convolution.of(i < kernels.size() - 1 ? channels / 2 : width, kernel, 2, kernel / 2, Optional.empty()));
        }
        return new Sound(config.integerOr(80, "input_feat_per_channel") * config.integerOr(1, "input_channels"), OptionalInt.empty(), true, convolutions,
                Optional.empty(), scale(config, width), new Sound.Places.Table(positions + padding(config) + 1, padding(config) + 1), false, Optional.empty(), false);
    }

    private static List<Integer> kernels(Config config) throws CheckpointException {
        List<?> listed = config.has("conv_kernel_sizes") ? config.list("conv_kernel_sizes") : List.of(5, 5);
        List<Integer> kernels = listed.stream().filter(Integer.class::isInstance).map(Integer.class::cast).toList();
        int count = config.integerOr(2, "num_conv_layers");
        if (kernels.size() != listed.size() || kernels.size() != count || count < 1) {
            throw Config.unsupported("conv_kernel_sizes", listed, count + " whole numbers, one for each of num_conv_layers");
        }
        return kernels;
    }

    private static List<String> subsamplers(Config config) throws CheckpointException {
        List<String> names = new ArrayList<>();
        for (int i = 0; i < kernels(config).size(); i++) {
            names.add("encoder.conv.conv_layers." + i);
        }
        return names;
    }

    private static double scale(Config config, int width) throws CheckpointException {
        return config.flagOr(true, "scale_embedding") ? Math.sqrt(width) : 1;
    }

    private static int padding(Config config) throws CheckpointException {
        int padding = config.integerOr(1, "pad_token_id");
        if (padding < 1) { // sounds are told from padding by zeros, which are then no sounds
            throw Config.unsupported("pad_token_id", padding, "1 or more, for sounds have no positions otherwise");
        }
        return padding;
    }

    private static Block block(Config config, Norm norm, Activation activation, int width, String stack) throws CheckpointException {
        boolean encoder = stack.equals("encoder");
        int heads = encoder ? config.integer("encoder_attention_heads", "num_attention_heads") : config.integer("decoder_attention_heads");
        int headWidth = Reading.widthOfHead(width, heads);
        Attention attention = Attention.of(heads, headWidth);
        Block block = Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, encoder ? attention.bidirectional() : attention,
                Mlp.plain(config.integer(stack + "_ffn_dim"), activation));
        return encoder ? block : block.withCross(CrossAttention.of(heads, headWidth));
    }

    /** The names of one of the two stacks. */
    private static Naming naming(Config config, Set<String> tensors, boolean whisper, String stack) throws CheckpointException {
        String block = stack + ".layers.*.";
        Naming naming = Naming.of(config, tensors, "model.")
                .whole(POSITION_EMBEDDING, stack + ".embed_positions")
                .whole(ATTENTION_NORM, block + "self_attn_layer_norm")
                .separate(block + "self_attn.q_proj", block + "self_attn.k_proj", block + "self_attn.v_proj")
                .whole(ATTENTION_OUTPUT, block + "self_attn.out_proj")
                .whole(MLP_NORM, block + "final_layer_norm")
                .whole(MLP_UP, block + "fc1")
                .whole(MLP_DOWN, block + "fc2")
                .whole(FINAL_NORM, stack + ".layer_norm");
        if (whisper) {
            return naming.withoutKeyBias();
        }
        OptionalInt padding = OptionalInt.of(padding(config));
        return naming.computed(POSITION_EMBEDDING, parameter -> Sinusoids.toTheLast(parameter.rows(), parameter.columns(), padding));
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        return Reading.keeping(config, kept, "decoder_layers");
    }
}
