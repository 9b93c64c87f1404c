package isonorm.cli.watch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import isonorm.cli.Main;
import isonorm.cli.Run;
import isonorm.cli.terminal.Console;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.NetworkInterface;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** {@code isonorm watch}: what its page is told while runs go on, who is told, and what is refused. */
@Timeout(60)
class WatchTest {

    private static final ObjectMapper JSON = new ObjectMapper();

    @TempDir
    Path folder;

    private WatchServer server;

    @AfterEach
    void stop() {
        if (server != null) {
            server.close();
        }
    }

    // A run

    private Path run(String name) throws IOException {
        Path run = Files.createDirectories(folder.resolve(name));
        Files.writeString(run.resolve("config.yaml"), "strategy: 'peri-ln'\nsteps: '100'\nstop.above: '3'\n");
        return run;
    }

    private static void add(Path run, String text) throws IOException {
        Files.writeString(run.resolve("metrics.jsonl"), text, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    }

    private static String line(long step, String loss, double norm) {
        return "{\"step\":" + step + ",\"loss\":" + loss + ",\"gradient_norm\":" + norm + ",\"learning_rate\":1.0E-3,\"tokens_per_second\":1234.5}\n";
    }

    private static String line(long step, double loss) {
        return line(step, String.valueOf(loss), 1);
    }

    private static String blocks(long step, double... variances) {
        StringBuilder json = new StringBuilder("{\"step\":" + step + ",\"blocks\":[");
        for (int b = 0; b < variances.length; b++) {
            json.append(String.format(Locale.ROOT, "%s{\"block\":%d,\"variance\":%s,\"max_abs\":3.5,\"gradient_norm\":0.1}", b == 0 ? "" : ",", b, variances[b]));
        }
        return json + "]}\n";
    }

    // A page

    private void watch(Path... folders) throws IOException {
        server = WatchServer.start(WatchedRuns.of(List.of(folders)), 0);
    }

    private String request(String head) throws IOException {
        try (Socket socket = new Socket(server.address().getAddress(), server.address().getPort())) {
            socket.getOutputStream().write((head + "\r\nConnection: close\r\n\r\n").getBytes(StandardCharsets.UTF_8));
            return new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    private String get(String path) throws IOException {
        return request("GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1:" + server.address().getPort());
    }

    /** The cursor of a page that is loaded now. */
    private String load() throws IOException {
        Matcher cursor = Pattern.compile("\"cursor\":\"([^\"]+)\"").matcher(get("/"));
        assertTrue(cursor.find(), "a page has a cursor");
        return cursor.group(1);
    }

    private JsonNode since(String cursor) throws IOException {
        String answer = get("/data?since=" + cursor);
        assertTrue(answer.startsWith("HTTP/1.1 200"), answer);
        return JSON.readTree(answer.substring(answer.indexOf("\r\n\r\n")));
    }

    private static JsonNode first(JsonNode news) {
        return news.path("runs").path(0);
    }

    private static String steps(JsonNode news) {
        return first(news).path("step").toString();
    }

    /** What the page that is loaded now is told of its runs. */
    private JsonNode page() throws IOException {
        String html = get("/");
        String json = html.substring(html.indexOf("<script id=\"plots\""));
        return JSON.readTree(json.substring(json.indexOf('>') + 1, json.indexOf("</script>")));
    }

    @Test
    void aPageIsToldWhatWasAdded() throws IOException {
        Path run = run("run");
        add(run, line(10, 5) + line(20, 4));
        watch(run);
        String cursor = load();
        JsonNode nothing = since(cursor);
        assertFalse(nothing.path("anew").asBoolean());
        assertEquals("[]", steps(nothing));
        assertEquals("training", first(nothing).path("state").asText());
        JsonNode whole = first(page());
        assertEquals("run", whole.path("name").asText());
        assertEquals(100, whole.path("steps").asInt());
        assertEquals("peri-ln", whole.path("configuration").path("strategy").asText());
        assertEquals("[10,20] [5,4] [null,null] [1,1] [0.001,0.001] [1234.5,1234.5]", Stream.of("step", "loss", "validation", "gradient", "rate", "throughput")
                .map(name -> whole.path(name).toString()).collect(Collectors.joining(" ")));

        String half = line(30, 3);
        add(run, half.substring(0, 25));
        assertEquals("[]", steps(since(cursor))); // a line counts once it has ended
        add(run, half.substring(25) + line(40, 2.5));
        JsonNode news = since(cursor);
        assertEquals("[30,40]", steps(news));
        assertNotEquals(cursor, news.path("cursor").asText());
        assertEquals("[]", steps(since(news.path("cursor").asText())));
        assertEquals("[30,40]", steps(since(cursor))); // another page may be behind
    }

    @Test
    void whatIsMeasuredOfBlocksIsDrawnOverDepthAndTime() throws IOException {
        Path run = run("run");
        add(run, blocks(1, 1, 10, 100) + line(10, 5));
        watch(run);
        String cursor = load();
        add(run, blocks(20, 2, 20, 200));
        assertEquals("{\"step\":20,\"variance\":[2,20,200],\"largest\":[3.5,3.5,3.5],\"gradient\":[0.1,0.1,0.1]}", first(since(cursor)).path("moments").get(0).toString());
        assertEquals(2, first(page()).path("moments").size());
    }

    @Test
    void aRunThatBeginsAgainIsReadAgain() throws IOException {
        Path run = run("run");
        add(run, line(10, 5) + line(20, 4) + line(30, 3));
        watch(run);
        String cursor = load();
        Files.writeString(run.resolve("metrics.jsonl"), line(10, 5)); // shorter
        assertTrue(since(cursor).path("anew").asBoolean());
        cursor = load();
        Path other = Files.writeString(folder.resolve("other"), line(10, 5) + line(20, 4.5) + line(30, 4.2)); // in its place, as by --resume
        Files.move(other, run.resolve("metrics.jsonl"), StandardCopyOption.ATOMIC_MOVE);
        assertTrue(since(cursor).path("anew").asBoolean());
        cursor = load();
        Files.writeString(run.resolve("metrics.jsonl"), line(11, 6) + line(20, 4.5) + line(30, 4.2) + line(40, 4)); // another one, and longer
        assertTrue(since(cursor).path("anew").asBoolean());
        assertEquals("[]", steps(since(load())));
        assertEquals("[11,20,30,40]", steps(page()), "the page has the run as it is now");
        assertTrue(since("1.2").path("anew").asBoolean() && since("x").path("anew").asBoolean(), "a page of another process");
    }

    @Test
    void aRunThatAppearsComesIntoThePage() throws IOException {
        add(run("runs/a"), line(10, 5));
        watch(folder.resolve("runs"));
        String cursor = load();
        add(run("runs/deep/b"), line(10, 5) + line(20, 4));
        assertTrue(since(cursor).path("anew").asBoolean());
        assertEquals(List.of("a", "b"), page().path("runs").findValuesAsText("name"));
        add(run("runs/deep/a"), line(10, 5)); // names are told apart
        since(cursor);
        assertEquals(List.of("runs/a", "deep/b", "deep/a"), page().path("runs").findValuesAsText("name"));
        assertTrue(get("/").contains("<title>runs \u2013 training</title>"), "the folder's name");
    }

    @Test
    void aSpikeThatIsPlainTakesNoManyWindows() throws IOException {
        Path run = run("run");
        add(run, line(10, "5.4", 2.4) + line(20, "5.1", 2.1));
        watch(run);
        String cursor = load();
        add(run, line(30, "5.2", 204.9) + line(40, "5.0", 1.3));
        JsonNode news = since(cursor);
        assertEquals("[{\"step\":30,\"diverged\":false,\"loss\":false,\"gradient\":true}]", first(news).path("events").toString());
        assertEquals(1, first(news).path("spikes").asInt());
    }

    @Test
    void aLossThatIsPlainlyHigherTakesNoManyWindowsEither() throws IOException {
        Path run = run("run");
        add(run, line(10, "2.4", 2.4) + line(20, "2.0", 2.1));
        watch(run);
        String cursor = load();
        add(run, line(30, "2.9", 2.2) + line(40, "3.7", 2.3));
        JsonNode news = since(cursor);
        assertEquals(1, first(news).path("spikes").asInt(), "a quarter above 2.9 is 3.63, above 2.4 it is 3");
        assertEquals("[{\"step\":40,\"diverged\":false,\"loss\":true,\"gradient\":false}]", first(news).path("events").toString());
    }

    @Test
    void spikesAndTheEndOfARunThatDivergedAreMarked() throws IOException {
        Path run = run("run");
        add(run, line(1, 5) + line(2, 4.9) + line(3, 4.8) + line(4, 4.8) + line(5, 4.7) + line(6, 4.7));
        watch(run);
        String cursor = load();
        add(run, line(7, "5.9", 9) + line(8, 4.7));
        assertEquals("[{\"step\":7,\"diverged\":false,\"loss\":true,\"gradient\":true}]", first(since(cursor)).path("events").toString());
        assertEquals(1, first(since(cursor)).path("spikes").asInt());
        cursor = load();
        add(run, line(9, "\"NaN\"", 1));
        JsonNode news = since(cursor);
        assertEquals("[{\"step\":9,\"diverged\":true,\"loss\":false,\"gradient\":false}]", first(news).path("events").toString());
        assertEquals("diverged", first(news).path("state").asText());
        Path other = run("other"); // or far above the lowest, as the run says
        add(other, line(1, 5) + line(2, 8.1));
        server.close();
        watch(other);
        assertEquals("diverged", first(since(load())).path("state").asText());
    }

    /**
     * Every page has some hundred points of a run, however long that is, and nothing of it is lost: means, largest values and sums are those of all lines. The
     * newest window of steps is as it is, since a table has it, and a loss that is no number hides none beside it.
     */
    @Test
    void aLongRunIsDrawnInFewPoints() throws IOException {
        Path run = run("run");
        StringBuilder text = new StringBuilder();
        for (int step = 1; step <= 1000; step++) {
            text.append("{\"step\":").append(step).append(",\"loss\":").append(step == 5 ? "\"NaN\"" : step == 1000 ? "7" : String.valueOf(step % 2)).append(",\"gradient_norm\":").append(step == 500 ? 3 : 1)
                    .append(",\"learning_rate\":1.0E-3,\"tokens_per_second\":100,\"seconds\":2}\n").append(step % 5 == 0 ? blocks(step, 1, 2) : "");
        }
        add(run, text.toString());
        watch(run);
        JsonNode told = first(page());
        assertEquals(334, told.path("step").size());
        assertEquals("3 6 999 1000", told.path("step").get(0) + " " + told.path("step").get(1) + " " + told.path("step").get(332) + " " + told.path("step").get(333));
        assertEquals(2 / 3., told.path("loss").get(0).asDouble(), 1e-5);
        assertEquals("0 7", told.path("loss").get(1) + " " + told.path("loss").get(333), "of 0, no number and 0; of the last window alone");
        assertEquals(2, told.path("seconds").get(333).asInt());
        assertEquals(3, told.path("gradient").get(499 / 3).asInt());
        assertEquals("600 6", told.path("tokens").get(0) + " " + told.path("seconds").get(0));
        assertEquals(67 + 1, told.path("moments").size(), "every third, and the last");
        assertFalse(told.has("left"), "it took more steps than it was told to");
        String cursor = load();
        add(run, line(1001, 0.5));
        assertEquals("[1001]", steps(since(cursor)));
    }

    /** Of 20 steps each took 3 seconds; 30 are left. */
    @Test
    void whatIsLeftIsTold() throws IOException {
        Path run = run("run");
        for (int step = 50; step <= 70; step++) {
            add(run, line(step, 5).replace("}", ",\"seconds\":3}"));
        }
        watch(run);
        assertEquals(90, first(page()).path("left").asInt());
    }

    @Test
    void statesAreSaid() throws IOException {
        Path run = run("run");
        watch(run);
        String cursor = load();
        assertEquals("no line yet", first(since(cursor)).path("state").asText());
        add(run, line(10, 5) + "{\"step\":20, oh\n" + line(30, 5));
        String damaged = first(since(cursor)).path("state").asText();
        assertTrue(damaged.endsWith("metrics.jsonl is damaged: line 2 is no JSON"), damaged);
        Files.writeString(run.resolve("metrics.jsonl"), line(10, 5));
        Files.createDirectory(run.resolve("model"));
        assertEquals("finished", first(since(load())).path("state").asText());
    }

    @Test
    void onlyThePageAndItsDataAreServedAndOnlyHere() throws IOException {
        Path run = run("run");
        add(run, line(10, 5));
        watch(run);
        int port = server.address().getPort();
        assertTrue(server.address().getAddress().isLoopbackAddress());
        for (String host : List.of("evil.example", "evil.example:" + port, "127.0.0.1", "127.0.0.1:1", "127.0.0.1:" + port + ".evil.example")) {
            for (String path : List.of("/", "/data?since=")) {
                String answer = request("GET " + path + " HTTP/1.1\r\nHost: " + host);
                assertTrue(answer.startsWith("HTTP/1.1 403") && !answer.contains("run"), answer);
            }
        }
        assertTrue(request("GET / HTTP/1.0").startsWith("HTTP/1.1 403"), "no host");
        String named = "GET /data?since= HTTP/1.1\r\nHost: localhost:" + port + "\r\nOrigin: ";
        for (String origin : List.of("http://evil.example", "https://localhost:" + port, "http://localhost:1", "null")) {
            assertTrue(request(named + origin).startsWith("HTTP/1.1 403"), origin);
        }
        assertTrue(request(named + "http://localhost:" + port).startsWith("HTTP/1.1 200"));
        assertTrue(request("GET / HTTP/1.1\r\nHost: localhost:" + port).startsWith("HTTP/1.1 200"));
        assertTrue(request("POST /data HTTP/1.1\r\nContent-Length: 0\r\nHost: localhost:" + port).startsWith("HTTP/1.1 405"));
        for (String path : List.of("/config.yaml", "/metrics.jsonl", "/data/../config.yaml", "/data/", "/%2e%2e/config.yaml", "//", "/..")) {
            assertTrue(get(path).startsWith("HTTP/1.1 4"), path);
        }
        for (NetworkInterface each : NetworkInterface.networkInterfaces().toList()) {
            for (InetAddress address : each.inetAddresses().filter(address -> !address.isLoopbackAddress()).toList()) {
                assertFalse(reached(address, port), address + " is reached");
            }
        }
        String html = get("/");
        assertTrue(html.contains("default-src 'none'"), "a policy");
        String own = html.substring(html.indexOf("<!doctype"), html.indexOf("<script>")) + html.substring(html.lastIndexOf("<script>"));
        assertFalse(own.contains("src=") || own.contains("http:") || own.contains("https:") || own.contains("url("), "what a page loads");
    }

    private static boolean reached(InetAddress address, int port) throws IOException {
        try (Socket socket = new Socket()) {
            socket.connect(new InetSocketAddress(address, port), 500);
            return true;
        } catch (SocketException | SocketTimeoutException e) {
            return false;
        }
    }

    @Test
    void theCommandSaysItsAddressAndEndsWhenItIsInterrupted() throws Exception {
        add(run("runs/a"), line(10, 5));
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        Console console = new Console(new PrintStream(out, true, StandardCharsets.UTF_8), System.err, false, false);
        AtomicInteger code = new AtomicInteger(-1);
        Thread command = Thread.ofPlatform().start(() -> code.set(Main.run(console, "watch", folder.toString(), "--port", "0")));
        Pattern said = Pattern.compile("watching 1 run on http://127\\.0\\.0\\.1:([0-9]+)/, until Ctrl-C\n");
        while (!said.matcher(out.toString(StandardCharsets.UTF_8)).matches() && command.isAlive()) {
            Thread.sleep(10);
        }
        Matcher address = said.matcher(out.toString(StandardCharsets.UTF_8));
        assertTrue(address.matches(), out.toString(StandardCharsets.UTF_8));
        assertTrue(reached(InetAddress.getLoopbackAddress(), Integer.parseInt(address.group(1))));
        command.interrupt();
        assertTrue(command.join(Duration.ofSeconds(10)));
        assertEquals(0, code.get());
    }

    @Test
    void whatCannotBeWatchedIsSaidInOneLine() throws IOException {
        Path run = run("run");
        add(run, line(10, 5));
        refused(1, folder.resolve("none") + " does not exist", run, folder.resolve("none"));
        refused(1, "is a file; name the folder of a run", run.resolve("config.yaml"));
        refused(1, "is no run and has none in it", Files.createDirectories(folder.resolve("empty/deep")));
        Path damaged = run("damaged");
        add(damaged, line(10, 5) + "{\"loss\":5}\n");
        refused(1, "metrics.jsonl is damaged: line 2 has no step", folder);
        Path torn = run("torn");
        Files.writeString(torn.resolve("config.yaml"), "strategy: [");
        refused(1, "config.yaml is no YAML", torn);
        try (ServerSocket taken = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            refused(1, "port " + taken.getLocalPort() + " cannot be had", run, "--port", taken.getLocalPort());
        }
        refused(2, "--port must be 0 to 65535, got 70000", run, "--port", 70000);
        refused(2, "RUN_OR_DIR");
    }

    private static void refused(int code, String message, Object... arguments) {
        Object[] all = new Object[arguments.length + 1];
        all[0] = "watch";
        System.arraycopy(arguments, 0, all, 1, arguments.length);
        Run run = Run.of(all).ended(code);
        assertEquals("", run.out());
        assertEquals(code, run.errors().size(), run.err()); // wrong usage also points to the help
        assertTrue(run.err().contains(message), run.err());
    }
}
