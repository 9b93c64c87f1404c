package isonorm.hub;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;

/**
 * A hub on 127.0.0.1 that sends for large files to a host of another name, localhost, as the real one does. What goes wrong is told for each request by
 * its path: {@link #next} queues faults.
 */
public final class FakeHub implements AutoCloseable {

    /** What an answer does in place of the right one. */
    public enum Fault {
        /** Ends in the middle of the body. */
        CUT,
        /** One byte of the body is another. */
        CHANGED,
        /** Says, and sends, more bytes than there are. */
        LONGER,
        /** Sends bytes without an end and says nothing of a length. */
        ENDLESS,
        /** Stops in the middle, and keeps the connection. */
        STALLED,
        /** Says nothing at all. */
        SILENT,
        /** Answers a request for a part with all of it. */
        WHOLE,
        /** Answers with a part that begins elsewhere. */
        ELSEWHERE,
        /** 503. */
        BUSY,
        /** 200 with HTML. */
        HTML
    }

    /** A request as it came. */
    public record Request(String host, String target, Map<String, String> headers) {
        boolean toCdn() {
            return host.startsWith("localhost");
        }
    }

    private record Model(String commit, Map<String, byte[]> files) {}

    public final List<Request> requests = new CopyOnWriteArrayList<>();
    /** The token that the hub takes; others are refused for what is private. */
    public String token = "hf_right";

    private final Map<String, Model> models = new ConcurrentHashMap<>();
    private final Map<String, String> renamed = new ConcurrentHashMap<>();
    private final Map<String, String> listings = new ConcurrentHashMap<>();
    private final Map<String, Deque<Fault>> faults = new ConcurrentHashMap<>();
    private final List<Socket> open = new CopyOnWriteArrayList<>();
    private final ServerSocket hub = new ServerSocket(0, 50, InetAddress.getByName("127.0.0.1"));
    private final ServerSocket cdn = new ServerSocket(0, 50, InetAddress.getByName("localhost"));

    public FakeHub() throws IOException {
        Thread.ofVirtual().start(() -> accept(hub));
        Thread.ofVirtual().start(() -> accept(cdn));
    }

    public String endpoint() {
        return "http://127.0.0.1:" + hub.getLocalPort();
    }

    /** A model; a second one of the same name is a new commit. */
    public String put(String id, Map<String, byte[]> files) {
        StringBuilder all = new StringBuilder(id);
        new TreeMap<>(files).forEach((path, bytes) -> all.append(path).append(hash("SHA-1", bytes)));
        String commit = hash("SHA-1", all.toString().getBytes(StandardCharsets.UTF_8));
        models.put(id, new Model(commit, new TreeMap<>(files)));
        return commit;
    }

    public void rename(String from, String to) {
        renamed.put(from, to);
    }

    /** What the hub says a model's files are, in place of the truth. */
    public void list(String id, String json) {
        listings.put(id, json);
    }

    /** Faults of the next answers about what ends so, each once. */
    public void next(String ending, Fault... each) {
        faults.put(ending, new ArrayDeque<>(Arrays.asList(each)));
    }

    /** What was asked for, without the addresses of the CDN. */
    public List<String> targets() {
        return requests.stream().map(request -> request.toCdn() ? "cdn" : request.target()).toList();
    }

    static boolean isLarge(String path) {
        return path.endsWith(".safetensors") || path.endsWith(".bin");
    }

    static String git(byte[] bytes) {
        byte[] head = ("blob " + bytes.length + "\0").getBytes(StandardCharsets.US_ASCII);
        byte[] all = Arrays.copyOf(head, head.length + bytes.length);
        System.arraycopy(bytes, 0, all, head.length, bytes.length);
        return hash("SHA-1", all);
    }

    static String hash(String algorithm, byte[] bytes) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance(algorithm).digest(bytes));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    private void accept(ServerSocket server) {
        while (!server.isClosed()) {
            try {
                Socket socket = server.accept();
                open.add(socket);
                Thread.ofVirtual().start(() -> {
                    try (socket) {
                        answer(socket);
                    } catch (IOException e) {
                        // the client went away
                    }
                });
            } catch (IOException e) {
                return;
            }
        }
    }

    @Override
    public void close() throws IOException {
        hub.close();
        cdn.close();
        for (Socket socket : open) {
            socket.close();
        }
    }

    private void answer(Socket socket) throws IOException {
        BufferedReader in = new BufferedReader(new InputStreamReader(socket.getInputStream(), StandardCharsets.ISO_8859_1));
        String line = in.readLine();
        if (line == null) {
            return;
        }
        Map<String, String> headers = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
        for (String header; (header = in.readLine()) != null && !header.isEmpty();) {
            headers.put(header.substring(0, header.indexOf(':')), header.substring(header.indexOf(':') + 1).strip());
        }
        Request request = new Request(headers.get("Host"), line.split(" ")[1], headers);
        requests.add(request);
        String path = URLDecoder.decode(URI.create(request.target()).getRawPath(), StandardCharsets.UTF_8);
        if (request.toCdn()) {
            cdn(socket, request, path);
        } else {
            hub(socket, request, path);
        }
    }

    private Fault fault(String path) {
        for (Map.Entry<String, Deque<Fault>> each : faults.entrySet()) {
            if (path.endsWith(each.getKey())) {
                synchronized (each.getValue()) {
                    if (!each.getValue().isEmpty()) {
                        return each.getValue().poll();
                    }
                }
            }
        }
        return null;
    }

    private void hub(Socket socket, Request request, String path) throws IOException {
        boolean api = path.startsWith("/api/models/");
        String raw = URI.create(request.target()).getRawPath();
        String[] parts = (api ? raw.substring("/api/models/".length()) : raw.substring(1)).split("/", 5);
        String id = parts[0] + "/" + parts[1];
        if (renamed.containsKey(id)) {
            send(socket, 307, Map.of("Location", request.target().replace(id, renamed.get(id))), new byte[0], null);
            return;
        }
        boolean known = ("Bearer " + token).equals(request.headers().get("Authorization"));
        if (request.headers().containsKey("Authorization") && !known && !id.endsWith("gated")) {
            send(socket, 401, Map.of(), "{}".getBytes(StandardCharsets.UTF_8), null);
            return;
        }
        Model model = models.get(id);
        if (model == null || id.endsWith("private") && !known) {
            error(socket, known ? 404 : 401, "RepoNotFound");
            return;
        }
        String revision = URLDecoder.decode(parts[3], StandardCharsets.UTF_8);
        if (!List.of("main", "refs/pr/1", model.commit()).contains(revision)) {
            error(socket, 404, "RevisionNotFound");
            return;
        }
        Fault fault = api ? fault(path) : null;
        if (parts[2].equals("revision")) {
            send(socket, 200, Map.of(), ("{\"id\":\"" + id + "\",\"sha\":\"" + model.commit() + "\"}").getBytes(StandardCharsets.UTF_8), fault);
        } else if (parts[2].equals("tree")) {
            tree(socket, request, id, model, fault);
        } else if (id.endsWith("gated")) {
            error(socket, 403, "GatedRepo");
        } else {
            byte[] bytes = model.files().get(URLDecoder.decode(parts[4], StandardCharsets.UTF_8));
            if (bytes == null) {
                error(socket, 404, "EntryNotFound");
            } else if (isLarge(path)) {
                String sha = hash("SHA-256", bytes);
                send(socket, 302, Map.of("Location", "http://localhost:" + cdn.getLocalPort() + "/" + id + "/" + sha + "?signature=x",
                        "X-Linked-Etag", "\"" + sha + "\"", "X-Repo-Commit", model.commit()), new byte[0], null);
            } else {
                part(socket, request, path, bytes);
            }
        }
    }

    /** In two pages. */
    private void tree(Socket socket, Request request, String id, Model model, Fault fault) throws IOException {
        boolean second = request.target().contains("cursor=2");
        List<String> entries = model.files().entrySet().stream().map(file -> entry(file.getKey(), file.getValue())).toList();
        int half = entries.size() / 2;
        String json = "[" + String.join(",", second ? entries.subList(half, entries.size()) : entries.subList(0, half)) + "]";
        if (listings.containsKey(id)) {
            json = listings.get(id);
            second = true;
        }
        Map<String, String> headers = second ? Map.of() : Map.of("Link", "<" + endpoint() + request.target() + "&cursor=2>; rel=\"next\"");
        send(socket, 200, headers, json.getBytes(StandardCharsets.UTF_8), fault);
    }

    private static String entry(String path, byte[] bytes) {
        String large = ",\"lfs\":{\"oid\":\"" + hash("SHA-256", bytes) + "\",\"size\":" + bytes.length + "}";
        return "{\"type\":\"file\",\"path\":\"" + path + "\",\"size\":" + bytes.length + ",\"oid\":\"" + git(bytes) + "\"" + (isLarge(path) ? large : "") + "}";
    }

    private void cdn(Socket socket, Request request, String path) throws IOException {
        if (request.headers().containsKey("Authorization")) {
            send(socket, 400, Map.of(), new byte[0], null); // as S3 does
            return;
        }
        String sha = path.substring(path.lastIndexOf('/') + 1);
        for (Model model : models.values()) {
            for (Map.Entry<String, byte[]> file : model.files().entrySet()) {
                if (hash("SHA-256", file.getValue()).equals(sha)) {
                    part(socket, request, file.getKey(), file.getValue());
                    return;
                }
            }
        }
        send(socket, 404, Map.of(), new byte[0], null);
    }

    /** All of a file, or what a range asks for. */
    private void part(Socket socket, Request request, String path, byte[] bytes) throws IOException {
        Fault fault = fault(path);
        Map<String, String> headers = new HashMap<>(Map.of("ETag", "\"" + hash("SHA-1", bytes).substring(0, 8) + "\""));
        String range = request.headers().get("Range");
        String condition = request.headers().get("If-Range");
        if (range == null || fault == Fault.WHOLE || condition != null && !condition.equals(headers.get("ETag"))) {
            send(socket, 200, headers, bytes, fault);
            return;
        }
        int from = Integer.parseInt(range.substring("bytes=".length(), range.length() - 1));
        if (from >= bytes.length) {
            send(socket, 416, Map.of(), new byte[0], null);
            return;
        }
        int begins = fault == Fault.ELSEWHERE ? from - 1 : from;
        headers.put("Content-Range", "bytes " + begins + "-" + (bytes.length - 1) + "/" + bytes.length);
        send(socket, 206, headers, Arrays.copyOfRange(bytes, begins, bytes.length), fault);
    }

    private void error(Socket socket, int status, String code) throws IOException {
        send(socket, status, Map.of("X-Error-Code", code, "X-Error-Message", "said by the hub"), "{\"error\":\"no\"}".getBytes(StandardCharsets.UTF_8), null);
    }

    private static void send(Socket socket, int status, Map<String, String> headers, byte[] body, Fault fault) throws IOException {
        if (fault == Fault.SILENT) {
            sleep();
        }
        byte[] sent = switch (fault) {
            case CHANGED -> {
                byte[] changed = body.clone();
                changed[changed.length / 2] ^= 1;
                yield changed;
            }
            case LONGER -> Arrays.copyOf(body, body.length + 7);
            case HTML -> "<html>".getBytes(StandardCharsets.US_ASCII);
            case null, default -> body;
        };
        Map<String, String> all = new LinkedHashMap<>(headers);
        all.put("Connection", "close");
        if (fault != Fault.ENDLESS) {
            all.put("Content-Length", "" + (fault == Fault.BUSY ? 0 : sent.length));
        }
        StringBuilder head = new StringBuilder(String.format(Locale.ROOT, "HTTP/1.1 %d X\r\n", fault == Fault.BUSY ? 503 : status));
        all.forEach((name, value) -> head.append(name).append(": ").append(value).append("\r\n"));
        OutputStream out = socket.getOutputStream();
        out.write(head.append("\r\n").toString().getBytes(StandardCharsets.ISO_8859_1));
        switch (fault) {
            case BUSY -> {}
            case CUT -> out.write(sent, 0, sent.length / 3);
            case STALLED -> {
                out.write(sent, 0, sent.length / 3);
                out.flush();
                sleep();
            }
            case ENDLESS -> {
                byte[] spaces = new byte[1 << 16];
                Arrays.fill(spaces, (byte) ' ');
                while (true) {
                    out.write(spaces);
                }
            }
            case null, default -> out.write(sent);
        }
        out.flush();
    }

    private static void sleep() {
        try {
            Thread.sleep(60_000);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
