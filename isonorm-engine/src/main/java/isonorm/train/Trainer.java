package isonorm.train;

import isonorm.backpropagation.Examples;
import isonorm.backpropagation.Network;
import isonorm.data.RunLock;
import isonorm.depth.Depth;
import isonorm.depth.DepthSurvey;
import isonorm.kernel.Type;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.tensor.ProcessMemory;
import isonorm.tensor.Team;
import isonorm.words.SystemFault;
import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * A run: trains what a {@link TrainingRun} says, and leaves a folder with its configuration as text, metrics, checkpoints and the model.
 *
 * <p>What a run does follows from its configuration alone, so one that was killed goes on from its last checkpoint as if it never had
 * been: the same weights, byte for byte, on the same machine with the same number of threads.
 */
public final class Trainer implements AutoCloseable {

    /** How a run ends. */
    public enum End {
        /** All steps were taken. */
        FINISHED,
        /** The loss was no number or rose far above what it had been. */
        DIVERGED,
        /** Evaluations had not become better for long. */
        STOPPED,
        /** Who watches asked for an end; a checkpoint was written, from which the run goes on. */
        INTERRUPTED
    }

    /** Follows a run. */
    public interface Watcher {
        /** Called once behind every window of steps. */
        default void metrics(Metrics.Line line) {}

        /** Something to be told. */
        default void note(String text) {}

        /** Called behind every step. */
        default void step(long done, long total) {}

        /** Asked behind every step: whether the run is to end here, with a checkpoint from which it goes on as if it never had. */
        default boolean interrupts() {
            return false;
        }
    }

    static final Watcher NOBODY = new Watcher() {};

    /** No rank. */
    private static final int NONE = -1;

    /** A rank that works so many times as long as half of the others do is named. */
    private static final double SLOW = 1.5;

    /** If it was in so many windows one behind the other: in one, the system may have given its processor away. */
    private static final int SLOW_WINDOWS = 5;

    private final TrainingRun told;
    private final TrainingRun.Reading reading;
    private final TrainingRun.Watching watching;
    private final Path out;
    private final TrainingData data;
    private final Recipe recipe;
    private final Team team;
    private final Learner learner;
    private final RunCheckpoints checkpoints;
    private final Watcher watcher;
    private final boolean scaled;
    private final Ranks ranks;
    private RunCheckpoints.Position position;
    /** Of the run's folder; none where nothing is written. */
    private Optional<RunLock> lock = Optional.empty();
    private int slow = NONE;
    private int slowFor;
    /** Of this rank; none of one that is alone. */
    private Optional<RankLog> log = Optional.empty();

    private Trainer(TrainingRun told, Watcher watcher, Ranks ranks) throws IOException {
        ProcessGroup group = ranks.group();
        this.told = told;
        this.ranks = ranks;
        this.reading = told.reading();
        this.watching = told.watching();
        this.watcher = watcher;
        this.out = told.folder().orElse(Path.of(""));
        this.data = DataOfRun.of(told);
        this.recipe = Recipe.of(told, data, group.size());
        this.team = Team.of(told.threads() == 0 ? Math.max(1, Runtime.getRuntime().availableProcessors() / group.local()) : told.threads());
        this.learner = new Learner(recipe.architecture(), recipe.strategy().running(), recipe.scales(), recipe.rule(), recipe.treatment(), recipe.type(),
                recipe.compute(), team, group);
        learner.recompute(told.learning().recompute());
        this.checkpoints = new RunCheckpoints(out, recipe, data.files(), ranks);
        this.scaled = recipe.compute() == Type.F16;
        this.position = RunCheckpoints.Position.begin(
                scaled ? new LossScale(told.learning().lossScale(), 0) : LossScale.NONE);
    }

    /** Whether a folder is missing, or has nothing but what a run that was killed at its very begin left. */
    public static boolean isFresh(Path run) throws IOException {
        return RunFiles.isFresh(run);
    }

    /**
     * A new run.
     *
     * @throws IllegalArgumentException if what is told makes no sense together
     * @throws IOException if its folder is not empty, or data cannot be read
     */
    public static Trainer begin(TrainingRun told, Watcher watcher) throws IOException {
        return begin(told, watcher, new Ranks(ProcessGroup.alone()));
    }

    private static Path folder(TrainingRun told) {
        return told.folder().orElseThrow(() -> new IllegalArgumentException("out, the folder of the run, is missing"));
    }

    private static Trainer begin(TrainingRun told, Watcher watcher, Ranks ranks) throws IOException {
        Path out = folder(told);
        ranks.leading(() -> requireFresh(out));
        Trainer trainer = ranks.together(() -> new Trainer(told, watcher, ranks));
        boolean begun = false;
        try {
            ranks.all(() -> {
                trainer.requireEvaluation();
                trainer.recipe.begin(told, trainer.learner, trainer.team);
            });
            ranks.leading(() -> {
                trainer.lock = Optional.of(lock(out, ranks));
                requireFresh(out); // nobody else has begun meanwhile
                RunFiles.writeConfiguration(out, Configuration.of(told));
            });
            trainer.recipe.warnings().forEach(watcher::note);
            trainer.data.notes().forEach(watcher::note);
            begun = true;
            return trainer;
        } finally {
            if (!begun) {
                trainer.close();
            }
        }
    }

    /** Machines may share the folder by a file system that has no locks. */
    private static RunLock lock(Path folder, Ranks ranks) throws IOException {
        return ranks.alone() ? RunLock.of(folder) : RunLock.ofShared(folder);
    }

    private void requireEvaluation() {
        if (watching.evaluationEvery() > 0 && data.validation(1, 1).isEmpty()) {
            throw unevaluated(data, ", or evaluate nothing with eval.every=0");
        }
    }

    private static IllegalArgumentException unevaluated(TrainingData data, String otherwise) {
        return new IllegalArgumentException("nothing could be evaluated: " + data.heldOut() + otherwise);
    }

    private static void requireFresh(Path out) throws IOException {
        if (!RunFiles.isFresh(out)) {
            throw new IOException(out + " exists already; take another folder, or go on with --resume " + out);
        }
    }

    /** Goes on with a run from its newest checkpoint that is whole, or from its begin. */
    public static Trainer resume(Path run, Watcher watcher) throws IOException {
        return resume(Configuration.ofRun(run).run().withFolder(run), watcher, new Ranks(ProcessGroup.alone()));
    }

    private static Trainer resume(TrainingRun told, Watcher watcher, Ranks ranks) throws IOException {
        Path run = folder(told);
        Optional<RunLock> lock = ranks.together(() -> ranks.leads() ? Optional.of(lock(run, ranks)) : Optional.empty());
        boolean resumed = false;
        try {
            ranks.leading(() -> RunCheckpoints.clear(run));
            Trainer trainer = ranks.together(() -> new Trainer(told, watcher, ranks));
            try {
                trainer.restore(run);
                trainer.lock = lock;
                resumed = true;
                return trainer;
            } finally {
                if (!resumed) {
                    trainer.close();
                }
            }
        } finally {
            if (!resumed) {
                lock.ifPresent(RunLock::close);
            }
        }
    }

    private void restore(Path run) throws IOException {
        for (Path folder : newestFirst(run)) {
            try {
                position = checkpoints.read(folder, learner);
                watcher.note("going on from " + folder);
                return;
            } catch (IOException e) {
                if (ranks.any(e instanceof AccessDeniedException)) {
                    throw e; // nothing is known to be damaged
                }
                ranks.leading(() -> watcher.note(folder + " is damaged and left out: " + SystemFault.named(e) + "; it is "
                        + RunCheckpoints.putAside(folder).getFileName() + " now"));
            }
        }
        recipe.begin(told, learner, team);
        watcher.note("there is no whole checkpoint in " + run + ", so it begins again");
    }

    /** The checkpoints of a run as the leading rank sees them. */
    private List<Path> newestFirst(Path run) throws IOException {
        if (ranks.alone()) {
            return RunCheckpoints.all(run);
        }
        List<Path> there = ranks.together(() -> ranks.leads() ? RunCheckpoints.all(run) : List.of());
        return ranks.ofFirst(String.join("\n", there.stream().map(folder -> String.valueOf(folder.getFileName())).toList()))
                .lines().map(run::resolve).toList();
    }

    /**
     * What every rank of a group calls with the same run. Begins where its folder is missing or empty, and goes on where it has a run of the same
     * configuration: a launcher repeats its command after a failure. What one rank fails at ends all of them.
     *
     * @throws IllegalArgumentException naming the key in which ranks differ, or what is told and what the folder has
     * @throws IOException naming the rank that failed and why, or that was lost
     */
    public static Trainer join(TrainingRun told, Watcher watcher, ProcessGroup group) throws IOException {
        Path out = folder(told);
        Ranks ranks = new Ranks(group);
        Optional<RankLog> log = ranks.alone() ? Optional.empty() : Optional.of(RankLog.begin(out, group));
        return Agreement.logged(log, ranks, told.timeout(), () -> {
            Agreement.requireSame(told, ranks);
            Watcher watching = log.isEmpty() ? watcher : new Logged(watcher, log.get());
            String fresh = ranks.ofFirst(ranks.together(() -> ranks.leads() && isFresh(out) ? "fresh" : "begun"));
            if (!fresh.equals("fresh")) {
                ranks.leading(() -> Agreement.requireSame(told, Configuration.ofRun(out).run()));
            }
            Trainer trainer = fresh.equals("fresh") ? begin(told, watching, ranks) : resume(told, watching, ranks);
            trainer.log = log;
            boolean joined = false;
            try {
                Agreement.requireSameData(trainer.data, ranks);
                joined = true;
                return trainer;
            } finally {
                if (!joined) {
                    trainer.close();
                }
            }
        });
    }

    /** Writes notes into the log of a rank too. */
    private record Logged(Watcher watcher, RankLog log) implements Watcher {
        @Override
        public void metrics(Metrics.Line line) {
            watcher.metrics(line);
        }

        @Override
        public void note(String text) {
            log.note(text);
            watcher.note(text);
        }

        @Override
        public void step(long done, long total) {
            watcher.step(done, total);
        }

        @Override
        public boolean interrupts() {
            return watcher.interrupts();
        }
    }

    /**
     * Refuses what makes no sense together, as {@link #begin} does, and data of which nothing can be evaluated; makes nothing.
     *
     * @throws IOException if data cannot be read
     */
    public static void check(TrainingRun told) throws IOException {
        TrainingData data = DataOfRun.of(told);
        Recipe.of(told, data);
        if (data.validation(1, 1).isEmpty()) {
            throw unevaluated(data, "");
        }
    }

    /** What {@link #depth} gives of a run's model before its first step. */
    public static Optional<Depth> depthBefore(TrainingRun told, Progress progress) throws IOException {
        try (Trainer trainer = new Trainer(told, NOBODY, new Ranks(ProcessGroup.alone()))) {
            trainer.recipe.begin(told, trainer.learner, trainer.team);
            return trainer.depth(progress);
        }
    }

    /** How the model, as it is now, uses its depth on the text of an evaluation. Nothing where there is none, or where it reads images. */
    public Optional<Depth> depth(Progress progress) throws IOException {
        List<Batch.Tokens> batches = new ArrayList<>();
        long tokens = 0;
        for (Examples examples : validation()) {
            if (examples instanceof Examples.Tokens words) {
                batches.add(words.batch());
                tokens += (long) words.count() * words.length();
            }
        }
        if (batches.isEmpty()) {
            return Optional.empty();
        }
        try (DepthSurvey survey = DepthSurvey.of(checkpoints.model(learner), Compute.F32, team.size())) {
            return Optional.of(survey.measure(batches.iterator(), tokens, progress));
        }
    }

    /**
     * The loss of the best guess that looks at nothing, which is to expect every target as often as it comes, on the examples of an evaluation:
     * a model that is no better has learned how frequent targets are, and nothing more. NaN where nothing is evaluated.
     */
    public double lossOfFrequencies() throws IOException {
        long[] counts = new long[data.vocabulary()];
        long all = 0;
        for (Examples examples : validation()) {
            int[] targets = switch (examples) {
                case Examples.Tokens words -> Arrays.stream(words.following()).flatMapToInt(Arrays::stream).filter(target -> target >= 0).toArray();
                case Examples.Images images -> images.labels();
            };
            for (int target : targets) {
                counts[target]++;
            }
            all += targets.length;
        }
        double total = all;
        return all == 0 ? Double.NaN : Arrays.stream(counts).filter(count -> count > 0).mapToDouble(count -> -count / total * Math.log(count / total)).sum();
    }

    private List<Examples> validation() {
        return data.validation(watching.evaluationBatches(), reading.batch());
    }

    /** How many values are trained. */
    public long parameters() {
        return learner.architecture().parameterCount();
    }

    /**
     * Runs to the end.
     *
     * @throws IOException if a disk is full, for instance; the checkpoints there are stay whole
     */
    public End run() throws IOException {
        if (log.isPresent()) {
            return Agreement.logged(log, ranks, told.timeout(), this::steps);
        }
        try {
            return steps();
        } catch (IOException e) {
            throw new IOException(e.getMessage() + "; when that is mended, go on with --resume " + out, e);
        }
    }

    private End steps() throws IOException {
        long steps = recipe.schedule().steps();
        List<Examples> validation = validation();
        if (diverged()) { // already when it was killed
            return End.DIVERGED;
        }
        Optional<Metrics> opened = ranks.together(() -> ranks.leads() ? Optional.of(Metrics.open(out, position.step(), scaled)) : Optional.empty());
        try (@Nullable Metrics metrics = opened.orElse(null)) {
            Window window = new Window();
            while (position.step() < steps) {
                long number = position.step() + 1;
                List<Examples> batches = new ArrayList<>();
                for (int i = 0; i < reading.accumulate(); i++) {
                    batches.add(data.batch(position.examples() + (long) i * reading.batch(), reading.batch(), ranks.group().rank(), ranks.group().size()));
                }
                long begun = System.nanoTime();
                learner.parallel().waited();
                boolean measured = watching.depthEvery() > 0 && (number % watching.depthEvery() == 0 || number == 1);
                double rate = recipe.schedule().rate(number);
                learner.watch(measured);
                Learner.Seen seen = learner.step(batches, rate, number - position.skipped(), told.learning().clip(),
                        Network.chances(told.seed(), number), position.scale());
                LossScale next = scaled ? position.scale().after(!seen.finite(), told.learning().lossScaleEvery()) : position.scale();
                position = position.after(seen, (long) reading.batch() * reading.accumulate(), next);
                window.add(seen.targets(), System.nanoTime() - begun - learner.parallel().waited());
                watcher.step(number, steps);
                boolean broken = !Double.isFinite(seen.loss()) || !Double.isFinite(seen.gradientNorm()) && (!scaled || next.vanished());
                boolean diverged = broken || diverged();
                boolean evaluated = watching.evaluationEvery() > 0 && !validation.isEmpty() && !diverged
                        && (number % watching.evaluationEvery() == 0 || number == steps);
                Learner.Evaluation validated = evaluated ? learner.evaluate(validation) : Learner.Evaluation.NONE;
                if (evaluated) {
                    position = position.evaluated(validated.loss());
                }
                if (number % watching.logEvery() == 0 || number == steps || evaluated || diverged) {
                    Metrics.Line line = window.line(position, rate, validated, steps);
                    position = position.said();
                    double[] worked = window.worked();
                    if (metrics != null) {
                        metrics.write(line, worked);
                    }
                    watcher.metrics(line);
                    tellSlow(worked);
                    window = new Window();
                }
                if (measured) {
                    List<Metrics.BlockLine> blocks = learner.blocks();
                    if (metrics != null) {
                        metrics.write(number, blocks);
                    }
                }
                if (diverged) {
                    watcher.note(broken ? "step " + number + " gave a loss of " + seen.loss() + " and a gradient of norm " + seen.gradientNorm()
                            : "the mean loss rose to " + position.mean() + ", from " + position.calmest());
                    if (!broken) {
                        checkpoints.write(learner, position, watching.checkpointsKept());
                    }
                    return End.DIVERGED;
                }
                boolean tired = watching.patience() > 0 && position.sinceLowest() >= watching.patience();
                boolean interrupted = number < steps && !tired && ranks.any(watcher.interrupts());
                if (watching.checkpointEvery() > 0 && number % watching.checkpointEvery() == 0 || number == steps || tired || interrupted) {
                    checkpoints.write(learner, position, watching.checkpointsKept());
                    if (metrics != null) {
                        metrics.sync();
                    }
                }
                if (interrupted) {
                    return End.INTERRUPTED;
                }
                if (tired) {
                    break;
                }
            }
            checkpoints.writeModel(learner);
            return position.step() < steps ? End.STOPPED : End.FINISHED;
        }
    }

    private boolean diverged() {
        return watching.stopAbove() > 0 && position.mean() > position.calmest() + watching.stopAbove();
    }

    /** Names the rank for which the others wait, once it has been the slowest for some windows. */
    private void tellSlow(double[] worked) {
        double[] sorted = worked.clone();
        Arrays.sort(sorted);
        int slowest = NONE;
        for (int rank = 0; rank < worked.length; rank++) {
            slowest = worked[rank] == sorted[sorted.length - 1] && worked[rank] > SLOW * sorted[(sorted.length - 1) / 2] ? rank : slowest;
        }
        slowFor = slowest != NONE && slowest == slow ? slowFor + 1 : 1;
        slow = slowest;
        if (slowest != NONE && slowFor == SLOW_WINDOWS && ranks.leads()) {
            watcher.note(String.format(Locale.ROOT, "%s is slow: it works %.3f s a step, others %.3f", RankLog.named(ranks.group(), slowest), worked[slowest],
                    sorted[(sorted.length - 1) / 2]));
        }
    }

    /** How fast some steps were. */
    private final class Window {

        private final long began = System.nanoTime();
        private long tokens;
        private long nanos;
        private int steps;

        /**
         * @param worked nanoseconds that this rank did not wait for others
         */
        void add(long targets, long worked) {
            tokens += targets;
            nanos += worked;
            steps++;
        }

        /** The seconds a step that each rank of a group worked; none of one that is alone. */
        double[] worked() {
            double[][] all = ranks.alone() ? new double[0][] : ranks.group().allGather(ProcessGroup.Patience.STEP, nanos / 1e9 / steps);
            return Arrays.stream(all).mapToDouble(each -> each[0]).toArray();
        }

        Metrics.Line line(RunCheckpoints.Position position, double rate, Learner.Evaluation validated, long total) {
            double seconds = (System.nanoTime() - began) / 1e9;
            return new Metrics.Line(position.step(), position.unsaid() / position.unsaidSteps(), position.unsaidNorm(), rate,
                    validated.loss(), validated.accuracy(), tokens / seconds, memory(), seconds, seconds / steps * (total - position.step()),
                    position.scale().factor(), position.skipped());
        }
    }

    private static long memory() {
        try {
            return ProcessMemory.resident().orElse(0);
        } catch (IOException e) {
            return 0; // a number for people to read
        }
    }

    @Override
    public void close() {
        learner.close();
        team.close();
        lock.ifPresent(RunLock::close);
    }
}
