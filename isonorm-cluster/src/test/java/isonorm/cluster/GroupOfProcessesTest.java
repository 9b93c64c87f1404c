package isonorm.cluster;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import isonorm.train.Metrics;
import isonorm.train.ProcessGroup;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** Processes that a launcher starts on one machine train together, and end together when one of them is lost. */
@DisabledOnOs(OS.WINDOWS) // for which gloo is not tried
@Timeout(value = 10, unit = TimeUnit.MINUTES)
class GroupOfProcessesTest {

    /** What all runs are compared at. */
    private static final String LAST = "checkpoint-0000050";

    private static final int STEPS = 50;

    @TempDir
    Path folder;

    @BeforeAll
    static void requireLibtorch() {
        assumeTrue(GlooProvider.isHere(), "org.bytedeco:pytorch has no native code for this platform, or is left out");
    }

    private List<String> words(String run) {
        return List.of("out=" + folder.resolve(run), "model.width=16", "model.blocks=2", "model.heads=2", "batch=6", "sequence=12", "steps=1000000", "warmup=0", "lr=0.01",
                "log.every=1", "eval.every=10", "eval.batches=3", "checkpoint.every=2", "checkpoint.keep=1000000", "depth.every=0", "threads=1", "dtype=f64");
    }

    private boolean has(String run, String name) {
        return Files.exists(folder.resolve(run).resolve(name));
    }

    private void assertSameLosses(String one, String other) throws IOException {
        List<Metrics.Line> lines = Metrics.read(folder.resolve(one));
        List<Metrics.Line> others = Metrics.read(folder.resolve(other));
        assertTrue(lines.size() >= STEPS && others.size() >= STEPS, () -> lines.size() + " and " + others.size() + " steps");
        for (int i = 0; i < STEPS; i++) {
            assertEquals(lines.get(i).loss(), others.get(i).loss(), 1e-9 * lines.get(i).loss(), "step " + (i + 1));
            assertEquals(lines.get(i).validation(), others.get(i).validation(), 1e-9 * lines.get(i).loss(), "step " + (i + 1));
        }
    }

    /**
     * Each process is slow to load what they speak by, so one group is looked at for several things. No run ends by itself: each is ended where it has
     * what is compared.
     */
    @Test
    void processesLearnWhatOneDoesAndGoOnWithTheSameCommandWhereOneWasLost() throws Exception {
        untilLast(2, "undisturbed");
        String log = Files.readString(folder.resolve("undisturbed/rank-1.log"));
        assertTrue(log.contains(" began as rank 1 of 2 at 127.0.0.1"), log);
        try (Processes processes = Processes.start(2, folder.resolve("killed-said"), words("killed"))) {
            processes.until(() -> has("killed", "checkpoint-0000004"));
            processes.signal(0, "KILL"); // who has the store by which all met
            long killed = System.nanoTime();
            assertEquals(1, processes.code(1));
            assertTrue(System.nanoTime() - killed < TimeUnit.SECONDS.toNanos(30), "the other one waits for long");
            assertEquals("isonorm: rank 0 (127.0.0.1) was lost, its connection is closed; start the same command again, which goes on from the last checkpoint",
                    processes.last(1));
        }
        assertFalse(has("killed", LAST), "it was killed too late to go on");
        try (Stream<Path> files = Files.list(folder.resolve("killed"))) {
            for (Path left : files.filter(file -> file.getFileName().toString().matches("checkpoint-\\d+")).toList()) {
                assertTrue(Files.exists(left.resolve("trainer.json")), left + " is part of a checkpoint");
            }
        }
        copy(folder.resolve("killed"), folder.resolve("moved"));
        untilLast(2, "killed");
        assertArrayEquals(Files.readAllBytes(folder.resolve("undisturbed").resolve(LAST).resolve("model.safetensors")),
                Files.readAllBytes(folder.resolve("killed").resolve(LAST).resolve("model.safetensors")));
        untilLast(4, "moved");
        for (String name : List.of("killed", "moved")) {
            assertTrue(Files.readString(folder.resolve(name).resolve("rank-0.log")).contains(" going on from "), name);
        }
        untilLast(1, "one");
        assertSameLosses("one", "undisturbed");
        assertSameLosses("one", "moved");
    }

    /** Ends a run as soon as it has been as far as all of them go. */
    private void untilLast(int ranks, String run) throws Exception {
        try (Processes processes = Processes.start(ranks, folder.resolve(run + "-said"), words(run))) {
            processes.until(() -> has(run, LAST));
            for (int rank = 1; rank < ranks; rank++) {
                assertEquals("", processes.said(rank).replaceAll("WARNING: .*\\R", "")); // the leading one speaks
            }
        }
    }

    private static void copy(Path from, Path to) throws IOException {
        try (Stream<Path> files = Files.walk(from)) {
            for (Path file : files.toList()) {
                Files.copy(file, to.resolve(from.relativize(file).toString()));
            }
        }
    }

    /** Where nothing is evaluated or written, which all wait for longer. */
    @Test
    void aStoppedOneIsWaitedForNoLongerThanWasSaid() throws Exception {
        List<String> words = new ArrayList<>(words("run"));
        words.addAll(List.of("eval.every=0", "checkpoint.every=0", "group.timeout=5"));
        try (Processes processes = Processes.start(2, folder.resolve("said"), words)) {
            processes.until(() -> size("run/metrics.jsonl") > 0);
            processes.signal(1, "STOP");
            assertEquals(1, processes.code(0));
            assertEquals("isonorm: rank 1 (127.0.0.1) gave no answer within 5 s; start the same command again, which goes on from the last checkpoint", processes.last(0));
        }
    }

    private long size(String file) {
        try {
            return Files.size(folder.resolve(file));
        } catch (IOException e) {
            return 0;
        }
    }

    /** One process is enough to wait in vain; a time is what joining takes at most, which is five steps of 200 ms. */
    @Test
    void whoMeetsNobodySaysSo() throws Exception {
        int port = Processes.port();
        assertEquals("nobody answers at 127.0.0.1:" + port + ", where the ranks meet, within 1 s; look whether rank 0 has begun, and at MASTER_ADDR and MASTER_PORT",
                refusal(1, port));
        int lonely = Processes.port();
        assertEquals("of 2 ranks rank 1 did not come to 127.0.0.1:" + lonely + " within 1 s; look at what its machine says", refusal(0, lonely));
        try (ServerSocket taken = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            assertEquals("the ranks meet at 127.0.0.1:" + taken.getLocalPort() + ", and another program has that port; set MASTER_PORT to another", refusal(0, taken.getLocalPort()));
        }
    }

    /** The first one has the store, and waits for a shorter time. */
    @Test
    void whereTheFirstOneGivesUpTheOthersSayWhoHadNotCome() throws Exception {
        int port = Processes.port();
        try (ExecutorService threads = Executors.newSingleThreadExecutor()) {
            Future<String> first = threads.submit(() -> refusal(0, 3, port, 400));
            assertEquals("rank 0, or the launcher at 127.0.0.1:" + port + ", was lost before rank 2 had come", refusal(1, 3, port, 10_000));
            assertEquals("of 3 ranks rank 2 did not come to 127.0.0.1:" + port + " within 2 s; look at what its machine says", first.get());
        }
    }

    private static String refusal(int rank, int port) {
        return refusal(rank, 2, port, 200);
    }

    private static String refusal(int rank, int size, int port, long stepMillis) {
        Map<String, String> launched = Map.of("RANK", "" + rank, "WORLD_SIZE", "" + size, "MASTER_ADDR", "127.0.0.1", "MASTER_PORT", "" + port);
        return assertThrows(IOException.class, () -> ProcessGroup.join(launched, Duration.ofMillis(stepMillis))).getMessage();
    }

    /** JavaCPP's own limit is four times the heap: weights and moments may be more. */
    @Test
    void whatLiesOutsideOfTheHeapIsNotCountedAgainstIt() {
        assertTrue(GlooProvider.isHere());
        assertEquals(0, Pointer.maxPhysicalBytes());
        assertEquals(0, Pointer.maxBytes());
    }

    @Test
    void nativeCodeThatCannotBeLoadedIsRefusedInOneLine() {
        String message = assertThrows(IOException.class, () -> GlooProvider.load(() -> {
            throw new UnsatisfiedLinkError("libtorch.so: file too short\nin a frame");
        })).getMessage();
        assertTrue(message.startsWith("libtorch, by which the processes of a group speak, could not be loaded from ") && message.contains(": libtorch.so: file too short; delete "),
                message);
    }
}
