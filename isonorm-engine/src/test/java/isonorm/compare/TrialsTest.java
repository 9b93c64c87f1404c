package isonorm.compare;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.train.Metrics;
import isonorm.train.Trainer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CancellationException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Grids of tiny models, one rate being so high that models diverge at it. */
class TrialsTest {

    private static final String HIGH = "1000";
    private static final int STEPS = 8;

    @TempDir
    Path folder;

    private static Grid grid() {
        Grid grid = new Grid(Map.of(), Map.of());
        String[][] base = {{"threads", "1"}, {"steps", "" + STEPS}, {"model.width", "16"}, {"model.heads", "2"}, {"model.blocks", "2"}, {"batch", "2"},
            {"sequence", "16"}, {"log.every", "2"}, {"eval.every", "4"}, {"eval.batches", "2"}, {"depth.every", "0"}, {"checkpoint.every", "3"},
            {"stop.above", "1"}};
        for (String[] pair : base) {
            grid = grid.with(pair[0], List.of(pair[1]));
        }
        return grid.with("strategy", List.of("pre-ln", "peri-ln")).with("lr", List.of("0.01", HIGH));
    }

    private Results run(Path out, Trials.Watcher watcher) throws IOException {
        return Trials.of(grid(), out).run(1, watcher);
    }

    private static void assertSame(Outcome one, Outcome other) {
        assertEquals(one.end(), other.end());
        assertEquals(one.parameters(), other.parameters());
        assertEquals(one.frequencies(), other.frequencies());
        assertEquals(one.lines().stream().map(TrialsTest::untimed).toList(), other.lines().stream().map(TrialsTest::untimed).toList());
        assertSame(one.before().orElseThrow(), other.before().orElseThrow());
        assertSame(one.after().orElseThrow(), other.after().orElseThrow());
    }

    private static void assertSame(Outcome.Stream one, Outcome.Stream other) {
        assertArrayEquals(one.variances(), other.variances());
        assertArrayEquals(one.angular(), other.angular());
    }

    private static Metrics.Line untimed(Metrics.Line line) {
        return new Metrics.Line(line.step(), line.loss(), line.gradientNorm(), line.rate(), line.validation(), line.accuracy(), 0, 0, 0, 0,
                line.lossScale(), line.skipped());
    }

    @Test
    void aDivergedRunIsAResultAndAKilledGridEndsWithTheSame() throws IOException {
        Results whole = run(folder.resolve("whole"), Trials.NOBODY);
        for (Group group : whole.groups()) {
            assertEquals(group.place().get("lr").equals(HIGH) ? 1 : 0, group.diverged(), group.name());
            assertEquals(group.diverged() == 1, Double.isNaN(group.loss().mean()));
            assertTrue(group.after().isPresent());
        }
        String findings = String.join(" ", whole.findings());
        assertTrue(findings.contains("2 of 4 runs diverged: pre-ln, lr 1000 (1 of 1), peri-ln, lr 1000 (1 of 1)."), findings);
        assertTrue(findings.contains("Nothing wins: none learned more than"), findings);

        Path killed = folder.resolve("killed");
        for (int at : new int[] {1, STEPS + 7}) { // before the first checkpoint of the first run, and behind that of the third
            AtomicInteger steps = new AtomicInteger();
            Trials.Watcher killer = new Trials.Watcher() {
                @Override
                public void step(Trial trial, long done, long total) {
                    if (steps.incrementAndGet() == at) {
                        throw new IllegalStateException("killed");
                    }
                }
            };
            assertThrows(IllegalStateException.class, () -> run(killed, killer));
        }
        Files.delete(folder.resolve("whole/peri-ln-lr-1000/outcome.json")); // as if it had been killed when it had just diverged
        for (Path out : List.of(killed, folder.resolve("whole"))) {
            AtomicInteger begun = new AtomicInteger();
            Results again = run(out, new Trials.Watcher() {
                @Override
                public void begins(Trial trial) {
                    begun.incrementAndGet();
                }
            });
            assertEquals(out.equals(killed) ? 2 : 1, begun.get());
            IntStream.range(0, whole.outcomes().size()).forEach(i -> assertSame(whole.outcomes().get(i), again.outcomes().get(i)));
            assertEquals(whole.findings(), again.findings());
        }
    }

    @Test
    void anInterruptedGridGoesOnWhereItWas() throws IOException {
        Grid small = grid().with("lr", List.of("0.01"));
        Results whole = Trials.of(small, folder.resolve("whole")).run(1, Trials.NOBODY);
        AtomicInteger steps = new AtomicInteger();
        Trials.Watcher impatient = new Trials.Watcher() {
            @Override
            public void step(Trial trial, long done, long total) {
                steps.incrementAndGet();
            }

            @Override
            public boolean interrupts() {
                return steps.get() >= STEPS + 5;
            }
        };
        Path out = folder.resolve("out");
        assertThrows(CancellationException.class, () -> Trials.of(small, out).run(1, impatient));
        assertTrue(Files.exists(out.resolve("pre-ln/outcome.json")) && Files.exists(out.resolve("peri-ln/checkpoint-0000005")));
        Results again = Trials.of(small, out).run(1, Trials.NOBODY);
        IntStream.range(0, 2).forEach(i -> assertSame(whole.outcomes().get(i), again.outcomes().get(i)));
    }

    @Test
    void runsOfOneSeedBeginAlikeAndSeveralAtOnceGiveTheSame() throws IOException {
        Grid small = grid().with("lr", List.of("0.01")).with("strategy", List.of("pre-ln", "pre-rmsnorm-equivalent")).with("seed", List.of("1", "2"));
        Results one = Trials.of(small, folder.resolve("one")).run(1, Trials.NOBODY);
        Results two = Trials.of(small, folder.resolve("two")).run(2, Trials.NOBODY);
        IntStream.range(0, 4).forEach(i -> assertSame(one.outcomes().get(i), two.outcomes().get(i)));
        Path shared = folder.resolve("shared");
        Trials.of(small, shared).run(1, new Trials.Share(1, 2, 1), Trials.NOBODY);
        Trials leading = Trials.of(small, shared);
        assertEquals(2, leading.all().stream().filter(trial -> leading.before(trial).isPresent()).count());
        Trials both = Trials.of(small, shared);
        both.run(1, new Trials.Share(0, 2, 1), Trials.NOBODY);
        Results together = both.others(Trials.NOBODY, Trials.SILENCE);
        IntStream.range(0, 4).forEach(i -> assertSame(one.outcomes().get(i), together.outcomes().get(i)));
        Outcome plain = one.outcomes().get(0);
        Outcome equivalent = one.outcomes().get(2);
        // The same function from the same weights on the same data.
        assertEquals(plain.lines().getFirst().loss(), equivalent.lines().getFirst().loss(), 1e-4);
        assertNotEquals(plain.lines().getFirst().loss(), one.outcomes().get(1).lines().getFirst().loss(), 1e-3);
    }

    /** What others have not ended is waited for, until who watches asks for an end. */
    @Test
    void theLeadingProcessWaitsForOthers() throws IOException {
        Grid small = grid().with("lr", List.of("0.01")).with("strategy", List.of("pre-ln", "peri-ln")).with("seed", List.of("1"));
        int[] asked = new int[1];
        Trials leading = Trials.of(small, folder);
        leading.run(1, new Trials.Share(0, 2, 1), Trials.NOBODY);
        assertThrows(CancellationException.class, () -> leading.others(new Trials.Watcher() {
            @Override
            public boolean interrupts() {
                return ++asked[0] > 2;
            }
        }, Trials.SILENCE));
        assertEquals(3, asked[0]);
        assertEquals("other processes have written nothing for 0 minutes, and have not ended peri-ln; look at what they say, then give all of them the same command again,"
                + " which goes on", assertThrows(IOException.class, () -> leading.others(Trials.NOBODY, Duration.ofMillis(1))).getMessage());
        Path run = Files.createDirectories(leading.folder(leading.all().getLast()));
        int[] writing = new int[1];
        assertThrows(CancellationException.class, () -> leading.others(new Trials.Watcher() { // who writes is waited for
            @Override
            public boolean interrupts() {
                try {
                    Files.setLastModifiedTime(run, FileTime.fromMillis(++writing[0]));
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
                return writing[0] > 3;
            }
        }, Duration.ofMillis(900)));
        assertEquals(4, writing[0]);
    }

    @Test
    void aDamagedFolderOrOneOfAnotherGridIsSaidInOneLine() throws IOException {
        Grid small = grid().with("lr", List.of("0.01")).with("strategy", List.of("pre-ln")).with("seed", List.of("1"));
        Path run = folder.resolve("pre-ln");
        Trials.of(small, folder).run(1, Trials.NOBODY);
        Exception other = assertThrows(IllegalArgumentException.class, () -> Trials.of(small.with("lr", List.of("0.02")), folder));
        assertTrue(other.getMessage().contains(run + " is a run with lr 0.01, the grid has 0.02"), other.getMessage());
        Path config = run.resolve("config.yaml");
        String told = Files.readString(config);
        Exception more = assertThrows(IllegalArgumentException.class, () -> Trials.of(small.with("strategy.blocks.1", List.of("lns")), folder));
        assertTrue(more.getMessage().contains(run + " is a run with strategy.blocks.1 as it is, the grid has lns"), more.getMessage());
        Files.writeString(config, told + "strategy.blocks.1: lns\n");
        Exception less = assertThrows(IllegalArgumentException.class, () -> Trials.of(small, folder));
        assertTrue(less.getMessage().contains(run + " is a run with strategy.blocks.1 lns, the grid has as it is"), less.getMessage());
        Files.writeString(config, told);

        byte[] outcome = Files.readAllBytes(run.resolve("outcome.json"));
        Files.write(run.resolve("outcome.json"), Arrays.copyOf(outcome, outcome.length / 2));
        assertDamaged(small, run + "/outcome.json is not what was written; delete the folder " + run);
        Files.write(run.resolve("outcome.json"), outcome);
        byte[] metrics = Files.readAllBytes(run.resolve("metrics.jsonl"));
        Files.write(run.resolve("metrics.jsonl"), Arrays.copyOf(metrics, metrics.length / 2));
        assertDamaged(small, run + " is damaged: metrics.jsonl ends at another step");
        Files.write(run.resolve("metrics.jsonl"), metrics);
        assertEquals(Trainer.End.FINISHED, Trials.of(small, folder).run(1, Trials.NOBODY).outcomes().getFirst().end());
        Files.delete(run.resolve("config.yaml"));
        assertDamaged(small, run + " is damaged: " + run + "/config.yaml does not exist; delete it to run it again");
    }

    private void assertDamaged(Grid grid, String message) {
        Exception e = assertThrows(IOException.class, () -> Trials.of(grid, folder));
        assertTrue(e.getMessage().contains(message), e.getMessage());
        assertFalse(e.getMessage().contains("\n"));
    }
}
