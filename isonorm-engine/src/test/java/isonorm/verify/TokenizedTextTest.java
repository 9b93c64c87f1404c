package isonorm.verify;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TokenizedTextTest {

    /** Words at spaces; it would truncate at 3 tokens, pad, and add a token in front, none of which is wanted here. */
    private static final String TOKENIZER = """
            {"version": "1.0",
             "truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
             "padding": {"strategy": {"Fixed": 20}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "?"},
             "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"},
             "post_processor": {"type": "TemplateProcessing",
               "single": [{"SpecialToken": {"id": "?", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
               "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
               "special_tokens": {"?": {"id": "?", "ids": [0], "tokens": ["?"]}}},
             "decoder": null,
             "model": {"type": "WordLevel", "vocab": {"?": 0, "the": 1, "cat": 2, "sat": 3, "é": 4}, "unk_token": "?"}}
            """;

    @TempDir
    private Path folder;

    private Path tokenizer;

    @BeforeEach
    void write() throws IOException {
        tokenizer = Files.writeString(folder.resolve("tokenizer.json"), TOKENIZER);
    }

    @Test
    void windowsFollowEachOther() throws IOException {
        TokenizedText text = TokenizedText.read(tokenizer, text("the cat sat é the cat sat"), 3, 100);
        assertEquals(2, text.windows().length);
        assertArrayEquals(new long[] {1, 2, 3}, text.windows()[0]);
        assertArrayEquals(new long[] {4, 1, 2}, text.windows()[1]);
        assertEquals(6, text.tokens());
        assertArrayEquals(new long[] {4, 3}, text.following());
    }

    @Test
    void theLimitCuts() throws IOException {
        assertEquals(4, TokenizedText.read(tokenizer, text("the cat ".repeat(1000)), 2, 5).tokens());
    }

    @Test
    void aShortTextIsOneWindow() throws IOException {
        assertEquals(3, TokenizedText.read(tokenizer, text("the cat sat"), 128, 100).window());
    }

    @Test
    void badFilesAreNamed() throws IOException {
        refused("empty.txt is empty", Files.createFile(folder.resolve("empty.txt")), tokenizer);
        refused("one.txt has 1 token; a perplexity needs two or more", Files.writeString(folder.resolve("one.txt"), "cat"), tokenizer);
        refused("none.txt does not exist", folder.resolve("none.txt"), tokenizer);
        refused("absent.json does not exist; a text needs the model's tokenizer.json", text("the cat"), folder.resolve("absent.json"));
        refused("no.json is no tokenizer that can be read", text("the cat"), Files.writeString(folder.resolve("no.json"), "{}"));
        byte[] broken = "the cät sat".getBytes(StandardCharsets.ISO_8859_1);
        refused("latin.txt is not UTF-8: byte 5 starts no character", Files.write(folder.resolve("latin.txt"), broken), tokenizer);
        byte[] cut = {'a', ' ', 'b', ' ', (byte) 0xe2, (byte) 0x82};
        refused("cut.txt is not UTF-8: byte 4 starts no character", Files.write(folder.resolve("cut.txt"), cut), tokenizer);
    }

    private static void refused(String message, Path text, Path tokenizer) {
        IOException e = assertThrows(IOException.class, () -> TokenizedText.read(tokenizer, text, 8, 100));
        assertTrue(e.getMessage().contains(message), e.getMessage());
    }

    private Path text(String words) throws IOException {
        return Files.writeString(folder.resolve("text.txt"), words);
    }
}
