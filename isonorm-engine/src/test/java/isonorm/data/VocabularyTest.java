package isonorm.data;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import isonorm.text.Tokenizer;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class VocabularyTest {

    private static final Path GPT2 = Path.of("..", "examples", "shakespeare-gpt2");

    @TempDir
    Path folder;

    @Test
    void theTokenizerOfBytesGivesBytes() throws IOException {
        Path file = Files.write(folder.resolve("tokenizer.json"), Vocabulary.bytes().tokenizerJson());
        String text = "naïve 𝄞\n\t\0 \u00ad\u00a0~ÿ";
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        try (Vocabulary vocabulary = Vocabulary.open(file, Optional.empty()); Tokenizer tokenizer = Tokenizer.open(file)) {
            assertEquals(257, vocabulary.size());
            assertEquals(256, vocabulary.endOfText());
            int[] ids = vocabulary.ids(bytes);
            assertArrayEquals(Vocabulary.bytes().ids(bytes), ids);
            assertEquals(text, tokenizer.decode(Arrays.stream(ids).asLongStream().toArray()));
        }
    }

    @Test
    void theEndOfTextIsTheOneNamedOrTheTokenizersOrTheUsualOne() throws IOException {
        try (Vocabulary vocabulary = Vocabulary.open(GPT2, Optional.empty())) {
            assertEquals(1024, vocabulary.size());
            assertEquals(0, vocabulary.endOfText());
        }
        Path file = Files.copy(GPT2.resolve("tokenizer.json"), folder.resolve("tokenizer.json"));
        assertEquals(0, end(file, null));
        assertEquals(2, end(file, "\""));
        assertEquals(file + " has no token <end> to end a text; its added tokens are <|endoftext|>",
                assertThrows(IOException.class, () -> end(file, "<end>")).getMessage());
        Files.writeString(file, Files.readString(file).replace("<|endoftext|>", "<|stop|>"));
        assertEquals(file + " has no token that is known to end a text; name one of its own, which are <|stop|>",
                assertThrows(IOException.class, () -> end(file, null)).getMessage());
        Files.writeString(folder.resolve("tokenizer_config.json"), "{\"eos_token\": {\"content\": \"<|stop|>\"}}");
        assertEquals(0, end(file, null));
    }

    private static int end(Path file, String named) throws IOException {
        try (Vocabulary vocabulary = Vocabulary.open(file, Optional.ofNullable(named))) {
            return vocabulary.endOfText();
        }
    }
}
