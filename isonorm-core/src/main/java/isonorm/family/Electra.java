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

/** ELECTRA: BERT whose tables may be narrower than its stream, and whose discriminator gives each token a score of having been replaced. */
final class Electra implements Family {

    private static final String GENERATOR = "generator_(predictions|lm_head)\\..*";
    private static final String DISCRIMINATOR = "discriminator_predictions\\..*";

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        config.requireFlag(false, "is_decoder");
        config.requireFlag(false, "add_cross_attention");
        if (!config.textOr("absolute", "position_embedding_type").equals("absolute")) {
            throw Config.unsupported("position_embedding_type", config.textOr("", "position_embedding_type"), "absolute");
        }
        int width = config.integer("hidden_size");
        int tables = config.integerOr(128, "embedding_size");
        int heads = config.integer("num_attention_heads");
        int rows = config.integerOr(512, "max_position_embeddings");
        Norm norm = Reading.layerNorm(config.numberOr(1e-12, "layer_norm_eps"));
        Activation activation = Reading.activation(config.textOr("gelu", "hidden_act"));
        boolean discriminates = config.modelClass().endsWith("ForPreTraining");
        Task task = Task.of(config);
        Embedding.Tokens embedding = Embedding.Tokens.of(config.integer("vocab_size"), tables)
                .withPositions(rows, 0, false)
                .withSegments(config.integerOr(2, "type_vocab_size"))
                .withNorm(norm);
        Architecture architecture = Architecture.of("electra", width, rows,
                tables == width ? embedding : embedding.withProjection(Embedding.Projection.SUM),
                Reading.repeated(config.integer("num_hidden_layers"), Block.of(Placement.POST, Wiring.SEQUENTIAL, norm,
                        Attention.of(heads, Reading.widthOfHead(width, heads)).bidirectional(), Mlp.plain(config.integer("intermediate_size"), activation))),
                Optional.empty(),
                discriminates ? Output.Labels.of(1, Output.Pooling.EVERY).withTransform(Output.Transform.of(width, activation))
                        : switch (task) {
                            case BARE -> new Output.Hidden(Output.Pooler.NONE);
                            case WORDS -> Output.Words.of(Reading.tied(config, true)).withBias(true)
                                    .withTransform(Output.Transform.of(tables, Activation.GELU, norm));
                            case SEQUENCE, NEXT_SENTENCE, TOKEN, QUESTION -> task.labels(config, Optional.of(Output.Transform.of(width, Activation.GELU)));
                        });
        Naming naming = Bert.blocks(Naming.of(config, tensors, "electra."))
                .whole(TOKEN_EMBEDDING, "embeddings.word_embeddings")
                .whole(POSITION_EMBEDDING, "embeddings.position_embeddings")
                .whole(SEGMENT_EMBEDDING, "embeddings.token_type_embeddings")
                .whole(EMBEDDING_NORM, "embeddings.LayerNorm")
                .whole(EMBEDDING_PROJECTION, "embeddings_project")
                .whole(ATTENTION_NORM, "encoder.layer.*.attention.output.LayerNorm")
                .whole(MLP_NORM, "encoder.layer.*.output.LayerNorm")
                .passingOver(Repetition.POSITIONS, ".*position_ids");
        if (discriminates) {
            return new Description(architecture, naming.whole(HEAD_TRANSFORM, "/discriminator_predictions.dense")
                    .whole(HEAD, "/discriminator_predictions.dense_prediction")
                    .passingOver(Repetition.OTHER_OUTPUT, GENERATOR));
        }
        return new Description(architecture, switch (task) {
            case BARE -> naming.passingOver(Repetition.OTHER_OUTPUT, GENERATOR, DISCRIMINATOR);
            case WORDS -> naming.whole(HEAD_TRANSFORM, "/generator_predictions.dense")
                    .whole(HEAD_TRANSFORM_NORM, "/generator_predictions.LayerNorm")
                    .whole(HEAD, "/generator_lm_head")
                    .passingOver(Repetition.OTHER_OUTPUT, DISCRIMINATOR);
            case SEQUENCE, NEXT_SENTENCE, TOKEN, QUESTION -> task.named(naming, "/classifier.dense", "/classifier.out_proj")
                    .passingOver(Repetition.OTHER_OUTPUT, GENERATOR, DISCRIMINATOR);
        });
    }
}
