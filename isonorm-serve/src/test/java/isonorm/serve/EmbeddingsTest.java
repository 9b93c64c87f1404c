package isonorm.serve;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.langchain4j.model.openai.OpenAiEmbeddingModel;
import isonorm.convert.LoadedModel;
import isonorm.embed.SentenceEmbedder;
import isonorm.embed.SentenceSettings;
import isonorm.model.Compute;
import isonorm.model.Progress;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** An encoder served: what {@link SentenceEmbedder} gives, as OpenAI's clients ask for it. */
@Timeout(60)
class EmbeddingsTest {

    private static final ObjectMapper JSON = new ObjectMapper();
    private static final List<String> TEXTS = List.of("w5 w6 w7", "w9", "w11 w12 w13 w14 w15 w16");

    @TempDir
    private static Path folder;

    private static Server server;
    private static List<float[]> expected;

    @BeforeAll
    static void start() throws IOException {
        Path fixture = Path.of("..", "isonorm-core", "src", "test", "resources", "fixtures", "bert");
        for (String name : List.of("config.json", "model.safetensors")) {
            Files.copy(fixture.resolve(name), folder.resolve(name));
        }
        String words = IntStream.range(3, 40).mapToObj(id -> "\"w" + id + "\": " + id).collect(Collectors.joining(", "));
        Files.writeString(folder.resolve("tokenizer.json"), """
                {"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "WhitespaceSplit"},
                 "decoder": null, "post_processor": null, "model": {"type": "WordLevel", "vocab": {%s}, "unk_token": "w3"}}
                """.formatted(words));
        LoadedModel model = LoadedModel.open(folder);
        try (SentenceEmbedder embedder = SentenceEmbedder.open(model, SentenceSettings.NONE, Compute.F32)) {
            expected = embedder.embed(TEXTS, Progress.NONE).stream().map(each -> floats(each.vector())).toList();
        }
        server = Server.start(model, Server.Settings.of("encoder").withPort(0));
    }

    @AfterAll
    static void stop() {
        server.close();
    }

    private static float[] floats(double[] vector) {
        float[] floats = new float[vector.length];
        IntStream.range(0, vector.length).forEach(i -> floats[i] = (float) vector[i]);
        return floats;
    }

    private static JsonNode ask(int status, String path, String body) throws IOException, InterruptedException {
        try (HttpClient client = HttpClient.newHttpClient()) {
            HttpResponse<String> response = client.send(HttpRequest.newBuilder(URI.create(server.url() + path))
                    .method(body.isEmpty() ? "GET" : "POST", HttpRequest.BodyPublishers.ofString(body)).build(), HttpResponse.BodyHandlers.ofString());
            assertEquals(status, response.statusCode(), response.body());
            return response.body().startsWith("{") ? JSON.readTree(response.body()) : JSON.createObjectNode().put("text", response.body());
        }
    }

    @Test
    void numbersAndBytesAreTheLibrarys() throws Exception {
        String input = JSON.writeValueAsString(TEXTS);
        JsonNode numbers = ask(200, "/v1/embeddings", "{\"model\": \"encoder\", \"input\": " + input + "}");
        JsonNode bytes = ask(200, "/v1/embeddings", "{\"input\": " + input + ", \"encoding_format\": \"base64\"}");
        assertEquals(TEXTS.size(), numbers.path("data").size());
        for (int i = 0; i < TEXTS.size(); i++) {
            JsonNode one = numbers.path("data").get(i);
            assertEquals(i, one.path("index").asInt());
            float[] values = new float[one.path("embedding").size()];
            for (int c = 0; c < values.length; c++) {
                values[c] = one.path("embedding").get(c).floatValue();
            }
            assertArrayEquals(expected.get(i), values);
            ByteBuffer packed = ByteBuffer.wrap(Base64.getDecoder().decode(bytes.path("data").get(i).path("embedding").textValue())).order(ByteOrder.LITTLE_ENDIAN);
            float[] unpacked = new float[values.length];
            packed.asFloatBuffer().get(unpacked);
            assertArrayEquals(values, unpacked);
        }
        assertEquals(10, numbers.path("usage").path("prompt_tokens").asInt());
        assertEquals("encoder", numbers.path("model").asText());
        assertEquals(1, ask(200, "/v1/embeddings", "{\"input\": \"w9\"}").path("data").size());
    }

    @Test
    void langchain4jEmbeds() {
        OpenAiEmbeddingModel model = OpenAiEmbeddingModel.builder().baseUrl(server.url() + "/v1").apiKey("none").modelName("encoder").build();
        assertArrayEquals(expected.get(2), model.embed(TEXTS.get(2)).content().vector());
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            {"input": [1, 2, 3]}                               | input
            {"input": [[1, 2]]}                                | input
            {"input": []}                                      | input
            {"input": {}}                                      | input
            {"model": "encoder"}                               | input
            {"input": ["w9", " "]}                             | input
            {"input": ""}                                      | input
            {"input": "w9", "encoding_format": "int8"}         | encoding_format
            {"input": "w9", "dimensions": 3}                   | dimensions
            {"input": "w9", "truncate": true}                  | truncate
            """)
    void whatIsNotToBeHadIsRefusedByItsName(String body, String name) throws Exception {
        assertEquals(name, ask(400, "/v1/embeddings", body).path("error").path("param").asText());
    }

    @Test
    void aTextThatIsTooLongIsRefusedAndNotCut() throws Exception {
        int room = server.context();
        ask(200, "/v1/embeddings", "{\"input\": \"" + "w5 ".repeat(room) + "\"}");
        JsonNode refused = ask(400, "/v1/embeddings", "{\"input\": [\"w5\", \"" + "w5 ".repeat(room + 1) + "\"]}");
        assertEquals("context_length_exceeded", refused.path("error").path("code").asText());
        assertTrue(refused.path("error").path("message").asText().contains("reads " + room + " tokens, and input 1 has more"), refused.toString());
    }

    @Test
    void anEncoderWritesNothing() throws Exception {
        ask(404, "/v1/completions", "{\"prompt\": \"w9\"}");
        ask(404, "/v1/embeddings", "{\"input\": \"w9\", \"model\": \"other\"}");
        ask(404, "/elsewhere", "");
        assertEquals("encoder", ask(200, "/v1/models", "").path("data").get(0).path("id").asText());
        assertTrue(ask(200, "/metrics", "").path("text").asText().contains("isonorm_answers_total"));
    }
}
