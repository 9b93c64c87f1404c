package isonorm.train;

import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.snakeyaml.engine.v2.api.Load;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.snakeyaml.engine.v2.exceptions.YamlEngineException;

/** Configurations as YAML: nested keys or dotted ones. */
public final class RunFiles {

    private RunFiles() {}

    /** The values of a YAML file, and its lists of values, by dotted keys in the file's order. */
    public record Content(Map<String, String> values, Map<String, List<String>> lists) {}

    /** The values of a YAML file by dotted keys, lists being several words of a key that takes them. */
    public static Map<String, String> read(Path file) throws IOException {
        Content content = readLists(file);
        for (Map.Entry<String, List<String>> list : content.lists.entrySet()) {
            content.values.put(list.getKey(), Configuration.together(list.getKey(), list.getValue())
                    .orElseThrow(() -> new IOException(file + ": " + list.getKey() + " is a list, a value is needed")));
        }
        return content.values;
    }

    /** What a YAML file holds. */
    public static Content readLists(Path file) throws IOException {
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
    public static Content parse(String text, String name) throws IOException {
        Object yaml;
        try {
            yaml = new Load(LoadSettings.builder().setLabel(name).build()).loadFromString(text);
        } catch (YamlEngineException e) {
            throw new IOException(name + " is no YAML: " + e.getMessage().lines().map(String::strip).reduce((a, b) -> a + " " + b).orElse(""), e);
        }
        Content content = new Content(new LinkedHashMap<>(), new LinkedHashMap<>());
        if (yaml != null) {
            flatten("", yaml, name, content);
        }
        return content;
    }

    private static void flatten(String prefix, Object node, String name, Content into) throws IOException {
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

    private static final String TEMPORARY = ".config.yaml.tmp";

    /** Whether a folder is missing, or has nothing but what a run that was killed at its very begin left. */
    public static boolean isFresh(Path run) throws IOException {
        if (!Files.isDirectory(run)) {
            return !Files.exists(run);
        }
        try (Stream<Path> files = Files.list(run)) {
            return files.map(file -> file.getFileName().toString()).allMatch(name -> name.equals(RunLock.FILE) || name.equals(TEMPORARY));
        }
    }

    static void writeConfiguration(Path run, Configuration configuration) throws IOException {
        List<String> lines = new ArrayList<>();
        configuration.values().forEach((name, value) -> {
            if (!name.equals("out")) {
                lines.add(name + ": '" + value.replace("'", "''") + "'");
            }
        });
        Path temporary = run.resolve(TEMPORARY);
        Files.write(temporary, lines);
        Files.move(temporary, run.resolve("config.yaml"), StandardCopyOption.ATOMIC_MOVE);
    }

    /** The configuration that a run's folder holds. */
    public static Configuration readConfiguration(Path run) throws IOException {
        if (!Files.isDirectory(run)) {
            throw new IOException(run + " is no folder of a run");
        }
        return Configuration.of(read(run.resolve("config.yaml")));
    }
}
