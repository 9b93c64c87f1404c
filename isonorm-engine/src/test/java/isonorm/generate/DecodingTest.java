package isonorm.generate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.text.Tokenizer;
import isonorm.text.Tokenizers;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DecodingTest {

    private static final String[] CHARACTERS = {"a", "b", "Hi", "é", "€", "😀", "漢", " ", "  ", "!", "\n", "👩‍🚀", "\u0301"};

    @TempDir
    private Path folder;

    @Test
    void aCharacterComesWithTheLastOfItsTokens() throws IOException {
        try (Tokenizer tokenizer = Tokenizers.bytes()) {
            long[] ids = tokenizer.ids("a😀é");
            assertEquals(7, ids.length);
            assertEquals(List.of("a", "", "", "", "😀", "", "é"), pieces(Decoding.behind(tokenizer), ids));
        }
        try (Tokenizer tokenizer = Tokenizers.llama(folder)) {
            long[] ids = tokenizer.ids("a😀€a");
            assertEquals(List.of("a", "", "", "", "😀", "", "", "€", "a"), pieces(Decoding.behind(tokenizer), ids));
        }
    }

    /** What its library reads there is the process's. */
    @Test
    void openingATokenizerLeavesSystemPropertiesAsTheyWere() throws IOException {
        Map<Object, Object> before = properties();
        Tokenizers.bytes().close();
        assertEquals(before, properties());
        System.setProperty("RUST_FLAVOR", "cpu");
        try {
            Tokenizers.bytes().close();
            assertEquals("cpu", System.getProperty("RUST_FLAVOR"));
        } finally {
            System.clearProperty("RUST_FLAVOR");
        }
        assertEquals(before, properties());
    }

    /** All but JNA's own, which it sets when it is loaded. */
    private static Map<Object, Object> properties() {
        Map<Object, Object> all = new HashMap<>(System.getProperties());
        all.keySet().removeIf(name -> name.toString().matches("jna.*|jnidispatch.*"));
        return all;
    }

    /** Each kind of tokenizer, texts of all kinds of characters, cut into a prompt and what comes behind it. */
    @Test
    void piecesMakeTheWholeText() throws IOException {
        try (Tokenizer bytes = Tokenizers.bytes(); Tokenizer llama = Tokenizers.llama(folder); Tokenizer gemma = Tokenizers.gemma(folder)) {
            Random random = new Random(3);
            for (Tokenizer tokenizer : List.of(bytes, llama, gemma)) {
                for (int trial = 0; trial < 60; trial++) {
                    String prompt = text(random, random.nextInt(4));
                    String rest = text(random, 1 + random.nextInt(12));
                    long[] all = tokenizer.prompt(prompt + rest);
                    long[] before = tokenizer.prompt(prompt);
                    if (Arrays.mismatch(before, all) != before.length) {
                        continue; // a token reaches over the cut
                    }
                    List<String> pieces = pieces(Decoding.behind(tokenizer, before), Arrays.copyOfRange(all, before.length, all.length));
                    assertEquals(prompt + rest, tokenizer.decode(before) + String.join("", pieces));
                    for (String piece : pieces) {
                        assertFalse(piece.contains("\ufffd"), piece);
                        assertTrue(piece.codePoints().noneMatch(c -> Character.getType(c) == Character.SURROGATE), piece);
                    }
                }
            }
        }
    }

    /** The space that a tokenizer puts in front of a text is not the one behind a prompt. */
    @Test
    void theFirstSpaceIsTheOneBehindThePrompt() throws IOException {
        try (Tokenizer llama = Tokenizers.llama(folder); Tokenizer metaspace = Tokenizers.metaspace(folder);
                Tokenizer gemma = Tokenizers.gemma(folder)) {
            for (Tokenizer tokenizer : List.of(llama, metaspace)) {
                long[] hi = tokenizer.ids("Hi");
                assertEquals("Hi", tokenizer.decode(hi));
                assertEquals(List.of("Hi", " Hi", " Hi"), pieces(Decoding.behind(tokenizer), hi[0], hi[0], hi[0]));
                assertEquals(List.of(" Hi", " Hi"), pieces(Decoding.behind(tokenizer, tokenizer.prompt("a")), hi[0], hi[0]));
                assertEquals(List.of("Hi", " Hi"), pieces(Decoding.behind(tokenizer, tokenizer.prompt("")), hi[0], hi[0]), "behind <s> alone");
                assertArrayEquals(new long[] {1, hi[0]}, tokenizer.prompt("Hi"));
            }
            assertEquals(List.of("H", "i", " Hi"), pieces(Decoding.behind(gemma, 1), gemma.ids("Hi Hi")));
        }
    }

    @Test
    void specialAndUnknownTokensSayNothing() throws IOException {
        try (Tokenizer tokenizer = Tokenizers.llama(folder)) {
            long hi = tokenizer.ids("Hi")[0];
            assertEquals(List.of("Hi", "", "", " Hi"), pieces(Decoding.behind(tokenizer), hi, 2, 99_999, hi));
        }
    }

    /** Bytes that never become a character come out with what follows; one that was only begun does not. */
    @Test
    void brokenBytesAreNotHeldForEver() throws IOException {
        try (Tokenizer tokenizer = Tokenizers.bytes()) {
            long[] face = tokenizer.ids("😀");
            long a = tokenizer.ids("a")[0];
            assertEquals(List.of("", "", "\ufffda"), pieces(Decoding.behind(tokenizer), face[0], face[1], a));
            Decoding cut = Decoding.behind(tokenizer, a);
            assertEquals("", cut.add(face[0]));
            assertEquals("", cut.end());
            Decoding whole = Decoding.behind(tokenizer, a);
            assertEquals("a", whole.add(a));
            assertEquals("", whole.end());
        }
    }

    private static List<String> pieces(Decoding decoding, long... ids) throws IOException {
        List<String> pieces = new ArrayList<>();
        for (long id : ids) {
            pieces.add(decoding.add(id));
        }
        return pieces;
    }

    private static String text(Random random, int length) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < length; i++) {
            text.append(CHARACTERS[random.nextInt(CHARACTERS.length)]);
        }
        return text.toString();
    }
}
