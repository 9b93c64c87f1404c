package isonorm.text;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What native code may do with a tokenizer.json happens in a process of its own, or not at all. */
class TokenizerProcessTest {

    private static final ObjectMapper JSON = new ObjectMapper();

    @TempDir
    Path folder;

    /** The small GPT-2's with one part exchanged. */
    private Path with(String part, String json) throws IOException, URISyntaxException {
        ObjectNode tree = (ObjectNode) JSON.readTree(Files.readAllBytes(published()));
        tree.set(part, JSON.readTree(json));
        return Files.write(folder.resolve("tokenizer.json"), JSON.writeValueAsBytes(tree));
    }

    private static Path published() throws URISyntaxException {
        return Path.of(TokenizerProcessTest.class.getResource("tokenizers/gpt2.json").toURI());
    }

    private static String split(String regex) throws IOException {
        return "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": " + JSON.writeValueAsString(regex)
                + "}, \"behavior\": \"Isolated\", \"invert\": false},"
                + " {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": true}]}";
    }

    @Test
    void aRegexThatSearchesWithoutEndEndsAProcessOfItsOwn() throws Exception {
        Path file = with("pre_tokenizer", split("(a+)+$"));
        assertTrue(TokenizerJson.read(file).strange().orElseThrow().contains("(a+)+$"));
        try (Tokenizer tokenizer = Tokenizer.open(file); Tokenizer plain = Tokenizer.open(published())) {
            String text = "The quick brown fox, naïve 😀\nà";
            assertArrayEquals(plain.ids(text), tokenizer.ids(text), "what it gives is what it would give here");
            assertEquals(text, tokenizer.decode(tokenizer.ids(text)));
            assertEquals(plain.encode(text).bytes(1, 4), tokenizer.encode(text).bytes(1, 4));
            String said = assertThrows(IOException.class, () -> tokenizer.ids("a".repeat(40) + "!")).getMessage();
            assertTrue(said.contains("it ended the process that it ran in; it has a pre-tokenizer, {\"type\":\"Split\""), said);
            assertArrayEquals(plain.ids(text), tokenizer.ids(text), "and the next text gets another process");
        }
    }

    @Test
    void whatIsKnownToBeWrongIsRefusedHere() throws Exception {
        String grown = "{\"type\": \"Sequence\", \"normalizers\": [" + String.join(",",
                Collections.nCopies(34, "{\"type\": \"Replace\", \"pattern\": {\"String\": \"o\"}, \"content\": \"oo\"}")) + "]}";
        Path growing = with("normalizer", grown);
        assertTrue(assertThrows(IOException.class, () -> Tokenizer.open(growing)).getMessage()
                .contains("its normalizer may make 17179869184 characters of one, and 64 are allowed"));
        Path template = with("post_processor", """
                {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                 "pair": [], "special_tokens": {}}""");
        assertTrue(assertThrows(IOException.class, () -> Tokenizer.open(template)).getMessage()
                .contains("its template puts \"[CLS]\" beside a text, which its special_tokens do not have"));
        Path text = Files.writeString(folder.resolve("tokenizer.json"), "{\"model\": 1");
        assertTrue(assertThrows(IOException.class, () -> Tokenizer.open(text)).getMessage().contains("is not JSON"));
    }

    @Test
    void aBadCharsmapEndsAProcessOfItsOwn() throws Exception {
        Path file = with("normalizer", "{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"AAAA\"}");
        assertTrue(assertThrows(IOException.class, () -> Tokenizer.open(file)).getMessage().contains("it ended the process that it ran in"));
    }

    @Test
    void whatTokenizersArePublishedWithRunsHere() throws Exception {
        assertEquals(Optional.empty(), TokenizerJson.read(published()).strange());
        for (String regex : List.of(
                "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
                "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
                "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+"
                        + "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
                "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
                "\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", "[0-9][0-9][0-9]", "\\s?\\p{L}+", "[\r\n]", "\\d")) {
            assertTrue(HarmlessRegex.is(regex), regex);
        }
        for (String regex : List.of("(a+)+$", "(a|aa)+$", "a*a*b", "\\s*[\\r\\n]+", "\\s+(?!\\S)|a", "(?<=a)b", "(a)\\1", "a++", "a+?b", "", "a?", "a|", "(", "[a",
                "[[a]&&b]", "x{1,1000}", "\\", "(?i:a+)b", "\\p{L}+\\p{L}")) {
            assertFalse(HarmlessRegex.is(regex), regex);
        }
    }

    @Test
    void aStretchThatARegexMightGiveUpOnIsFound() {
        assertFalse(HarmlessRegex.hasLongStretch("some words ".repeat(100_000)));
        assertTrue(HarmlessRegex.hasLongStretch("some words " + " ".repeat(HarmlessRegex.LONGEST_STRETCH + 2)));
    }
}
