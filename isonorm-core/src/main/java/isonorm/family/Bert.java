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
import java.util.OptionalInt;
import java.util.Set;

/**
 * BERT and those that are BERT but for a name, the place of the norms, or how positions are counted: attention in both directions, and behind the
 * blocks a head over words or labels, or a pooler.
 *
 * @param type the model_type
 * @param prefix the name of the model inside a model with a head
 * @param paddingToken the default of the token that positions do not count (RoBERTa); empty where they count all
 */
record Bert(String type, String prefix, Norms norms, Head head, OptionalInt paddingToken) implements Family {

    /** Where the norms stand and what they are called. */
    private enum Norms {
        BERT(Placement.POST, true, "attention.output.LayerNorm", "output.LayerNorm", ""),
        MEGATRON(Placement.PRE, false, "attention.ln", "ln", "encoder.ln"),
        ROBERTA_PRE(Placement.PRE, true, "attention.LayerNorm", "intermediate.LayerNorm", "LayerNorm"),
        XL(Placement.PRE, false, "attention.self_attn_layer_norm", "LayerNorm", "encoder.LayerNorm");

        private final Placement placement;
        private final boolean embedding;
        private final String attention;
        private final String mlp;
        private final String last;

        Norms(Placement placement, boolean embedding, String attention, String mlp, String last) {
            this.placement = placement;
            this.embedding = embedding;
            this.attention = attention;
            this.mlp = mlp;
            this.last = last;
        }
    }

    /** What the head over words is called, and what stands before labels. */
    private enum Head {
        /** BERT's: labels of a text are read from the pooler. */
        CLS,
        /** RoBERTa's: labels of a text have a layer of their own before them. */
        LM_HEAD,
        /** None is read. */
        NONE
    }

    static final Bert BERT = new Bert("bert", "bert.", Norms.BERT, Head.CLS, OptionalInt.empty());
    static final Bert BERT_GENERATION = new Bert("bert-generation", "bert.", Norms.BERT, Head.NONE, OptionalInt.empty());
    static final Bert CAMEMBERT = new Bert("camembert", "roberta.", Norms.BERT, Head.LM_HEAD, OptionalInt.of(1));
    static final Bert DATA2VEC_TEXT = new Bert("data2vec-text", "data2vec_text.", Norms.BERT, Head.LM_HEAD, OptionalInt.of(1));
    static final Bert ERNIE = new Bert("ernie", "ernie.", Norms.BERT, Head.CLS, OptionalInt.empty());
    static final Bert MEGATRON_BERT = new Bert("megatron-bert", "bert.", Norms.MEGATRON, Head.CLS, OptionalInt.empty());
    static final Bert ROBERTA = new Bert("roberta", "roberta.", Norms.BERT, Head.LM_HEAD, OptionalInt.of(1));
    static final Bert ROBERTA_PRELAYERNORM =
            new Bert("roberta-prelayernorm", "roberta_prelayernorm.", Norms.ROBERTA_PRE, Head.LM_HEAD, OptionalInt.of(1));
    static final Bert SPLINTER = new Bert("splinter", "splinter.", Norms.BERT, Head.NONE, OptionalInt.empty());
    static final Bert XLM_ROBERTA = new Bert("xlm-roberta", "roberta.", Norms.BERT, Head.LM_HEAD, OptionalInt.of(1));
    static final Bert XLM_ROBERTA_XL = new Bert("xlm-roberta-xl", "roberta.", Norms.XL, Head.LM_HEAD, OptionalInt.of(1));

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        config.requireFlag(false, "is_decoder");
        config.requireFlag(false, "add_cross_attention");
        if (this == ERNIE) {
            config.requireFlag(false, "use_task_id");
        }
        if (!config.textOr("absolute", "position_embedding_type").equals("absolute")) {
            throw Config.unsupported("position_embedding_type", config.textOr("", "position_embedding_type"), "absolute");
        }
        boolean xl = norms == Norms.XL;
        int width = config.integer("hidden_size");
        int heads = config.integer("num_attention_heads");
        Norm norm = Reading.layerNorm(config.numberOr(xl ? 1e-5 : 1e-12, "layer_norm_eps"));
        Activation activation = Reading.activation(config.textOr("gelu", "hidden_act"));
        int rows = config.integerOr(xl ? 514 : 512, "max_position_embeddings");
        int segments = this == BERT_GENERATION ? 0 : config.integerOr(xl ? 1 : 2, "type_vocab_size");
        OptionalInt padding = paddingToken.isPresent() ? OptionalInt.of(padding(config, paddingToken)) : OptionalInt.empty();
        int offset = padding.isPresent() ? padding.getAsInt() + 1 : 0;
        Task task = head == Head.NONE ? Task.BARE : Task.of(config);
        boolean tied = task == Task.WORDS && Reading.tied(config, true);
        boolean pooler = this != BERT_GENERATION && this != SPLINTER
                && (tensors.isEmpty() || tensors.stream().anyMatch(name -> name.endsWith("pooler.dense.weight")));
        Embedding.Tokens embedding = Embedding.Tokens.of(config.integer("vocab_size"), width)
                .withPositions(rows, offset, false)
                .withSegments(segments)
                .withSpecial(new Embedding.Special(padding, OptionalInt.empty()))
                .withNorm(norms.embedding ? Optional.of(norm) : Optional.empty(), false);
        Architecture architecture = Architecture.of(type, width, rows - offset, embedding,
                Reading.repeated(config.integer("num_hidden_layers"), Block.of(norms.placement, Wiring.SEQUENTIAL, norm,
                        Attention.of(heads, Reading.widthOfHead(width, heads)).bidirectional(), Mlp.plain(config.integer("intermediate_size"), activation))),
                norms.placement == Placement.PRE ? Optional.of(norm) : Optional.empty(),
                switch (task) {
                    case BARE -> new Output.Hidden(pooler ? Output.Pooler.DENSE_TANH : Output.Pooler.NONE);
                    case WORDS -> Output.Words.of(tied).withBias(true)
                            .withTransform(Output.Transform.of(width, head == Head.CLS ? activation : Activation.GELU, norm));
                    case SEQUENCE, NEXT_SENTENCE, TOKEN, QUESTION -> task.labels(config, Optional.of(Output.Transform.of(width, Activation.TANH)));
                });
        String before = this == BERT_GENERATION && config.modelClass().endsWith("Encoder") ? "" : prefix;
        Naming naming = blocks(Naming.of(config, tensors, before))
                .whole(TOKEN_EMBEDDING, "embeddings.word_embeddings")
                .whole(POSITION_EMBEDDING, "embeddings.position_embeddings")
                .whole(SEGMENT_EMBEDDING, "embeddings.token_type_embeddings")
                .whole(EMBEDDING_NORM, "embeddings.LayerNorm")
                .whole(ATTENTION_NORM, "encoder.layer.*." + norms.attention)
                .whole(MLP_NORM, "encoder.layer.*." + norms.mlp)
                .whole(FINAL_NORM, norms.last)
                .whole(POOLER, "pooler.dense")
                .passingOver(Repetition.POSITIONS, ".*position_ids");
        if (head == Head.CLS) {
            words(naming, task, tied);
        } else {
            lmHead(naming, task, tied, prefix);
        }
        // The first BERT checkpoints call a norm's parameters gamma and beta.
        boolean old = tensors.stream().anyMatch(name -> name.endsWith(".gamma"));
        return new Description(architecture, old ? naming.normEndings(".gamma", ".beta") : naming);
    }

    /** The token that positions do not count, and behind whose number they begin. */
    static int padding(Config config, OptionalInt otherwise) throws CheckpointException {
        int padding = config.has("pad_token_id") || otherwise.isEmpty() ? config.integer("pad_token_id") : otherwise.getAsInt();
        if (padding < 0) {
            throw Config.unsupported("pad_token_id", padding, "0 or more");
        }
        return padding;
    }

    /** The layers of BERT's blocks. */
    static Naming blocks(Naming naming) {
        return naming
                .separate("encoder.layer.*.attention.self.query", "encoder.layer.*.attention.self.key", "encoder.layer.*.attention.self.value")
                .whole(ATTENTION_OUTPUT, "encoder.layer.*.attention.output.dense")
                .whole(MLP_UP, "encoder.layer.*.intermediate.dense")
                .whole(MLP_DOWN, "encoder.layer.*.output.dense");
    }

    private static void words(Naming naming, Task task, boolean tied) {
        switch (task) {
            case BARE -> naming.passingOver(Repetition.OTHER_OUTPUT, "cls\\..*");
            case WORDS -> {
                naming.whole(HEAD_TRANSFORM, "/cls.predictions.transform.dense")
                        .whole(HEAD_TRANSFORM_NORM, "/cls.predictions.transform.LayerNorm")
                        .whole(HEAD, tied ? "/cls.predictions" : "/cls.predictions.decoder")
                        .passingOver(Repetition.OTHER_OUTPUT, "cls\\.seq_relationship\\..*", "(\\w+\\.)?pooler\\..*");
                // The head's weight and its bias have two names each, of which a file may have both.
                if (tied) {
                    naming.repeating("/cls.predictions.decoder.weight", "embeddings.word_embeddings.weight")
                            .repeating("/cls.predictions.decoder.bias", "/cls.predictions.bias");
                } else {
                    naming.repeating("/cls.predictions.bias", "/cls.predictions.decoder.bias")
                            .copied("/cls.predictions.bias", "/cls.predictions.decoder.bias");
                }
            }
            case SEQUENCE, NEXT_SENTENCE -> task.named(naming, "pooler.dense", "/classifier")
                    .passingOver(Repetition.OTHER_OUTPUT, "cls\\.predictions\\..*");
            case TOKEN, QUESTION -> task.named(naming, "", "").passingOver(Repetition.OTHER_OUTPUT, "cls\\..*", "(\\w+\\.)?pooler\\..*");
        }
    }

    /** RoBERTa's heads. */
    static void lmHead(Naming naming, Task task, boolean tied, String prefix) {
        String pooler = "(" + prefix.replace(".", "\\.") + ")?pooler\\..*";
        switch (task) {
            case BARE -> naming.passingOver(Repetition.OTHER_OUTPUT, "lm_head\\..*");
            case WORDS -> {
                naming.whole(HEAD_TRANSFORM, "/lm_head.dense")
                        .whole(HEAD_TRANSFORM_NORM, "/lm_head.layer_norm")
                        .whole(HEAD, tied ? "/lm_head" : "/lm_head.decoder")
                        .passingOver(Repetition.OTHER_OUTPUT, pooler);
                if (tied) {
                    naming.repeating("/lm_head.decoder.weight", "embeddings.word_embeddings.weight")
                            .repeating("/lm_head.decoder.bias", "/lm_head.bias");
                } else {
                    naming.repeating("/lm_head.bias", "/lm_head.decoder.bias")
                            .copied("/lm_head.bias", "/lm_head.decoder.bias");
                }
            }
            case SEQUENCE, NEXT_SENTENCE, TOKEN, QUESTION -> task.named(naming, "/classifier.dense", "/classifier.out_proj")
                    .passingOver(Repetition.OTHER_OUTPUT, "lm_head\\..*", pooler);
        }
    }
}
