package isonorm.cli.commands;

import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Json;
import isonorm.convert.LoadedModel;
import isonorm.serve.Server;
import isonorm.words.TextFile;
import java.io.IOException;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.OptionalInt;
import java.util.concurrent.CountDownLatch;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code isonorm serve}: a checkpoint that answers by OpenAI's HTTP interface. */
@Command(
        name = "serve",
        description = {
            "Serve a checkpoint by OpenAI's HTTP interface: /v1/completions, with log probabilities of prompts as evaluations need them, "
                    + "/v1/chat/completions, /v1/models, /tokenize, /detokenize, /tokenizer_info, /health, /metrics; an encoder of texts answers /v1/embeddings.",
            "Many requests run together, each with the tokens that it would get alone. Ctrl-C or SIGTERM takes no more and gives those that run 30 s to end. "
                    + "It listens on this machine alone unless told otherwise."
        },
        footer = {
            "  isonorm serve gpt2/",
            "  isonorm serve gpt2/ --port 9000 --compute bf16 --max-sequences 32",
            "  curl http://127.0.0.1:8080/v1/completions -d '{\"prompt\": \"The meaning of life is\", \"max_tokens\": 20}'"
        })
public final class Serve extends CheckpointCommand {

    private static final Duration PATIENCE = Duration.ofSeconds(30);

    /** The JDK's server knows these as settings of a process, which this is. */
    private static final List<String> LIMITS = List.of("sun.net.httpserver.maxReqTime=30", "sun.net.httpserver.idleInterval=60", "jdk.httpserver.maxConnections=4096",
            "sun.net.httpserver.maxReqHeaders=100", "sun.net.httpserver.nodelay=true");

    @Parameters(paramLabel = "CHECKPOINT", description = "A folder, a file in it, or owner/name[@revision] in the Hugging Face cache.")
    private String checkpoint;

    @Option(names = "--host", paramLabel = "ADDRESS", defaultValue = "127.0.0.1",
            description = "The address to listen on. Default: ${DEFAULT-VALUE}, which other machines do not get to; any other needs --api-key-file or --insecure.")
    private String host;

    @Option(names = "--port", paramLabel = "P", defaultValue = "8080", description = "0 takes a free one. Default: ${DEFAULT-VALUE}.")
    private int port;

    @Option(names = "--name", paramLabel = "NAME", description = "What clients call the model. Default: the folder's name, or the model's.")
    private @Nullable String name;

    @Option(names = "--compute", paramLabel = "TYPE", converter = Choice.Weights.class,
            description = "What to keep weights in: f32, bf16 or f16, or q8 or q4, 8 or 4 bits in groups, rounded on loading. Default: what they are stored in.")
    private @Nullable String compute;

    @Option(names = "--threads", paramLabel = "N", description = "How many threads compute. Default: one for each processor.")
    private @Nullable Integer threads;

    @Option(names = "--max-sequences", paramLabel = "N", defaultValue = "16",
            description = "How many sequences there are at once, those that run and those kept for what prompts begin with. Default: ${DEFAULT-VALUE}.")
    private int sequences;

    @Option(names = "--max-waiting", paramLabel = "N", defaultValue = "256", description = "How many requests may wait; more get 429. Default: ${DEFAULT-VALUE}.")
    private int waiting;

    @Option(names = "--context", paramLabel = "N", description = "How many tokens a sequence may have. Default: the model's context.")
    private @Nullable Integer context;

    @Option(names = "--api-key-file", paramLabel = "FILE", description = "Keys, a line each, of which a client must send one.")
    private @Nullable Path keyFile;

    @Option(names = "--insecure", description = "Listen on another address than loopback without keys: whoever reaches it may use it.")
    private boolean insecure;

    public Serve(Console console) {
        super(console);
    }

    @Override
    public Integer call() throws IOException {
        if (port < 0 || port > 0xffff) {
            throw wrongUsage("--port must be 0 to 65535, got " + port);
        }
        if (threads != null && threads < 1 || sequences < 1 || waiting < 1 || context != null && context < 1) {
            throw wrongUsage("--threads, --max-sequences, --max-waiting and --context must be 1 or more");
        }
        List<String> keys = keyFile == null ? List.of() : keys(keyFile);
        if (keys.isEmpty() && !insecure && !isLoopback(host)) {
            throw wrongUsage("on " + host + " others may reach it; give keys with --api-key-file, or say --insecure");
        }
        Precision precision = Precision.of(open(checkpoint), compute);
        LoadedModel model = precision.model();
        if (context != null && context > model.model().context()) {
            throw new IllegalArgumentException("--context must be at most the model's " + model.model().context() + " tokens, got " + context);
        }
        for (String limit : LIMITS) {
            String[] parts = limit.split("=");
            if (System.getProperty(parts[0]) == null) {
                System.setProperty(parts[0], parts[1]);
            }
        }
        announceEngine();
        Path folder = model.checkpoint().folder().toAbsolutePath().normalize();
        Server server = Server.start(model, new Server.Settings(name != null ? name : named(folder), host, port,
                precision.compute(), threads != null ? threads : Runtime.getRuntime().availableProcessors(),
                sequences, waiting, context == null ? OptionalInt.empty() : OptionalInt.of(context), keys));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> server.close(PATIENCE)));
        try (server) {
            if (json) {
                console.jsonLine(Json.object().put("address", server.url()).put("model", server.name()).put("context", server.context()));
            } else {
                console.out().println("serving " + server.name() + " on " + console.bold(server.url() + "/v1") + ", until Ctrl-C");
            }
            console.out().flush();
            new CountDownLatch(1).await();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        return DONE;
    }

    /** A model's own name where it was given by that; a snapshot's folder is named by a hash. */
    private String named(Path folder) {
        return Files.exists(Path.of(checkpoint)) ? String.valueOf(folder.getFileName()) : checkpoint;
    }

    private static List<String> keys(Path file) throws IOException {
        List<String> keys = TextFile.read(file).lines().map(String::strip).filter(line -> !line.isEmpty()).toList();
        if (keys.isEmpty()) {
            throw new IOException(file + " must have a key, a line each, and has none");
        }
        return keys;
    }

    private static boolean isLoopback(String host) throws IOException {
        try {
            return InetAddress.getByName(host).isLoopbackAddress();
        } catch (UnknownHostException e) {
            throw new IOException("there is no address of the name " + host, e);
        }
    }
}
