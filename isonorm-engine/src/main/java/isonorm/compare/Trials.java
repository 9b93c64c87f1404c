package isonorm.compare;

import isonorm.depth.Depth;
import isonorm.model.Progress;
import isonorm.train.Configuration;
import isonorm.train.Metrics;
import isonorm.train.Trainer;
import isonorm.train.TrainingRun;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CancellationException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicReference;

/**
 * Runs the trials of a grid, each as an ordinary run in a folder of its own. Those that have ended are kept, and one that was killed goes on
 * from its checkpoint, so the results are those of a grid that was left alone.
 */
public final class Trials {

    /** Keys that may differ between what a folder holds and what the grid asks for. */
    private static final Set<String> FREE = Set.of("out", "threads");

    /** Tells nobody. */
    public static final Watcher NOBODY = new Watcher() {};

    /** Follows the runs; called by several threads at once where several run at once. */
    public interface Watcher {
        /** A run begins, or goes on. */
        default void begins(Trial trial) {}

        /** Behind every step. */
        default void step(Trial trial, long done, long total) {}

        /** Behind every window of steps. */
        default void metrics(Trial trial, Metrics.Line line) {}

        /** Asked before every run and behind every step: whether all runs are to end, each with a checkpoint from which it goes on. */
        default boolean interrupts() {
            return false;
        }

        /** Something to be told of a run. */
        default void note(Trial trial, String text) {}

        /** A run has ended, or has been there already, ended. */
        default void ends(Trial trial, Outcome outcome) {}
    }

    private final Grid grid;
    private final Path out;
    private final List<Trial> trials;
    private final Map<Trial, Outcome> ended = new HashMap<>();

    private Trials(Grid grid, Path out) {
        this.grid = grid;
        this.out = out;
        this.trials = grid.trials();
    }

    /**
     * The trials of a grid in a folder, which may have some of them from before.
     *
     * @throws IllegalArgumentException if a configuration makes no sense, or a folder has a run of another one
     * @throws IOException if data cannot be read, or a run's folder is damaged
     */
    public static Trials of(Grid grid, Path out) throws IOException {
        grid.check();
        Trials trials = new Trials(grid, out);
        for (Trial trial : trials.trials) {
            Path run = trials.folder(trial);
            if (!fresh(run)) {
                requireSame(trial, run);
                if (Outcome.isIn(run)) {
                    trials.ended.put(trial, Outcome.read(run));
                }
            }
        }
        return trials;
    }

    /** All of them, in the grid's order. */
    public List<Trial> all() {
        return trials;
    }

    /** What a trial gave that has ended before. */
    public Optional<Outcome> before(Trial trial) {
        return Optional.ofNullable(ended.get(trial));
    }

    /** Where a trial runs. */
    public Path folder(Trial trial) {
        return out.resolve(trial.folder());
    }

    private static boolean fresh(Path run) throws IOException {
        if (Files.exists(run) && !Files.isDirectory(run)) {
            throw new IOException(run + " is in the way: a run is a folder; take another folder for the grid");
        }
        return Trainer.isFresh(run);
    }

    private static void requireSame(Trial trial, Path run) throws IOException {
        Configuration there;
        try {
            there = Configuration.of(Configuration.ofRun(run).run());
        } catch (IOException | IllegalArgumentException e) {
            throw new IOException(run + " is damaged: " + e.getMessage() + "; delete it to run it again", e);
        }
        Map<String, String> asked = Configuration.of(trial.run()).values();
        Set<String> keys = new LinkedHashSet<>(asked.keySet());
        keys.addAll(there.values().keySet()); // blocks are named by one of them alone
        for (String key : keys) {
            String value = asked.getOrDefault(key, "");
            String other = there.values().getOrDefault(key, "");
            if (!FREE.contains(key) && !value.equals(other)) {
                throw new IllegalArgumentException(run + " is a run with " + key + " " + shown(other) + ", the grid has " + shown(value)
                        + "; take another folder, or delete it to run it again");
            }
        }
    }

    private static String shown(String value) {
        return value.isEmpty() ? "as it is" : value;
    }

    /**
     * Runs what has not ended, the lowest seed first.
     *
     * @param jobs how many at once; the processors are shared between them
     * @throws CancellationException if who watches asked for an end before all had ended; the same call goes on
     */
    public Results run(int jobs, Watcher watcher) throws IOException {
        int threads = Math.max(1, Runtime.getRuntime().availableProcessors() / jobs);
        AtomicReference<Throwable> failure = new AtomicReference<>();
        try (ExecutorService workers = Executors.newFixedThreadPool(jobs)) {
            // One seed after the other, so that every contender is seen early.
            for (Trial trial : trials.stream().sorted(Comparator.comparingLong(Trial::seed)).toList()) {
                workers.execute(() -> {
                    if (failure.get() == null) {
                        try {
                            if (watcher.interrupts()) {
                                throw interrupted();
                            }
                            ended(trial, threads, watcher, failure);
                        } catch (Throwable e) {
                            failure.compareAndSet(null, e);
                        }
                    }
                });
            }
        }
        switch (failure.get()) {
            case null -> {}
            case IOException e -> throw e;
            case RuntimeException e -> throw e;
            case Error e -> throw e;
            case Throwable e -> throw new IllegalStateException(e);
        }
        return new Results(grid, trials.stream().map(ended::get).toList());
    }

    private static CancellationException interrupted() {
        return new CancellationException("a grid was interrupted, and the same call goes on with it");
    }

    private void ended(Trial trial, int threads, Watcher watcher, AtomicReference<Throwable> failure) throws IOException {
        Optional<Outcome> before;
        synchronized (ended) {
            before = before(trial);
        }
        if (before.isEmpty()) {
            watcher.begins(trial);
        }
        Outcome outcome = before.isPresent() ? before.get() : outcome(trial, threads, watching(trial, watcher, failure));
        synchronized (ended) {
            ended.put(trial, outcome);
        }
        watcher.ends(trial, outcome);
    }

    private Outcome outcome(Trial trial, int threads, Trainer.Watcher watcher) throws IOException {
        Path run = folder(trial);
        TrainingRun told = trial.run().withFolder(run);
        if (told.threads() == 0) {
            told = told.withThreads(threads);
        }
        Files.createDirectories(out);
        Optional<Depth> first = Trainer.depthBefore(told, Progress.NONE);
        try (Trainer trainer = fresh(run) ? Trainer.begin(told, watcher) : Trainer.resume(run, watcher)) {
            Trainer.End end = trainer.run();
            if (end == Trainer.End.INTERRUPTED) {
                throw interrupted();
            }
            Outcome outcome = new Outcome(end, trainer.parameters(), trainer.lossOfFrequencies(), Metrics.read(run), first.map(Outcome.Stream::of),
                    trainer.depth(Progress.NONE).map(Outcome.Stream::of));
            outcome.write(run);
            return outcome;
        }
    }

    /** A run stops behind its step when another one has failed. */
    private static Trainer.Watcher watching(Trial trial, Watcher watcher, AtomicReference<Throwable> failure) {
        return new Trainer.Watcher() {
            @Override
            public void metrics(Metrics.Line line) {
                watcher.metrics(trial, line);
            }

            @Override
            public void note(String text) {
                watcher.note(trial, text);
            }

            @Override
            public void step(long done, long total) {
                watcher.step(trial, done, total);
                if (failure.get() != null && !watcher.interrupts()) {
                    throw new CancellationException();
                }
            }

            @Override
            public boolean interrupts() {
                return watcher.interrupts();
            }
        };
    }
}
