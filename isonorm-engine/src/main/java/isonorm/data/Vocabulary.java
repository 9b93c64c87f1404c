package isonorm.data;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.text.BeginningToken;
import isonorm.text.Tokenizer;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The tokens that texts are made of: bytes, or what a tokenizer.json says. May be used by several threads at once. */
public sealed interface Vocabulary extends AutoCloseable {

    /** How many ids there are. */
    int size();

    /** The id that stands behind every document. */
    int endOfText();

    /** A tokenizer.json that gives the same ids. */
    byte[] tokenizerJson();

    /**
     * The ids of a text, without special tokens around it.
     *
     * @param text UTF-8
     * @throws CharacterCodingException if it is not
     */
    int[] ids(byte[] text) throws IOException;

    /** The same of a text that is to be continued, behind what begins it. */
    int[] prompt(byte[] text, BeginningToken beginning) throws IOException;

    @Override
    default void close() {}

    /** 256 bytes, and 256 for the end of a text. */
    static Vocabulary bytes() {
        return Bytes.ALL;
    }

    /**
     * Reads a tokenizer.json; close it.
     *
     * @param file a tokenizer.json, or a folder that has one
     * @param endOfText the token that ends a text; where none is named it is the {@code eos_token} of a tokenizer_config.json beside the
     *     file, else the one token that usually does
     * @throws IOException if it cannot be read, or no such token is known
     */
    static Vocabulary open(Path file, Optional<String> endOfText) throws IOException {
        return Tokens.open(Files.isDirectory(file) ? file.resolve("tokenizer.json") : file, endOfText);
    }

    /** The bytes of UTF-8. */
    record Bytes() implements Vocabulary {

        static final int VOCABULARY = 257;
        static final int END_OF_TEXT = 256;

        private static final Bytes ALL = new Bytes();

        @Override
        public int size() {
            return VOCABULARY;
        }

        @Override
        public int endOfText() {
            return END_OF_TEXT;
        }

        @Override
        public int[] ids(byte[] text) throws CharacterCodingException {
            StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(text));
            int[] ids = new int[text.length];
            for (int i = 0; i < ids.length; i++) {
                ids[i] = text[i] & 0xff;
            }
            return ids;
        }

        @Override
        public int[] prompt(byte[] text, BeginningToken beginning) throws CharacterCodingException {
            return ids(text);
        }

        /** A byte pair encoding without pairs, in the alphabet that GPT-2 writes bytes in. */
        @Override
        public byte[] tokenizerJson() {
            ObjectMapper mapper = new ObjectMapper();
            ObjectNode json = mapper.createObjectNode();
            json.put("version", "1.0");
            json.putNull("truncation");
            json.putNull("padding");
            json.putArray("added_tokens").addObject().put("id", END_OF_TEXT).put("content", "<|endoftext|>").put("single_word", false)
                    .put("lstrip", false).put("rstrip", false).put("normalized", false).put("special", true);
            json.putNull("normalizer");
            json.putObject("pre_tokenizer").put("type", "ByteLevel").put("add_prefix_space", false).put("trim_offsets", true)
                    .put("use_regex", false);
            json.putNull("post_processor");
            json.putObject("decoder").put("type", "ByteLevel").put("add_prefix_space", true).put("trim_offsets", true).put("use_regex", true);
            ObjectNode model = json.putObject("model");
            model.put("type", "BPE").putNull("dropout").putNull("unk_token").putNull("continuing_subword_prefix").putNull("end_of_word_suffix")
                    .put("fuse_unk", false).put("byte_fallback", false).put("ignore_merges", false);
            ObjectNode vocabulary = model.putObject("vocab");
            int moved = 0;
            for (int value = 0; value < 256; value++) {
                boolean printed = value >= '!' && value <= '~' || value >= 0xa1 && value <= 0xac || value >= 0xae;
                vocabulary.put(Character.toString(printed ? value : 256 + moved), value);
                moved += printed ? 0 : 1;
            }
            model.putArray("merges");
            try {
                return mapper.writeValueAsBytes(json);
            } catch (JsonProcessingException e) {
                throw new IllegalStateException(e); // a tree in memory can always be written
            }
        }
    }

    /** What a tokenizer.json says. */
    record Tokens(Tokenizer tokenizer, int size, int endOfText, byte[] tokenizerJson) implements Vocabulary {

        /** How tokenizers call the end of a text, the most telling first. */
        private static final List<String> ENDS = List.of("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "[EOS]");

        private static Tokens open(Path file, Optional<String> endOfText) throws IOException {
            Tokenizer tokenizer = Tokenizer.open(file);
            try {
                byte[] json = Files.readAllBytes(file);
                JsonNode tree = new ObjectMapper().readTree(json);
                Map<String, Integer> added = new LinkedHashMap<>();
                tree.path("added_tokens").forEach(token -> added.put(token.path("content").asText(), token.path("id").asInt()));
                JsonNode vocabulary = tree.at("/model/vocab");
                int highest = added.values().stream().mapToInt(id -> id).max().orElse(-1);
                if (vocabulary.isObject()) {
                    for (JsonNode id : vocabulary) {
                        highest = Math.max(highest, id.asInt());
                    }
                } else {
                    highest = Math.max(highest, vocabulary.size() - 1); // Unigram: a list of pairs
                }
                return new Tokens(tokenizer, highest + 1, end(file, endOfText, added, vocabulary), json);
            } catch (IOException | RuntimeException e) {
                tokenizer.close();
                throw e;
            }
        }

        private static int end(Path file, Optional<String> named, Map<String, Integer> added, JsonNode vocabulary) throws IOException {
            if (named.isPresent()) {
                Integer id = added.get(named.get());
                JsonNode known = vocabulary.path(named.get());
                if (id == null && !known.isInt()) {
                    throw new IOException(file + " has no token " + named.get() + " to end a text; its added tokens are "
                            + (added.isEmpty() ? "none" : String.join(" ", added.keySet())));
                }
                return id != null ? id : known.asInt();
            }
            Path beside = file.toAbsolutePath().resolveSibling("tokenizer_config.json");
            if (Files.isRegularFile(beside)) {
                JsonNode token = new ObjectMapper().readTree(beside.toFile()).path("eos_token");
                Integer id = added.get(token.isObject() ? token.path("content").asText() : token.asText());
                if (id != null) {
                    return id;
                }
            }
            for (String name : ENDS) {
                if (added.containsKey(name)) {
                    return added.get(name);
                }
            }
            throw new IOException(file + " has no token that is known to end a text; name one of its own, which are "
                    + (added.isEmpty() ? "none" : String.join(" ", added.keySet())));
        }

        @Override
        public int[] ids(byte[] text) throws IOException {
            return narrow(tokenizer.ids(decoded(text)));
        }

        @Override
        public int[] prompt(byte[] text, BeginningToken beginning) throws IOException {
            return narrow(tokenizer.prompt(decoded(text), beginning));
        }

        private static String decoded(byte[] text) throws CharacterCodingException {
            return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(text)).toString();
        }

        private static int[] narrow(long[] ids) {
            int[] narrow = new int[ids.length];
            for (int i = 0; i < narrow.length; i++) {
                narrow[i] = (int) ids[i];
            }
            return narrow;
        }

        @Override
        public void close() {
            tokenizer.close();
        }
    }
}
