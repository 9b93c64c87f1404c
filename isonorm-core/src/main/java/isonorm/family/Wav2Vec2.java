package isonorm.family;

import static isonorm.architecture.Part.*;

import isonorm.architecture.Activation;
import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.Embedding.Sound;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Placement;
import isonorm.architecture.RelativeBias;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;

/**
 * wav2vec 2.0 (arXiv 2006.11477) and what has its shape, encoders of waveforms: HuBERT, UniSpeech, UniSpeech-SAT, WavLM and data2vec audio. Post-LN with a norm
 * behind the embedding, or Pre-LN ("stable"), with positions that are convolved; WavLM's have gated biases of distances besides.
 */
final class Wav2Vec2 implements Family {

    /** So many positions half a minute has; there is no last one. */
    private static final int CONTEXT = 1500;

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        String type = config.textOr("", "model_type");
        boolean data2vec = type.equals("data2vec-audio");
        boolean stable = !data2vec && config.flagOr(false, "do_stable_layer_norm");
        if (type.equals("wav2vec2") || type.equals("wavlm") || data2vec) {
            config.requireFlag(false, "add_adapter");
        }
        if (!data2vec) {
            config.requireNone("adapter_attn_dim");
        }
        int width = config.integer("hidden_size");
        Norm norm = Reading.layerNorm(config.numberOr(1e-5, "layer_norm_eps"));
        Activation activation = Reading.activation(config.textOr("gelu", "feat_extract_activation"));
        boolean normed = !type.equals("hubert") || config.flagOr(true, "feat_proj_layer_norm");
        Sound sound = new Sound(1, OptionalInt.empty(), false, convolutions(config, data2vec, activation),
                Optional.of(new Sound.FrameProjection(normed ? Optional.of(norm) : Optional.empty())), 1, places(config, type, activation),
                tensors.stream().anyMatch(name -> name.endsWith("masked_spec_embed")),
                stable ? Optional.empty() : Optional.of(norm), false);
        int heads = config.integer("num_attention_heads");
        Attention attention = Attention.of(heads, Reading.widthOfHead(width, heads)).bidirectional();
        Block block = Block.of(stable ? Placement.PRE : Placement.POST, Wiring.SEQUENTIAL, norm, attention,
                Mlp.plain(config.integer("intermediate_size"), Reading.activation(config.textOr("gelu", "hidden_act"))));
        List<Block> blocks = new ArrayList<>(Reading.repeated(config.integer("num_hidden_layers"), block));
        if (type.equals("wavlm")) {
            RelativeBias distances = RelativeBias.ofDistances(config.integerOr(320, "num_buckets"), config.integerOr(800, "max_bucket_distance"), true)
                    .withGates(RelativeBias.Gates.SHARED);
            for (int l = 0; l < blocks.size(); l++) {
                blocks.set(l, block.withMixer(attention.withRelative(l == 0 ? distances : distances.shared())));
            }
        }
        Architecture architecture = Architecture.of(type, width, CONTEXT, sound, blocks, stable ? Optional.of(norm) : Optional.empty(), output(config));
        return new Description(architecture, naming(config, tensors, sound, stable, attention.heads().count()));
    }

    private static Output output(Config config) throws CheckpointException {
        String model = config.modelClass();
        if (model.endsWith("ForCTC")) {
            return Output.Labels.of(config.integerOr(32, "vocab_size"), Output.Pooling.EVERY);
        }
        if (model.endsWith("ForAudioFrameClassification")) {
            config.requireFlag(false, "use_weighted_layer_sum");
            return Output.Labels.of(Vit.labels(config), Output.Pooling.EVERY);
        }
        if (model.endsWith("ForSequenceClassification")) { // the mean of what the projection gives is what it gives of the mean
            config.requireFlag(false, "use_weighted_layer_sum");
            Output.Dense projection = new Output.Dense(config.integerOr(256, "classifier_proj_size"), Optional.empty(), true);
            return Output.Labels.of(Vit.labels(config), Output.Pooling.MEAN).withTransform(new Output.Transform(Optional.of(projection), Optional.empty()));
        }
        return new Output.Hidden(Output.Pooler.NONE);
    }

    private static List<Sound.Convolution> convolutions(Config config, boolean data2vec, Activation activation) throws CheckpointException {
        String kind = data2vec ? "layer" : config.textOr("group", "feat_extract_norm");
        if (!kind.equals("group") && !kind.equals("layer")) {
            throw Config.unsupported("feat_extract_norm", kind, "group or layer");
        }
        List<Integer> channels = numbers(config, "conv_dim", List.of(512, 512, 512, 512, 512, 512, 512));
        List<Integer> kernels = numbers(config, "conv_kernel", List.of(10, 3, 3, 3, 3, 2, 2));
        List<Integer> strides = numbers(config, "conv_stride", List.of(5, 2, 2, 2, 2, 2, 2));
        if (kernels.size() != channels.size() || strides.size() != channels.size()) {
            throw Config.unsupported("conv_kernel and conv_stride", "lists of " + kernels.size() + " and " + strides.size(), "as many as conv_dim has, " + channels.size());
        }
        boolean bias = config.flagOr(false, "conv_bias");
        List<Sound.Convolution> all = new ArrayList<>();
        for (int i = 0; i < channels.size(); i++) {
            Optional<Sound.ChannelNorm> norm = kind.equals("layer")
                    ? Optional.of(new Sound.ChannelNorm(Reading.layerNorm(1e-5), Sound.ChannelNorm.Over.CHANNELS))
                    : i == 0 ? Optional.of(new Sound.ChannelNorm(Reading.layerNorm(1e-5), Sound.ChannelNorm.Over.TIME)) : Optional.empty();
            all.add(new Sound.Convolution(channels.get(i), kernels.get(i), strides.get(i), 0, bias, norm, Optional.of(activation)));
        }
        return all;
    }

    private static List<Integer> numbers(Config config, String name, List<Integer> otherwise) throws CheckpointException {
        List<?> listed = config.has(name) ? config.list(name) : otherwise;
        List<Integer> numbers = listed.stream().filter(Integer.class::isInstance).map(Integer.class::cast).toList();
        if (numbers.isEmpty() || numbers.size() != listed.size()) {
            throw Config.unsupported(name, listed, "a list of whole numbers");
        }
        return numbers;
    }

    private static Sound.Places places(Config config, String type, Activation activation) throws CheckpointException {
        int groups = config.integerOr(16, "num_conv_pos_embedding_groups");
        if (type.equals("data2vec-audio")) {
            return new Sound.Places.Convolved(config.integerOr(5, "num_conv_pos_embeddings"), config.integerOr(19, "conv_pos_kernel_size"), groups,
                    Optional.of(Norm.of(NormKind.LAYER, 1e-5, Affine.NONE)), activation, false);
        }
        if (type.equals("hubert")) {
            config.requireFlag(false, "conv_pos_batch_norm");
        }
        return new Sound.Places.Convolved(1, config.integerOr(128, "num_conv_pos_embeddings"), groups, Optional.empty(), activation, true);
    }

    private static Naming naming(Config config, Set<String> tensors, Sound sound, boolean stable, int heads) {
        String prefix = config.textOr("", "model_type").replace('-', '_') + ".";
        List<String> convolutions = new ArrayList<>();
        List<String> norms = new ArrayList<>();
        for (int i = 0; i < sound.convolutions().size(); i++) {
            convolutions.add("feature_extractor.conv_layers." + i + ".conv");
            norms.add("feature_extractor.conv_layers." + i + ".layer_norm");
        }
        String positions = "encoder.pos_conv_embed.";
        List<String> places = new ArrayList<>();
        if (sound.places() instanceof Sound.Places.Convolved convolved) {
            for (int i = 0; i < convolved.count(); i++) {
                places.add(convolved.magnitudes() ? positions + "conv" : positions + "layers." + i + ".conv");
            }
        }
        String block = "encoder.layers.*.";
        Naming naming = Naming.of(config, tensors, prefix)
                .convolutions(CONVOLUTION, convolutions)
                .convolutions(CONVOLUTION_NORM, norms)
                .whole(FRAME_NORM, "feature_projection.layer_norm")
                .whole(EMBEDDING_PROJECTION, "feature_projection.projection")
                .bare(MASK_TOKEN, "masked_spec_embed")
                .convolutions(POSITION_CONVOLUTION, places)
                .whole(ATTENTION_NORM, block + "layer_norm")
                .separate(block + "attention.q_proj", block + "attention.k_proj", block + "attention.v_proj")
                .whole(ATTENTION_OUTPUT, block + "attention.out_proj")
                .whole(RELATIVE_BIAS, block + "attention.rel_attn_embed")
                .whole(RELATIVE_GATE, block + "attention.gru_rel_pos_linear")
                .bare(RELATIVE_GATE_SCALE, block + "attention.gru_rel_pos_const", 1L, (long) heads, 1L, 1L)
                .whole(MLP_NORM, block + "final_layer_norm")
                .whole(MLP_UP, block + "feed_forward.intermediate_dense")
                .whole(MLP_DOWN, block + "feed_forward.output_dense")
                .whole(stable ? FINAL_NORM : EMBEDDING_NORM, "encoder.layer_norm")
                .whole(HEAD_TRANSFORM, "/projector")
                .whole(HEAD, config.modelClass().endsWith("ForCTC") ? "/lm_head" : "/classifier");
        if (sound.places() instanceof Sound.Places.Convolved convolved && !convolved.magnitudes()) {
            return naming;
        }
        boolean older = tensors.stream().anyMatch(name -> name.endsWith(".weight_g"));
        return older ? naming.directed(".weight_v", ".weight_g")
                : naming.directed(".parametrizations.weight.original1", ".parametrizations.weight.original0");
    }
}
