package isonorm.cluster;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/** The processes of a group, each a command line of its own with the variables of a launcher. */
final class Processes implements AutoCloseable {

    private static final Path HOME = Path.of("..").toAbsolutePath().normalize();
    private static final long SECONDS = 120;

    private final Path logs;
    private final List<Process> all = new ArrayList<>();

    private Processes(Path logs) {
        this.logs = logs;
    }

    /** A port that nobody has. */
    static int port() throws IOException {
        try (ServerSocket socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        }
    }

    /** Starts so many ranks, whose output is in a folder. */
    static Processes start(int ranks, Path logs, List<String> words) throws IOException {
        int port = port();
        Processes processes = new Processes(Files.createDirectories(logs));
        for (int rank = 0; rank < ranks; rank++) {
            processes.add(rank, ranks, port, words);
        }
        return processes;
    }

    private void add(int rank, int ranks, int port, List<String> words) throws IOException {
        // They end before an optimizing compiler has paid for itself; that kernels are slow without it is not logged.
        List<String> command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-XX:+UseSerialGC", "-Xmx512m",
                "-XX:TieredStopAtLevel=1", "-Djava.util.logging.config.file=" + HOME.resolve("isonorm-engine/src/test/resources/isonorm/logging.properties"),
                "@" + HOME.resolve("isonorm-engine/src/main/resources/isonorm/jvm.args"), "-cp", System.getProperty("java.class.path"), "isonorm.cli.Main", "train", "--quiet"));
        command.addAll(words);
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(output(all.size()).toFile());
        Map<String, String> environment = builder.environment();
        List.of("LOCAL_WORLD_SIZE", "TORCHELASTIC_USE_AGENT_STORE", "GLOO_SOCKET_IFNAME").forEach(environment::remove);
        if (ranks > 1) {
            environment.putAll(Map.of("RANK", Integer.toString(rank), "WORLD_SIZE", Integer.toString(ranks), "MASTER_ADDR", "127.0.0.1", "MASTER_PORT",
                    Integer.toString(port)));
        }
        all.add(builder.start());
    }

    private Path output(int number) {
        return logs.resolve("process-" + number + ".txt");
    }

    /** What a process has printed. */
    String said(int number) throws IOException {
        return Files.readString(output(number));
    }

    /** The last line of it. */
    String last(int number) throws IOException {
        return said(number).lines().filter(line -> !line.isBlank()).reduce("", (_, line) -> line);
    }

    /** Its exit code. */
    int code(int number) throws Exception {
        assertTrue(all.get(number).waitFor(SECONDS, TimeUnit.SECONDS), () -> "process " + number + " does not end: " + logs);
        return all.get(number).exitValue();
    }

    /** Waits until something is so, while all processes run. */
    void until(BooleanSupplier condition) throws Exception {
        for (int waited = 0; !condition.getAsBoolean(); waited++) {
            for (int number = 0; number < all.size(); number++) {
                assertTrue(all.get(number).isAlive(), said(number));
            }
            assertTrue(waited < SECONDS * 50, "it never came");
            Thread.sleep(20);
        }
    }

    void signal(int number, String signal) throws Exception {
        new ProcessBuilder("kill", "-" + signal, Long.toString(all.get(number).pid())).redirectError(new File("/dev/null")).start().waitFor();
    }

    @Override
    public void close() {
        for (Process each : all) {
            each.destroyForcibly().onExit().join();
        }
    }
}
