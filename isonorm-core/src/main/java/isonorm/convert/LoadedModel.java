package isonorm.convert;

import isonorm.architecture.Architecture;
import isonorm.architecture.Parameter;
import isonorm.architecture.Part;
import isonorm.architecture.Role;
import isonorm.checkpoint.Checkpoint;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.CheckpointException.Reason;
import isonorm.checkpoint.Config;
import isonorm.family.Families;
import isonorm.family.Family;
import isonorm.model.Transformer;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import isonorm.weights.Source;
import isonorm.weights.Stored;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * A checkpoint of a known family, opened: its tensors are the parameters of its architecture, no more and no less. Opening reads
 * headers and config.json; weights are read when somebody reads a matrix.
 *
 * @param unused tensors that hold nothing the architecture needs, buffers for instance
 */
public record LoadedModel(Checkpoint checkpoint, Config config, Transformer model, List<String> unused) {

    /** How configs call the number of blocks. */
    private static final Set<String> BLOCKS = Set.of("num_hidden_layers", "n_layer", "n_layers", "num_layers");

    /**
     * Opens the checkpoint in {@code folder}.
     *
     * @throws CheckpointException naming what is wrong with a file, which tensor is missing or unexpected, or which key of the
     *     config asks for something unsupported
     */
    public static LoadedModel open(Path folder) throws IOException {
        return of(Checkpoint.open(folder));
    }

    /** The model in an open checkpoint. */
    public static LoadedModel of(Checkpoint checkpoint) throws IOException {
        Config config = checkpoint.config();
        Family.Description description = describe(checkpoint, config);
        Architecture architecture = description.architecture();
        Map<Role, Source> sources = description.naming().sources(architecture);
        Map<Role, Matrix> weights = new LinkedHashMap<>();
        Set<String> used = new HashSet<>();
        for (Parameter parameter : architecture.parameters()) {
            Source source = sources.get(parameter.role());
            used.addAll(source.tensors());
            weights.put(parameter.role(), Stored.open(checkpoint, source, parameter.rows(), parameter.columns()));
        }
        List<String> unused = new ArrayList<>();
        for (String name : checkpoint.names()) {
            if (used.contains(name)) {
                continue;
            }
            if (!description.naming().ignores(name) && !repeatsTiedHead(checkpoint, architecture, sources, name)) {
                throw new CheckpointException(Reason.UNEXPECTED_TENSOR, checkpoint.folder() + ": tensor " + name
                        + " has no place in the architecture that config.json describes (" + architecture.family() + ")");
            }
            unused.add(name);
        }
        return new LoadedModel(checkpoint, config, new Model(architecture, weights), unused);
    }

    private static Family.Description describe(Checkpoint checkpoint, Config config) throws CheckpointException {
        requireTensors(checkpoint, config.values());
        try {
            return Families.describe(config, checkpoint.names());
        } catch (IllegalArgumentException | ArithmeticException e) {
            throw new CheckpointException(Reason.CONFIG_UNSUPPORTED, checkpoint.folder() + ": config.json does not fit together: " + e.getMessage(), e);
        } catch (CheckpointException e) {
            throw new CheckpointException(e.reason(), checkpoint.folder() + ": " + e.getMessage(), e);
        }
    }

    /** Nothing is built a block before there is known to be a tensor for each: what a file counts is only what it says. */
    private static void requireTensors(Checkpoint checkpoint, Map<?, ?> config) throws CheckpointException {
        for (Map.Entry<?, ?> entry : config.entrySet()) {
            if (entry.getValue() instanceof Map<?, ?> part) {
                requireTensors(checkpoint, part);
            } else if (BLOCKS.contains(entry.getKey()) && entry.getValue() instanceof Number count && count.doubleValue() > checkpoint.names().size()) {
                throw new CheckpointException(Reason.CONFIG_UNSUPPORTED, checkpoint.folder() + ": config.json says " + entry.getKey() + " " + count
                        + ", and there are " + checkpoint.names().size() + " tensors, fewer than one a block");
            }
        }
    }

    /** Old checkpoints store a tied head once more under its own name; it must then be the token table. */
    private static boolean repeatsTiedHead(Checkpoint checkpoint, Architecture architecture, Map<Role, Source> sources, String name)
            throws IOException {
        if (!architecture.tied() || !Set.of("lm_head.weight", "embed_out.weight").contains(name)) {
            return false;
        }
        String table = sources.get(Role.of(Part.TOKEN_EMBEDDING, Role.Field.WEIGHT)).tensors().getFirst();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment head = checkpoint.map(name, arena);
            if (head.mismatch(checkpoint.map(table, arena)) < 0) {
                return true;
            }
        }
        throw new CheckpointException(Reason.CONFIG_DISAGREES, checkpoint.folder() + ": config.json ties the head to " + table + " but "
                + name + " holds other values; set tie_word_embeddings to false to use them");
    }
}
