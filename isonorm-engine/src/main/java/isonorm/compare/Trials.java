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
import java.time.Duration;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * Runs the trials of a grid, each as an ordinary run in a folder of its own. Those that have ended are kept, and one that was killed goes on
 * from its checkpoint, so the results are those of a grid that was left alone.
 */
public final class Trials {

    /** Tells nobody. */
    public static final Watcher NOBODY = new Watcher() {};

    /** How long between looks for what other processes have ended. */
    private static final long LOOK_MILLIS = 500;

    /** A process that has written nothing for so long is lost: a step, an evaluation or a survey of the depth that takes longer belongs to no grid. */
    public static final Duration SILENCE = Duration.ofHours(2);

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
        Configuration asked = Configuration.of(trial.run());
        Optional<String> key = there.difference(asked);
        if (key.isPresent()) {
            throw new IllegalArgumentException(run + " is a run with " + key.get() + " " + there.shown(key.get()) + ", the grid has " + asked.shown(key.get())
                    + "; take another folder, or delete it to run it again");
        }
    }

    /**
     * Which of the trials a process runs, of several that a launcher started on one folder.
     *
     * @param rank this process among them, from 0
     * @param ranks how many there are
     * @param local how many of them share this machine's processors
     */
    public record Share(int rank, int ranks, int local) {

        /** All of them. */
        public static final Share ALL = new Share(0, 1, 1);

        private boolean has(int number) {
            return number % ranks == rank;
        }
    }

    /**
     * Runs what has not ended, the lowest seed first.
     *
     * @param jobs how many at once; the processors are shared between them
     * @throws CancellationException if who watches asked for an end before all had ended; the same call goes on
     */
    public Results run(int jobs, Watcher watcher) throws IOException {
        run(jobs, Share.ALL, watcher);
        return results();
    }

    private Results results() {
        return new Results(grid, trials.stream().map(ended::get).toList());
    }

    /**
     * Waits until other processes have ended all trials that this one does not have. One that ends early leaves its trials to the same call made again.
     *
     * @param silence how long nothing may be written into a run that has not ended
     * @throws CancellationException if who watches asked for an end before
     * @throws IOException if nothing was written for that long, naming the runs
     */
    public Results others(Watcher watcher, Duration silence) throws IOException {
        long heard = System.nanoTime();
        long written = written();
        for (Trial trial : trials) {
            while (!ended.containsKey(trial)) {
                long now = written();
                heard = now == written ? heard : System.nanoTime();
                written = now;
                if (Outcome.isIn(folder(trial))) {
                    Outcome outcome = Outcome.read(folder(trial));
                    ended.put(trial, outcome);
                    watcher.ends(trial, outcome);
                } else if (watcher.interrupts()) {
                    throw interrupted();
                } else if (System.nanoTime() - heard > silence.toNanos()) {
                    throw new IOException("other processes have written nothing for " + silence.toMinutes() + " minutes, and have not ended " + missing()
                            + "; look at what they say, then give all of them the same command again, which goes on");
                } else {
                    sleep();
                }
            }
        }
        return results();
    }

    private List<Trial> unended() {
        return trials.stream().filter(trial -> !ended.containsKey(trial)).toList();
    }

    private String missing() {
        return unended().stream().map(Trial::folder).collect(Collectors.joining(", "));
    }

    /** When something was last written into a run that has not ended; 0 where none has begun. */
    private long written() throws IOException {
        long last = 0;
        for (Trial trial : unended()) {
            Path run = folder(trial);
            if (Files.isDirectory(run)) {
                try (Stream<Path> files = Files.list(run)) {
                    last = Stream.concat(Stream.of(run), files).mapToLong(file -> file.toFile().lastModified()).reduce(last, Math::max);
                }
            }
        }
        return last;
    }

    private static void sleep() {
        try {
            Thread.sleep(LOOK_MILLIS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw interrupted();
        }
    }

    /** The same with the part of the trials that is this process's. */
    public void run(int jobs, Share share, Watcher watcher) throws IOException {
        int threads = Math.max(1, Runtime.getRuntime().availableProcessors() / jobs / share.local);
        AtomicReference<Throwable> failure = new AtomicReference<>();
        try (ExecutorService workers = Executors.newFixedThreadPool(jobs)) {
            // One seed after the other, so that every contender is seen early.
            List<Trial> order = trials.stream().sorted(Comparator.comparingLong(Trial::seed)).toList();
            for (Trial trial : IntStream.range(0, order.size()).filter(share::has).mapToObj(order::get).toList()) {
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
            Outcome outcome = new Outcome(end, trainer.parameters(), trainer.lossOfFrequencies(), Metrics.read(run), Metrics.readBlocks(run), first.map(Outcome.Stream::of),
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
