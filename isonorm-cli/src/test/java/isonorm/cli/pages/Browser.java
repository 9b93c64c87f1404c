package isonorm.cli.pages;

import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;

/** A headless Chromium, driven by its DevTools protocol: pages in any width and theme, what they do, ask for and complain of. */
final class Browser implements AutoCloseable {

    private static final ObjectMapper JSON = new ObjectMapper();
    private static final List<String> NAMES = List.of("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome", "google-chrome-stable");
    private static final Duration LIMIT = Duration.ofSeconds(60);

    private final Process process;
    private final WebSocket socket;
    private final Map<Integer, CompletableFuture<JsonNode>> answers;
    private final AtomicInteger numbers = new AtomicInteger();
    private final List<JsonNode> events;
    private String session = "";

    private Browser(Process process, WebSocket socket, Map<Integer, CompletableFuture<JsonNode>> answers, List<JsonNode> events) {
        this.process = process;
        this.socket = socket;
        this.answers = answers;
        this.events = events;
    }

    /** The first there is on the PATH. */
    static Optional<Path> installed() {
        return Stream.of(System.getenv("PATH").split(":")).map(Path::of).flatMap(path -> NAMES.stream().map(path::resolve)).filter(Files::isExecutable).findFirst();
    }

    /** Starts one, with a profile of its own in a folder. */
    static Browser start(Path program, Path profile) throws Exception {
        Process process = new ProcessBuilder(program.toString(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0", "--user-data-dir=" + profile, "about:blank")
                .redirectError(ProcessBuilder.Redirect.DISCARD).redirectOutput(ProcessBuilder.Redirect.DISCARD).start();
        Path port = profile.resolve("DevToolsActivePort");
        Instant end = Instant.now().plus(LIMIT);
        while ((!Files.exists(port) || Files.readAllLines(port).size() < 2) && process.isAlive() && Instant.now().isBefore(end)) {
            Thread.sleep(20);
        }
        List<String> lines = Files.readAllLines(port);
        Map<Integer, CompletableFuture<JsonNode>> answers = new ConcurrentHashMap<>();
        List<JsonNode> events = Collections.synchronizedList(new ArrayList<>());
        HttpClient client = HttpClient.newHttpClient();
        WebSocket socket = client.newWebSocketBuilder()
                .buildAsync(URI.create("ws://127.0.0.1:" + lines.get(0) + lines.get(1)), new Listener(answers, events)).get(LIMIT.toSeconds(), TimeUnit.SECONDS);
        Browser browser = new Browser(process, socket, answers, events);
        String target = browser.call("Target.createTarget", JSON.createObjectNode().put("url", "about:blank")).path("targetId").asText();
        browser.session = browser.call("Target.attachToTarget", JSON.createObjectNode().put("targetId", target).put("flatten", true)).path("sessionId").asText();
        for (String domain : List.of("Page", "Runtime", "Log", "Network")) {
            browser.call(domain + ".enable", JSON.createObjectNode());
        }
        return browser;
    }

    /** Puts messages together and gives them to whoever waits. */
    private record Listener(Map<Integer, CompletableFuture<JsonNode>> answers, List<JsonNode> events, StringBuilder text) implements WebSocket.Listener {

        Listener(Map<Integer, CompletableFuture<JsonNode>> answers, List<JsonNode> events) {
            this(answers, events, new StringBuilder());
        }

        @Override
        public CompletionStage<?> onText(WebSocket from, CharSequence part, boolean last) {
            text.append(part);
            if (last) {
                try {
                    JsonNode message = JSON.readTree(text.toString());
                    CompletableFuture<JsonNode> waiting = message.has("id") ? answers.remove(message.path("id").asInt()) : null;
                    if (waiting != null) {
                        waiting.complete(message);
                    } else {
                        events.add(message);
                    }
                } catch (IOException e) {
                    throw new IllegalStateException(e);
                }
                text.setLength(0);
            }
            from.request(1);
            return CompletableFuture.completedStage(null);
        }
    }

    private JsonNode call(String method, ObjectNode parameters) throws Exception {
        int number = numbers.incrementAndGet();
        CompletableFuture<JsonNode> answer = new CompletableFuture<>();
        answers.put(number, answer);
        ObjectNode message = JSON.createObjectNode().put("id", number).put("method", method);
        message.set("params", parameters);
        if (!session.isEmpty()) {
            message.put("sessionId", session);
        }
        socket.sendText(message.toString(), true).get(LIMIT.toSeconds(), TimeUnit.SECONDS);
        JsonNode got = answer.get(LIMIT.toSeconds(), TimeUnit.SECONDS);
        assertTrue(!got.has("error"), () -> method + ": " + got);
        return got.path("result");
    }

    /** Opens a page in a width and a theme, and waits until its plots are drawn. */
    void open(String address, int width, int height, String theme) throws Exception {
        events.clear();
        size(width, height);
        ObjectNode media = JSON.createObjectNode();
        media.putArray("features").addObject().put("name", "prefers-color-scheme").put("value", theme);
        call("Emulation.setEmulatedMedia", media);
        call("Page.navigate", JSON.createObjectNode().put("url", "about:blank"));
        call("Page.navigate", JSON.createObjectNode().put("url", address));
        await("document.readyState === 'complete' && globalThis.isonorm && isonorm.charts.length > 0 && isonorm.charts.every(chart => chart.drawn && !chart.waits)");
    }

    void size(int width, int height) throws Exception {
        call("Emulation.setDeviceMetricsOverride", JSON.createObjectNode().put("width", width).put("height", height).put("deviceScaleFactor", 1).put("mobile", width < 600));
    }

    /** The value of an expression of the page. */
    JsonNode value(String expression) throws Exception {
        JsonNode result = call("Runtime.evaluate", JSON.createObjectNode().put("expression", expression).put("returnByValue", true).put("awaitPromise", true));
        assertTrue(!result.has("exceptionDetails"), () -> expression + ": " + result.path("exceptionDetails"));
        return result.path("result").path("value");
    }

    /** Waits until it is true. */
    void await(String expression) throws Exception {
        Instant end = Instant.now().plus(LIMIT);
        while (!value("Boolean(" + expression + ")").asBoolean()) {
            assertTrue(Instant.now().isBefore(end), () -> "still not: " + expression);
            Thread.sleep(30);
        }
    }

    /** What the page wrote to the console as an error or a warning, or threw. */
    List<String> complaints() {
        return events.stream().filter(event -> switch (event.path("method").asText()) {
            case "Runtime.exceptionThrown" -> true;
            case "Log.entryAdded" -> List.of("error", "warning").contains(event.path("params").path("entry").path("level").asText());
            case "Runtime.consoleAPICalled" -> List.of("error", "warning", "assert").contains(event.path("params").path("type").asText());
            default -> false;
        }).map(JsonNode::toString).toList();
    }

    /** The addresses it asked for. */
    List<String> requests() {
        return events.stream().filter(event -> event.path("method").asText().equals("Network.requestWillBeSent"))
                .map(event -> event.path("params").path("request").path("url").asText()).toList();
    }

    /** What is seen, as PNG. */
    byte[] picture() throws Exception {
        return Base64.getDecoder().decode(call("Page.captureScreenshot", JSON.createObjectNode()).path("data").asText());
    }

    @Override
    public void close() {
        socket.abort();
        List<ProcessHandle> all = process.descendants().toList(); // what is installed may be a script that starts it
        process.destroy();
        all.forEach(ProcessHandle::destroyForcibly);
        process.onExit().completeOnTimeout(process, 10, TimeUnit.SECONDS).join();
        process.destroyForcibly();
    }
}
