package isonorm.serve;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpExchange;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;

/** One answer on its way to a client: whole, or event by event. Any thread may send an event. */
final class Reply {

    private static final ObjectMapper JSON = new ObjectMapper();

    private final HttpExchange exchange;
    private OutputStream events = OutputStream.nullOutputStream();
    private int status;

    Reply(HttpExchange exchange) {
        this.exchange = exchange;
    }

    /** What was sent, 0 for nothing yet. */
    int status() {
        return status;
    }

    void json(int code, JsonNode json) throws IOException {
        send(code, "application/json", JSON.writeValueAsBytes(json));
    }

    void text(int code, String type, String text) throws IOException {
        send(code, type, text.getBytes(StandardCharsets.UTF_8));
    }

    private void send(int code, String type, byte[] bytes) throws IOException {
        begin(code, type);
        boolean head = exchange.getRequestMethod().equals("HEAD");
        exchange.sendResponseHeaders(code, head ? -1 : bytes.length == 0 ? -1 : bytes.length);
        if (!head) {
            try (OutputStream out = exchange.getResponseBody()) {
                out.write(bytes);
            }
        }
    }

    private void begin(int code, String type) {
        status = code;
        var headers = exchange.getResponseHeaders();
        headers.set("Content-Type", type + "; charset=utf-8");
        headers.set("X-Content-Type-Options", "nosniff");
        headers.set("Cache-Control", "no-store");
    }

    /** Begins to send server-sent events. */
    void stream() throws IOException {
        begin(200, "text/event-stream");
        exchange.sendResponseHeaders(200, 0);
        events = exchange.getResponseBody();
    }

    synchronized void event(JsonNode json) throws IOException {
        write(JSON.writeValueAsString(json));
    }

    /** The last one. */
    synchronized void done() throws IOException {
        write("[DONE]");
        events.close();
    }

    private void write(String data) throws IOException {
        events.write(("data: " + data + "\n\n").getBytes(StandardCharsets.UTF_8));
        events.flush();
    }
}
