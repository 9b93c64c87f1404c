package isonorm.text;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.MissingNode;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.StreamSupport;

/**
 * A tokenizer.json before native code is given it, which ends the process where something is beyond what it was written for.
 *
 * @param text the file
 * @param strange what of it is not known to be harmless whatever the text; empty if all of it is
 * @param searches whether a regex goes through the text
 */
record TokenizerJson(String text, Optional<String> strange, boolean searches) {

    private static final long LARGEST = 256L << 20;
    private static final int LONGEST_PIECE = 1000;
    private static final int LONGEST_AFFIX = 64;

    /** How many characters the normalizer may make of one, at the most; a published one makes three. */
    private static final long MOST_GROWTH = 64;

    private static final Set<String> SPACES = Set.of("\\s+", " {2,}");

    private static final ObjectMapper JSON = JsonMapper.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build();

    /** Reads the file and looks it through. */
    static TokenizerJson read(Path file) throws IOException {
        if (Files.size(file) > LARGEST) {
            throw new IOException(file + " has " + Files.size(file) + " bytes, more than the " + LARGEST + " that a tokenizer is read of");
        }
        Reading reading = new Reading(file);
        String text;
        try {
            text = Files.readString(file);
        } catch (CharacterCodingException e) {
            throw new IOException(file + " is no tokenizer that can be read: it is not UTF-8", e);
        }
        try (JsonParser parser = JSON.createParser(text)) {
            reading.readAll(parser);
        } catch (JsonProcessingException e) {
            throw new IOException(file + " is no tokenizer that can be read: it is not JSON, or has a key twice"
                    + (e.getLocation() == null ? "" : ", at line " + e.getLocation().getLineNr()), e);
        }
        return new TokenizerJson(text, reading.strange, reading.searches);
    }

    /** What has been seen so far. */
    private static final class Reading {

        private static final Key[] BYTE_LEVEL = {Key.flag("add_prefix_space"), Key.flag("trim_offsets"), Key.flag("use_regex").orAbsent()};
        private static final Key[] METASPACE = {Key.one("replacement"), Key.word("prepend_scheme", "first", "never", "always"), Key.flag("split").orAbsent()};
        private static final Key BEHAVIOR = Key.word("behavior", "Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous");

        private final Path file;
        private final Map<String, JsonNode> parts = new HashMap<>();
        private int longestPiece;
        private Optional<String> strange = Optional.empty();
        private boolean searches;
        private boolean replaces;

        Reading(Path file) {
            this.file = file;
        }

        private IOException refused(String why) {
            return new IOException(file + " is no tokenizer that can be read: " + why);
        }

        /** Of several only the first is kept: any is a reason. */
        private void strange(String what) {
            strange = strange.or(() -> Optional.of(what));
        }

        private void require(boolean known, String what) {
            if (!known) {
                strange(what);
            }
        }

        /** Everything but the pieces of the vocabulary becomes a tree; of these, some hundred thousand, only the longest counts. */
        void readAll(JsonParser parser) throws IOException {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                throw refused("it is no JSON object");
            }
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String name = parser.currentName();
                parser.nextToken();
                if (name.equals("model") && parser.currentToken() == JsonToken.START_OBJECT) {
                    while (parser.nextToken() == JsonToken.FIELD_NAME) {
                        String key = parser.currentName();
                        parser.nextToken();
                        if (key.equals("vocab") || key.equals("merges")) {
                            measure(parser);
                            parts.put("model." + key, MissingNode.getInstance());
                        } else {
                            parts.put("model." + key, JSON.readTree(parser));
                        }
                    }
                } else {
                    parts.put(name, JSON.readTree(parser));
                }
            }
            if (parser.nextToken() != null) {
                throw refused("it goes on behind its end");
            }
            model();
            addedTokens(part("added_tokens"));
            long growth = normalizer(part("normalizer"));
            if (growth > MOST_GROWTH) {
                throw refused("its normalizer may make " + (growth == Long.MAX_VALUE ? "more than 10^18" : growth) + " characters of one, and "
                        + MOST_GROWTH + " are allowed");
            }
            preTokenizer(part("pre_tokenizer"));
            if (searches && replaces) {
                strange("a normalizer that may take the spaces out of a text before a regex searches");
            }
            postProcessor(part("post_processor"));
            decoder(part("decoder"));
        }

        private JsonNode part(String name) {
            return parts.getOrDefault(name, MissingNode.getInstance());
        }

        private void measure(JsonParser parser) throws IOException {
            if (!parser.currentToken().isStructStart()) {
                return;
            }
            int depth = 1;
            while (depth > 0) {
                JsonToken token = parser.nextToken();
                if (token == null) {
                    throw refused("it ends within its vocabulary");
                }
                if (token.isStructStart()) {
                    depth++;
                } else if (token.isStructEnd()) {
                    depth--;
                } else if (token == JsonToken.FIELD_NAME || token == JsonToken.VALUE_STRING) {
                    longestPiece = Math.max(longestPiece, parser.getTextLength());
                }
            }
        }

        private void model() throws IOException {
            String type = part("model.type").asText("");
            Set<String> known = switch (type) {
                case "BPE" -> Set.of("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback",
                        "ignore_merges", "vocab", "merges");
                case "WordPiece" -> Set.of("unk_token", "continuing_subword_prefix", "max_input_chars_per_word", "vocab");
                case "WordLevel" -> Set.of("unk_token", "vocab");
                case "Unigram" -> Set.of("unk_id", "vocab", "byte_fallback");
                default -> throw refused("its model must have the type BPE, Unigram, WordPiece or WordLevel, got " + shown(part("model.type")));
            };
            for (String name : parts.keySet()) {
                if (name.startsWith("model.")) {
                    String key = name.substring("model.".length());
                    require(key.equals("type") || known.contains(key), "its model's " + key);
                }
            }
            if (!parts.containsKey("model.vocab")) {
                throw refused("its model has no vocab");
            }
            for (String flag : List.of("fuse_unk", "byte_fallback", "ignore_merges")) {
                require(part("model." + flag).isMissingNode() || part("model." + flag).isBoolean(), "its model's " + flag);
            }
            require(isNone(part("model.dropout")), "its model's dropout");
            require(isNone(part("model.unk_token")) || isShort(part("model.unk_token")), "its model's unk_token");
            require(isNone(part("model.end_of_word_suffix")) || isShort(part("model.end_of_word_suffix")), "its model's end_of_word_suffix");
            JsonNode prefix = part("model.continuing_subword_prefix");
            require(isNone(prefix) || (type.equals("BPE") ? prefix.asText("x").isEmpty() : isShort(prefix)), "its model's continuing_subword_prefix");
            JsonNode most = part("model.max_input_chars_per_word");
            require(isNone(most) || most.isInt() && most.asInt() >= 0 && most.asInt() <= LONGEST_PIECE, "its model's max_input_chars_per_word");
            require(!type.equals("Unigram") || longestPiece <= LONGEST_PIECE, "a piece of " + longestPiece + " characters");
        }

        private void addedTokens(JsonNode tokens) {
            require(isNone(tokens) || tokens.isArray(), "added_tokens that are no list");
            for (JsonNode token : tokens) {
                require(has(token, new Key("id", Reading::isId), new Key("content", Reading::isText), Key.flag("single_word"), Key.flag("lstrip"),
                        Key.flag("rstrip"), Key.flag("normalized"), Key.flag("special")) && !token.path("content").asText().isBlank()
                        && token.path("content").asText().length() <= LONGEST_PIECE, "an added token, " + shown(token));
            }
        }

        /** How many characters it may make of one. */
        private long normalizer(JsonNode step) {
            switch (step.path("type").asText("")) {
                case "Sequence" -> {
                    require(has(step, Key.list("normalizers")), "a normalizer, " + shown(step));
                    long growth = 1;
                    for (JsonNode each : step.path("normalizers")) {
                        long more = normalizer(each);
                        growth = growth > Long.MAX_VALUE / more ? Long.MAX_VALUE : growth * more;
                    }
                    return growth;
                }
                case "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "ByteLevel", "Nmt" -> require(has(step), "a normalizer, " + shown(step));
                case "Strip" -> require(has(step, Key.flag("strip_left"), Key.flag("strip_right")), "a normalizer, " + shown(step));
                case "BertNormalizer" -> require(has(step, Key.flag("clean_text"), Key.flag("handle_chinese_chars"),
                        Key.flag("strip_accents").orNone(), Key.flag("lowercase")),
                        "a normalizer, " + shown(step));
                case "Prepend" -> {
                    require(has(step, Key.text("prepend")) && !step.path("prepend").asText().isEmpty(), "a normalizer, " + shown(step));
                    return 1L + step.path("prepend").asText("").length();
                }
                case "Replace" -> {
                    require(has(step, Key.pattern("pattern"), Key.text("content")),
                            "a normalizer, " + shown(step));
                    replaces |= !(SPACES.contains(step.path("pattern").path("Regex").asText("")) && step.path("content").asText("").equals(" "));
                    int content = step.path("content").asText("").length();
                    String literal = step.path("pattern").path("String").asText("");
                    return literal.isEmpty() ? 1 + content : Math.max(1, Math.ceilDiv(content, literal.length()));
                }
                default -> require(isNone(step), "a normalizer, " + shown(step));
            }
            return 1;
        }

        private void preTokenizer(JsonNode step) {
            String what = "a pre-tokenizer, " + shown(step);
            switch (step.path("type").asText("")) {
                case "Sequence" -> {
                    require(has(step, Key.list("pretokenizers")), what);
                    step.path("pretokenizers").forEach(this::preTokenizer);
                }
                case "ByteLevel" -> {
                    require(has(step, BYTE_LEVEL), what);
                    searches |= step.path("use_regex").asBoolean(true);
                }
                case "Whitespace", "WhitespaceSplit", "BertPreTokenizer" -> require(has(step), what);
                case "Metaspace" -> require(has(step, METASPACE), what);
                case "Punctuation" -> require(has(step, BEHAVIOR), what);
                case "Digits" -> require(has(step, Key.flag("individual_digits")), what);
                case "Split" -> {
                    require(has(step, Key.pattern("pattern"), BEHAVIOR, Key.flag("invert")), what);
                    searches |= !step.path("pattern").has("String");
                }
                default -> require(isNone(step), what);
            }
        }

        private void postProcessor(JsonNode step) throws IOException {
            String what = "a post-processor, " + shown(step);
            switch (step.path("type").asText("")) {
                case "Sequence" -> {
                    require(has(step, Key.list("processors")), what);
                    for (JsonNode each : step.path("processors")) {
                        postProcessor(each);
                    }
                }
                case "ByteLevel" -> require(has(step, BYTE_LEVEL), what);
                case "BertProcessing" -> require(has(step, Key.token("sep"), Key.token("cls")), what);
                case "RobertaProcessing" -> require(has(step, Key.token("sep"), Key.token("cls"),
                        Key.flag("trim_offsets"), Key.flag("add_prefix_space")), what);
                case "TemplateProcessing" -> {
                    require(has(step, Key.list("single"), Key.list("pair"), new Key("special_tokens", JsonNode::isObject)), what);
                    template(step, what);
                }
                default -> require(isNone(step), what);
            }
        }

        private void template(JsonNode step, String what) throws IOException {
            Set<String> tokens = new HashSet<>();
            for (Map.Entry<String, JsonNode> token : step.path("special_tokens").properties()) {
                JsonNode ids = token.getValue().path("ids");
                JsonNode names = token.getValue().path("tokens");
                if (ids.isEmpty() || ids.size() != names.size()) {
                    throw refused("its template's token " + token.getKey() + " must have as many ids as tokens, one or more");
                }
                require(has(token.getValue(), Key.text("id"), Key.list("ids"), Key.list("tokens")) && all(ids, Reading::isId) && all(names, Reading::isText), what);
                tokens.add(token.getKey());
            }
            for (String name : List.of("single", "pair")) {
                for (JsonNode piece : step.path(name)) {
                    JsonNode token = piece.path("SpecialToken");
                    JsonNode text = piece.path("Sequence");
                    require(piece.size() == 1 && (has(token, Key.text("id"), new Key("type_id", Reading::isId))
                            || has(text, Key.word("id", "A", "B"), new Key("type_id", Reading::isId))), what);
                    if (piece.has("SpecialToken") && !tokens.contains(token.path("id").asText())) {
                        throw refused("its template puts " + shown(token.path("id")) + " beside a text, which its special_tokens do not have");
                    }
                    if (piece.has("Sequence") && name.equals("single") && !text.path("id").asText().equals("A")) {
                        throw refused("its template for one text has a second one, " + shown(text.path("id")));
                    }
                }
            }
        }

        private static boolean all(JsonNode list, Predicate<JsonNode> holds) {
            return StreamSupport.stream(list.spliterator(), false).allMatch(holds);
        }

        private void decoder(JsonNode step) {
            String what = "a decoder, " + shown(step);
            switch (step.path("type").asText("")) {
                case "Sequence" -> {
                    require(has(step, Key.list("decoders")), what);
                    step.path("decoders").forEach(this::decoder);
                }
                case "ByteLevel" -> require(has(step, BYTE_LEVEL), what);
                case "ByteFallback", "Fuse" -> require(has(step), what);
                case "Metaspace" -> require(has(step, METASPACE), what);
                case "WordPiece" -> require(has(step, Key.text("prefix"), Key.flag("cleanup")), what);
                case "BPEDecoder" -> require(has(step, Key.text("suffix")), what);
                case "Replace" -> require(has(step, Key.pattern("pattern"), Key.text("content")) && step.path("pattern").has("String"), what);
                case "Strip" -> require(has(step, Key.one("content"), new Key("start", Reading::isId),
                        new Key("stop", stop -> stop.isInt() && stop.asInt() == 0)), what); // from the end it counts beyond a token's beginning
                default -> require(isNone(step), what);
            }
        }

        private static boolean isHarmless(JsonNode pattern) {
            return pattern.size() == 1 && (pattern.has("String") ? isShort(pattern.path("String")) && !pattern.path("String").asText().isEmpty()
                    : isText(pattern.path("Regex")) && HarmlessRegex.is(pattern.path("Regex").asText()));
        }

        private static boolean isNone(JsonNode node) {
            return node.isNull() || node.isMissingNode();
        }

        private static boolean isText(JsonNode node) {
            return node.isTextual() && node.asText().codePoints().noneMatch(c -> Character.getType(c) == Character.SURROGATE);
        }

        private static boolean isShort(JsonNode node) {
            return isText(node) && node.asText().length() <= LONGEST_AFFIX;
        }

        private static boolean isOne(JsonNode node) {
            return isText(node) && node.asText().codePointCount(0, node.asText().length()) == 1;
        }

        private static boolean isId(JsonNode node) {
            return node.isInt() && node.asInt() >= 0;
        }

        /** Whether it has these keys, each with its kind of value, and no others beside its type. */
        private static boolean has(JsonNode step, Key... keys) {
            Set<String> known = new HashSet<>(Set.of("type"));
            for (Key key : keys) {
                known.add(key.name());
                if (!key.allows(step.path(key.name()))) {
                    return false;
                }
            }
            return step.isObject() && step.properties().stream().allMatch(entry -> known.contains(entry.getKey()));
        }

        /** A key and what its value must be. */
        private record Key(String name, Predicate<JsonNode> value) {

            boolean allows(JsonNode node) {
                return value.test(node);
            }

            static Key flag(String name) {
                return new Key(name, JsonNode::isBoolean);
            }

            static Key text(String name) {
                return new Key(name, Reading::isShort);
            }

            static Key one(String name) {
                return new Key(name, Reading::isOne);
            }

            static Key list(String name) {
                return new Key(name, JsonNode::isArray);
            }

            static Key word(String name, String... words) {
                return new Key(name, node -> node.isTextual() && List.of(words).contains(node.asText()));
            }

            static Key pattern(String name) {
                return new Key(name, Reading::isHarmless);
            }

            /** A token and its id. */
            static Key token(String name) {
                return new Key(name, node -> node.isArray() && node.size() == 2 && isText(node.path(0)) && isId(node.path(1)));
            }

            Key orNone() {
                return new Key(name, value.or(Reading::isNone));
            }

            Key orAbsent() {
                return new Key(name, value.or(JsonNode::isMissingNode));
            }
        }

        private static String shown(JsonNode node) {
            String text = node.isMissingNode() ? "nothing" : node.toString();
            return text.length() <= 100 ? text : text.substring(0, 100) + "...";
        }
    }
}
