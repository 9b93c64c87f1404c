package isonorm.train;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import isonorm.data.RunLock;
import isonorm.weights.Fingerprint;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.reflect.Proxy;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BiConsumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Several ranks, here threads, train what one process does. */
class DataParallelTest {

    /** What two ranks have trained, once for all tests that look at it or go on with a copy of it. */
    @TempDir
    static Path trained;

    @TempDir
    Path folder;

    private static final Map<String, String> TINY = Map.ofEntries(Map.entry("model.width", "16"), Map.entry("model.blocks", "3"), Map.entry("model.heads", "2"),
            Map.entry("batch", "6"), Map.entry("sequence", "12"), Map.entry("steps", "8"), Map.entry("log.every", "1"), Map.entry("eval.every", "4"),
            Map.entry("eval.batches", "3"), Map.entry("checkpoint.every", "4"), Map.entry("depth.every", "4"), Map.entry("threads", "1"), Map.entry("dtype", "f64"),
            Map.entry("lr", "0.01"), Map.entry("clip", "0.5"));

    private TrainingRun told(String name, Map<String, String> other) {
        return told(folder.resolve(name), other);
    }

    private static TrainingRun told(Path run, Map<String, String> other) {
        Map<String, String> values = new LinkedHashMap<>(TINY);
        values.putAll(other);
        values.put("out", run.toString());
        return Configuration.of(values).run();
    }

    @BeforeAll
    static void train() throws Exception {
        train(told(trained.resolve("run"), Map.of()), 2);
    }

    private void copyTrained() throws IOException {
        try (Stream<Path> files = Files.walk(trained)) {
            for (Path file : files.skip(1).toList()) {
                Files.copy(file, folder.resolve(trained.relativize(file).toString()));
            }
        }
    }

    private static void train(TrainingRun told, int ranks) throws Exception {
        if (ranks == 1) {
            try (Trainer trainer = Trainer.join(told, Trainer.NOBODY, ProcessGroup.alone())) {
                trainer.run();
            }
            return;
        }
        GroupOfThreads.run(ranks, group -> {
            try (Trainer trainer = Trainer.join(told, Trainer.NOBODY, group)) {
                return trainer.run();
            }
        });
    }

    private List<Metrics.Line> lines(String name) throws IOException {
        return Metrics.read(folder.resolve(name));
    }

    private void assertSame(String one, String other, double tolerance) throws IOException {
        List<Metrics.Line> lines = lines(one);
        List<Metrics.Line> others = lines(other);
        assertTrue(lines.size() >= 6, () -> lines.size() + " lines");
        assertEquals(lines.size(), others.size());
        for (int i = 0; i < lines.size(); i++) {
            assertEquals(lines.get(i).loss(), others.get(i).loss(), tolerance * lines.get(i).loss(), "loss of line " + i);
            assertEquals(lines.get(i).gradientNorm(), others.get(i).gradientNorm(), 100 * tolerance * lines.get(i).gradientNorm(), "norm of line " + i);
            assertEquals(lines.get(i).validation(), others.get(i).validation(), tolerance * lines.get(i).loss(), "validation of line " + i);
        }
        assertTrue(lines.getFirst().loss() - lines.getLast().loss() > 0.05, "nothing is learned");
    }

    private byte[] weights(String name) throws IOException {
        return Files.readAllBytes(folder.resolve(name).resolve("model/model.safetensors"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "strategy=gpas", "strategy=residual", "dropout=0.2 dropout.attention=0.3 stochastic-depth=0.4", "accumulate=3", "strategy.running=equivalent-rmsnorm",
        "strategy.running=equivalent-crmsnorm", "recompute=true", "optimizer=sgd beta1=0.5 lr=0.5", "batch=5", "model.preset=llama-60m model.hidden=24"})
    void ranksLearnWhatOneProcessLearns(String words) throws Exception {
        Map<String, String> other = new LinkedHashMap<>(Map.of("checkpoint.every", "0", "steps", "6"));
        for (String word : words.isEmpty() ? new String[0] : words.split(" ")) {
            other.put(word.split("=")[0], word.split("=")[1]);
        }
        train(told("of1", other), 1);
        for (int ranks : words.isEmpty() || words.equals("batch=5") ? new int[] {2, 3, 4} : new int[] {3}) { // of three the parts of what is gathered are not equally long
            train(told("of" + ranks, other), ranks);
            assertSame("of1", "of" + ranks, 1e-9);
        }
    }

    @Test
    void blocksAreMeasuredOverAllRows() throws Exception {
        Map<String, String> other = Map.of("batch", "5", "checkpoint.every", "0");
        train(told("of1", other), 1);
        train(told("of2", other), 2);
        List<Metrics.BlockLine> one = blocks("of1");
        List<Metrics.BlockLine> two = blocks("of2");
        assertEquals(12, one.size()); // 3 blocks and what is behind them, 3 times
        assertEquals(12, two.size());
        for (int i = 0; i < 12; i++) {
            assertEquals(i % 4, two.get(i).block());
            assertEquals(one.get(i).variance(), two.get(i).variance(), 1e-9 * one.get(i).variance());
            assertEquals(one.get(i).largest(), two.get(i).largest(), 1e-9 * one.get(i).largest());
            assertEquals(one.get(i).beyond(), two.get(i).beyond());
            if (Double.isNaN(one.get(i).gradientNorm())) {
                assertEquals(3, one.get(i).block());
            } else {
                assertEquals(one.get(i).gradientNorm(), two.get(i).gradientNorm(), 1e-7 * one.get(i).gradientNorm());
            }
        }
    }

    private List<Metrics.BlockLine> blocks(String name) throws IOException {
        List<Metrics.BlockLine> lines = new ArrayList<>();
        for (MetricsTail.Entry entry : MetricsTail.of(folder.resolve(name)).read().entries()) {
            if (entry instanceof MetricsTail.Blocks(long _, List<Metrics.BlockLine> blocks)) {
                lines.addAll(blocks);
            }
        }
        return lines;
    }

    @ParameterizedTest
    @ValueSource(strings = {"f32", "bf16", "f16", "bf16-pure"})
    void inFewerBitsTheyDoToRounding(String type) throws Exception {
        Map<String, String> other = Map.of("dtype", type, "lr", "0.003", "steps", "5", "checkpoint.every", "0", "depth.every", "0");
        train(told("of1", other), 1);
        train(told("of3", other), 3);
        double tolerance = switch (type) {
            case "f32" -> 1e-4;
            case "f16" -> 2e-3;
            default -> 1e-2; // eight bits
        };
        List<Metrics.Line> one = lines("of1");
        List<Metrics.Line> three = lines("of3");
        assertEquals(5, one.size());
        assertEquals(5, three.size());
        for (int i = 0; i < 5; i++) {
            assertEquals(one.get(i).loss(), three.get(i).loss(), tolerance * one.get(i).loss());
        }
    }

    @Test
    void theSameNumberOfRanksGivesTheSameBytesAndGoesOnWithThem() throws Exception {
        for (String type : List.of("f32", "bf16")) {
            Map<String, String> other = Map.of("dtype", type);
            train(told(type, other), 2);
            assertArrayEquals(weights(type), Files.readAllBytes(folder.resolve(type).resolve("checkpoint-0000008/model.safetensors"))); // not what a rank last saw of others
            GroupOfThreads.run(2, group -> {
                try (Trainer trainer = Trainer.join(told(type + "later", other), interruptedAt(5), group)) {
                    return trainer.run();
                }
            });
            assertFalse(Files.exists(folder.resolve(type + "later/model")));
            train(told(type + "later", other), 2);
            assertArrayEquals(weights(type), weights(type + "later"));
        }
    }

    /** Only one rank is told to end, and all do. */
    private static Trainer.Watcher interruptedAt(long step) {
        return new Trainer.Watcher() {
            private long done;

            @Override
            public void step(long number, long total) {
                done = number;
            }

            @Override
            public boolean interrupts() {
                return done == step && Thread.currentThread().getName().endsWith("-2");
            }
        };
    }

    @Test
    void anotherNumberOfRanksGoesOn() throws Exception {
        train(told("alone", Map.of("checkpoint.every", "0")), 1);
        TrainingRun told = told("moving", Map.of("checkpoint.every", "0")); // each writes one where it ends
        for (int[] each : new int[][] {{2, 2}, {4, 4}, {1, 5}, {3, 8}}) {
            GroupOfThreads.run(each[0], group -> {
                try (Trainer trainer = Trainer.join(told, until(each[1]), group)) {
                    return trainer.run();
                }
            });
        }
        assertSame("alone", "moving", 1e-9);
    }

    private static Trainer.Watcher until(long step) {
        return new Trainer.Watcher() {
            private long done;

            @Override
            public void step(long number, long total) {
                done = number;
            }

            @Override
            public boolean interrupts() {
                return done == step;
            }
        };
    }

    @Test
    void aCheckpointOfRanksHasAPartOfEachAndTheModelOnce() throws Exception {
        copyTrained();
        Path checkpoint = folder.resolve("run/checkpoint-0000008");
        try (Stream<Path> files = Files.list(checkpoint)) {
            List<String> names = files.map(file -> file.getFileName().toString()).sorted().toList();
            assertTrue(names.containsAll(List.of("config.json", "model.safetensors", "trainer-00000-of-00002.safetensors", "trainer-00001-of-00002.safetensors",
                    "trainer.json")) && !names.contains("trainer.safetensors"), names::toString);
        }
        long parts = Files.size(checkpoint.resolve("trainer-00000-of-00002.safetensors")) + Files.size(checkpoint.resolve("trainer-00001-of-00002.safetensors"));
        assertTrue(Math.abs(parts - 3 * Files.size(checkpoint.resolve("model.safetensors"))) < parts / 3, () -> parts + " bytes");
        assertTrue(Files.readString(folder.resolve("run/metrics.jsonl")).contains("\"rank_seconds\":["));
        assertTrue(Files.readString(folder.resolve("run/rank-1.log")).contains(" began as rank 1 of 2 at thread 1"));
    }

    /** What is on its way writes into memory that a failed run gives back; {@link GroupOfThreads} counts it. */
    @ParameterizedTest
    @ValueSource(strings = {"allReduce", "allGather"})
    void whereOneRankFailsInTheMidstOfCollectivesAllThatHaveBegunAreWaitedFor(String collective) {
        AtomicInteger begun = new AtomicInteger();
        String message = failure(2, group -> {
            ProcessGroup some = group.rank() == 0 ? group : failing(group, collective, begun);
            try (Trainer trainer = Trainer.join(told("run", Map.of("dtype", "f32", "depth.every", "0")), Trainer.NOBODY, some)) {
                return trainer.run();
            }
        });
        assertEquals("rank 1 (thread 1) failed: there is no room", message);
        assertEquals(3, begun.get());
    }

    /** The same group, which fails when the third of such collectives on the parameters begins: two of them are on their way. */
    private static ProcessGroup failing(ProcessGroup group, String collective, AtomicInteger begun) {
        return watched(group, (name, arguments) -> {
            if (name.equals(collective) && arguments[0] instanceof MemorySegment && begun.incrementAndGet() == 3) {
                throw new IllegalArgumentException("there is no room");
            }
        });
    }

    @Test
    void aTimedStepOfRanksSaysHowLongItWaitedAndHowMuchOfThatForGradients() throws Exception {
        StepTimes.Work work = new StepTimes.Work(StepTimes.Kind.GPT, Strategy.named("pre-ln"), false, 64, 16, 2, 16, 1, 2, 3, 1, 1);
        StepTimes times = GroupOfThreads.run(2, group -> StepTimes.of(work, group, _ -> {})).getFirst();
        assertEquals(2, times.waited().size());
        for (int i = 0; i < 2; i++) {
            double gradients = times.waitedForGradients().get(i);
            assertTrue(gradients > 0 && gradients < times.waited().get(i), () -> times.waitedForGradients() + " of " + times.waited());
        }
    }

    @Test
    void noMoreIsGatheredThanIsNeeded() throws Exception {
        assertEquals(1, gathered(double[].class, Map.of("depth.every", "1")) - gathered(double[].class, Map.of("depth.every", "0"))); // of all blocks together
        Map<String, String> computed = Map.of("dtype", "bf16", "depth.every", "0");
        int one = gathered(MemorySegment.class, computed);
        Map<String, String> twice = with(computed, "steps", "2");
        int two = gathered(MemorySegment.class, twice);
        int checkpoint = gathered(MemorySegment.class, with(twice, "checkpoint.every", "1")) - two;
        int step = two - one;
        assertTrue(checkpoint > 0 && step > 0);
        assertEquals(step + checkpoint, one); // the model that is written behind the last checkpoint is what that has
    }

    private static Map<String, String> with(Map<String, String> values, String key, String value) {
        Map<String, String> more = new LinkedHashMap<>(values);
        more.put(key, value);
        return more;
    }

    /** How often a rank gathers something of a type in a run of one step. */
    private int gathered(Class<?> type, Map<String, String> other) throws Exception {
        AtomicInteger count = new AtomicInteger();
        Map<String, String> once = new LinkedHashMap<>(Map.of("eval.every", "0", "checkpoint.every", "0", "steps", "1"));
        once.putAll(other);
        TrainingRun told = told(Files.createTempDirectory(folder, "run"), once);
        GroupOfThreads.run(2, group -> {
            ProcessGroup some = group.rank() == 0 ? group : watched(group, (name, arguments) -> {
                if (name.equals("allGather") && type.isInstance(arguments[1])) {
                    count.incrementAndGet();
                }
            });
            try (Trainer trainer = Trainer.join(told, Trainer.NOBODY, some)) {
                return trainer.run();
            }
        });
        return count.get();
    }

    private static ProcessGroup watched(ProcessGroup group, BiConsumer<String, Object[]> watcher) {
        return (ProcessGroup) Proxy.newProxyInstance(ProcessGroup.class.getClassLoader(), new Class<?>[] {ProcessGroup.class}, (_, method, arguments) -> {
            watcher.accept(method.getName(), arguments);
            return method.invoke(group, arguments);
        });
    }

    private String failure(int ranks, GroupOfThreads.Task<?> task) {
        return assertThrows(Exception.class, () -> GroupOfThreads.run(ranks, task)).getMessage();
    }

    @Test
    void ranksThatAreToldDifferentThingsAreRefused() {
        assertEquals("the configuration must be one and the same, got lr 0.01 of rank 0 and 0.02 of rank 1 (thread 1); start all ranks with the same command",
                failure(2, group -> {
                    Trainer.join(told("run", group.rank() == 1 ? Map.of("lr", "0.02") : Map.of()), Trainer.NOBODY, group).close();
                    return 0;
                }));
        assertFalse(Files.exists(folder.resolve("run/config.yaml")));
        assertEquals("batch must have a row for each of the 3 ranks, got 2; make batch larger or start fewer", failure(3, group -> {
            Trainer.join(told("other", Map.of("batch", "2")), Trainer.NOBODY, group).close();
            return 0;
        }));
    }

    @Test
    void aFolderOfAnotherRunIsRefused() throws Exception {
        copyTrained();
        byte[] before = weights("run");
        assertEquals("the configuration must be one and the same, got lr 0.01 of " + folder.resolve("run") + " and 0.02 of the command; take another out, or the same"
                + " configuration", failure(2, group -> {
                    Trainer.join(told("run", Map.of("lr", "0.02")), Trainer.NOBODY, group).close();
                    return 0;
                }));
        train(told("run", Map.of()), 2); // has ended, and ends again
        assertArrayEquals(before, weights("run"));
    }

    @Test
    void aDamagedPartIsLeftOut() throws Exception {
        copyTrained();
        byte[] before = weights("run");
        Path part = folder.resolve("run/checkpoint-0000008/trainer-00001-of-00002.safetensors");
        byte[] bytes = Files.readAllBytes(part);
        bytes[bytes.length - 1] ^= 1;
        Files.write(part, bytes);
        train(told("run", Map.of()), 2);
        assertTrue(Files.exists(folder.resolve("run/checkpoint-0000008.damaged")));
        assertTrue(Files.readString(folder.resolve("run/rank-0.log"), StandardCharsets.UTF_8).contains(part + " is not what was written"));
        assertArrayEquals(before, weights("run"));
        Files.delete(folder.resolve("run/checkpoint-0000008/trainer-00001-of-00002.safetensors"));
        train(told("run", Map.of()), 1);
        assertTrue(Files.exists(folder.resolve("run/checkpoint-0000008.damaged-2")));
    }

    /** The rank that doesn't hash the part reads it no sooner than the one that does has said that it is whole. */
    @Test
    void aPartWhoseNamesAreDamagedIsLeftOutByAll() throws Exception {
        copyTrained();
        byte[] before = weights("run");
        rename(folder.resolve("run/checkpoint-0000008"), "@x");
        train(told("run", Map.of()), 2);
        assertTrue(Files.exists(folder.resolve("run/checkpoint-0000008.damaged")));
        assertTrue(Files.readString(folder.resolve("run/rank-0.log")).contains(" is not what was written; it is checkpoint-0000008.damaged now"));
        assertArrayEquals(before, weights("run"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"@x", "@-"})
    void aPartThatNamesNoPlaceIsLeftOutAlsoIfItWasWrittenSo(String name) throws Exception {
        copyTrained();
        Path checkpoint = folder.resolve("run/checkpoint-0000008");
        Path part = rename(checkpoint, name);
        Path state = checkpoint.resolve("trainer.json");
        String hash = new ObjectMapper().readTree(Files.readString(state)).path("sha256").path(part.getFileName().toString()).asText();
        assertEquals(64, hash.length());
        Files.writeString(state, Files.readString(state).replace(hash, Fingerprint.sha256(part)));
        train(told("run", Map.of()), 2);
        String log = Files.readString(folder.resolve("run/rank-0.log"));
        assertTrue(log.contains(name) && log.contains(" has another name, type or size than this run's configuration asks for; it is checkpoint-0000008.damaged now"), log);
    }

    /** Begins the number behind a tensor's name otherwise, in one part. */
    private static Path rename(Path checkpoint, String name) throws IOException {
        Path part = checkpoint.resolve("trainer-00001-of-00002.safetensors");
        String bytes = Files.readString(part, StandardCharsets.ISO_8859_1);
        String changed = bytes.replaceFirst("@[1-9](?=\\d)", name);
        assertFalse(changed.equals(bytes));
        Files.writeString(part, changed, StandardCharsets.ISO_8859_1);
        return part;
    }

    @Test
    void whatARankHasMadeIsClosedWhereAnotherOneFails() {
        AtomicInteger closed = new AtomicInteger();
        assertEquals("rank 1 (thread 1) failed: there is no room", failure(2, group -> new Ranks(group).together(() -> {
            if (group.rank() == 1) {
                throw new IOException("there is no room");
            }
            AutoCloseable made = closed::incrementAndGet;
            return Optional.of(made);
        })));
        assertEquals(1, closed.get());
    }

    @Test
    void onlyWhatARankSaidOfItselfLastIsWhyItFailed() throws Exception {
        for (String[] each : new String[][] {{" failed: no room", "rank 1 (thread 1) failed: no room"},
            {" a checkpoint is left out: rank 0 failed: no room", "rank 1 (thread 1) was lost, its connection is closed; start the same command again, which goes on from the last"
                    + " checkpoint"}}) {
            assertEquals(each[1], GroupOfThreads.run(2, group -> {
                if (group.rank() == 1) {
                    return "";
                }
                RankLog log = RankLog.begin(folder, group);
                Files.writeString(folder.resolve("rank-1.log"), "2026-01-01T00:00:00Z" + each[0] + "\n");
                Thread.currentThread().interrupt(); // who is interrupted waits for nothing more to be said
                return log.explain(group, new ProcessGroup.Broken("closed", false, new IOException()), 1);
            }).getFirst());
        }
    }

    @Test
    void whatOneRankFailsAtEndsAll() throws Exception {
        String message = failure(2, group -> {
            try (Trainer trainer = Trainer.join(told("run", Map.of()), Trainer.NOBODY, group)) {
                if (group.rank() == 0) { // who writes where nothing can be written any more
                    Files.writeString(folder.resolve("run/checkpoint-0000004"), "no folder");
                }
                return trainer.run();
            }
        });
        assertTrue(message.contains("run/checkpoint-0000004"), message);
        try (Stream<Path> files = Files.list(folder.resolve("run"))) {
            assertEquals(List.of(), files.map(file -> file.getFileName().toString()).filter(name -> name.contains(".tmp-")).toList());
        }
        assertTrue(Files.readString(folder.resolve("run/rank-1.log")).contains(" failed: "));
        RunLock.of(folder.resolve("run")).close();
    }
}
