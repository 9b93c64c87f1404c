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
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.Optional;
import java.util.Set;

/** BERT: Post-LN behind a normalized embedding, attention in both directions, a masked-word head or a pooler. */
final class Bert implements Family {

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        config.requireFlag(false, "is_decoder");
        config.requireFlag(false, "add_cross_attention");
        if (!config.textOr("absolute", "position_embedding_type").equals("absolute")) {
            throw Config.unsupported("position_embedding_type", config.textOr("", "position_embedding_type"), "absolute");
        }
        int width = config.integer("hidden_size");
        int heads = config.integer("num_attention_heads");
        Norm norm = Reading.layerNorm(config.numberOr(1e-12, "layer_norm_eps"));
        Activation activation = Reading.activation(config.textOr("gelu", "hidden_act"));
        int positions = config.integerOr(512, "max_position_embeddings");
        boolean bare = config.isBareModel();
        boolean tied = Reading.tied(config, true);
        boolean pooler = tensors.isEmpty() || tensors.stream().anyMatch(name -> name.endsWith("pooler.dense.weight"));
        Architecture architecture = Architecture.of("bert", width, positions,
                Embedding.Tokens.of(config.integer("vocab_size"), width)
                        .withPositions(positions, 0, false)
                        .withSegments(config.integerOr(2, "type_vocab_size"))
                        .withNorm(norm),
                Reading.repeated(config.integer("num_hidden_layers"), Block.of(Placement.POST, Wiring.SEQUENTIAL, norm,
                        Attention.of(heads, Reading.widthOfHead(width, heads)).bidirectional(), Mlp.plain(config.integer("intermediate_size"), activation))),
                Optional.empty(),
                bare
                        ? new Output.Hidden(pooler ? Output.Pooler.DENSE_TANH : Output.Pooler.NONE)
                        : Output.Words.of(tied).withBias(true)
                                .withTransform(new Output.Transform(activation, norm)));
        Naming naming = Naming.of(config, tensors, "bert.")
                .whole(TOKEN_EMBEDDING, "embeddings.word_embeddings")
                .whole(POSITION_EMBEDDING, "embeddings.position_embeddings")
                .whole(SEGMENT_EMBEDDING, "embeddings.token_type_embeddings")
                .whole(EMBEDDING_NORM, "embeddings.LayerNorm")
                .separate("encoder.layer.*.attention.self.query", "encoder.layer.*.attention.self.key",
                        "encoder.layer.*.attention.self.value")
                .whole(ATTENTION_OUTPUT, "encoder.layer.*.attention.output.dense")
                .whole(ATTENTION_NORM, "encoder.layer.*.attention.output.LayerNorm")
                .whole(MLP_UP, "encoder.layer.*.intermediate.dense")
                .whole(MLP_DOWN, "encoder.layer.*.output.dense")
                .whole(MLP_NORM, "encoder.layer.*.output.LayerNorm")
                .whole(HEAD_TRANSFORM, "/cls.predictions.transform.dense")
                .whole(HEAD_TRANSFORM_NORM, "/cls.predictions.transform.LayerNorm")
                .whole(HEAD, tied ? "/cls.predictions" : "/cls.predictions.decoder")
                .whole(POOLER, "pooler.dense")
                .passingOver(Repetition.POSITIONS, ".*position_ids")
                .passingOver(Repetition.OTHER_OUTPUT, "cls\\.seq_relationship\\..*", bare ? "cls\\..*" : "(bert\\.)?pooler\\..*");
        // The head's weight and its bias have two names each, of which a file may have both.
        if (tied) {
            naming.repeating("/cls.predictions.decoder.weight", "embeddings.word_embeddings.weight")
                    .repeating("/cls.predictions.decoder.bias", "/cls.predictions.bias");
        } else {
            naming.repeating("/cls.predictions.bias", "/cls.predictions.decoder.bias");
        }
        // The first BERT checkpoints call a norm's parameters gamma and beta.
        boolean old = tensors.stream().anyMatch(name -> name.endsWith(".gamma"));
        return new Description(architecture, old ? naming.normEndings(".gamma", ".beta") : naming);
    }
}
