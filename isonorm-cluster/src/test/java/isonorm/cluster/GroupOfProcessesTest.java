package isonorm.cluster;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import isonorm.train.Metrics;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
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

    private static final String[] ENDLESS = {"steps=1000000", "warmup=0", "checkpoint.every=2", "checkpoint.keep=1000000"};

    @TempDir
    Path folder;

    @BeforeAll
    static void requireLibtorch() {
        assumeTrue(GlooProvider.isHere(), "org.bytedeco:pytorch has no native code for this platform, or is left out");
    }

    private List<String> words(String run, String... others) {
        List<String> words = new ArrayList<>(List.of("out=" + folder.resolve(run), "model.width=16", "model.blocks=2", "model.heads=2", "batch=6", "sequence=12", "steps=20", "lr=0.01",
                "log.every=1", "eval.every=10", "eval.batches=3", "checkpoint.every=0", "depth.every=0", "threads=1", "dtype=f64"));
        words.addAll(List.of(others));
        return words;
    }

    private void train(int ranks, String run, String... others) throws Exception {
        try (Processes processes = Processes.start(ranks, folder.resolve(run + "-said"), words(run, others))) {
            processes.ended();
            for (int rank = 1; rank < ranks; rank++) {
                assertEquals("", processes.said(rank).replaceAll("WARNING: .*\\R", "")); // the leading one speaks
            }
        }
    }

    private boolean has(String run, String name) {
        return Files.exists(folder.resolve(run).resolve(name));
    }

    private void assertSameLosses(String one, String other, int steps) throws IOException {
        List<Metrics.Line> lines = Metrics.read(folder.resolve(one));
        List<Metrics.Line> others = Metrics.read(folder.resolve(other));
        assertTrue(lines.size() >= steps && others.size() >= steps, () -> lines.size() + " and " + others.size() + " steps");
        for (int i = 0; i < steps; i++) {
            assertEquals(lines.get(i).loss(), others.get(i).loss(), 1e-9 * lines.get(i).loss(), "step " + (i + 1));
            assertEquals(lines.get(i).validation(), others.get(i).validation(), 1e-9 * lines.get(i).loss(), "step " + (i + 1));
        }
    }

    @Test
    void oneAndFourProcessesLearnTheSame() throws Exception {
        train(1, "one");
        train(4, "four");
        assertSameLosses("one", "four", 20);
        String log = Files.readString(folder.resolve("four/rank-3.log"));
        assertTrue(log.contains(" began as rank 3 of 4 at 127.0.0.1"), log);
    }

    /** The first one has the store by which all met. No run ends by itself: each is ended where it has what is compared. */
    @Test
    void aKilledOneEndsTheOtherAndTheSameCommandGoesOnAlsoWithMore() throws Exception {
        until("checkpoint-0000040", 2, "undisturbed");
        try (Processes processes = Processes.start(2, folder.resolve("said"), words("killed", ENDLESS))) {
            processes.until(() -> has("killed", "checkpoint-0000004"));
            processes.signal(0, "KILL");
            long killed = System.nanoTime();
            assertEquals(1, processes.code(1));
            assertTrue(System.nanoTime() - killed < TimeUnit.SECONDS.toNanos(30), "the other one waits for long");
            assertEquals("isonorm: rank 0 (127.0.0.1) was lost, its connection is closed; start the same command again, which goes on from the last checkpoint",
                    processes.last(1));
        }
        assertFalse(has("killed", "checkpoint-0000040"), "it was killed too late to go on");
        try (Stream<Path> files = Files.list(folder.resolve("killed"))) {
            for (Path left : files.filter(file -> file.getFileName().toString().matches("checkpoint-\\d+")).toList()) {
                assertTrue(Files.exists(left.resolve("trainer.json")), left + " is part of a checkpoint");
            }
        }
        copy(folder.resolve("killed"), folder.resolve("moved"));
        until("checkpoint-0000040", 2, "killed");
        assertArrayEquals(Files.readAllBytes(folder.resolve("undisturbed/checkpoint-0000040/model.safetensors")),
                Files.readAllBytes(folder.resolve("killed/checkpoint-0000040/model.safetensors")));
        until("checkpoint-0000040", 3, "moved");
        assertSameLosses("undisturbed", "moved", 40);
        for (String name : List.of("killed", "moved")) {
            assertTrue(Files.readString(folder.resolve(name).resolve("rank-0.log")).contains(" going on from "), name);
        }
    }

    /** Ends a run as soon as its folder has something. */
    private void until(String there, int ranks, String run) throws Exception {
        try (Processes processes = Processes.start(ranks, folder.resolve(run + "-said"), words(run, ENDLESS))) {
            processes.until(() -> has(run, there));
        }
    }

    private static void copy(Path from, Path to) throws IOException {
        try (Stream<Path> files = Files.walk(from)) {
            for (Path file : files.toList()) {
                Files.copy(file, to.resolve(from.relativize(file).toString()));
            }
        }
    }

    @Test
    void aStoppedOneIsWaitedForNoLongerThanWasSaid() throws Exception {
        try (Processes processes = Processes.start(2, folder.resolve("said"), words("run", "steps=1000000", "eval.every=0", "group.timeout=5"))) {
            processes.until(() -> has("run", "metrics.jsonl") && size("run/metrics.jsonl") > 0);
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

    @Test
    void whatOneIsToldOtherwiseIsNamed() throws Exception {
        int port = Processes.port();
        try (Processes processes = Processes.none(folder.resolve("said"))) {
            processes.add(0, 2, port, words("run"));
            processes.add(1, 2, port, words("run", "lr=0.02"));
            for (int rank = 0; rank < 2; rank++) {
                assertEquals(1, processes.code(rank));
                assertEquals("isonorm: the configuration must be one and the same, got lr 0.01 of rank 0 and 0.02 of rank 1 (127.0.0.1); start all ranks with the same command",
                        processes.last(rank));
            }
        }
        assertFalse(has("run", "config.yaml"));
    }

    @Test
    void whoMeetsNobodySaysSo() throws Exception {
        int port = Processes.port();
        try (Processes processes = Processes.none(folder.resolve("said")); ServerSocket taken = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            processes.add(1, 2, port, words("run", "group.timeout=1")); // its master never comes
            processes.add(0, 2, Processes.port(), words("run", "group.timeout=1")); // nor does anybody to this one
            processes.add(0, 2, taken.getLocalPort(), words("run", "group.timeout=1"));
            assertEquals(1, processes.code(0));
            assertEquals("isonorm: nobody answers at 127.0.0.1:" + port + ", where the ranks meet, within 5 s; look whether rank 0 has begun, and at MASTER_ADDR and MASTER_PORT",
                    processes.last(0));
            assertEquals(1, processes.code(1));
            assertTrue(processes.last(1).matches("isonorm: of 2 ranks rank 1 did not come to 127.0.0.1:\\d+ within 5 s; look at what its machine says"), processes.last(1));
            assertEquals(1, processes.code(2));
            assertEquals("isonorm: the ranks meet at 127.0.0.1:" + taken.getLocalPort() + ", and another program has that port; set MASTER_PORT to another", processes.last(2));
        }
    }
}
