package isonorm.serve;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.time.Duration;
import java.util.Optional;

/** A model in memory, and what clients are told of it. */
sealed interface Served permits ServedModel, ServedEncoder {

    /** What clients call it. */
    String name();

    /** When it was loaded, in seconds of the epoch. */
    long created();

    /** How many tokens it reads. */
    int context();

    /** Ends when what runs has ended, or after some time. */
    void close(Duration patience);

    /** Refuses a request that names another model. */
    default void requireModel(Fields fields) throws Refusal {
        Optional<String> wanted = fields.text("model");
        if (wanted.isPresent() && !wanted.get().equals(name())) {
            throw Refusal.of(404, "model_not_found", "the model served here is " + name());
        }
    }

    default ObjectNode models() {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("object", "list");
        json.putArray("data").add(model());
        return json;
    }

    default ObjectNode model() {
        ObjectNode model = JsonNodeFactory.instance.objectNode();
        model.put("id", name());
        model.put("object", "model");
        model.put("created", created());
        model.put("owned_by", "isonorm");
        model.put("max_model_len", context());
        return model;
    }
}
