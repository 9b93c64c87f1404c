package isonorm.serve;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.langchain4j.model.chat.ChatModel;
import dev.langchain4j.model.language.LanguageModel;
import dev.langchain4j.model.openai.OpenAiChatModel;
import dev.langchain4j.model.openai.OpenAiLanguageModel;
import isonorm.convert.LoadedModel;
import isonorm.generate.Batcher;
import isonorm.generate.Sampling;
import isonorm.inference.Inference;
import isonorm.model.Compute;
import isonorm.text.Tokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The Java of docs/serving.md: it compiles, it is word for word what stands there, and it works with langchain4j's client as it is. */
@Timeout(60)
class ServingSnippetsTest {

    private static final Path EXAMPLE = Path.of("..", "examples", "shakespeare-gpt2");

    @TempDir
    private Path temporary;

    @Test
    void aBatcherAnswersWithoutHttp() throws IOException, InterruptedException {
        LoadedModel model = LoadedModel.open(EXAMPLE);
        StringBuilder written = new StringBuilder();
        try (Tokenizer tokenizer = Tokenizer.open(EXAMPLE.resolve("tokenizer.json"))) {
            int[] ids = Arrays.stream(tokenizer.prompt("ROMEO:")).mapToInt(Math::toIntExact).toArray();
            try (Inference inference = Inference.load(model.model(), Compute.F32);
                    Batcher batcher = Batcher.of(inference, 16, 256, inference.context())) {
                Batcher.Answer answer = batcher.submit(new Batcher.Request(ids, 20, Sampling.greedy(), 0, Batcher.endsOf(model), -1, false));
                Batcher.Text text = Batcher.Text.of(answer, tokenizer, List.of());
                Batcher.Piece piece;
                do {
                    piece = text.next();
                    written.append(piece.text());
                } while (piece.ending().isEmpty());
            }
        }
        assertTrue(written.length() > 20, written.toString());
    }

    @Test
    void langchain4jWritesAndTalks() throws IOException {
        Path folder = temporary.resolve("bard");
        Files.createDirectory(folder);
        for (String file : List.of("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")) {
            Files.copy(EXAMPLE.resolve(file), folder.resolve(file));
        }
        Files.writeString(folder.resolve("chat_template.jinja"), "{% for m in messages %}{{ m.role | upper }}:\n{{ m.content }}\n\n{% endfor %}ROMEO:\n");
        LoadedModel bard = LoadedModel.open(folder);
        try (Server server = Server.start(bard, Server.Settings.of("bard").withPort(0))) {
            LanguageModel model = OpenAiLanguageModel.builder().baseUrl(server.url() + "/v1").apiKey("none").modelName("bard").temperature(0.0).build();
            String text = model.generate("ROMEO:").content();
            ChatModel chat = OpenAiChatModel.builder().baseUrl(server.url() + "/v1").apiKey("none").modelName("bard").temperature(0.0).maxTokens(24).build();
            String answer = chat.chat("Who art thou?");
            assertTrue(text.length() > 10, text);
            assertTrue(answer.length() > 10, answer);
            assertEquals(answer, chat.chat("Who art thou?"));
        }
    }

    @Test
    void theyAreTheDocumentations() throws IOException {
        String test = Files.readString(Path.of("src/test/java/isonorm/serve/ServingSnippetsTest.java"));
        List<String> lines = test.lines().map(String::strip).toList();
        String[] blocks = Files.readString(Path.of("..", "docs", "serving.md")).split("```java");
        assertEquals(3, blocks.length, "two pieces of Java");
        for (String block : Arrays.copyOfRange(blocks, 1, blocks.length)) {
            for (String line : block.split("```")[0].strip().lines().map(String::strip).toList()) {
                assertTrue(lines.contains(line), "not in the test: " + line);
            }
        }
    }
}
