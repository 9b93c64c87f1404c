package isonorm.cli.terminal;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectWriter;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Path;

/** How commands, reports and pages make, write and read JSON: nothing else in the command line has a mapper. */
public final class Json {

    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final ObjectWriter INDENTED = MAPPER.writerWithDefaultPrettyPrinter();

    private Json() {}

    public static ObjectNode object() {
        return MAPPER.createObjectNode();
    }

    public static ArrayNode array() {
        return MAPPER.createArrayNode();
    }

    /** A text, number, truth value or list of them. */
    public static JsonNode of(Object value) {
        return MAPPER.valueToTree(value);
    }

    /** JSON has no NaN; what was not measured is left out. */
    public static void put(ObjectNode json, String name, double value) {
        if (Double.isFinite(value)) {
            json.put(name, value);
        }
    }

    /** Over many lines, for results and files. */
    public static String text(JsonNode node) {
        return text(INDENTED, node);
    }

    /** In one line, for what comes line by line and for pages. */
    public static String line(JsonNode node) {
        return text(MAPPER.writer(), node);
    }

    private static String text(ObjectWriter writer, JsonNode node) {
        try {
            return writer.writeValueAsString(node);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(e); // a tree in memory can always be written
        }
    }

    /** The object that a file of ours holds. */
    public static ObjectNode read(Path file) throws IOException {
        return MAPPER.readValue(file.toFile(), ObjectNode.class);
    }
}
