package isonorm.generate;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.generate.GeneratedTokens.Ending;
import isonorm.text.Tokenizer;
import isonorm.text.Tokenizers;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Texts there and back through GPT-2's kind of tokenizer, of which a token may hold a part of a character. */
class GeneratorTest {

    private static final int VOCABULARY = 1024;
    private static final long END = 0;

    private static Tokenizer tokenizer;

    @BeforeAll
    static void open() throws IOException {
        tokenizer = Tokenizers.bytes();
    }

    @AfterAll
    static void close() {
        tokenizer.close();
    }

    @Test
    void textComesInWholeCharacters() throws IOException {
        List<String> pieces = new ArrayList<>();
        long[] said = tokenizer.ids("to 😀 be");
        Generated all = generator(said).generate(List.of("a"), Options.tokens(said.length), (row, piece) -> pieces.add(row + piece));
        assertEquals(List.of("to 😀 be"), all.texts());
        assertEquals(List.of("0to", "0 ", "0😀", "0 be"), pieces);
        assertArrayEquals(said, all.tokens().rows().getFirst().ids());
        assertEquals(Ending.LENGTH, all.tokens().rows().getFirst().ending());
        assertEquals(List.of("to "), generator(said).generate(List.of("a"), Options.tokens(4), Generator.Listener.NONE).texts()); // half a face
    }

    @Test
    void theEndOfTextIsNoText() throws IOException {
        long[] said = tokenizer.ids("to be<|endoftext|>or not");
        Generated ended = generator(said).generate(List.of("a"), Options.tokens(said.length), Generator.Listener.NONE);
        assertEquals(List.of("to be"), ended.texts());
        assertEquals(Ending.END_OF_TEXT, ended.tokens().rows().getFirst().ending());
        assertEquals(END, ended.tokens().rows().getFirst().ids()[ended.tokens().rows().getFirst().ids().length - 1]);
        assertEquals(List.of("to beor not"), generator(said).generate(List.of("a"), Options.tokens(said.length).ignoreEnd(true), Generator.Listener.NONE).texts());
    }

    /** Written one character a token, so that every stop string spans some. */
    @ParameterizedTest
    @CsvSource(delimiter = '|', nullValues = "-", value = {
        "to be or not | or          | 'to be '     | STOP_STRING",
        "to be or not | be or       | 'to '        | STOP_STRING",
        "to be or not | bee         | to be or not | LENGTH",
        "to be or not | t           | ''           | STOP_STRING",
        "to be or not | note        | to be or not | LENGTH",
        "to be or not | 'or not'    | 'to be '     | STOP_STRING",
        "to be or not | 'be;to be'  | ''           | STOP_STRING", // both end there, the longer one counts
        "to be or not | 'to be o;e' | 'to b'       | STOP_STRING", // the one that ends first
        "ababac       | abac        | ab           | STOP_STRING", // a beginning inside a beginning
        "aé😀b        | 😀          | aé           | STOP_STRING",
        "aé😀b        | é😀         | a            | STOP_STRING",
    })
    void stopStringsAreNotGivenOut(String said, String stops, String expected, Ending ending) throws IOException {
        for (long[] ids : List.of(characters(said), tokenizer.ids(said))) {
            StringBuilder heard = new StringBuilder();
            Options options = Options.tokens(ids.length).stops(List.of(stops.split(";")));
            Generated all = generator(ids).generate(List.of("a"), options, (_, piece) -> heard.append(piece));
            assertEquals(expected, all.texts().getFirst());
            assertEquals(expected, heard.toString());
            assertEquals(ending, all.tokens().rows().getFirst().ending());
        }
    }

    /** What could begin a stop string waits, and comes when it does not. */
    @Test
    void onlyTheBeginningOfAStopStringIsHeldBack() throws IOException {
        List<String> pieces = new ArrayList<>();
        long[] ids = characters("a\nb\n\nc");
        generator(ids).generate(List.of("a"), Options.tokens(ids.length).stops(List.of("\n\n")), (_, piece) -> pieces.add(piece));
        assertEquals(List.of("a", "\nb"), pieces);
        pieces.clear();
        generator(ids).generate(List.of("a"), Options.tokens(2).stops(List.of("\n\n")), (_, piece) -> pieces.add(piece));
        assertEquals(List.of("a", "\n"), pieces);
    }

    @Test
    void rowsOfDifferentLengthDoNotDependOnEachOther() throws IOException {
        Generator generator = Generator.of(Invented.random(200, VOCABULARY), tokenizer, Set.of(1L, 2L, 3L, 4L));
        Options options = Options.tokens(60).sampling(Sampling.greedy().temperature(1).seed(9)).stops(List.of("e", "\n"));
        List<String> prompts = List.of("To be", "O", "What light through yonder window breaks?");
        StringBuilder[] heard = {new StringBuilder(), new StringBuilder(), new StringBuilder()};
        Generated together = generator.generate(prompts, options, (row, piece) -> heard[row].append(piece));
        for (int row = 0; row < 3; row++) {
            List<String> others = new ArrayList<>(List.of("x", "y", "z"));
            others.set(row, prompts.get(row));
            Generated among = generator.generate(others, options, Generator.Listener.NONE);
            assertEquals(together.texts().get(row), among.texts().get(row));
            assertEquals(together.texts().get(row), heard[row].toString());
            assertEquals(together.tokens().rows().get(row).toString(), among.tokens().rows().get(row).toString());
        }
    }

    @Test
    void aPromptBeginsAsTheTokenizerBeginsATextAndItsSpacesCount(@TempDir Path folder) throws IOException {
        try (Tokenizer llama = Tokenizers.llama(folder)) {
            long hi = llama.ids("Hi")[0];
            Invented words = Invented.saying(2, 300, hi, hi);
            Generated all = Generator.of(words, llama, Set.of(2L)).generate(List.of("Hi"), Options.tokens(2), Generator.Listener.NONE);
            assertEquals("[[1, " + hi + "]]", words.calls().getFirst());
            assertEquals(List.of(" Hi Hi"), all.texts());
        }
    }

    @Test
    void whatCannotBeDoneIsSaid() {
        Generator generator = generator(END);
        assertEquals("prompt 2 must have a token to be continued, got none; give it some text", refused(() ->
                generator.generate(List.of("a", ""), Options.tokens(1), Generator.Listener.NONE)));
        assertTrue(refused(() -> generator.generate(List.of("a ".repeat(2000)), Options.tokens(1), Generator.Listener.NONE))
                .startsWith("the prompt must fit the model's context of 1000 tokens, got "));
        assertEquals("at least 1 token must be generated, got a maximum of 0", refused(() -> Options.tokens(0)));
        assertEquals("a stop string must have a character, got an empty one", refused(() -> Options.tokens(1).stops(List.of("a", ""))));
    }

    private static String refused(Executable task) {
        return assertThrows(IllegalArgumentException.class, task).getMessage();
    }

    /** Says these tokens behind a prompt of one. */
    private static Generator generator(long... script) {
        return Generator.of(Invented.saying(1, VOCABULARY, script), tokenizer, Set.of(END));
    }

    /** A text in tokens of no more than a character each. */
    private static long[] characters(String text) throws IOException {
        List<Long> ids = new ArrayList<>();
        for (int c : text.codePoints().toArray()) {
            for (long id : tokenizer.ids(Character.toString(c))) {
                ids.add(id);
            }
        }
        return ids.stream().mapToLong(Long::longValue).toArray();
    }
}
