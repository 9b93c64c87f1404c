package isonorm.checkpoint;

import static java.util.Objects.requireNonNull;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import isonorm.checkpoint.CheckpointException.Reason;
import isonorm.words.JsonFault;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * A config.json, read by key, where a key may have several names and null means absent. It does not change: {@link #with} and
 * {@link #without} give others.
 *
 * <p>Values are strings, numbers, booleans, nulls, lists of them and maps to them.
 */
public final class Config {

    private static final ObjectMapper JSON = new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);

    private final Map<String, Object> values;
    private final String path; // of the object in the file, with a dot behind it
    private final Consumer<String> reads;

    private Config(Map<String, Object> values) {
        this(values, "", _ -> { });
    }

    private Config(Map<String, Object> values, String path, Consumer<String> reads) {
        this.values = values;
        this.path = path;
        this.reads = reads;
    }

    /** The config with these values, in their order. */
    public static Config of(Map<String, ?> values) {
        return new Config(copied(values));
    }

    /** The config that a JSON object is. */
    public static Config parse(String json) {
        try {
            return of(JSON.readTree(json));
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException("a config is a JSON object, got text that is none: " + JsonFault.of(e), e);
        }
    }

    static Config of(JsonNode json) {
        if (!json.isObject()) {
            throw new IllegalArgumentException("a config is a JSON object, got " + json.getNodeType().name().toLowerCase(Locale.ROOT));
        }
        return new Config(copied((Map<?, ?>) requireNonNull(value(json))));
    }

    private static @Nullable Object value(JsonNode json) {
        return switch (json.getNodeType()) {
            case OBJECT -> {
                Map<String, Object> map = new LinkedHashMap<>();
                json.properties().forEach(entry -> map.put(entry.getKey(), value(entry.getValue())));
                yield map;
            }
            case ARRAY -> {
                List<Object> list = new ArrayList<>();
                json.forEach(each -> list.add(value(each)));
                yield list;
            }
            case NUMBER -> json.numberValue();
            case BOOLEAN -> json.booleanValue();
            case STRING -> json.textValue();
            default -> null;
        };
    }

    private static Map<String, Object> copied(Map<?, ?> values) {
        Map<String, Object> copy = new LinkedHashMap<>();
        values.forEach((key, value) -> copy.put((String) key, copied(value)));
        return Collections.unmodifiableMap(copy);
    }

    private static @Nullable Object copied(@Nullable Object value) {
        return switch (value) {
            case null -> null;
            case Config config -> config.values;
            case Map<?, ?> map -> copied(map);
            case Collection<?> list -> Collections.unmodifiableList(new ArrayList<>(list.stream().map(Config::copied).toList()));
            case String _, Number _, Boolean _ -> value;
            default -> throw new IllegalArgumentException("a config holds strings, numbers, booleans, lists and maps, got " + value.getClass());
        };
    }

    /** The same config, which tells {@code reads} each key that is asked for; of objects in it too, with a dot between. */
    public Config recording(Consumer<String> reads) {
        return new Config(values, path, reads);
    }

    private @Nullable Object get(String name) {
        reads.accept(path + name);
        return values.get(name);
    }

    /** Every key with its value. */
    public Map<String, Object> values() {
        return values;
    }

    /** Whether there is nothing in it. */
    public boolean isEmpty() {
        return values.isEmpty();
    }

    /** Whether a key is there, if only with null. */
    public boolean has(String name) {
        reads.accept(path + name);
        return values.containsKey(name);
    }

    /** The same with another value of one key, which stands where it stood, or last. */
    public Config with(String name, Object value) {
        Map<String, Object> other = new LinkedHashMap<>(values);
        other.put(name, copied(value));
        return new Config(Collections.unmodifiableMap(other), path, reads);
    }

    /** The same without some keys. */
    public Config without(String... names) {
        Map<String, Object> other = new LinkedHashMap<>(values);
        other.keySet().removeAll(List.of(names));
        return new Config(Collections.unmodifiableMap(other), path, reads);
    }

    /** The first of {@code names} that is present and not null. */
    public Optional<Object> find(String... names) {
        Optional<Object> first = Optional.empty();
        for (String name : names) {
            Object value = get(name);
            first = first.isPresent() ? first : Optional.ofNullable(value);
        }
        return first;
    }

    /** The object below {@code name}, or an empty one. */
    public Config object(String name) {
        return new Config(get(name) instanceof Map<?, ?> map ? copied(map) : Map.of(), path + name + ".", reads);
    }

    /** The list below {@code name}, or an empty one. */
    public List<?> list(String name) {
        return get(name) instanceof List<?> list ? list : List.of();
    }

    /** The objects of the list below {@code name}; what is no object there is an empty one. */
    public List<Config> objects(String name) {
        return list(name).stream().map(each -> new Config(each instanceof Map<?, ?> map ? copied(map) : Map.of(), path + name + ".", reads)).toList();
    }

    /** What all of {@code names} say that are there: several names of one thing must not differ, because readers differ in which they take. */
    private Optional<Object> agreed(String... names) throws CheckpointException {
        Optional<Object> first = find(names);
        for (String name : names) {
            Object value = values.get(name);
            if (value != null && !same(value, first.orElseThrow())) {
                String other = Arrays.stream(names).filter(each -> values.get(each) != null).findFirst().orElseThrow();
                throw unsupported(path + name, json(value), path + other + "'s value, " + json(first.get()) + ", for both say the same thing; take one of them out");
            }
        }
        return first;
    }

    private static boolean same(Object one, Object other) {
        return one instanceof Number a && other instanceof Number b ? a.doubleValue() == b.doubleValue() : one.equals(other);
    }

    /** A whole number that must be there. */
    public int integer(String... names) throws CheckpointException {
        Optional<Object> value = agreed(names);
        if (value.isEmpty()) {
            throw new CheckpointException(Reason.CONFIG_UNSUPPORTED, "config.json needs " + path + names[0]);
        }
        return whole(value.get(), path + names[0]);
    }

    /** A whole number, or {@code otherwise}. */
    public int integerOr(int otherwise, String... names) throws CheckpointException {
        Optional<Object> value = agreed(names);
        return value.isPresent() ? whole(value.get(), path + names[0]) : otherwise;
    }

    private static int whole(Object value, String name) throws CheckpointException {
        if (!(value instanceof Number number) || number.doubleValue() != number.intValue()) {
            throw unsupported(name, json(value), "a whole number");
        }
        return number.intValue();
    }

    /** A number, or {@code otherwise}. */
    public double numberOr(double otherwise, String... names) throws CheckpointException {
        Optional<Object> value = agreed(names);
        if (value.isEmpty()) {
            return otherwise;
        }
        if (!(value.get() instanceof Number number)) {
            throw unsupported(path + names[0], json(value.get()), "a number");
        }
        return number.doubleValue();
    }

    /** True or false, or {@code otherwise}. */
    public boolean flagOr(boolean otherwise, String... names) throws CheckpointException {
        Optional<Object> value = agreed(names);
        if (value.isEmpty()) {
            return otherwise;
        }
        if (!(value.get() instanceof Boolean flag)) {
            throw unsupported(path + names[0], json(value.get()), "true or false");
        }
        return flag;
    }

    /** A word, or {@code otherwise}. */
    public String textOr(String otherwise, String... names) {
        return find(names).map(Config::text).orElse(otherwise);
    }

    private static String text(Object value) {
        return value instanceof List<?> || value instanceof Map<?, ?> ? "" : String.valueOf(value);
    }

    /** The words of a list, or none. */
    public List<String> words(String name) {
        return list(name).stream().map(Config::text).toList();
    }

    /** The class the checkpoint was saved from, {@code GPT2LMHeadModel} for instance, or the empty string. */
    public String modelClass() {
        List<String> architectures = words("architectures");
        return architectures.isEmpty() ? "" : architectures.getFirst();
    }

    /** Whether the checkpoint was saved from a model without a head, {@code GPT2Model} for instance. */
    public boolean isBareModel() {
        return modelClass().endsWith("Model") && !modelClass().endsWith("LMHeadModel") && !modelClass().endsWith("MTModel");
    }

    /** Refuses the config unless {@code name} is absent or {@code only}. */
    public void requireFlag(boolean only, String name) throws CheckpointException {
        if (flagOr(only, name) != only) {
            throw unsupported(path + name, json(values.get(name)), String.valueOf(only));
        }
    }

    /** Refuses the config unless {@code name} is absent, null or one of {@code supported}, which are words and whole numbers. */
    public void require(String name, Object... supported) throws CheckpointException {
        Object value = get(name);
        if (value != null && Arrays.stream(supported).noneMatch(each -> same(value, each))) {
            throw unsupported(path + name, json(value), Arrays.stream(supported).map(String::valueOf).collect(Collectors.joining(" or ")));
        }
    }

    /** Refuses the config unless {@code name} is absent or null. */
    public void requireNone(String name) throws CheckpointException {
        if (get(name) != null) {
            throw unsupported(path + name, json(values.get(name)), "none");
        }
    }

    /** A value this reader has no forward pass for. */
    public static CheckpointException unsupported(String name, Object value, String supported) {
        return new CheckpointException(Reason.CONFIG_UNSUPPORTED,
                "config.json has " + name + " = " + value + "; supported is " + supported);
    }

    private static String json(@Nullable Object value) {
        try {
            return JSON.writer().without(SerializationFeature.INDENT_OUTPUT).writeValueAsString(value);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Writes it as a JSON file. */
    public void writeTo(Path file) throws IOException {
        OutputFolder.write(file, toString().getBytes(StandardCharsets.UTF_8));
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Config config && values.equals(config.values);
    }

    @Override
    public int hashCode() {
        return values.hashCode();
    }

    /** As JSON, in lines. */
    @Override
    public String toString() {
        try {
            return JSON.writeValueAsString(values);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(e);
        }
    }
}
