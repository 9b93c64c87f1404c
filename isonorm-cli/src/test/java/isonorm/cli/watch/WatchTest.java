package isonorm.cli.watch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

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
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
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
        Matcher cursor = Pattern.compile("let cursor = '([^']+)'").matcher(get("/"));
        assertTrue(cursor.find(), "a page has a cursor");
        return cursor.group(1);
    }

    private JsonNode since(String cursor) throws IOException {
        String answer = get("/data?since=" + cursor);
        assertTrue(answer.startsWith("HTTP/1.1 200"), answer);
        return JSON.readTree(answer.substring(answer.indexOf("\r\n\r\n")));
    }

    private static JsonNode loss(JsonNode news) {
        return news.path("groups").path(0).path(0);
    }

    private static String steps(JsonNode curve) {
        StringBuilder steps = new StringBuilder();
        curve.path("points").forEach(point -> steps.append(point.path(0).asLong()).append(' '));
        return steps.toString().strip();
    }

    @Test
    void aPageIsToldWhatWasAdded() throws IOException {
        Path run = run("run");
        add(run, line(10, 5) + line(20, 4));
        watch(run);
        String cursor = load();
        JsonNode nothing = since(cursor);
        assertFalse(nothing.path("anew").asBoolean());
        assertEquals(0, nothing.path("groups").size());
        assertEquals("[\"run\",\"training\",\"peri-ln\",\"20 of 100\",\"4.0000\",\"\",\"1.000\",\"1.00e-03\",\"1,235\",\"0\"]", nothing.path("table").get(0).toString());

        String half = line(30, 3);
        add(run, half.substring(0, 25));
        assertEquals(0, since(cursor).path("groups").size()); // a line counts once it has ended
        add(run, half.substring(25) + line(40, 2.5));
        JsonNode news = since(cursor);
        assertEquals("30 40", steps(loss(news).path("curves").get(0)));
        assertTrue(loss(news).path("grows").asBoolean());
        assertNotEquals(cursor, news.path("cursor").asText());
        assertEquals(0, since(news.path("cursor").asText()).path("groups").size());
        assertEquals("30 40", steps(loss(since(cursor)).path("curves").get(0))); // another page may be behind
    }

    @Test
    void whatIsMeasuredOfBlocksIsDrawnOverDepthAndTime() throws IOException {
        Path run = run("run");
        add(run, blocks(1, 1, 10, 100) + line(10, 5));
        watch(run);
        String cursor = load();
        add(run, blocks(20, 2, 20, 200));
        JsonNode depth = since(cursor).path("groups").get(3).get(0);
        assertEquals("Variance by depth", depth.path("title").asText());
        assertFalse(depth.path("grows").asBoolean());
        assertEquals("[[0.0,2.0],[1.0,20.0],[2.0,200.0]]", depth.path("curves").get(1).path("points").toString());
        JsonNode time = since(cursor).path("groups").get(4).get(0);
        assertEquals("[\"1\",\"20\"]", time.path("columns").toString());
        assertEquals(Math.log10(200), time.path("cells").get(5).get(2).asDouble(), 1e-12);
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
        assertEquals(0, since(load()).path("groups").size());
        assertTrue(get("/").contains("[11.0,6.0]"), "the page has the run as it is now");
        assertTrue(since("1.2").path("anew").asBoolean() && since("x").path("anew").asBoolean(), "a page of another process");
    }

    @Test
    void aRunThatAppearsComesIntoThePage() throws IOException {
        add(run("runs/a"), line(10, 5));
        watch(folder.resolve("runs"));
        String cursor = load();
        add(run("runs/deep/b"), line(10, 5) + line(20, 4));
        assertTrue(since(cursor).path("anew").asBoolean());
        JsonNode table = since(load()).path("table");
        assertEquals(2, table.size());
        assertEquals("b", table.get(1).get(0).asText());
        add(run("runs/deep/a"), line(10, 5)); // names are told apart
        since(cursor);
        assertEquals(List.of("runs/a", "deep/b", "deep/a"), Stream.of(0, 1, 2).map(i -> {
            try {
                return since(cursor).path("anew").asBoolean() ? since(load()).path("table").get(i).get(0).asText() : "";
            } catch (IOException e) {
                return e.toString();
            }
        }).toList());
    }

    @Test
    void aSpikeThatIsPlainTakesNoManyWindows() throws IOException {
        Path run = run("run");
        add(run, line(10, "5.4", 2.4) + line(20, "5.1", 2.1));
        watch(run);
        String cursor = load();
        add(run, line(30, "5.2", 204.9) + line(40, "5.0", 1.3));
        JsonNode news = since(cursor);
        assertEquals("[{\"x\":30.0,\"y\":204.9,\"end\":false,\"text\":\"run spiked\"}]", news.path("groups").get(1).get(0).path("marks").toString());
        assertEquals("1", news.path("table").get(0).get(9).asText());
    }

    @Test
    void aLossThatIsPlainlyHigherTakesNoManyWindowsEither() throws IOException {
        Path run = run("run");
        add(run, line(10, "2.4", 2.4) + line(20, "2.0", 2.1));
        watch(run);
        String cursor = load();
        add(run, line(30, "2.9", 2.2) + line(40, "3.7", 2.3));
        JsonNode news = since(cursor);
        assertEquals("1", news.path("table").get(0).get(9).asText(), "a quarter above 2.9 is 3.63, above 2.4 it is 3");
        assertEquals("[{\"x\":40.0,\"y\":3.7,\"end\":false,\"text\":\"run spiked\"}]", news.path("groups").get(0).get(0).path("marks").toString());
    }

    @Test
    void spikesAndTheEndOfARunThatDivergedAreMarked() throws IOException {
        Path run = run("run");
        add(run, line(1, 5) + line(2, 4.9) + line(3, 4.8) + line(4, 4.8) + line(5, 4.7) + line(6, 4.7));
        watch(run);
        String cursor = load();
        add(run, line(7, "5.9", 9) + line(8, 4.7));
        JsonNode marks = loss(since(cursor)).path("marks");
        assertEquals("[{\"x\":7.0,\"y\":5.9,\"end\":false,\"text\":\"run spiked\"}]", marks.toString());
        assertEquals(1, since(cursor).path("groups").get(1).get(0).path("marks").size());
        assertEquals("1", since(cursor).path("table").get(0).get(9).asText());
        cursor = load();
        add(run, line(9, "\"NaN\"", 1));
        JsonNode news = since(cursor);
        assertEquals("[{\"x\":9.0,\"y\":4.7,\"end\":true,\"text\":\"run diverged\"}]", loss(news).path("marks").toString());
        assertEquals("diverged", news.path("table").get(0).get(1).asText());
        Path other = run("other"); // or far above the lowest, as the run says
        add(other, line(1, 5) + line(2, 8.1));
        server.close();
        watch(other);
        assertEquals("diverged", since(load()).path("table").get(0).get(1).asText());
    }

    @Test
    void statesAreSaid() throws IOException {
        Path run = run("run");
        watch(run);
        String cursor = load();
        assertEquals("no line yet", since(cursor).path("table").get(0).get(1).asText());
        add(run, line(10, 5) + "{\"step\":20, oh\n" + line(30, 5));
        String damaged = since(cursor).path("table").get(0).get(1).asText();
        assertTrue(damaged.endsWith("metrics.jsonl is damaged: line 2 is no JSON"), damaged);
        Files.writeString(run.resolve("metrics.jsonl"), line(10, 5));
        Files.createDirectory(run.resolve("model"));
        assertEquals("finished", since(load()).path("table").get(0).get(1).asText());
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

    /** What was embedded when the page was loaded is still in it; its table has what came since. */
    @Test
    void aBrowserDrawsThePageAndFollowsTheRun() throws Exception {
        Path browser = Stream.of(System.getenv("PATH").split(":")).map(Path::of)
                .flatMap(path -> Stream.of("chromium", "chromium-browser", "google-chrome").map(path::resolve)).filter(Files::isExecutable)
                .findFirst().orElse(null);
        assumeTrue(browser != null, "no chromium on the PATH: the page is not looked at in a browser");
        Path run = run("a<b>run");
        add(run, blocks(1, 1, 2, 4) + line(10, 5));
        watch(run);
        Process process = new ProcessBuilder(browser.toString(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir=" + folder.resolve("browser"),
                "--virtual-time-budget=6000", "--dump-dom", server.url())
                .redirectError(ProcessBuilder.Redirect.DISCARD).redirectOutput(folder.resolve("page.html").toFile()).start();
        for (int step = 20; process.isAlive(); step += 10) {
            add(run, line(step, 5.0 / step));
            process.waitFor(20, TimeUnit.MILLISECONDS);
        }
        String page = Files.readString(folder.resolve("page.html"));
        Matcher row = Pattern.compile("<td>a&lt;b&gt;run</td><td>training</td><td>peri-ln</td><td>([0-9]+) of 100</td>").matcher(page);
        assertTrue(row.find(), "the run is in the table");
        Matcher embedded = Pattern.compile("\\[([0-9]+)\\.0,[^]]*]]").matcher(page.substring(page.indexOf("<script id=\"plots\"")));
        assertTrue(embedded.find() && Long.parseLong(row.group(1)) > Long.parseLong(embedded.group(1)), row.group() + " and " + embedded.group());
        assertEquals(5, page.split("<svg").length - 1, "plots that are drawn");
        assertTrue(page.contains("data-theme=\"light\"") && page.contains("<p>" + run.toString().replace("<", "&lt;").replace(">", "&gt;") + "</p>"),
                "nothing is said to be wrong");
    }
}
