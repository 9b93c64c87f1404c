package isonorm.data;

import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.snakeyaml.engine.v2.api.Load;
import org.snakeyaml.engine.v2.api.LoadSettings;

import org.snakeyaml.engine.v2.events.Event;
import org.snakeyaml.engine.v2.exceptions.YamlEngineException;
import org.snakeyaml.engine.v2.parser.ParserImpl;
import org.snakeyaml.engine.v2.scanner.StreamReader;

/**
 * What YAML says by nested keys or dotted ones.
 *
 * @param values by dotted keys in the text's order
 * @param lists its lists of values
 */
public record Yaml(Map<String, String> values, Map<String, List<String>> lists) {

    /** A configuration is some keys and values: no collection is told by reference, and none is a megabyte long. */
    private static final int ALIASES = 0;
    private static final int CHARACTERS = 1 << 20;
    private static final int DEEPEST = 32;

    /** What a YAML file holds. */
    public static Yaml read(Path file) throws IOException {
        if (!Files.isRegularFile(file)) {
            throw new IOException(file + " does not exist");
        }
        try {
            return parse(Files.readString(file), file.toString());
        } catch (CharacterCodingException e) {
            throw new IOException(file + " is not UTF-8", e);
        }
    }

    /**
     * What a YAML text holds.
     *
     * @param name what an error calls it
     */
    public static Yaml parse(String text, String name) throws IOException {
        LoadSettings settings = LoadSettings.builder().setLabel(name).setMaxAliasesForCollections(ALIASES).setCodePointLimit(CHARACTERS).build();
        Object yaml;
        try {
            requireShallow(new ParserImpl(settings, new StreamReader(settings, text)), name);
            yaml = new Load(settings).loadFromString(text);
        } catch (YamlEngineException e) {
            throw new IOException(name + " is no YAML: " + String.valueOf(e.getMessage()).lines().map(String::strip).reduce((a, b) -> a + " " + b).orElse(""), e);
        }
        Yaml content = new Yaml(new LinkedHashMap<>(), new LinkedHashMap<>());
        if (yaml != null) {
            flatten("", yaml, name, content);
        }
        return content;
    }

    /** Ends at the first level that is too deep: what is parsed further takes a time that grows as the square of the depth, and all of the stack. */
    private static void requireShallow(Iterator<Event> events, String name) throws IOException {
        int depth = 0;
        while (events.hasNext()) {
            Event event = events.next();
            switch (event.getEventId()) {
                case MappingStart, SequenceStart -> depth++;
                case MappingEnd, SequenceEnd -> depth--;
                default -> {}
            }
            if (depth > DEEPEST) {
                throw new IOException(name + " is nested more deeply than " + DEEPEST + " levels");
            }
        }
    }

    private static void flatten(String prefix, Object node, String name, Yaml into) throws IOException {
        switch (node) {
            case Map<?, ?> map -> {
                for (Map.Entry<?, ?> entry : map.entrySet()) {
                    String key = String.valueOf(entry.getKey());
                    // strategy: {name: lns, kind: rmsnorm} says the strategy's own value under name
                    flatten(key.equals("name") ? prefix : prefix.isEmpty() ? key : prefix + "." + key, entry.getValue(), name, into);
                }
            }
            case List<?> list -> {
                List<String> values = new ArrayList<>();
                for (Object value : list) {
                    if (value instanceof Map || value instanceof List) {
                        throw new IOException(name + ": " + prefix + " is a list of more than values");
                    }
                    values.add(value == null ? "" : String.valueOf(value));
                }
                into.lists.put(prefix, values);
            }
            case null -> into.values.put(prefix, "");
            default -> {
                if (prefix.isEmpty()) {
                    throw new IOException(name + " must hold keys and values, got " + node);
                }
                into.values.put(prefix, String.valueOf(node));
            }
        }
    }
}
