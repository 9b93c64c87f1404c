package isonorm.family;

import isonorm.architecture.Architecture;
import isonorm.architecture.Output;
import isonorm.architecture.Part;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.Optional;
import java.util.Set;

/** Heads over labels in place of words, which classes of every family of decoders have: of a text by its last token, of each token, and where an answer begins and ends. */
final class DecoderLabels {

    /** Families whose own classes call the labels of tokens a classifier; those of all others are made by one that calls them a score. */
    private static final Set<String> CLASSIFIERS = Set.of("biogpt", "bloom", "falcon", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "mpt");

    private DecoderLabels() {}

    /** The same with the head that the config's class has, where that is one over labels. */
    static Family.Description of(Config config, Set<String> tensors, Family.Description description) throws CheckpointException {
        Architecture architecture = description.architecture();
        Task task = Task.of(config);
        boolean words = architecture.output() instanceof Output.Words head && head.projectedWidth() == 0 && head.transform().isEmpty();
        if (!words || architecture.companion().isPresent() || !architecture.causal()) {
            return description;
        }
        return switch (task) {
            case SEQUENCE -> named(description, new Output.Labels(Vit.labels(config), Output.Pooling.LAST, Optional.empty(), false), "/score");
            case TOKEN -> named(description, task.labels(config, Optional.empty()),
                    CLASSIFIERS.contains(Families.type(config)) || tensors.contains("classifier.weight") ? "/classifier" : "/score");
            case QUESTION -> named(description, task.labels(config, Optional.empty()), "/qa_outputs");
            case BARE, WORDS, NEXT_SENTENCE -> description;
        };
    }

    private static Family.Description named(Family.Description description, Output.Labels labels, String head) {
        return new Family.Description(description.architecture().withOutput(labels), description.naming().whole(Part.HEAD, head));
    }
}
