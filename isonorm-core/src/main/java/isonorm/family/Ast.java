package isonorm.family;

import static isonorm.architecture.Part.HEAD;
import static isonorm.architecture.Part.HEAD_TRANSFORM_NORM;

import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.architecture.Norm;
import isonorm.architecture.Output;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.Optional;
import java.util.Set;

/** The Audio Spectrogram Transformer: ViT on patches of a spectrogram that overlap, behind a class token and a distillation token, whose mean is read. */
final class Ast implements Family {

    private static final String PREFIX = "audio_spectrogram_transformer.";

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        int width = config.integer("hidden_size");
        int patch = Reading.patch(config, 16);
        Embedding.Patches embedding = Embedding.Patches.of(patch, patch, patch, 1)
                .withBeside(2, 0)
                .withImage(config.integerOr(1024, "max_length"), config.integerOr(128, "num_mel_bins"),
                        new Embedding.Patches.Cut(patch, config.integerOr(10, "frequency_stride"), config.integerOr(10, "time_stride"), true));
        boolean classifier = tensors.isEmpty() ? config.modelClass().endsWith("ForAudioClassification") : tensors.contains("classifier.dense.weight");
        Norm norm = Reading.layerNorm(config.numberOr(1e-12, "layer_norm_eps"));
        Architecture architecture = Architecture.of("audio-spectrogram-transformer", width, embedding.tokens(), embedding,
                Reading.repeated(config.integer("num_hidden_layers"), Vit.block(config, width, norm)), Optional.of(norm),
                classifier
                        ? Output.Labels.of(Vit.labels(config), Output.Pooling.MEAN_OF_TWO).withTransform(new Output.Transform(Optional.empty(), Optional.of(norm)))
                        : new Output.Hidden(Output.Pooler.MEAN_OF_TWO));
        return new Description(architecture, Vit.names(Naming.of(config, tensors, PREFIX), width, embedding)
                .whole(HEAD_TRANSFORM_NORM, "/classifier.layernorm")
                .whole(HEAD, "/classifier.dense"));
    }
}
