package isonorm.family;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.CheckpointException.Reason;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** A config.json, read by key, where a key may have several names and null means absent. */
public final class Config {

    private final ObjectNode json;

    private Config(ObjectNode json) {
        this.json = json;
    }

    public static Config of(ObjectNode json) {
        return new Config(json);
    }

    /** The whole config. */
    public ObjectNode json() {
        return json;
    }

    /** The first of {@code names} that is present and not null. */
    public Optional<JsonNode> find(String... names) {
        for (String name : names) {
            JsonNode value = json.path(name);
            if (!value.isMissingNode() && !value.isNull()) {
                return Optional.of(value);
            }
        }
        return Optional.empty();
    }

    /** The object below {@code name}, or an empty one. */
    public Config object(String name) {
        return new Config(json.path(name) instanceof ObjectNode object ? object : json.objectNode());
    }

    /** A whole number that must be there. */
    public int integer(String... names) throws CheckpointException {
        Optional<JsonNode> value = find(names);
        if (value.isEmpty()) {
            throw new CheckpointException(Reason.CONFIG_UNSUPPORTED, "config.json needs " + names[0]);
        }
        return whole(value.get(), names[0]);
    }

    /** A whole number, or {@code otherwise}. */
    public int integerOr(int otherwise, String... names) throws CheckpointException {
        Optional<JsonNode> value = find(names);
        return value.isPresent() ? whole(value.get(), names[0]) : otherwise;
    }

    private static int whole(JsonNode value, String name) throws CheckpointException {
        if (!value.isNumber() || value.doubleValue() != Math.rint(value.doubleValue()) || !value.canConvertToInt()) {
            throw unsupported(name, value, "a whole number");
        }
        return value.intValue();
    }

    /** A number, or {@code otherwise}. */
    public double numberOr(double otherwise, String... names) throws CheckpointException {
        Optional<JsonNode> value = find(names);
        if (value.isEmpty()) {
            return otherwise;
        }
        if (!value.get().isNumber()) {
            throw unsupported(names[0], value.get(), "a number");
        }
        return value.get().doubleValue();
    }

    /** True or false, or {@code otherwise}. */
    public boolean flagOr(boolean otherwise, String... names) throws CheckpointException {
        Optional<JsonNode> value = find(names);
        if (value.isEmpty()) {
            return otherwise;
        }
        if (!value.get().isBoolean()) {
            throw unsupported(names[0], value.get(), "true or false");
        }
        return value.get().booleanValue();
    }

    /** A word, or {@code otherwise}. */
    public String textOr(String otherwise, String... names) {
        return find(names).map(JsonNode::asText).orElse(otherwise);
    }

    /** The words of a list, or none. */
    public List<String> words(String name) {
        List<String> words = new ArrayList<>();
        find(name).ifPresent(list -> list.forEach(word -> words.add(word.asText())));
        return words;
    }

    /** The class the checkpoint was saved from, {@code GPT2LMHeadModel} for instance, or the empty string. */
    public String modelClass() {
        List<String> architectures = words("architectures");
        return architectures.isEmpty() ? "" : architectures.getFirst();
    }

    /** Whether the checkpoint was saved from a model without a head, {@code GPT2Model} for instance. */
    public boolean isBareModel() {
        return modelClass().endsWith("Model") && !modelClass().endsWith("LMHeadModel");
    }

    /** Refuses the config unless {@code name} is absent or {@code only}. */
    public void requireFlag(boolean only, String name) throws CheckpointException {
        if (flagOr(only, name) != only) {
            throw unsupported(name, json.path(name), String.valueOf(only));
        }
    }

    /** A value this reader has no forward pass for. */
    public static CheckpointException unsupported(String name, Object value, String supported) {
        return new CheckpointException(Reason.CONFIG_UNSUPPORTED,
                "config.json has " + name + " = " + value + "; supported is " + supported);
    }
}
