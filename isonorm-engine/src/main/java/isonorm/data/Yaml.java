package isonorm.data;

import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.snakeyaml.engine.v2.api.Load;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.snakeyaml.engine.v2.exceptions.YamlEngineException;

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
        Object yaml;
        try {
            yaml = new Load(LoadSettings.builder().setLabel(name).setMaxAliasesForCollections(ALIASES).setCodePointLimit(CHARACTERS).build())
                    .loadFromString(text);
        } catch (StackOverflowError e) { // what the parser is called again for has no limit of its own
            throw new IOException(name + " is no YAML that is read: it is nested too deeply", e);
        } catch (YamlEngineException e) {
            throw new IOException(name + " is no YAML: " + e.getMessage().lines().map(String::strip).reduce((a, b) -> a + " " + b).orElse(""), e);
        }
        Yaml content = new Yaml(new LinkedHashMap<>(), new LinkedHashMap<>());
        if (yaml != null) {
            flatten("", yaml, name, DEEPEST, content);
        }
        return content;
    }

    private static void flatten(String prefix, Object node, String name, int deepest, Yaml into) throws IOException {
        if (deepest == 0) {
            throw new IOException(name + " is nested more deeply than " + DEEPEST + " levels");
        }
        switch (node) {
            case Map<?, ?> map -> {
                for (Map.Entry<?, ?> entry : map.entrySet()) {
                    String key = String.valueOf(entry.getKey());
                    // strategy: {name: lns, kind: rmsnorm} says the strategy's own value under name
                    flatten(key.equals("name") ? prefix : prefix.isEmpty() ? key : prefix + "." + key, entry.getValue(), name, deepest - 1, into);
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
