package isonorm.verify;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.text.BeginningToken;
import isonorm.text.Tokenizer;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

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
    void whatBeginsATextTakesAPositionOfEachWindowAndIsNotPredicted() throws IOException {
        TokenizedText text = TokenizedText.read(tokenizer, text("the cat sat é the cat sat"), BeginningToken.AUTO, 3, 3, 100);
        assertEquals(3, text.windows());
        assertArrayEquals(new long[] {0, 1, 2}, text.window(0));
        assertArrayEquals(new long[] {0, 3, 4}, text.window(1));
        assertEquals(6, text.predicted());
        assertArrayEquals(new long[] {1, 2, TokenizedText.NONE}, targets(text, 0));
        assertArrayEquals(new long[] {3, 4, TokenizedText.NONE}, targets(text, 1));
        assertEquals("the cat sat é the cat".getBytes(StandardCharsets.UTF_8).length, text.bytes());
        assertEquals(0, TokenizedText.read(tokenizer, text("the cat sat"), BeginningToken.NEVER, 3, 3, 100).beginning().length);
    }

    @Test
    void windowsThatOverlapBehindWhatBeginsThemPredictEachTokenOnce() throws IOException {
        TokenizedText text = TokenizedText.read(tokenizer, text("the cat sat é the cat sat"), BeginningToken.AUTO, 4, 2, 100);
        List<Long> predicted = new ArrayList<>();
        for (int w = 0; w < text.windows(); w++) {
            assertEquals(0, text.window(w)[0]);
            LongStream.of(targets(text, w)).filter(target -> target != TokenizedText.NONE).forEach(predicted::add);
        }
        assertEquals(List.of(1L, 2L, 3L, 4L, 1L, 2L, 3L), predicted);
        assertEquals(predicted.size(), text.predicted());
    }

    @Test
    void whatBeginsATextIsTheTokenizersOwnDecisionUnlessOneIsTaken() throws IOException {
        assertArrayEquals(new long[] {0}, beginning(BeginningToken.AUTO, "{}"));
        assertArrayEquals(new long[] {}, beginning(BeginningToken.AUTO, "{\"add_bos_token\": false}"));
        assertArrayEquals(new long[] {0}, beginning(BeginningToken.ALWAYS, "{\"add_bos_token\": false}"));
        assertArrayEquals(new long[] {}, beginning(BeginningToken.NEVER, "{\"add_bos_token\": true}"));
        Files.writeString(tokenizer, TOKENIZER.replaceFirst("(?s)\"post_processor\": .*?\"decoder\"", "\"post_processor\": null, \"decoder\""));
        assertArrayEquals(new long[] {}, beginning(BeginningToken.AUTO, "{\"bos_token\": \"cat\"}"));
        assertArrayEquals(new long[] {2}, beginning(BeginningToken.AUTO, "{\"bos_token\": \"cat\", \"add_bos_token\": true}"));
        assertArrayEquals(new long[] {3}, beginning(BeginningToken.ALWAYS, "{\"bos_token\": {\"content\": \"sat\", \"lstrip\": false}}"));
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> beginning(BeginningToken.ALWAYS, "{}"));
        assertTrue(e.getMessage().contains("has no token that begins a text"), e.getMessage());
        IOException broken = assertThrows(IOException.class, () -> beginning(BeginningToken.AUTO, "{"));
        assertTrue(broken.getMessage().contains("tokenizer_config.json"), broken.getMessage());
    }

    private long[] beginning(BeginningToken wanted, String config) throws IOException {
        Files.writeString(folder.resolve("tokenizer_config.json"), config);
        try (Tokenizer opened = Tokenizer.open(tokenizer)) {
            return opened.beginning(wanted);
        }
    }

    @Test
    void windowsFollowEachOther() throws IOException {
        TokenizedText text = TokenizedText.read(tokenizer, text("the cat sat é the cat sat"), 3, 100);
        assertEquals(2, text.windows());
        assertArrayEquals(new long[] {1, 2, 3}, text.window(0));
        assertArrayEquals(new long[] {4, 1, 2}, text.window(1));
        assertEquals(6, text.tokens());
        assertEquals(6, text.predicted());
        assertArrayEquals(new long[] {2, 3, 4}, targets(text, 0));
        assertArrayEquals(new long[] {1, 2, 3}, targets(text, 1));
        assertEquals(" cat sat é the cat sat".getBytes(StandardCharsets.UTF_8).length, text.bytes());
    }

    /** Each token but the first once, by the first window that has it; the last window is as long as the text allows. */
    @Test
    void overlappingWindowsPredictWhatNoneBeforeThemHas() throws IOException {
        TokenizedText text = TokenizedText.read(tokenizer, text("the cat sat é the cat é sat"), 4, 3, 100);
        assertEquals(3, text.windows());
        assertArrayEquals(new long[] {2, 3, 4, TokenizedText.NONE}, targets(text, 0));
        assertArrayEquals(new long[] {4, 1, 2, 4}, text.window(1));
        assertArrayEquals(new long[] {1, 2, 4, TokenizedText.NONE}, targets(text, 1));
        assertArrayEquals(new long[] {4, 3}, text.window(2));
        assertArrayEquals(new long[] {3, TokenizedText.NONE}, targets(text, 2));
        assertEquals(7, text.predicted());
    }

    @ParameterizedTest
    @CsvSource({"8, 1", "8, 3", "8, 7", "8, 8", "50, 20", "49, 2", "2, 1"})
    void everyTokenButTheFirstIsPredictedOnce(int window, int stride) {
        long[] ids = LongStream.range(0, 48).toArray();
        TokenizedText text = new TokenizedText(ids, Math.min(window, 48), Math.min(stride, window), 0);
        List<Long> predicted = new ArrayList<>();
        for (int w = 0; w < text.windows(); w++) {
            for (int i = 0; i < text.window(w).length; i++) {
                if (text.target(w, i) != TokenizedText.NONE) {
                    predicted.add(text.target(w, i));
                    assertTrue(w == 0 || stride == window || i + 1 >= window - stride, "window " + w + ", position " + i);
                }
            }
        }
        assertEquals(LongStream.range(1, 48).boxed().toList(), predicted);
        assertEquals(47, text.predicted());
    }

    /** Spaces count for the token behind them, and what is behind the last token for that one. */
    @Test
    void bytesAreThoseOfThePredictedTokens() throws IOException {
        assertEquals(3 + 5 + 1, TokenizedText.read(tokenizer, text("é é  sat "), 8, 100).bytes());
        assertEquals(3, TokenizedText.read(tokenizer, text("é é  sat "), 8, 2).bytes());
        assertEquals(3, TokenizedText.read(tokenizer, text("\ud83d\ude00 é sat cat"), 2, 2).bytes());
        assertEquals(3 + 4, TokenizedText.read(tokenizer, text("\ud83d\ude00 é sat cat"), 2, 3).bytes());
    }

    /** A character in several tokens, as a tokenizer of bytes makes them, counts for the last of these. */
    @Test
    void aCharacterCountsForTheLastOfItsTokens() throws IOException {
        Path bytes = Path.of("..", "examples", "shakespeare-gpt2", "tokenizer.json");
        Path face = text("\ud83d\ude00é"); // four tokens and two
        for (int taken = 2; taken <= 6; taken++) {
            assertEquals(taken < 4 ? 0 : taken < 6 ? 4 : 6, TokenizedText.read(bytes, face, 8, taken).bytes(), taken + " tokens");
        }
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

    private static long[] targets(TokenizedText text, int window) {
        return IntStream.range(0, text.window(window).length).mapToLong(i -> text.target(window, i)).toArray();
    }

    private Path text(String words) throws IOException {
        return Files.writeString(folder.resolve("text.txt"), words);
    }
}
