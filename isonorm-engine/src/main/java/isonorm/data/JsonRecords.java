package isonorm.data;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.annotation.JsonNaming;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.checkpoint.OutputFolder;
import isonorm.words.JsonFault;
import java.io.IOException;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.RecordComponent;
import java.lang.reflect.Type;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Records as files of JSON that nobody but Isonorm writes: every component is there and of its type, and nothing else is.
 *
 * <p>Components are numbers, texts, records, and lists of records; which values a number may have is for the record's constructor to say.
 * Packages of such records must be open to Jackson.
 */
public final class JsonRecords {

    private static final ObjectMapper JSON = new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);
    private static final List<String> NOT_FINITE = List.of("NaN", "Infinity", "-Infinity");

    private JsonRecords() {}

    /** As JSON, in the order of its components. */
    public static ObjectNode of(Record written) {
        return JSON.valueToTree(written);
    }

    /** Writes a file over many lines. */
    public static void write(Path file, JsonNode json) throws IOException {
        OutputFolder.write(file, JSON.writeValueAsBytes(json));
    }

    /**
     * The object that is in a file.
     *
     * @throws IOException naming the file where it holds none
     */
    public static ObjectNode object(Path file) throws IOException {
        try {
            if (JSON.readTree(Files.readAllBytes(file)) instanceof ObjectNode json) {
                return json;
            }
        } catch (JacksonException e) {
            throw new IOException(file + " is not JSON: " + JsonFault.of(e), e);
        }
        throw new IOException(file + " must be a JSON object");
    }

    /**
     * What {@link #of} made.
     *
     * @param file that it was read from, for what is said of it
     * @throws IOException naming the component that is missing, of another type, or not known
     */
    public static <R extends Record> R read(Path file, JsonNode json, Class<R> type) throws IOException {
        require(file, json, type);
        try {
            return JSON.convertValue(json, type);
        } catch (IllegalArgumentException e) {
            throw new IOException(file + ": " + refusal(e), e);
        }
    }

    /** What a record's own constructor said, without what Jackson adds. */
    private static String refusal(Throwable thrown) {
        while (thrown.getCause() != null) {
            thrown = thrown.getCause();
        }
        return String.valueOf(thrown.getMessage());
    }

    /** Jackson would take 0 for what is not there. */
    private static void require(Path file, JsonNode json, Class<? extends Record> type) throws IOException {
        List<String> names = new ArrayList<>();
        for (RecordComponent component : type.getRecordComponents()) {
            String name = name(component);
            names.add(name);
            JsonNode value = json.path(name);
            if (component.getType().isRecord()) {
                require(file, value, component.getType().asSubclass(Record.class));
            } else if (component.getType() == List.class) {
                requireList(file, name, value, component.getGenericType());
            } else {
                requireValue(file, name, value, component.getType());
            }
        }
        for (Map.Entry<String, JsonNode> field : json.properties()) {
            if (!names.contains(field.getKey())) {
                throw new IOException(file + " has " + field.getKey() + ", which Isonorm does not write there");
            }
        }
    }

    private static void requireList(Path file, String name, JsonNode value, Type type) throws IOException {
        if (!value.isArray()) {
            throw new IOException(file + " must have " + name + ", a list, got " + (value.isMissingNode() ? "none" : value));
        }
        Class<?> element = (Class<?>) ((ParameterizedType) type).getActualTypeArguments()[0];
        for (JsonNode each : value) {
            require(file, each, element.asSubclass(Record.class));
        }
    }

    private static String name(RecordComponent component) {
        JsonNaming naming = component.getDeclaringRecord().getAnnotation(JsonNaming.class);
        return naming == null ? component.getName() : PropertyNamingStrategies.SnakeCaseStrategy.INSTANCE.translate(component.getName());
    }

    private static void requireValue(Path file, String name, JsonNode value, Class<?> type) throws IOException {
        String kind;
        boolean fits;
        if (type == String.class) {
            kind = "a text";
            fits = value.isTextual();
        } else if (type == double.class) {
            kind = "a number";
            fits = value.isNumber() || value.isTextual() && NOT_FINITE.contains(value.asText());
        } else {
            kind = "a whole number";
            fits = value.isIntegralNumber() && (type == int.class ? value.canConvertToInt() : value.canConvertToLong());
        }
        if (!fits) {
            throw new IOException(file + " must have " + name + ", " + kind + ", got " + (value.isMissingNode() ? "none" : value));
        }
    }
}
