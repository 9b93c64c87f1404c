package isonorm.family;

import isonorm.architecture.Output;
import isonorm.architecture.Part;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.Optional;

/** What the class that a checkpoint was saved from makes of the stream of a model of tokens. */
enum Task {
    /** Nothing: the model without a head. */
    BARE(""),
    /** Words that are hidden. */
    WORDS(""),
    /** Labels of a text. */
    SEQUENCE("ForSequenceClassification"),
    /** Whether two texts follow each other. */
    NEXT_SENTENCE("ForNextSentencePrediction"),
    /** Labels of each token. */
    TOKEN("ForTokenClassification"),
    /** Where an answer begins, and where it ends. */
    QUESTION("ForQuestionAnswering");

    private final String ending;

    Task(String ending) {
        this.ending = ending;
    }

    static Task of(Config config) {
        for (Task task : values()) {
            if (!task.ending.isEmpty() && config.modelClass().endsWith(task.ending)) {
                return task;
            }
        }
        return config.isBareModel() ? BARE : WORDS;
    }

    /** Whether labels of a whole text are given. */
    boolean classifies() {
        return this == SEQUENCE || this == NEXT_SENTENCE;
    }

    /**
     * The scores that it gives.
     *
     * @param before what stands before the labels of a text
     */
    Output.Labels labels(Config config, Optional<Output.Transform> before) throws CheckpointException {
        return switch (this) {
            case SEQUENCE -> new Output.Labels(Vit.labels(config), Output.Pooling.FIRST, before, true);
            case NEXT_SENTENCE -> new Output.Labels(2, Output.Pooling.FIRST, before, true);
            case TOKEN -> Output.Labels.of(Vit.labels(config), Output.Pooling.EVERY);
            case QUESTION -> {
                if (Vit.labels(config) != 2) {
                    throw Config.unsupported("num_labels", Vit.labels(config), "2: where an answer begins, and where it ends");
                }
                yield Output.Labels.of(2, Output.Pooling.EVERY);
            }
            case BARE, WORDS -> throw new IllegalStateException(this + " has no labels");
        };
    }

    /**
     * Names its head.
     *
     * @param before what stands before the labels of a text
     * @param behind what gives these labels
     */
    Naming named(Naming naming, String before, String behind) {
        return switch (this) {
            case SEQUENCE -> naming.whole(Part.HEAD_TRANSFORM, before).whole(Part.HEAD, behind);
            case NEXT_SENTENCE -> naming.whole(Part.HEAD_TRANSFORM, before).whole(Part.HEAD, "/cls.seq_relationship");
            case TOKEN -> naming.whole(Part.HEAD, "/classifier");
            case QUESTION -> naming.whole(Part.HEAD, "/qa_outputs");
            case BARE, WORDS -> naming;
        };
    }
}
