package isonorm.gguf;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import isonorm.checkpoint.Config;
import isonorm.words.JsonFault;
import isonorm.words.TextFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.StreamSupport;

/**
 * A tokenizer.json as llama.cpp's metadata: byte-level pair encoding whose rule of splitting texts llama.cpp has by a name.
 *
 * @param kind llama.cpp's name for it
 * @param notes what llama.cpp does otherwise
 */
record GgufTokenizer(String kind, Map<String, Object> metadata, List<String> notes) {

    private static final ObjectMapper JSON = new ObjectMapper();
    private static final String PREFIX = "tokenizer.ggml.";

    private static final int NORMAL = 1;
    private static final int CONTROL = 3;
    private static final int USER_DEFINED = 4;
    private static final int UNUSED = 5;

    /** How texts are split where no regular expression is named. */
    private static final String GPT_2 = "gpt-2";

    /** What regular expressions of tokenizer.json are called. */
    private static final Map<String, String> SPLITS = Map.of(
            "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", "llama-bpe",
            "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", "qwen2");

    /**
     * Reads the tokenizer of a folder; empty where there is none.
     *
     * @param vocabulary how many tokens the model knows, of which the tokenizer may use fewer
     * @throws IOException if llama.cpp would read texts otherwise, or if a file cannot be read
     */
    static Optional<GgufTokenizer> read(Path folder, Config config, int vocabulary) throws IOException {
        Path file = folder.resolve("tokenizer.json");
        if (!Files.exists(file)) {
            return Optional.empty();
        }
        JsonNode json = parse(file);
        JsonNode model = json.path("model");
        require(model.path("type").asText("BPE").equals("BPE") && model.path("vocab").isObject(), file, "a tokenizer of type " + model.path("type").asText());
        require(!model.path("byte_fallback").asBoolean(), file, "pieces that fall back to bytes");
        Map<String, Object> metadata = new LinkedHashMap<>();
        List<String> notes = new ArrayList<>();
        String kind = split(file, json);
        metadata.put(PREFIX + "model", "gpt2");
        metadata.put(PREFIX + "pre", kind);
        String[] tokens = new String[vocabulary];
        int[] types = new int[vocabulary];
        for (int i = 0; i < vocabulary; i++) {
            tokens[i] = "[PAD" + i + "]";
            types[i] = UNUSED;
        }
        for (Map.Entry<String, JsonNode> entry : model.path("vocab").properties()) {
            put(file, tokens, types, entry.getValue().asInt(-1), entry.getKey(), NORMAL);
        }
        for (JsonNode added : json.path("added_tokens")) {
            put(file, tokens, types, added.path("id").asInt(-1), added.path("content").asText(), added.path("special").asBoolean() ? CONTROL : USER_DEFINED);
        }
        metadata.put(PREFIX + "tokens", Arrays.asList(tokens));
        metadata.put(PREFIX + "token_type", types);
        metadata.put(PREFIX + "merges", merges(file, model));
        boolean whole = model.path("ignore_merges").asBoolean();
        require(whole == kind.equals("llama-bpe"), file, "ignore_merges " + whole + " beside a splitting that llama.cpp takes for " + kind);
        String normalizer = json.path("normalizer").path("type").asText();
        require(normalizer.isEmpty() || normalizer.equals("NFC"), file, "a normalizer " + normalizer);
        if (!normalizer.isEmpty()) {
            notes.add("llama.cpp does not bring texts into the normal form NFC, as tokenizer.json does");
        }
        putSpecial(folder, json, config, metadata, notes);
        return Optional.of(new GgufTokenizer(kind, metadata, notes));
    }

    private static JsonNode parse(Path file) throws IOException {
        try {
            return JSON.readTree(TextFile.read(file));
        } catch (JsonProcessingException e) {
            throw new IOException(file + " is no JSON: " + JsonFault.of(e), e);
        }
    }

    private static void require(boolean holds, Path file, String what) throws IOException {
        if (!holds) {
            throw new IOException(file + " has " + what + ", for which GGUF's llama has no place; take tokenizer.json away to write a file for tokens alone");
        }
    }

    private static void put(Path file, String[] tokens, int[] types, int id, String token, int type) throws IOException {
        require(id >= 0 && id < tokens.length, file, "the id " + id + " of '" + token + "', while the model has " + tokens.length + " tokens");
        tokens[id] = token;
        types[id] = type;
    }

    /** llama.cpp's name of how byte-level pair encoding splits texts. */
    private static String split(Path file, JsonNode json) throws IOException {
        JsonNode all = json.path("pre_tokenizer");
        List<JsonNode> steps = all.path("type").asText().equals("Sequence")
                ? StreamSupport.stream(all.path("pretokenizers").spliterator(), false).toList() : List.of(all);
        String name = "";
        for (JsonNode step : steps) {
            switch (step.path("type").asText()) {
                case "ByteLevel" -> {
                    require(!step.path("add_prefix_space").asBoolean(), file, "a space in front of every text");
                    name = step.path("use_regex").asBoolean(true) && name.isEmpty() ? GPT_2 : name;
                }
                case "Split" -> {
                    String regex = step.path("pattern").path("Regex").asText();
                    require(name.isEmpty() && SPLITS.containsKey(regex) && step.path("behavior").asText().equals("Isolated") && !step.path("invert").asBoolean(),
                            file, "a rule of splitting texts that llama.cpp has no name for here");
                    name = SPLITS.getOrDefault(regex, "");
                }
                default -> require(false, file, "a splitting of texts by " + step.path("type").asText("nothing"));
            }
        }
        require(!name.isEmpty(), file, "no rule of splitting texts");
        return name;
    }

    private static List<String> merges(Path file, JsonNode model) throws IOException {
        List<String> merges = new ArrayList<>();
        for (JsonNode merge : model.path("merges")) {
            String pair = merge.isTextual() ? merge.asText() : merge.path(0).asText() + " " + merge.path(1).asText();
            require(pair.chars().filter(c -> c == ' ').count() == 1, file, "a merge of pieces with spaces, '" + pair + "'");
            merges.add(pair);
        }
        return merges;
    }

    private static void putSpecial(Path folder, JsonNode json, Config config, Map<String, Object> metadata, List<String> notes) throws IOException {
        for (String name : List.of("bos", "eos", "pad")) {
            Object id = config.find(name + "_token_id").orElse(null);
            if (id instanceof List<?> several && !several.isEmpty()) {
                notes.add("of the " + several.size() + " tokens of " + name + "_token_id the first is written");
                id = several.getFirst();
            }
            if (id instanceof Integer token && token >= 0) {
                metadata.put(PREFIX + (name.equals("pad") ? "padding" : name) + "_token_id", token);
            }
        }
        boolean text = false;
        boolean before = false;
        boolean behind = false;
        for (JsonNode part : template(json.path("post_processor"))) {
            boolean special = part.has("SpecialToken");
            before |= special && !text;
            behind |= special && text;
            text |= part.has("Sequence");
        }
        Path beside = folder.resolve("tokenizer_config.json");
        JsonNode said = Files.exists(beside) ? parse(beside) : JSON.createObjectNode();
        metadata.put(PREFIX + "add_bos_token", said.path("add_bos_token").asBoolean(before));
        metadata.put(PREFIX + "add_eos_token", said.path("add_eos_token").asBoolean(behind));
        Path template = folder.resolve("chat_template.jinja");
        if (Files.exists(template)) {
            metadata.put("tokenizer.chat_template", TextFile.read(template));
        } else if (said.path("chat_template").isTextual()) {
            metadata.put("tokenizer.chat_template", said.path("chat_template").asText());
        }
    }

    /** What stands around a text, as one processor of perhaps several says. */
    private static JsonNode template(JsonNode processor) {
        if (processor.path("type").asText().equals("TemplateProcessing")) {
            return processor.path("single");
        }
        for (JsonNode each : processor.path("processors")) {
            JsonNode found = template(each);
            if (!found.isEmpty()) {
                return found;
            }
        }
        return JSON.createArrayNode();
    }
}
