package isonorm.mutation;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;

/** Makes of what is valid something that is nearly so, the same for the same random numbers. */
public final class Mutator {

    private static final ObjectMapper JSON = new ObjectMapper();

    private static final List<String> VALUES = List.of("null", "true", "false", "0", "1", "-1", "2", "7", "0.5", "-0.0", "1e-30", "1e30", "127", "255", "65536",
            "1000000", "2147483647", "2147483648", "-2147483648", "4294967296", "9223372036854775807", "9223372036854775808", "-1e400", "[]", "{}", "[[]]",
            "[1]", "[1,2,3]", "{\"type\":\"a\"}", "\"\"", "\" \"", "\"a\"", "\"1\"", "\"relu\"", "\"\\u0000\"", "\"\\u001b[31m\"", "\"\\ud800\"", "\"é😀\"",
            "\"/\"", "\"../x\"", "\"%s%n\"", "\"\\n\"", "\"NaN\"", "\"float16\"");
    private static final List<String> PIECES = List.of("{", "}", "[", "]", ",", ":", "\"", "\\", "\\ud800", "\\u0000", "null", "NaN", "Infinity", "1e999", "-",
            "{\"a\":", "[[[[", " ", "\n", "\0", "\u001b", "\ufeff", "😀", "#", "'", "&a", "*a", "!!", "---\n", "- ", "? ", "| ", "%", "//", "/*", "\t", "\r");

    private Mutator() {}

    /** Bytes changed, cut, doubled, moved, or followed by another's. */
    public static byte[] bytes(byte[] valid, List<byte[]> others, SplittableRandom random) {
        byte[] input = valid.clone();
        for (int changes = 1 + random.nextInt(3); changes > 0 && input.length > 0; changes--) {
            int at = random.nextInt(input.length);
            int length = Math.min(input.length - at, 1 + random.nextInt(1 << random.nextInt(10)));
            switch (random.nextInt(8)) {
                case 0, 1 -> input[at] ^= (byte) (1 << random.nextInt(8));
                case 2 -> input[at] = (byte) (random.nextBoolean() ? random.nextInt(256) : random.nextBoolean() ? 0 : 255);
                case 3 -> input = Arrays.copyOf(input, at);
                case 4 -> input = joined(Arrays.copyOf(input, at), Arrays.copyOfRange(input, at + length, input.length));
                case 5 -> input = joined(Arrays.copyOf(input, at + length), Arrays.copyOfRange(input, at, input.length));
                case 6 -> Arrays.fill(input, at, at + Math.min(length, 8), (byte) random.nextInt(-1, 1));
                default -> {
                    byte[] other = others.get(random.nextInt(others.size()));
                    input = joined(Arrays.copyOf(input, at), Arrays.copyOfRange(other, random.nextInt(other.length), other.length));
                }
            }
        }
        return input;
    }

    /** As text: pieces put in, numbers and words changed, lines doubled and left out. */
    public static byte[] text(byte[] valid, List<byte[]> others, SplittableRandom random) {
        StringBuilder text = new StringBuilder(new String(valid, StandardCharsets.UTF_8));
        for (int changes = 1 + random.nextInt(3); changes > 0; changes--) {
            int at = random.nextInt(text.length() + 1);
            int end = Math.min(text.length(), at + 1 + random.nextInt(20));
            switch (random.nextInt(7)) {
                case 0 -> text.insert(at, PIECES.get(random.nextInt(PIECES.size())));
                case 1 -> text.insert(at, VALUES.get(random.nextInt(VALUES.size())));
                case 2 -> text.delete(at, end);
                case 3 -> text.replace(at, end, VALUES.get(random.nextInt(VALUES.size())));
                case 4 -> text.insert(at, text.substring(at, end));
                case 5 -> text.insert(at, PIECES.get(random.nextInt(PIECES.size())).repeat(1 << random.nextInt(12)));
                default -> {
                    String other = new String(others.get(random.nextInt(others.size())), StandardCharsets.UTF_8);
                    int from = random.nextInt(other.length() + 1);
                    text.insert(at, other, from, Math.min(other.length(), from + 100));
                }
            }
        }
        return text.toString().getBytes(StandardCharsets.UTF_8);
    }

    /** As JSON, mostly: values left out, doubled, renamed, exchanged for others of the tree, of another tree and of a list of evil ones. */
    public static byte[] json(byte[] valid, List<byte[]> others, SplittableRandom random) {
        switch (random.nextInt(10)) {
            case 0 -> {
                return bytes(valid, others, random);
            }
            case 1 -> {
                return text(valid, others, random);
            }
            default -> {
                try {
                    JsonNode tree = JSON.readTree(valid);
                    JsonNode other = JSON.readTree(others.get(random.nextInt(others.size())));
                    for (int changes = 1 + random.nextInt(1 + random.nextInt(3)); changes > 0; changes--) {
                        change(tree, other, random);
                    }
                    return JSON.writeValueAsBytes(tree);
                } catch (IOException e) {
                    throw new IllegalStateException("a valid one must be JSON", e);
                }
            }
        }
    }

    private static void change(JsonNode tree, JsonNode other, SplittableRandom random) throws JsonProcessingException {
        JsonNode container = within(tree, random);
        if (!container.isContainerNode() || container.isEmpty()) {
            return;
        }
        int at = random.nextInt(container.size());
        JsonNode from = within(random.nextBoolean() ? tree : other, random);
        JsonNode borrowed = (from.isEmpty() || random.nextBoolean() ? from : child(from, random.nextInt(from.size()))).deepCopy();
        JsonNode old = child(container, at);
        JsonNode value = old.isBoolean() && random.nextBoolean() ? JsonNodeFactory.instance.booleanNode(!old.asBoolean()) : switch (random.nextInt(6)) {
            case 0, 1 -> JSON.readTree(VALUES.get(random.nextInt(VALUES.size())));
            case 2 -> borrowed;
            case 3 -> old.isTextual() ? JsonNodeFactory.instance.textNode(changed(old.asText(), random)) : JSON.readTree(VALUES.get(random.nextInt(VALUES.size())));
            case 4 -> old.isNumber() ? number(old, random) : JsonNodeFactory.instance.numberNode(random.nextInt());
            default -> null; // left out
        };
        switch (container) {
            case ObjectNode object -> {
                String key = new ArrayList<>(object.propertyStream().map(Map.Entry::getKey).toList()).get(at);
                if (value == null) {
                    object.remove(key);
                } else if (random.nextInt(8) == 0) {
                    object.set(changed(key, random), value);
                } else {
                    object.set(key, value);
                }
            }
            case ArrayNode array -> {
                if (value == null) {
                    array.remove(at);
                } else if (random.nextInt(8) == 0) {
                    array.insert(at, value);
                } else {
                    array.set(at, value);
                }
            }
            default -> throw new IllegalStateException("only objects and lists hold others");
        }
    }

    private static JsonNode number(JsonNode old, SplittableRandom random) {
        return switch (random.nextInt(4)) {
            case 0 -> JsonNodeFactory.instance.numberNode(old.asLong() + 1);
            case 1 -> JsonNodeFactory.instance.numberNode(-old.asLong());
            case 2 -> JsonNodeFactory.instance.numberNode(old.asLong() * (1L << random.nextInt(40)));
            default -> JsonNodeFactory.instance.numberNode(old.asDouble() / 3);
        };
    }

    private static String changed(String text, SplittableRandom random) {
        int at = random.nextInt(text.length() + 1);
        return switch (random.nextInt(5)) {
            case 0 -> text.substring(0, at);
            case 1 -> text.substring(at);
            case 2 -> text.substring(0, at) + (char) random.nextInt(0x250) + text.substring(at);
            case 3 -> text.repeat(1 + random.nextInt(50));
            default -> text.substring(0, at) + "\\()[]{}*+?|^$.<>,_- 0aA".charAt(random.nextInt(23)) + text.substring(at);
        };
    }

    private static JsonNode child(JsonNode container, int index) {
        return container.isArray() ? container.get(index) : container.propertyStream().skip(index).findFirst().orElseThrow().getValue();
    }

    /** An object or a list, the more likely the nearer to the root it is and the fewer lie beside it. */
    private static JsonNode within(JsonNode root, SplittableRandom random) {
        JsonNode container = root;
        while (random.nextInt(8) > 0) {
            List<JsonNode> inner = new ArrayList<>();
            container.forEach(each -> {
                if (each.isContainerNode() && !each.isEmpty()) {
                    inner.add(each);
                }
            });
            if (inner.isEmpty()) {
                break;
            }
            container = inner.get(random.nextInt(inner.size()));
        }
        return container;
    }

    static byte[] joined(byte[] first, byte[] second) {
        ByteArrayOutputStream both = new ByteArrayOutputStream(first.length + second.length);
        both.writeBytes(first);
        both.writeBytes(second);
        return both.toByteArray();
    }
}
