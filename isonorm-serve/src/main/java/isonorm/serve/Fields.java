package isonorm.serve;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.Set;

/** What a request says, of which nothing is passed over: what is never asked for here is refused by its name. */
final class Fields {

    /** What clients send for other servers' accounts and queues, and changes no answer. */
    private static final Set<String> OF_OTHERS = Set.of("user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key");

    private final ObjectNode json;
    private final Set<String> known = new HashSet<>(OF_OTHERS);

    Fields(ObjectNode json) {
        this.json = json;
    }

    /** The value, if it is there and not null. */
    Optional<JsonNode> get(String name) {
        known.add(name);
        JsonNode value = json.get(name);
        return value == null || value.isNull() ? Optional.empty() : Optional.of(value);
    }

    Optional<String> text(String name) throws Refusal {
        Optional<JsonNode> value = get(name);
        if (value.isPresent() && !value.get().isTextual()) {
            throw Refusal.of(name, name + " must be a text, got " + kind(value.get()));
        }
        return value.map(JsonNode::textValue);
    }

    boolean flag(String name, boolean otherwise) throws Refusal {
        Optional<JsonNode> value = get(name);
        if (value.isPresent() && !value.get().isBoolean()) {
            throw Refusal.of(name, name + " must be true or false, got " + kind(value.get()));
        }
        return value.map(JsonNode::booleanValue).orElse(otherwise);
    }

    OptionalInt whole(String name, int least, int most) throws Refusal {
        Optional<JsonNode> value = get(name);
        if (value.isEmpty()) {
            return OptionalInt.empty();
        }
        JsonNode number = value.get();
        if (!number.isNumber() || number.doubleValue() != Math.rint(number.doubleValue()) || number.doubleValue() < least || number.doubleValue() > most) {
            throw Refusal.of(name, name + " must be a whole number from " + least + " to " + most + ", got " + (number.isNumber() ? number.asText() : kind(number)));
        }
        return OptionalInt.of((int) number.doubleValue());
    }

    OptionalDouble number(String name, double least, double most) throws Refusal {
        Optional<JsonNode> value = get(name);
        if (value.isEmpty()) {
            return OptionalDouble.empty();
        }
        double number = value.get().isNumber() ? value.get().doubleValue() : Double.NaN;
        if (!(number >= least && number <= most)) {
            throw Refusal.of(name, name + " must be a number from " + least + " to " + most + ", got " + (value.get().isNumber() ? value.get().asText() : kind(value.get())));
        }
        return OptionalDouble.of(number);
    }

    /** A text, or several. */
    List<String> texts(String name, int most) throws Refusal {
        Optional<JsonNode> value = get(name);
        List<String> texts = new ArrayList<>();
        if (value.isPresent()) {
            for (JsonNode each : value.get().isArray() ? value.get() : List.of(value.get())) {
                if (!each.isTextual() || each.textValue().isEmpty() || texts.size() == most) {
                    throw Refusal.of(name, name + " must be a text or up to " + most + " of them, none of them empty");
                }
                texts.add(each.textValue());
            }
        }
        return texts;
    }

    /** Refuses what is asked for and not to be had, unless it is what happens anyway. */
    void refuse(String name, String why, String... harmless) throws Refusal {
        Optional<JsonNode> value = get(name);
        if (value.isPresent() && !Set.of(harmless).contains(value.get().toString())) {
            throw Refusal.of(name, name + " is not to be had here: " + why);
        }
    }

    /** Refuses names that were never asked for. */
    void requireNoMore() throws Refusal {
        for (String name : (Iterable<String>) json::fieldNames) {
            if (!known.contains(name)) {
                throw Refusal.of(shown(name), "there is no " + shown(name) + " here; leave it out");
            }
        }
    }

    private static String shown(String name) {
        String plain = name.replaceAll("\\p{Cntrl}", "?");
        return plain.length() <= 60 ? plain : plain.substring(0, 60) + "...";
    }

    private static String kind(JsonNode value) {
        return switch (value.getNodeType()) {
            case ARRAY -> "a list";
            case OBJECT -> "an object";
            case STRING -> "a text";
            case NUMBER -> "a number";
            case BOOLEAN -> value.asText();
            default -> "something else";
        };
    }
}
