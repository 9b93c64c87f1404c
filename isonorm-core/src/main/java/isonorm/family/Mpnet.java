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
import isonorm.architecture.RelativeBias;
import isonorm.architecture.Wiring;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;

/** MPNet (arXiv 2004.09297): RoBERTa without segments, whose scores know distances too, by one table that all blocks share. */
final class Mpnet implements Family {

    /** The token that positions do not count, whatever the config says. */
    private static final int PADDING = 1;

    /** MPNet sorts distances into so many buckets, whatever the config says. */
    private static final int BUCKETS = 32;

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        config.require("relative_attention_num_buckets", BUCKETS);
        int width = config.integer("hidden_size");
        int heads = config.integer("num_attention_heads");
        int rows = config.integerOr(512, "max_position_embeddings");
        Norm norm = Reading.layerNorm(config.numberOr(1e-12, "layer_norm_eps"));
        Task task = Task.of(config);
        boolean tied = task == Task.WORDS && Reading.tied(config, true);
        boolean pooler = tensors.isEmpty() || tensors.stream().anyMatch(name -> name.endsWith("pooler.dense.weight"));
        RelativeBias bias = RelativeBias.ofDistances(BUCKETS, 128, true);
        Attention attention = Attention.of(heads, Reading.widthOfHead(width, heads)).bidirectional();
        Mlp mlp = Mlp.plain(config.integer("intermediate_size"), Reading.activation(config.textOr("gelu", "hidden_act")));
        List<Block> blocks = new ArrayList<>();
        for (int l = 0; l < config.integer("num_hidden_layers"); l++) {
            blocks.add(Block.of(Placement.POST, Wiring.SEQUENTIAL, norm, attention.withRelative(l == 0 ? bias : bias.shared()), mlp));
        }
        Embedding.Tokens embedding = Embedding.Tokens.of(config.integer("vocab_size"), width)
                .withPositions(rows, PADDING + 1, false)
                .withSpecial(new Embedding.Special(OptionalInt.of(PADDING), OptionalInt.empty()))
                .withNorm(norm);
        Architecture architecture = Architecture.of("mpnet", width, rows - PADDING - 1, embedding, blocks, Optional.empty(), switch (task) {
            case BARE -> new Output.Hidden(pooler ? Output.Pooler.DENSE_TANH : Output.Pooler.NONE);
            case WORDS -> Output.Words.of(tied).withBias(true).withTransform(Output.Transform.of(width, Activation.GELU, norm));
            case SEQUENCE, NEXT_SENTENCE, TOKEN, QUESTION -> task.labels(config, Optional.of(Output.Transform.of(width, Activation.TANH)));
        });
        Naming naming = Naming.of(config, tensors, "mpnet.")
                .whole(TOKEN_EMBEDDING, "embeddings.word_embeddings")
                .whole(POSITION_EMBEDDING, "embeddings.position_embeddings")
                .whole(EMBEDDING_NORM, "embeddings.LayerNorm")
                .separate("encoder.layer.*.attention.attn.q", "encoder.layer.*.attention.attn.k", "encoder.layer.*.attention.attn.v")
                .whole(ATTENTION_OUTPUT, "encoder.layer.*.attention.attn.o")
                .whole(RELATIVE_BIAS, "encoder.relative_attention_bias")
                .whole(ATTENTION_NORM, "encoder.layer.*.attention.LayerNorm")
                .whole(MLP_UP, "encoder.layer.*.intermediate.dense")
                .whole(MLP_DOWN, "encoder.layer.*.output.dense")
                .whole(MLP_NORM, "encoder.layer.*.output.LayerNorm")
                .whole(POOLER, "pooler.dense")
                .passingOver(Repetition.POSITIONS, ".*position_ids");
        Bert.lmHead(naming, task, tied, "mpnet.");
        return new Description(architecture, naming);
    }
}
