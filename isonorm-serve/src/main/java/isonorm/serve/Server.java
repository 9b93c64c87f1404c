package isonorm.serve;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParseException;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import isonorm.convert.LoadedModel;
import isonorm.embed.SentenceEmbedder;
import isonorm.model.Compute;
import java.io.IOException;
import java.io.InputStream;
import java.net.BindException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.UnknownHostException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.OptionalInt;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * A model that answers by OpenAI's HTTP interface, with the log probabilities of prompts that evaluations need.
 *
 * <p>{@code GET /v1/models}, {@code POST /v1/completions} and {@code /v1/chat/completions}, {@code /tokenize}, {@code /detokenize}, {@code GET /tokenizer_info},
 * {@code /health} and {@code /metrics}; of an encoder {@code POST /v1/embeddings}. Requests run together, each with the tokens that it would get alone. Where it listens on loopback, it answers only what
 * names a loopback address, so that no page of another site gets to it. No message says more of this machine than the request did.
 */
public final class Server implements AutoCloseable {

    /** A prompt of a million tokens is shorter. */
    private static final int LONGEST_BODY = 8 << 20;

    private static final int DEEPEST_JSON = 32;

    private static final String METRICS = "text/plain; version=0.0.4";

    /** How long an answer is tried to be written behind the last of what runs. */
    private static final Duration LAST = Duration.ofMillis(200);

    /** What requests are read with. */
    private static final JsonMapper JSON = JsonMapper.builder(JsonFactory.builder()
                    .streamReadConstraints(StreamReadConstraints.builder().maxNestingDepth(DEEPEST_JSON).maxStringLength(LONGEST_BODY).build())
                    .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
                    .disable(StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION)
                    .build())
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS).build();

    /**
     * How a model is served.
     *
     * @param name what clients call the model
     * @param host the address to listen on
     * @param port 0 takes a free one
     * @param threads how many threads compute
     * @param sequences how many sequences there are at once
     * @param waiting how many requests may wait for their turn
     * @param context how many tokens a sequence may have; the model's if absent
     * @param keys of which a client must give one, if there are any
     */
    public record Settings(
            String name, String host, int port, Compute compute, int threads, int sequences, int waiting, OptionalInt context, List<String> keys) {

        /** On loopback, at port 8080, in float32, for 16 sequences. */
        public static Settings of(String name) {
            return new Settings(name, "127.0.0.1", 8080, Compute.F32, Runtime.getRuntime().availableProcessors(), 16, 256, OptionalInt.empty(), List.of());
        }

        public Settings withPort(int other) {
            return new Settings(name, host, other, compute, threads, sequences, waiting, context, keys);
        }

        public Settings withCompute(Compute other) {
            return new Settings(name, host, port, other, threads, sequences, waiting, context, keys);
        }

        public Settings withKeys(List<String> others) {
            return new Settings(name, host, port, compute, threads, sequences, waiting, context, List.copyOf(others));
        }

        public Settings withSequences(int others, int waitingThen) {
            return new Settings(name, host, port, compute, threads, others, waitingThen, context, keys);
        }
    }

    private final Settings settings;
    private final Served model;
    private final HttpServer server;
    private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();
    private final Metrics metrics = new Metrics();
    private final Routes routes;
    private final boolean loopback;
    private final AtomicInteger open = new AtomicInteger();
    private volatile boolean closing;

    /** What is answered depends on what is served. */
    @FunctionalInterface
    private interface Routes {
        /** Answers a request, unless there is nothing under its path. */
        boolean answer(String path, HttpExchange exchange, Reply reply) throws Refusal, IOException, InterruptedException;
    }

    private Server(Settings settings, Served model, HttpServer server) {
        this.settings = settings;
        this.model = model;
        this.server = server;
        this.routes = switch (model) {
            case ServedModel texts -> texts(texts, metrics);
            case ServedEncoder encoder -> embeddings(encoder, metrics);
        };
        this.loopback = server.getAddress().getAddress().isLoopbackAddress();
        server.setExecutor(threads);
        server.createContext("/", this::answer);
    }

    /**
     * Loads a model and begins to answer.
     *
     * @throws IllegalArgumentException if the model neither predicts the next token nor is an encoder of texts
     * @throws IOException if the checkpoint lacks a tokenizer that can be read, or the port is in use
     */
    public static Server start(LoadedModel model, Settings settings) throws IOException {
        HttpServer server = bound(settings);
        try {
            Server started = new Server(settings, SentenceEmbedder.takes(model) ? ServedEncoder.load(model, settings) : ServedModel.load(model, settings), server);
            server.start();
            return started;
        } catch (IOException | RuntimeException e) {
            server.stop(0);
            throw e;
        }
    }

    private static HttpServer bound(Settings settings) throws IOException {
        try {
            return HttpServer.create(new InetSocketAddress(InetAddress.getByName(settings.host), settings.port), 0);
        } catch (BindException e) {
            throw new IOException(settings.host + ":" + settings.port + " cannot be had (" + e.getMessage() + "); take another port, or 0 for any free one", e);
        } catch (UnknownHostException e) {
            throw new IOException("there is no address of the name " + settings.host, e);
        }
    }

    /** Where it answers. */
    public String url() {
        InetSocketAddress address = server.getAddress();
        String host = address.getAddress().getHostAddress();
        return "http://" + (host.contains(":") ? "[" + host.replaceFirst("%.*", "") + "]" : host) + ":" + address.getPort();
    }

    /** What clients call the model. */
    public String name() {
        return model.name();
    }

    /** How many tokens a prompt and its answer may have together. */
    public int context() {
        return model.context();
    }

    private void answer(HttpExchange exchange) throws IOException {
        open.incrementAndGet();
        Reply reply = new Reply(exchange);
        try (exchange) {
            try {
                route(exchange, reply);
            } catch (Refusal e) {
                if (e.status() == 429) {
                    exchange.getResponseHeaders().set("Retry-After", "1");
                }
                fail(reply, e);
            } catch (IllegalArgumentException e) {
                fail(reply, Refusal.of("", String.valueOf(e.getMessage())));
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            } catch (RuntimeException e) {
                fail(reply, closing ? Refusal.of(503, "closing", "the server is about to end") : Refusal.of(500, "failed", "the answer could not be computed"));
            }
            metrics.answered(reply.status() == 0 ? 500 : reply.status());
        } finally {
            open.decrementAndGet();
        }
    }

    private static void fail(Reply reply, Refusal why) throws IOException {
        if (reply.status() == 0) {
            reply.json(why.status(), why.json());
        } else { // it is streamed already
            reply.event(why.json());
            reply.done();
        }
    }

    private void route(HttpExchange exchange, Reply reply) throws Refusal, IOException, InterruptedException {
        String path = exchange.getRequestURI().getPath();
        requireNeighbour(exchange);
        if (path.equals("/health")) {
            requireMethod(exchange, "GET");
            reply.json(200, JSON.createObjectNode().put("status", "ok"));
            return;
        }
        requireKey(exchange);
        String served = path.startsWith("/v1/models/") ? "/v1/models/" : path;
        switch (served) {
            case "/v1/models" -> {
                requireMethod(exchange, "GET");
                reply.json(200, model.models());
            }
            case "/v1/models/" -> {
                requireMethod(exchange, "GET");
                if (!path.substring("/v1/models/".length()).equals(model.name())) {
                    throw Refusal.of(404, "model_not_found", "the model served here is " + model.name());
                }
                reply.json(200, model.model());
            }
            default -> {
                if (!routes.answer(path, exchange, reply)) {
                    throw Refusal.of(404, "not_found", "there is nothing here; see /v1/models, /v1/completions, /v1/chat/completions, /v1/embeddings, /tokenize, /detokenize, /health and /metrics");
                }
            }
        }
    }

    /** What is asked of a model that writes. */
    private static Routes texts(ServedModel model, Metrics metrics) {
        Completions completions = new Completions(model, metrics);
        Chat chat = new Chat(model, metrics);
        return (path, exchange, reply) -> {
            switch (path) {
                case "/tokenizer_info" -> {
                    requireMethod(exchange, "GET");
                    reply.json(200, model.tokenizerInfo());
                }
                case "/metrics" -> {
                    requireMethod(exchange, "GET");
                    reply.text(200, METRICS, metrics.text(model.state()));
                }
                case "/v1/completions" -> completions.answer(fields(exchange), reply);
                case "/v1/chat/completions" -> chat.answer(fields(exchange), reply);
                case "/tokenize" -> reply.json(200, model.tokenize(fields(exchange)));
                case "/detokenize" -> reply.json(200, model.detokenize(fields(exchange)));
                case "/v1/embeddings" -> throw Refusal.of(404, "not_found", "embeddings are of encoders, and the model served here writes texts");
                default -> {
                    return false;
                }
            }
            return true;
        };
    }

    /** What is asked of an encoder. */
    private static Routes embeddings(ServedEncoder model, Metrics metrics) {
        return (path, exchange, reply) -> {
            switch (path) {
                case "/metrics" -> {
                    requireMethod(exchange, "GET");
                    reply.text(200, METRICS, metrics.text());
                }
                case "/v1/embeddings" -> reply.json(200, model.embed(fields(exchange)));
                case "/v1/completions", "/v1/chat/completions", "/tokenize", "/detokenize", "/tokenizer_info" ->
                        throw Refusal.of(404, "not_found", "the model served here embeds texts (/v1/embeddings) and writes none");
                default -> {
                    return false;
                }
            }
            return true;
        };
    }

    /** On loopback, a request must name this machine: a page of another site in a browser here does not. */
    private void requireNeighbour(HttpExchange exchange) throws Refusal {
        if (!loopback) {
            return;
        }
        String host = exchange.getRequestHeaders().getFirst("Host");
        String origin = exchange.getRequestHeaders().getFirst("Origin");
        if (host == null || !isLoopback(host) || origin != null && !isLoopback(origin.replaceFirst("^https?://", ""))) {
            throw Refusal.of(403, "forbidden", "this address answers only to what names it as 127.0.0.1, localhost or [::1]");
        }
    }

    private static boolean isLoopback(String host) {
        String name = host.toLowerCase(Locale.ROOT).replaceFirst(":\\d{1,5}$", "");
        return name.equals("localhost") || name.equals("127.0.0.1") || name.equals("[::1]");
    }

    /** Compares with every key, each in a time that says nothing of it. */
    private void requireKey(HttpExchange exchange) throws Refusal {
        if (settings.keys.isEmpty()) {
            return;
        }
        String header = exchange.getRequestHeaders().getFirst("Authorization");
        byte[] given = (header == null ? "" : header.replaceFirst("(?i)^Bearer +", "")).getBytes(StandardCharsets.UTF_8);
        boolean known = false;
        for (String key : settings.keys) {
            known |= MessageDigest.isEqual(given, key.getBytes(StandardCharsets.UTF_8));
        }
        if (!known) {
            throw Refusal.of(401, "invalid_api_key", "a key of this server is needed: Authorization: Bearer KEY");
        }
    }

    private static void requireMethod(HttpExchange exchange, String method) throws Refusal {
        String asked = exchange.getRequestMethod();
        if (!asked.equals(method) && !(asked.equals("HEAD") && method.equals("GET"))) {
            exchange.getResponseHeaders().set("Allow", method);
            throw Refusal.of(405, "method_not_allowed", "only " + method + " here");
        }
    }

    private static Fields fields(HttpExchange exchange) throws Refusal, IOException {
        requireMethod(exchange, "POST");
        String length = exchange.getRequestHeaders().getFirst("Content-Length");
        if (length != null && length.length() > 9 || length != null && length.matches("\\d+") && Long.parseLong(length) > LONGEST_BODY) {
            throw tooLarge();
        }
        byte[] body;
        try (InputStream in = exchange.getRequestBody()) {
            body = in.readNBytes(LONGEST_BODY + 1);
        }
        if (body.length > LONGEST_BODY) {
            throw tooLarge();
        }
        try {
            String text = StandardCharsets.UTF_8.newDecoder().onMalformedInput(CodingErrorAction.REPORT).onUnmappableCharacter(CodingErrorAction.REPORT)
                    .decode(ByteBuffer.wrap(body)).toString();
            JsonNode json = JSON.readTree(text);
            if (json instanceof ObjectNode object) {
                return new Fields(object);
            }
            throw Refusal.of("", "a request must be a JSON object");
        } catch (CharacterCodingException e) {
            throw Refusal.of("", "a request must be JSON in UTF-8, and this has bytes that are none");
        } catch (JsonParseException e) {
            throw Refusal.of("", "a request must be JSON, and this breaks off or goes wrong at line " + e.getLocation().getLineNr() + ", column " + e.getLocation().getColumnNr());
        } catch (JsonProcessingException e) {
            throw Refusal.of("", "a request must be JSON that says each thing once, no deeper than " + DEEPEST_JSON + " levels and with numbers of a sane length");
        }
    }

    private static Refusal tooLarge() {
        return Refusal.of(413, "too_large", "a request may have " + LONGEST_BODY + " bytes");
    }

    /** Takes no more requests, and ends when those that run have ended, or after some time. */
    public void close(Duration patience) {
        closing = true;
        long end = System.nanoTime() + patience.toNanos();
        model.close(patience);
        while (open.get() > 0 && System.nanoTime() < end + LAST.toNanos()) { // what was computed is still being sent
            try {
                Thread.sleep(5);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                break;
            }
        }
        server.stop(0);
        threads.shutdownNow();
    }

    @Override
    public void close() {
        close(Duration.ZERO);
    }
}
