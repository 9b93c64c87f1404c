package isonorm.family;

import isonorm.architecture.Architecture;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** How one model family writes its checkpoints. */
public interface Family {

    /** What a checkpoint says of itself: the architecture, and where its parameters lie. */
    record Description(Architecture architecture, Naming naming) {}

    /**
     * Reads a config.
     *
     * @param tensors the names in the checkpoint, which tell the prefix; empty for a checkpoint to be written
     * @throws CheckpointException with CONFIG_UNSUPPORTED, naming the key, if the config asks for something that has no
     *     forward pass here
     */
    Description describe(Config config, Set<String> tensors) throws CheckpointException;

    /**
     * The config of the model of which only some blocks are left. What a family computes from a block's number may then differ;
     * {@link isonorm.convert.Pruning} looks whether it does.
     *
     * @param kept their numbers, counted from 0, in their order
     * @param left the architecture that is left
     */
    default Config keeping(Config config, List<Integer> kept, Architecture left) throws CheckpointException {
        return Reading.keeping(config, kept, "num_hidden_layers");
    }

    /** What this family has a place for, where models of others can be written in its format; empty where they can't. */
    default Optional<Stock> stock() {
        return Optional.empty();
    }

    /** A family's config, but that the head has a weight of its own. */
    static Config untied(Config config) {
        Config architecture = config.object("architecture");
        return architecture.has("output")
                ? config.with("architecture", architecture.with("output", architecture.object("output").with("tied", false)))
                : config.with("tie_word_embeddings", false);
    }
}
