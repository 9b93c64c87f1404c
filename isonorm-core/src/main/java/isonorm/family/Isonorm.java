package isonorm.family;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Architecture;
import isonorm.architecture.Placement;
import isonorm.checkpoint.CheckpointException;
import java.util.Set;

/**
 * Isonorm's own checkpoints: the architecture is written out in config.json, every tensor is named by its role, linear weights
 * are (out, in), and query, key and value are one tensor in this order. docs/format.md is the specification.
 */
public final class Isonorm implements Family {

    /** The version of the format that is written, and the only one that is read. */
    public static final int FORMAT_VERSION = 1;

    /** The config.json of a checkpoint of this architecture that came from {@code source}. */
    public static ObjectNode config(Architecture architecture, String form, ObjectNode source, String version) {
        ObjectNode json = config(architecture, version);
        json.put("form", form);
        json.set("source_config", source.deepCopy());
        return json;
    }

    /** The config.json of a checkpoint of this architecture that came from no other, such as one that was trained so. */
    public static ObjectNode config(Architecture architecture, String version) {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("model_type", "isonorm");
        json.put("format_version", FORMAT_VERSION);
        json.put("isonorm_version", version);
        json.set("architecture", ArchitectureJson.write(architecture));
        return json;
    }

    /** Every part under the name of its role. */
    public static Naming naming() {
        return Naming.byRole();
    }

    @Override
    public Description describe(Config config, Set<String> tensors) throws CheckpointException {
        int version = config.integer("format_version");
        if (version != FORMAT_VERSION) {
            throw Config.unsupported("format_version", version, FORMAT_VERSION + "; a newer Isonorm may read it");
        }
        try {
            Architecture architecture = ArchitectureJson.read(config.object("architecture"));
            if (config.find("form").isPresent() && architecture.blocks().stream().anyMatch(block -> block.both(Placement.NONE))) {
                // They could be taken for blocks whose norms were folded.
                throw Config.unsupported("placement", "none", "blocks without norms in models that have no form");
            }
            return new Description(architecture, naming());
        } catch (IllegalArgumentException e) {
            throw Config.unsupported("architecture", e.getMessage(), "an architecture that fits together");
        }
    }
}
