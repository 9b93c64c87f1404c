package isonorm.cli.watch;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import isonorm.cli.terminal.Json;
import java.io.IOException;
import java.io.OutputStream;
import java.net.BindException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * The page of {@link WatchedRuns} on this machine's own address, where no other machine gets to it. A page of another site in the same
 * browser does not either: a request must name this address, which one that a foreign name was made to lead here does not.
 */
public final class WatchServer implements AutoCloseable {

    /** Nothing but what is in the page, and what it asks of this address. */
    private static final String POLICY =
            "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; "
                    + "form-action 'none'; frame-ancestors 'none'";

    private final WatchedRuns runs;
    private final HttpServer server;
    private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();
    private final Set<String> hosts;

    private WatchServer(WatchedRuns runs, HttpServer server) {
        this.runs = runs;
        this.server = server;
        int port = server.getAddress().getPort();
        this.hosts = Set.of("127.0.0.1:" + port, "localhost:" + port, "[::1]:" + port);
        server.setExecutor(threads);
        server.createContext("/", this::answer);
    }

    /**
     * Begins to answer.
     *
     * @param port 0 takes a free one
     * @throws IOException if the port is in use
     */
    public static WatchServer start(WatchedRuns runs, int port) throws IOException {
        HttpServer server;
        try {
            server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
        } catch (BindException e) {
            throw new IOException("port " + port + " cannot be had (" + e.getMessage() + "); take another with --port, or any free one with --port 0", e);
        }
        WatchServer watch = new WatchServer(runs, server);
        server.start();
        watch.threads.execute(watch::prepare);
        return watch;
    }

    /** Makes the page once, so that who opens it does not wait until the JVM has compiled what makes it. */
    private void prepare() {
        try {
            runs.html();
        } catch (IOException e) {
            // whoever asks is told
        }
    }

    InetSocketAddress address() {
        return server.getAddress();
    }

    public String url() {
        return "http://" + (address().getAddress().getHostAddress().contains(":") ? "[::1]" : "127.0.0.1") + ":" + address().getPort() + "/";
    }

    private void answer(HttpExchange exchange) throws IOException {
        try (exchange) {
            String path = exchange.getRequestURI().getPath();
            if (isForeign(exchange)) {
                send(exchange, 403, "text/plain", "this address answers to " + url() + " only\n");
            } else if (!exchange.getRequestMethod().equals("GET")) {
                exchange.getResponseHeaders().set("Allow", "GET");
                send(exchange, 405, "text/plain", "only GET\n");
            } else if (path.equals("/")) {
                send(exchange, 200, "text/html", runs.html());
            } else if (path.equals("/data")) {
                String query = exchange.getRequestURI().getQuery();
                String cursor = query != null && query.startsWith("since=") ? query.substring("since=".length()) : "";
                send(exchange, 200, "application/json", Json.line(runs.since(cursor)));
            } else {
                send(exchange, 404, "text/plain", "there is nothing here\n");
            }
        }
    }

    /** From a page of another site: it names another host, or says that it was asked for by one. */
    private boolean isForeign(HttpExchange exchange) {
        String host = exchange.getRequestHeaders().getFirst("Host");
        String origin = exchange.getRequestHeaders().getFirst("Origin");
        return host == null || !hosts.contains(host) || origin != null && !origin.equals("http://" + host);
    }

    private static void send(HttpExchange exchange, int code, String type, String body) throws IOException {
        byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
        var headers = exchange.getResponseHeaders();
        headers.set("Content-Type", type + "; charset=utf-8");
        headers.set("Content-Security-Policy", POLICY);
        headers.set("X-Content-Type-Options", "nosniff");
        headers.set("Cross-Origin-Resource-Policy", "same-origin");
        headers.set("Referrer-Policy", "no-referrer");
        headers.set("Cache-Control", "no-store");
        exchange.sendResponseHeaders(code, bytes.length);
        try (OutputStream out = exchange.getResponseBody()) {
            out.write(bytes);
        }
    }

    @Override
    public void close() {
        server.stop(0);
        threads.close();
    }
}
