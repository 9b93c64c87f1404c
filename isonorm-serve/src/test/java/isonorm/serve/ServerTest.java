package isonorm.serve;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import isonorm.convert.LoadedModel;
import isonorm.generate.Generator;
import isonorm.generate.Options;
import isonorm.inference.Inference;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Result;
import isonorm.text.Tokenizer;
import java.io.IOException;
import java.io.InputStream;
import java.net.Socket;
import java.net.SocketException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** A server on loopback, asked as clients ask. */
@Timeout(60)
class ServerTest {

    private static final Path EXAMPLE = Path.of("..", "examples", "shakespeare-gpt2");
    private static final ObjectMapper JSON = new ObjectMapper();

    private static LoadedModel model;
    private static Server server;
    private static HttpClient client;

    @BeforeAll
    static void start() throws IOException {
        model = LoadedModel.open(EXAMPLE);
        server = Server.start(model, Server.Settings.of("bard").withPort(0));
        client = HttpClient.newHttpClient();
    }

    @AfterAll
    static void stop() {
        server.close();
        client.close();
    }

    private static HttpResponse<String> send(String path, String body) throws IOException, InterruptedException {
        return client.send(HttpRequest.newBuilder(URI.create(server.url() + path)).header("Authorization", "Bearer ")
                .POST(HttpRequest.BodyPublishers.ofString(body)).build(), HttpResponse.BodyHandlers.ofString());
    }

    private static HttpResponse<String> get(String path) throws IOException, InterruptedException {
        return client.send(HttpRequest.newBuilder(URI.create(server.url() + path)).build(), HttpResponse.BodyHandlers.ofString());
    }

    private static JsonNode ask(String path, String body) throws IOException, InterruptedException {
        HttpResponse<String> response = send(path, body);
        assertEquals(200, response.statusCode(), response.body());
        return JSON.readTree(response.body());
    }

    private static JsonNode refused(int status, String path, String body) throws IOException, InterruptedException {
        HttpResponse<String> response = send(path, body);
        assertEquals(status, response.statusCode(), body + ": " + response.body());
        JsonNode error = JSON.readTree(response.body()).path("error");
        assertTrue(error.path("message").isTextual() && error.has("type") && error.has("param") && error.has("code"), response.body());
        String said = error.path("message").textValue();
        assertFalse(said.contains("isonorm.") || said.contains("java.") || said.contains("/tmp") || said.contains("shakespeare-gpt2"), said);
        return error;
    }

    /** The ids of a text, as the tokenizer of the checkpoint has them. */
    private static List<Long> ids(String text) throws IOException {
        try (Tokenizer tokenizer = Tokenizer.open(EXAMPLE.resolve("tokenizer.json"))) {
            return Arrays.stream(tokenizer.ids(text)).boxed().toList();
        }
    }

    @Test
    void aTextIsContinuedAsTheLibraryContinuesIt() throws Exception {
        String alone;
        try (Inference inference = Inference.load(model.model(), Compute.F32, 1); Tokenizer tokenizer = Tokenizer.open(EXAMPLE.resolve("tokenizer.json"))) {
            alone = Generator.of(inference, tokenizer, model).generate(List.of("ROMEO:"), Options.tokens(24), Generator.Listener.NONE).texts().getFirst();
        }
        JsonNode answer = ask("/v1/completions", "{\"model\": \"bard\", \"prompt\": \"ROMEO:\", \"max_tokens\": 24, \"temperature\": 0}");
        assertEquals("text_completion", answer.path("object").asText());
        assertEquals(alone, answer.path("choices").get(0).path("text").asText());
        assertEquals("length", answer.path("choices").get(0).path("finish_reason").asText());
        assertEquals(24, answer.path("usage").path("completion_tokens").asInt());
        assertEquals(ids("ROMEO:").size(), answer.path("usage").path("prompt_tokens").asInt());
        JsonNode tokens = ask("/v1/completions", "{\"prompt\": " + ids("ROMEO:") + ", \"max_tokens\": 24, \"temperature\": 0}");
        assertEquals(alone, tokens.path("choices").get(0).path("text").asText(), "token ids are taken as they are");
    }

    /** The requests of lm-eval's loglikelihood, whose answer it reads from the echo. */
    @Test
    void anEchoTellsHowLikelyEachTokenOfThePromptIs() throws Exception {
        List<Long> prompt = ids("What is the matter, my lord? Between who?");
        JsonNode answer = ask("/v1/completions", "{\"model\": \"bard\", \"prompt\": [" + prompt + ", " + prompt.subList(0, 5)
                + "], \"temperature\": 0, \"max_tokens\": 1, \"logprobs\": 1, \"seed\": 1234, \"echo\": true}");
        assertEquals(2, answer.path("choices").size());
        JsonNode logs = answer.path("choices").get(0).path("logprobs");
        assertEquals(prompt.size() + 1, logs.path("token_logprobs").size());
        assertTrue(logs.path("token_logprobs").get(0).isNull() && logs.path("top_logprobs").get(0).isNull());
        try (Inference inference = Inference.load(model.model(), Compute.F32, 1);
                Result result = inference.run(Batch.Tokens.of(prompt.stream().mapToLong(Long::longValue).toArray()))) {
            int width = (int) result.outputShape()[2];
            double[] logits = new double[width];
            for (int t = 0; t + 1 < prompt.size(); t++) {
                result.readOutput((long) t * width, width, logits);
                double largest = Arrays.stream(logits).max().orElseThrow();
                double sum = largest + Math.log(Arrays.stream(logits).map(logit -> Math.exp(logit - largest)).sum());
                double said = logs.path("token_logprobs").get(t + 1).asDouble();
                assertEquals(logits[prompt.get(t + 1).intValue()] - sum, said, 1e-4, "token " + (t + 1));
                double top = 0;
                for (JsonNode each : logs.path("top_logprobs").get(t + 1)) {
                    top = top == 0 ? each.asDouble() : Math.max(top, each.asDouble());
                }
                assertEquals(largest - sum, top, 1e-4);
                assertEquals(logits[prompt.get(t + 1).intValue()] == largest, said == top, "the likeliest has the same number in both");
            }
        }
        String text = answer.path("choices").get(0).path("text").asText();
        assertTrue(text.startsWith("What is the matter, my lord?"), text);
        for (int i = 0; i < logs.path("tokens").size() - 1; i++) {
            assertTrue(text.startsWith(logs.path("tokens").get(i).asText(), logs.path("text_offset").get(i).asInt()), "token " + i);
        }
        JsonNode none = ask("/v1/completions", "{\"prompt\": " + prompt + ", \"max_tokens\": 0, \"echo\": true, \"logprobs\": 0}");
        assertEquals(prompt.size(), none.path("choices").get(0).path("logprobs").path("tokens").size());
        assertEquals(0, none.path("usage").path("completion_tokens").asInt());
    }

    @Test
    void aFullContextIsAnsweredAndALongerPromptRefusedWithBothNumbers() throws Exception {
        String full = Collections.nCopies(256, "5").toString();
        JsonNode answer = ask("/v1/completions", "{\"prompt\": " + full + ", \"max_tokens\": 9, \"echo\": true, \"logprobs\": 1, \"temperature\": 0}");
        assertEquals(257, answer.path("choices").get(0).path("logprobs").path("tokens").size());
        assertEquals("length", answer.path("choices").get(0).path("finish_reason").asText());
        String message = refused(400, "/v1/completions", "{\"prompt\": " + Collections.nCopies(257, "5") + "}").path("message").asText();
        assertTrue(message.contains("256") && message.contains("257"), message);
    }

    @Test
    void choicesStopsAndSeedsAreAsAsked() throws Exception {
        String body = "{\"prompt\": \"KING\", \"max_tokens\": 12, \"n\": 3, \"temperature\": 1, \"seed\": 7%s}";
        JsonNode answer = ask("/v1/completions", body.formatted(""));
        assertEquals(3, answer.path("choices").size());
        assertEquals(List.of(0, 1, 2), answer.path("choices").findValues("index").stream().map(JsonNode::asInt).toList());
        assertEquals(answer.path("choices"), ask("/v1/completions", body.formatted("")).path("choices"), "a seed gives the same");
        assertEquals(1, ask("/v1/completions", "{\"prompt\": \"KING\", \"best_of\": 4, \"seed\": 7}").path("choices").size());
        String text = ask("/v1/completions", "{\"prompt\": \"ROMEO:\", \"max_tokens\": 24, \"temperature\": 0}").path("choices").get(0).path("text").asText();
        String stop = text.substring(8, 11);
        JsonNode stopped = ask("/v1/completions", "{\"prompt\": \"ROMEO:\", \"max_tokens\": 24, \"temperature\": 0, \"stop\": [" + JSON.writeValueAsString(stop) + "]}");
        assertEquals(text.substring(0, text.indexOf(stop)), stopped.path("choices").get(0).path("text").asText());
        assertEquals("stop", stopped.path("choices").get(0).path("finish_reason").asText());
    }

    @Test
    void aStreamIsTheSameTextInPiecesWithItsUsageAtTheEnd() throws Exception {
        String rest = "\"prompt\": \"ROMEO:\", \"max_tokens\": 20, \"temperature\": 0";
        String whole = ask("/v1/completions", "{" + rest + "}").path("choices").get(0).path("text").asText();
        HttpResponse<String> response = send("/v1/completions", "{" + rest + ", \"stream\": true, \"n\": 2, \"stream_options\": {\"include_usage\": true}}");
        assertEquals("text/event-stream; charset=utf-8", response.headers().firstValue("Content-Type").orElseThrow());
        StringBuilder[] texts = {new StringBuilder(), new StringBuilder()};
        List<String> events = Arrays.stream(response.body().split("\n\n")).toList();
        assertEquals("data: [DONE]", events.getLast());
        int reasons = 0;
        for (String event : events.subList(0, events.size() - 2)) {
            JsonNode choice = JSON.readTree(event.substring("data: ".length())).path("choices").get(0);
            texts[choice.path("index").asInt()].append(choice.path("text").asText());
            reasons += choice.path("finish_reason").isNull() ? 0 : 1;
        }
        assertEquals(List.of(whole, whole), List.of(texts[0].toString(), texts[1].toString()));
        assertEquals(2, reasons);
        assertEquals(40, JSON.readTree(events.get(events.size() - 2).substring("data: ".length())).path("usage").path("completion_tokens").asInt());
    }

    @Test
    void whatTokensAreIsTold() throws Exception {
        JsonNode tokens = ask("/tokenize", "{\"prompt\": \"O Romeo\", \"add_special_tokens\": true}");
        assertEquals(ids("O Romeo").toString().replace(" ", ""), tokens.path("tokens").toString());
        assertEquals("O Romeo", ask("/detokenize", "{\"tokens\": " + tokens.path("tokens") + "}").path("prompt").asText());
        assertTrue(JSON.readTree(get("/tokenizer_info").body()).has("eos_token"));
        assertEquals("bard", JSON.readTree(get("/v1/models").body()).path("data").get(0).path("id").asText());
        assertEquals(200, get("/v1/models/bard").statusCode());
        assertEquals(404, get("/v1/models/other").statusCode());
        assertEquals("ok", JSON.readTree(get("/health").body()).path("status").asText());
        ask("/v1/completions", "{\"prompt\": \"a\", \"max_tokens\": 3}");
        String metrics = get("/metrics").body();
        assertTrue(metrics.contains("\nisonorm_cache_tokens_limit 4096\n"), "16 sequences of 256 tokens: " + metrics);
        assertTrue(metrics.contains("\nisonorm_requests_running 0\n") && metrics.contains("# TYPE isonorm_first_token_seconds histogram"), metrics);
    }

    @Test
    void whatIsNotToBeHadIsRefusedByItsName() throws Exception {
        for (String[] each : new String[][] {
                {"suffix", "\"suffix\": \"end\""}, {"logit_bias", "\"logit_bias\": {\"5\": 1}"}, {"frequency_penalty", "\"frequency_penalty\": 0.5"},
                {"temperature", "\"temperature\": -1"}, {"temperature", "\"temperature\": \"hot\""}, {"max_tokens", "\"max_tokens\": 1.5"}, {"n", "\"n\": 0"},
                {"best_of", "\"n\": 3, \"best_of\": 2"}, {"logprobs", "\"logprobs\": 21"}, {"stop", "\"stop\": 3"}, {"stop", "\"stop\": \"\""}, {"top_p", "\"top_p\": 0"},
                {"wibble", "\"wibble\": true"}, {"stream", "\"stream\": 1"}, {"stream_options", "\"stream_options\": {}"}, {"seed", "\"seed\": 1.5"},
                {"echo", "\"echo\": \"yes\""}, {"max_tokens", "\"max_tokens\": 0"}, {"best_of", "\"best_of\": 2, \"stream\": true"}}) {
            assertEquals(each[0], refused(400, "/v1/completions", "{\"prompt\": \"a\", " + each[1] + "}").path("param").asText(), each[1]);
        }
        for (String prompt : List.of("5", "[]", "\"\"", "[[]]", "[-1]", "[1.5]", "[999999]", "{}", "[true]", "[[1], 2]", "null")) {
            assertEquals("prompt", refused(400, "/v1/completions", "{\"prompt\": " + prompt + "}").path("param").asText(), prompt);
        }
        refused(404, "/v1/completions", "{\"model\": \"gpt-9\", \"prompt\": \"a\"}");
        assertTrue(refused(400, "/v1/chat/completions", "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}").path("message").asText().contains("no chat template"));
        assertEquals("tools", refused(400, "/v1/chat/completions", "{\"messages\": [], \"tools\": [{}]}").path("param").asText());
        refused(404, "/v1/embeddings", "{\"input\": \"a\"}");
        refused(404, "/nothing", "{}");
        assertEquals(405, get("/v1/completions").statusCode());
    }

    @Test
    void whatIsNoRequestIsRefusedInOneLine() throws Exception {
        for (String body : List.of("", "{", "[]", "{\"prompt\": \"a\"", "{\"prompt\": NaN}", "{\"prompt\": \"a\"} x", "{\"prompt\": \"a\", \"prompt\": \"b\"}",
                "[".repeat(5000), "{\"prompt\": " + "[".repeat(40) + "]".repeat(40) + "}", "nul", "{\"prompt\": \"a\", \"seed\": " + "9".repeat(2000) + "}")) {
            refused(400, "/v1/completions", body);
        }
        HttpResponse<String> latin = client.send(HttpRequest.newBuilder(URI.create(server.url() + "/v1/completions"))
                .POST(HttpRequest.BodyPublishers.ofByteArray("{\"prompt\": \"\u00e9\"}".getBytes(StandardCharsets.ISO_8859_1))).build(), HttpResponse.BodyHandlers.ofString());
        assertEquals(400, latin.statusCode(), latin.body());
        refused(413, "/v1/completions", "{\"prompt\": \"" + "a".repeat(8 << 20) + "\"}");
    }

    /** Random bytes changed in a valid request: each is answered. */
    @Test
    void changedRequestsAreAnswered() throws Exception {
        String valid = "{\"model\": \"bard\", \"prompt\": [1, 2, 3], \"max_tokens\": 2, \"temperature\": 0.5, \"logprobs\": 2, \"echo\": true, \"stop\": [\"x\"], \"seed\": 3, \"n\": 2}";
        SplittableRandom random = new SplittableRandom(11);
        for (int i = 0; i < 300 * Integer.getInteger("isonorm.mutations", 1); i++) {
            byte[] bytes = valid.getBytes(StandardCharsets.UTF_8);
            for (int k = random.nextInt(4); k >= 0; k--) {
                bytes[random.nextInt(bytes.length)] = (byte) random.nextInt(32, 127);
            }
            HttpResponse<String> response = client.send(HttpRequest.newBuilder(URI.create(server.url() + "/v1/completions")).timeout(Duration.ofSeconds(20))
                    .POST(HttpRequest.BodyPublishers.ofByteArray(bytes)).build(), HttpResponse.BodyHandlers.ofString());
            assertTrue(response.statusCode() == 200 || response.statusCode() == 400 || response.statusCode() == 404, new String(bytes, StandardCharsets.UTF_8) + ": " + response.body());
        }
    }

    /** What mutate_server.py beside the benchmarks does at length: ends in the middle, noise, depth, long heads and bytes that are no text. */
    @Test
    void whatNoClientShouldSendIsAnsweredOrClosed() throws Exception {
        URI url = URI.create(server.url());
        SplittableRandom random = new SplittableRandom(13);
        for (int i = 0; i < 150 * Integer.getInteger("isonorm.mutations", 1); i++) {
            byte[] raw = odd(random, i);
            try (Socket socket = new Socket(url.getHost(), url.getPort())) {
                socket.setSoTimeout(20_000);
                String answer;
                try {
                    socket.getOutputStream().write(raw);
                    socket.shutdownOutput();
                    answer = new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
                } catch (SocketException e) { // closed before all was read
                    answer = "";
                }
                assertTrue(answer.isEmpty() || answer.matches("(?s)HTTP/1.1 [1234]\\d\\d .*"), i + ": " + answer);
            }
        }
        assertEquals(200, get("/health").statusCode());
    }

    private static byte[] odd(SplittableRandom random, int kind) {
        byte[] body = "{\"prompt\": \"a\", \"max_tokens\": 1, \"temperature\": 0}".getBytes(StandardCharsets.US_ASCII);
        byte[] noise = new byte[random.nextInt(1, 2000)];
        random.nextBytes(noise);
        byte[] whole = post(body.length, "", body);
        return switch (kind % 8) {
            case 0 -> noise;
            case 1 -> Arrays.copyOf(whole, random.nextInt(1, whole.length));
            case 2 -> post(body.length + random.nextInt(1, 10_000_000), "", body);
            case 3 -> post(body.length, "X: " + "y".repeat(random.nextInt(100_000)) + "\r\n", body);
            case 4 -> post(body.length, "A: b\r\n".repeat(random.nextInt(1000)), body);
            case 5 -> post(noise.length, "", noise);
            case 6 -> {
                byte[] deep = ("{\"prompt\": " + "[".repeat(random.nextInt(100_000))).getBytes(StandardCharsets.US_ASCII);
                yield post(deep.length, "", deep);
            }
            default -> post(body.length, List.of("Content-Length: -1\r\n", "Transfer-Encoding: chunked\r\n", "Expect: 100-continue\r\n", "no colon\r\n", ": x\r\n")
                    .get(random.nextInt(5)), body);
        };
    }

    private static byte[] post(int length, String headers, byte[] body) {
        byte[] head = ("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: " + length + "\r\n" + headers + "\r\n").getBytes(StandardCharsets.US_ASCII);
        byte[] all = Arrays.copyOf(head, head.length + body.length);
        System.arraycopy(body, 0, all, head.length, body.length);
        return all;
    }

    @Test
    void connectionsThatSendHalfARequestKeepNobodyWaiting() throws Exception {
        URI url = URI.create(server.url());
        List<Socket> slow = new ArrayList<>();
        try {
            for (int i = 0; i < 200; i++) {
                Socket socket = new Socket(url.getHost(), url.getPort());
                slow.add(socket);
                socket.getOutputStream().write(Arrays.copyOf(post(1000, "", new byte[100]), i + 1));
            }
            ask("/v1/completions", "{\"prompt\": \"a\", \"max_tokens\": 1}");
        } finally {
            for (Socket socket : slow) {
                socket.close();
            }
        }
    }

    @Test
    void anotherHostsNameOrOriginIsForbidden() throws Exception {
        assertTrue(raw("GET /v1/models HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").startsWith("HTTP/1.1 403"));
        assertTrue(raw("GET /v1/models HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\nConnection: close\r\n\r\n").startsWith("HTTP/1.1 403"));
        assertTrue(raw("GET /v1/models HTTP/1.1\r\nHost: localhost:1\r\nConnection: close\r\n\r\n").startsWith("HTTP/1.1 200"));
    }

    private static String raw(String request) throws IOException {
        URI url = URI.create(server.url());
        try (Socket socket = new Socket(url.getHost(), url.getPort()); InputStream in = socket.getInputStream()) {
            socket.getOutputStream().write(request.getBytes(StandardCharsets.US_ASCII));
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    @Test
    void aClientThatGoesAwayIsGivenUp() throws Exception {
        URI url = URI.create(server.url());
        String body = "{\"prompt\": \"a\", \"max_tokens\": 250, \"stream\": true, \"ignore_eos\": true}";
        long before = generated();
        for (int i = 0; i < 8; i++) {
            try (Socket socket = new Socket(url.getHost(), url.getPort())) {
                socket.getOutputStream().write(("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + body.length() + "\r\n\r\n" + body)
                        .getBytes(StandardCharsets.US_ASCII));
                socket.getInputStream().read();
                socket.setSoLinger(true, 0);
            }
        }
        long end = System.nanoTime() + Duration.ofSeconds(20).toNanos();
        while (!get("/metrics").body().contains("\nisonorm_requests_running 0\n")) {
            assertTrue(System.nanoTime() < end, get("/metrics").body());
            Thread.sleep(10);
        }
        assertTrue(generated() - before < 8 * 250 / 2, "of 8 times 250 tokens " + (generated() - before) + " were generated");
    }

    private static long generated() throws Exception {
        return get("/metrics").body().lines().filter(line -> line.startsWith("isonorm_generated_tokens_total ")).mapToLong(line -> Long.parseLong(line.split(" ")[1])).sum();
    }

    @Test
    void keysAreAskedForWhereThereAreAnyAndAFullQueueSaysWhenToComeBack() throws Exception {
        try (Server guarded = Server.start(model, Server.Settings.of("bard").withPort(0).withKeys(List.of("first", "second")).withSequences(1, 1))) {
            URI url = URI.create(guarded.url() + "/v1/completions");
            HttpRequest.Builder request = HttpRequest.newBuilder(url).POST(HttpRequest.BodyPublishers.ofString("{\"prompt\": \"a\", \"max_tokens\": 200, \"ignore_eos\": true}"));
            assertEquals(401, client.send(request.build(), HttpResponse.BodyHandlers.ofString()).statusCode());
            assertEquals(401, client.send(request.copy().header("Authorization", "Bearer firs").build(), HttpResponse.BodyHandlers.ofString()).statusCode());
            assertEquals(200, client.send(HttpRequest.newBuilder(URI.create(guarded.url() + "/health")).build(), HttpResponse.BodyHandlers.ofString()).statusCode());
            try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
                List<Future<HttpResponse<String>>> all = new ArrayList<>();
                for (int i = 0; i < 12; i++) {
                    all.add(threads.submit(() -> client.send(request.copy().header("Authorization", "Bearer second").build(), HttpResponse.BodyHandlers.ofString())));
                }
                int full = 0;
                for (Future<HttpResponse<String>> each : all) {
                    HttpResponse<String> response = each.get();
                    full += response.statusCode() == 429 && response.headers().firstValue("Retry-After").isPresent() ? 1 : 0;
                    assertTrue(response.statusCode() == 200 || response.statusCode() == 429, response.body());
                }
                assertTrue(full > 0 && full < 12, full + " of 12 were told to come back");
            }
        }
    }
}
