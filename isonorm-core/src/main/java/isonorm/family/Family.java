package isonorm.family;

import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Architecture;
import isonorm.checkpoint.CheckpointException;
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

    /** Changes a copy of a family's config so that the head has a weight of its own. */
    static ObjectNode untied(ObjectNode config) {
        ObjectNode untied = config.deepCopy();
        if (untied.at("/architecture/output") instanceof ObjectNode output) {
            output.put("tied", false);
            return untied;
        }
        return untied.put("tie_word_embeddings", false);
    }
}
