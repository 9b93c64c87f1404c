package isonorm.hub;

import static isonorm.hub.HubException.Reason.GATED;
import static isonorm.hub.HubException.Reason.MISSING;
import static isonorm.hub.HubException.Reason.REFUSED;
import static isonorm.hub.HubException.Reason.REVISION;
import static isonorm.hub.HubException.Reason.UNREACHABLE;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.net.ConnectException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpConnectTimeoutException;
import java.net.http.HttpHeaders;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpTimeoutException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import javax.net.ssl.SSLException;

/**
 * Requests to the hub and to where it sends for large files. The token goes to the hub alone, so redirects are followed here, and nothing waits for longer
 * than the settings' patience.
 */
final class Web implements AutoCloseable {

    static final int TRIES = 5;

    private static final int REDIRECTS = 10;
    private static final int LARGEST_JSON = 64_000_000;
    private static final Duration LONGEST_PAUSE = Duration.ofSeconds(60);
    private static final Set<Integer> REDIRECTED = Set.of(301, 302, 303, 307, 308);
    private static final Set<Integer> PASSING = Set.of(408, 425, 429, 500, 502, 503, 504);
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Settings settings;
    private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();
    private final HttpClient client;

    /** An answer whose body has not been read. */
    record Answer(int status, HttpHeaders headers, URI address, InputStream body) implements AutoCloseable {
        Optional<String> header(String name) {
            return headers.firstValue(name);
        }

        @Override
        public void close() throws IOException {
            body.close();
        }
    }

    /** JSON, and where the rest of it is. */
    record Page(JsonNode json, Optional<URI> next) {}

    /** A try that another may follow. */
    @FunctionalInterface
    interface Try<T> {
        T run() throws IOException;
    }

    /** What may be otherwise in a moment. */
    static final class Passing extends IOException {
        private static final long serialVersionUID = 1;
        private final Duration wait;

        Passing(String message, Duration wait) {
            super(message);
            this.wait = wait;
        }
    }

    Web(Settings settings) {
        this.settings = settings;
        this.client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).followRedirects(HttpClient.Redirect.NEVER).connectTimeout(settings.patience()).executor(threads).build();
    }

    @Override
    public void close() {
        client.shutdownNow();
        threads.shutdownNow();
    }

    /** An address on the hub, of parts that are encoded already. */
    URI hub(String path) {
        return URI.create(settings.endpoint() + path);
    }

    /** A part of an address; slashes stay where {@code path} says so. */
    static String encoded(String text, boolean path) {
        StringBuilder encoded = new StringBuilder();
        for (byte each : text.getBytes(StandardCharsets.UTF_8)) {
            char c = (char) (each & 0xff);
            if (c < 0x80 && (Character.isLetterOrDigit(c) || "-_.~".indexOf(c) >= 0 || path && c == '/')) {
                encoded.append(c);
            } else {
                encoded.append(String.format("%%%02X", (int) c));
            }
        }
        return encoded.toString();
    }

    /** Asks for JSON of the hub, again where that may help. */
    Page json(ModelName name, URI address) throws IOException {
        return retried(name, () -> {
            try (Answer answer = get(address, Map.of())) {
                require(name, answer);
                byte[] body = whole(answer);
                return new Page(JSON.readTree(body), next(answer));
            } catch (JacksonException e) {
                throw new HubException(REFUSED, "what " + host(address) + " answered about " + name + " is no JSON; is HF_ENDPOINT a hub?", e);
            }
        });
    }

    private static Optional<URI> next(Answer answer) {
        for (String links : answer.headers().allValues("Link")) {
            for (String link : links.split(",\\s*(?=<)")) {
                int end = link.indexOf('>');
                if (link.startsWith("<") && end > 0 && link.substring(end).replace(" ", "").contains(";rel=\"next\"")) {
                    return Optional.of(answer.address().resolve(link.substring(1, end)));
                }
            }
        }
        return Optional.empty();
    }

    private byte[] whole(Answer answer) throws IOException {
        long end = System.nanoTime() + settings.patience().toNanos() * 6;
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        byte[] buffer = new byte[16_384];
        try (Patient body = new Patient(answer.body(), settings.patience())) {
            for (int n; (n = body.read(buffer)) >= 0;) {
                all.write(buffer, 0, n);
                if (all.size() > LARGEST_JSON || System.nanoTime() > end) {
                    throw new HubException(REFUSED, host(answer.address()) + " does not come to an end of its answer; nothing was fetched");
                }
            }
        }
        return all.toByteArray();
    }

    /** Runs something that may fail for a moment, some times, with pauses that grow. */
    <T> T retried(ModelName name, Try<T> work) throws IOException {
        Duration pause = settings.pause();
        for (int attempt = 1;; attempt++) {
            try {
                return work.run();
            } catch (HubException e) {
                throw e;
            } catch (IOException e) {
                if (attempt == TRIES || isFinal(e)) {
                    throw failed(name, e);
                }
                pause(e, pause);
            }
            pause = pause.multipliedBy(2);
        }
    }

    static void pause(IOException e, Duration least) throws InterruptedIOException {
        Duration wait = e instanceof Passing passing && passing.wait.compareTo(least) > 0 ? passing.wait : least;
        try {
            Thread.sleep(wait.compareTo(LONGEST_PAUSE) > 0 ? LONGEST_PAUSE : wait);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("interrupted");
        }
    }

    /** Whether trying again is of no use. */
    static boolean isFinal(IOException e) {
        return e instanceof ConnectException || e instanceof HttpConnectTimeoutException || e instanceof SSLException || e instanceof InterruptedIOException || Thread.currentThread().isInterrupted();
    }

    HubException failed(ModelName name, IOException e) {
        String host = host(settings.endpoint());
        String why = switch (e) {
            case HttpTimeoutException _ -> "there was no answer for " + settings.patience().toSeconds() + " s";
            case ConnectException _ when e.getMessage() == null || e.getMessage().isBlank() -> "there is no such host, or it takes no connections";
            case Passing _, SSLException _ -> String.valueOf(e.getMessage());
            default -> "the connection broke off";
        };
        return new HubException(UNREACHABLE, name + " cannot be fetched from " + host + ": " + why, e);
    }

    /** One answer, however often the hub sends elsewhere. */
    Answer get(URI address, Map<String, String> headers) throws IOException {
        URI at = address;
        for (int i = 0; i <= REDIRECTS; i++) {
            HttpRequest.Builder request = HttpRequest.newBuilder(at).timeout(settings.patience()).header("User-Agent", "isonorm").header("Accept-Encoding", "identity");
            headers.forEach(request::header);
            if (isHub(at)) {
                settings.token().ifPresent(token -> request.header("Authorization", "Bearer " + token));
            }
            HttpResponse<InputStream> response = send(request.build());
            Optional<String> location = response.headers().firstValue("Location");
            if (!REDIRECTED.contains(response.statusCode()) || location.isEmpty()) {
                return new Answer(response.statusCode(), response.headers(), at, response.body());
            }
            response.body().close();
            at = redirected(at, location.get());
        }
        throw new HubException(REFUSED, host(address) + " sends from one address to another without end");
    }

    private URI redirected(URI from, String location) throws HubException {
        try {
            URI to = from.resolve(location.replace(" ", "%20"));
            boolean secret = "https".equals(from.getScheme());
            if (to.getHost() != null && ("https".equals(to.getScheme()) || "http".equals(to.getScheme()) && !secret)) {
                return to;
            }
        } catch (IllegalArgumentException e) {
            // said below
        }
        throw new HubException(REFUSED, host(from) + " sends to an address that is not followed: what is asked for by https is not fetched by anything else");
    }

    private HttpResponse<InputStream> send(HttpRequest request) throws IOException {
        try {
            return client.send(request, HttpResponse.BodyHandlers.ofInputStream());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("interrupted");
        }
    }

    /** Whether an address is on the hub itself, to which the token goes. */
    boolean isHub(URI address) {
        URI hub = settings.endpoint();
        return hub.getScheme().equals(address.getScheme()) && hub.getHost().equalsIgnoreCase(String.valueOf(address.getHost())) && port(hub) == port(address);
    }

    private static int port(URI address) {
        return address.getPort() >= 0 ? address.getPort() : "https".equals(address.getScheme()) ? 443 : 80;
    }

    private static String host(URI address) {
        return address.getHost() + (address.getPort() >= 0 ? ":" + address.getPort() : "");
    }

    /** Refuses an answer that has not what was asked for, with what to do. */
    void require(ModelName name, Answer answer) throws IOException {
        int status = answer.status();
        if (status == 200 || status == 206) {
            return;
        }
        String host = host(answer.address());
        boolean token = settings.token().isPresent();
        String code = isHub(answer.address()) ? answer.header("X-Error-Code").orElse("") : "";
        if (PASSING.contains(status) || !isHub(answer.address())) {
            throw new Passing(host + " answered with status " + status, Duration.ofSeconds(answer.header("Retry-After").filter(text -> text.matches("\\d{1,5}"))
                    .map(Integer::valueOf).orElse(0)));
        }
        switch (code) {
            case "GatedRepo" -> throw new HubException(GATED, name.id() + " is gated: ask its owner on " + settings.endpoint() + "/" + name.id()
                    + (token ? "; the token that was sent has no access yet" : ", and give your token by HF_TOKEN"));
            case "RevisionNotFound" -> throw new HubException(REVISION, name.id() + " has no revision '" + name.revision() + "'");
            case "EntryNotFound" -> throw new HubException(REFUSED, host + " lists a file of " + name + " that it does not have");
            case "RepoNotFound" -> throw missing(name, host, token);
            default -> {
                if (status == 401 && token) {
                    throw new HubException(REFUSED, host + " does not take the token that HF_TOKEN or the token file has; 'hf auth login' makes another");
                }
                if (status == 401 || status == 404) {
                    throw missing(name, host, token);
                }
                String said = answer.header("X-Error-Message").map(text -> ": " + text.substring(0, Math.min(text.length(), 200))).orElse("");
                throw new HubException(REFUSED, host + " refuses " + name + " with status " + status + said);
            }
        }
    }

    private static HubException missing(ModelName name, String host, boolean token) {
        return new HubException(MISSING, name.id() + " does not exist on " + host + ", or is private and " + (token ? "not this token's to see" : "needs a token (HF_TOKEN)"));
    }
}
