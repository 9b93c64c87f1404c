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
import org.snakeyaml.engine.v2.api.Load;
import org.snakeyaml.engine.v2.api.LoadSettings;
import org.snakeyaml.engine.v2.exceptions.YamlEngineException;

/** Configurations as YAML: nested keys or dotted ones. */
public final class RunFiles {

    private RunFiles() {}

    /** The values of a YAML file, by dotted keys. */
    public static Map<String, String> read(Path file) throws IOException {
        if (!Files.isRegularFile(file)) {
            throw new IOException(file + " does not exist");
        }
        Object yaml;
        try {
            yaml = new Load(LoadSettings.builder().setLabel(file.toString()).build()).loadFromString(Files.readString(file));
        } catch (YamlEngineException e) {
            throw new IOException(file + " is no YAML: " + e.getMessage().lines().map(String::strip).reduce((a, b) -> a + " " + b).orElse(""), e);
        } catch (CharacterCodingException e) {
            throw new IOException(file + " is not UTF-8", e);
        }
        Map<String, String> values = new LinkedHashMap<>();
        if (yaml != null) {
            flatten("", yaml, file, values);
        }
        return values;
    }

    private static void flatten(String prefix, Object node, Path file, Map<String, String> into) throws IOException {
        switch (node) {
            case Map<?, ?> map -> {
                for (Map.Entry<?, ?> entry : map.entrySet()) {
                    String key = String.valueOf(entry.getKey());
                    // strategy: {name: lns, kind: rmsnorm} says the strategy's own value under name
                    flatten(key.equals("name") ? prefix : prefix.isEmpty() ? key : prefix + "." + key, entry.getValue(), file, into);
                }
            }
            case List<?> _ -> throw new IOException(file + ": " + prefix + " is a list, a value is needed");
            case null -> into.put(prefix, "");
            default -> {
                if (prefix.isEmpty()) {
                    throw new IOException(file + " must hold keys and values, got " + node);
                }
                into.put(prefix, String.valueOf(node));
            }
        }
    }

    static void writeConfiguration(Path run, Configuration configuration) throws IOException {
        List<String> lines = new ArrayList<>();
        configuration.values().forEach((name, value) -> {
            if (!name.equals("out")) {
                lines.add(name + ": '" + value.replace("'", "''") + "'");
            }
        });
        Path temporary = run.resolve(".config.yaml.tmp");
        Files.write(temporary, lines);
        Files.move(temporary, run.resolve("config.yaml"), StandardCopyOption.ATOMIC_MOVE);
    }

    static Configuration readConfiguration(Path run) throws IOException {
        if (!Files.isDirectory(run)) {
            throw new IOException(run + " is no folder of a run");
        }
        return Configuration.of(read(run.resolve("config.yaml")));
    }
}
