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
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** DistilBERT: BERT without segments and without a pooler, whose head over labels of a text has a layer with ReLU before it. */
final class DistilBert implements Family {

    private static final String WORDS = "vocab_(transform|layer_norm|projector)\\..*";
    private static final String LABELS = "(pre_classifier|classifier|qa_outputs)\\..*";

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        int width = config.integer("dim", "hidden_size");
        int heads = config.integer("n_heads", "num_attention_heads");
        int rows = config.integerOr(512, "max_position_embeddings");
        Norm norm = Reading.layerNorm(1e-12);
        Activation activation = Reading.activation(config.textOr("gelu", "activation"));
        Task task = Task.of(config);
        Architecture architecture = Architecture.of("distilbert", width, rows,
                Embedding.Tokens.of(config.integer("vocab_size"), width).withPositions(rows, 0, false).withNorm(norm),
                Reading.repeated(config.integer("n_layers", "num_hidden_layers"), Block.of(Placement.POST, Wiring.SEQUENTIAL, norm,
                        Attention.of(heads, Reading.widthOfHead(width, heads)).bidirectional(), Mlp.plain(config.integerOr(3072, "hidden_dim"), activation))),
                Optional.empty(),
                switch (task) {
                    case BARE -> new Output.Hidden(Output.Pooler.NONE);
                    case WORDS -> Output.Words.of(Reading.tied(config, true)).withBias(true).withTransform(Output.Transform.of(width, activation, norm));
                    case SEQUENCE, NEXT_SENTENCE, TOKEN, QUESTION -> task.labels(config, Optional.of(Output.Transform.of(width, Activation.RELU)));
                });
        Naming naming = Naming.of(config, tensors, "distilbert.")
                .whole(TOKEN_EMBEDDING, "embeddings.word_embeddings")
                .whole(POSITION_EMBEDDING, "embeddings.position_embeddings")
                .whole(EMBEDDING_NORM, "embeddings.LayerNorm")
                .separate("transformer.layer.*.attention.q_lin", "transformer.layer.*.attention.k_lin", "transformer.layer.*.attention.v_lin")
                .whole(ATTENTION_OUTPUT, "transformer.layer.*.attention.out_lin")
                .whole(ATTENTION_NORM, "transformer.layer.*.sa_layer_norm")
                .whole(MLP_UP, "transformer.layer.*.ffn.lin1")
                .whole(MLP_DOWN, "transformer.layer.*.ffn.lin2")
                .whole(MLP_NORM, "transformer.layer.*.output_layer_norm")
                .passingOver(Repetition.POSITIONS, ".*position_ids");
        return new Description(architecture, switch (task) {
            case BARE -> naming.passingOver(Repetition.OTHER_OUTPUT, WORDS, LABELS);
            case WORDS -> naming.whole(HEAD_TRANSFORM, "/vocab_transform")
                    .whole(HEAD_TRANSFORM_NORM, "/vocab_layer_norm")
                    .whole(HEAD, "/vocab_projector")
                    .passingOver(Repetition.OTHER_OUTPUT, LABELS);
            case SEQUENCE, NEXT_SENTENCE, TOKEN, QUESTION -> task.named(naming, "/pre_classifier", "/classifier").passingOver(Repetition.OTHER_OUTPUT, WORDS);
        });
    }

    @Override
    public Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        return Reading.keeping(config, kept, "n_layers", "num_hidden_layers");
    }
}
