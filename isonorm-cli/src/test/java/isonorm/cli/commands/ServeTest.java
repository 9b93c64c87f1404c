package isonorm.cli.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.cli.Main;
import isonorm.cli.Run;
import isonorm.cli.terminal.Console;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PipedInputStream;
import java.io.PipedOutputStream;
import java.io.PrintStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@code isonorm serve} answers as {@code isonorm generate} continues, in whatever bits. */
@Timeout(300)
class ServeTest {

    private static final Path EXAMPLE = Run.HOME.resolve("examples/shakespeare-gpt2");
    private static final int TOKENS = 96;

    /** Whose continuations in 8 and 4 bits are others than in float32. */
    private static final List<String> PROMPTS = List.of("ROMEO:", "What light through yonder window", "First Citizen:\nBefore we proceed", "The king", "O,");

    @TempDir
    Path folder;

    @ParameterizedTest
    @CsvSource({"8, none", "4, none", "0, q8", "0, q4"})
    void whatIsInFewBitsIsServedWithTheTokensThatGenerateGives(int bits, String compute) throws Exception {
        Path checkpoint = EXAMPLE;
        if (bits != 0) {
            checkpoint = folder.resolve("out");
            Run.of("quantize", EXAMPLE, checkpoint, "--bits", bits, "--quiet").ended(0);
        }
        List<String> options = compute.equals("none") ? List.of() : List.of("--compute", compute);
        List<String> continued = continued(checkpoint, options);
        assertNotEquals(continued(EXAMPLE, List.of("--compute", "f32")), continued, "fewer bits give other tokens");
        assertEquals(continued, served(checkpoint, options));
    }

    @Test
    void aContextAboveTheModelsIsRefused() {
        Run run = Run.of("serve", EXAMPLE, "--port", 0, "--context", 100_000).ended(1);
        assertTrue(run.err().contains("--context must be at most the model's 256 tokens, got 100000"), run.err());
    }

    private static List<String> continued(Path checkpoint, List<String> options) throws IOException {
        Stream<Object> prompts = PROMPTS.stream().flatMap(prompt -> Stream.of("--prompt", prompt));
        Stream<Object> all = Stream.of(Stream.<Object>of("generate", checkpoint, "--max-tokens", TOKENS, "--json"), prompts, options.stream()).flatMap(each -> each);
        return Run.of(all.toArray()).ended(0).json().path("rows").valueStream().map(row -> row.path("text").asText()).toList();
    }

    /** What a server of the command line answers, all asked in one request. */
    private static List<String> served(Path checkpoint, List<String> options) throws Exception {
        Stream<String> words = Stream.concat(Stream.of("serve", checkpoint.toString(), "--port", "0", "--json"), options.stream());
        try (PipedInputStream said = new PipedInputStream();
                PrintStream out = new PrintStream(new PipedOutputStream(said), true, StandardCharsets.UTF_8);
                BufferedReader lines = new BufferedReader(new InputStreamReader(said, StandardCharsets.UTF_8));
                HttpClient client = HttpClient.newHttpClient();
                ExecutorService threads = Executors.newSingleThreadExecutor()) {
            Console console = new Console(out, new PrintStream(OutputStream.nullOutputStream(), true, StandardCharsets.UTF_8), false, false);
            Future<Integer> ended = threads.submit(() -> Main.run(console, words.toArray(String[]::new)));
            try {
                JsonNode started = new ObjectMapper().readTree(lines.readLine());
                ObjectNode body = new ObjectMapper().createObjectNode().put("max_tokens", TOKENS).put("temperature", 0);
                PROMPTS.forEach(body.putArray("prompt")::add);
                HttpResponse<String> answer = client.send(HttpRequest.newBuilder(URI.create(started.path("address").asText() + "/v1/completions"))
                        .POST(HttpRequest.BodyPublishers.ofString(body.toString())).build(), HttpResponse.BodyHandlers.ofString());
                assertEquals(200, answer.statusCode(), answer.body());
                return new ObjectMapper().readTree(answer.body()).path("choices").valueStream().map(choice -> choice.path("text").asText()).toList();
            } finally {
                threads.shutdownNow();
                assertEquals(0, ended.get(30, TimeUnit.SECONDS), "an interrupted server ends");
            }
        }
    }
}
