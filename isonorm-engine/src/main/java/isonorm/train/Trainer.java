package isonorm.train;

import isonorm.backpropagation.Examples;
import isonorm.depth.Depth;
import isonorm.depth.DepthSurvey;
import isonorm.kernel.Type;
import isonorm.layer.Batch;
import isonorm.tensor.Compute;
import isonorm.tensor.ProcessMemory;
import isonorm.tensor.Team;
import isonorm.weights.Progress;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * A run: trains what a {@link Configuration} asks for, and leaves a folder with its configuration, metrics, checkpoints and the model.
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
        STOPPED
    }

    /** Follows a run. */
    public interface Watcher {
        /** Called once behind every window of steps. */
        default void metrics(Metrics.Line line) {}

        /** Something to be told. */
        default void note(String text) {}

        /** Called behind every step. */
        default void step(long done, long total) {}
    }

    static final Watcher NOBODY = new Watcher() {};

    /** What a run does at which steps, and when it ends. */
    private record Pace(int batch, int accumulate, long logEvery, long evalEvery, int evalBatches, long depthEvery, long checkpointEvery, int keep,
            double clip, double above, long patience, long seed, long scaleEvery) {

        static Pace of(Configuration configuration) {
            double infinity = Double.POSITIVE_INFINITY;
            return new Pace(configuration.number("batch", 1), configuration.number("accumulate", 1), configuration.whole("log.every", 1),
                    configuration.whole("eval.every", 0), configuration.number("eval.batches", 1), configuration.whole("depth.every", 0),
                    configuration.whole("checkpoint.every", 0), configuration.number("checkpoint.keep", 1), configuration.real("clip", 0, infinity),
                    configuration.real("stop.above", 0, infinity), configuration.whole("stop.patience", 0), configuration.whole("seed", 0),
                    configuration.whole("loss-scale.every", 1));
        }
    }

    private final Configuration configuration;
    private final Pace pace;
    private final Path out;
    private final TrainingData data;
    private final Recipe recipe;
    private final Team team;
    private final Learner learner;
    private final Checkpoints checkpoints;
    private final Watcher watcher;
    private final boolean scaled;
    private Checkpoints.Position position;
    /** Of the run's folder; none where nothing is written. */
    private Optional<RunLock> lock = Optional.empty();

    private Trainer(Configuration configuration, Watcher watcher) throws IOException {
        this.configuration = configuration;
        this.pace = Pace.of(configuration);
        this.watcher = watcher;
        this.out = configuration.path("out");
        this.data = Data.of(configuration);
        this.recipe = Recipe.of(configuration, data);
        int threads = configuration.number("threads", 0);
        this.team = Team.of(threads == 0 ? Runtime.getRuntime().availableProcessors() : threads);
        this.learner = new Learner(recipe.architecture(), recipe.strategy().running(), recipe.scales(), recipe.rule(), recipe.type(),
                recipe.compute(), team);
        learner.recompute(configuration.truth("recompute"));
        this.checkpoints = new Checkpoints(out, recipe, data.files());
        this.scaled = recipe.compute() == Type.F16;
        this.position = Checkpoints.Position.begin(
                scaled ? new LossScale(configuration.real("loss-scale", Double.MIN_NORMAL, Double.POSITIVE_INFINITY), 0) : LossScale.NONE);
    }

    /**
     * A new run.
     *
     * @throws IllegalArgumentException if the configuration makes no sense
     * @throws IOException if its folder is not empty, or data cannot be read
     */
    public static Trainer begin(Configuration configuration, Watcher watcher) throws IOException {
        if (!configuration.has("out")) {
            throw new IllegalArgumentException("out, the folder of the run, is missing");
        }
        Path out = configuration.path("out");
        requireFresh(out);
        Trainer trainer = new Trainer(configuration, watcher);
        boolean begun = false;
        try {
            trainer.recipe.begin(configuration, trainer.learner, trainer.team);
            trainer.lock = Optional.of(RunLock.of(out));
            requireFresh(out); // nobody else has begun meanwhile
            RunFiles.writeConfiguration(out, trainer.configuration);
            trainer.recipe.warnings().forEach(watcher::note);
            begun = true;
            return trainer;
        } finally {
            if (!begun) {
                trainer.close();
            }
        }
    }

    private static void requireFresh(Path out) throws IOException {
        if (!RunFiles.isFresh(out)) {
            throw new IOException(out + " exists already; take another folder, or go on with --resume " + out);
        }
    }

    /** Goes on with a run from its newest checkpoint that is whole, or from its begin. */
    public static Trainer resume(Path run, Watcher watcher) throws IOException {
        Configuration configuration = RunFiles.readConfiguration(run).with("out", run.toString());
        RunLock lock = RunLock.of(run);
        boolean resumed = false;
        try {
            Trainer trainer = resume(run, configuration, watcher);
            trainer.lock = Optional.of(lock);
            resumed = true;
            return trainer;
        } finally {
            if (!resumed) {
                lock.close();
            }
        }
    }

    private static Trainer resume(Path run, Configuration configuration, Watcher watcher) throws IOException {
        Checkpoints.clear(run);
        Trainer trainer = new Trainer(configuration, watcher);
        for (Path folder : Checkpoints.all(run)) {
            try {
                trainer.position = trainer.checkpoints.read(folder, trainer.learner);
                watcher.note("going on from " + folder);
                return trainer;
            } catch (IOException e) {
                watcher.note(folder + " is damaged and left out: " + e.getMessage());
            }
        }
        trainer.recipe.begin(configuration, trainer.learner, trainer.team);
        watcher.note("there is no whole checkpoint in " + run + ", so it begins again");
        return trainer;
    }

    /**
     * Refuses a configuration that makes no sense, as {@link #begin} does, and makes nothing.
     *
     * @throws IOException if data cannot be read
     */
    public static void check(Configuration configuration) throws IOException {
        Pace.of(configuration);
        Recipe.of(configuration, Data.of(configuration));
        configuration.number("threads", 0);
    }

    /** What {@link #depth} gives of a configuration's model before its first step. */
    public static Optional<Depth> depthBefore(Configuration configuration, Progress progress) throws IOException {
        try (Trainer trainer = new Trainer(configuration, NOBODY)) {
            trainer.recipe.begin(configuration, trainer.learner, trainer.team);
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
        return data.validation(pace.evalBatches, pace.batch);
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
        try (Metrics metrics = Metrics.open(out, position.step(), scaled)) {
            Window window = new Window();
            while (position.step() < steps) {
                long number = position.step() + 1;
                List<Examples> batches = new ArrayList<>();
                for (int i = 0; i < pace.accumulate; i++) {
                    batches.add(data.batch(position.examples() + (long) i * pace.batch, pace.batch));
                }
                boolean measured = pace.depthEvery > 0 && (number % pace.depthEvery == 0 || number == 1);
                double rate = recipe.schedule().rate(number);
                learner.watch(measured);
                Learner.Seen seen = learner.step(batches, rate, number - position.skipped(), pace.clip, pace.seed + number * 0x9e3779b97f4a7c15L,
                        position.scale());
                LossScale next = scaled ? position.scale().after(!seen.finite(), pace.scaleEvery) : position.scale();
                position = position.after(seen, (long) pace.batch * pace.accumulate, next);
                window.add(batches);
                watcher.step(number, steps);
                boolean broken = !Double.isFinite(seen.loss()) || !Double.isFinite(seen.gradientNorm()) && (!scaled || next.vanished());
                boolean diverged = broken || diverged();
                boolean evaluated = pace.evalEvery > 0 && !validation.isEmpty() && (number % pace.evalEvery == 0 || number == steps) && !diverged;
                Learner.Evaluation validated = evaluated ? learner.evaluate(validation) : Learner.Evaluation.NONE;
                if (evaluated) {
                    position = position.evaluated(validated.loss());
                }
                if (number % pace.logEvery == 0 || number == steps || evaluated || diverged) {
                    Metrics.Line line = window.line(position, rate, validated, steps);
                    position = position.said();
                    metrics.write(line);
                    watcher.metrics(line);
                    window = new Window();
                }
                if (measured) {
                    metrics.write(number, learner.blocks());
                }
                if (diverged) {
                    watcher.note(broken ? "step " + number + " gave a loss of " + seen.loss() + " and a gradient of norm " + seen.gradientNorm()
                            : "the mean loss rose to " + position.mean() + ", from " + position.calmest());
                    if (!broken) {
                        checkpoints.write(learner, position, pace.keep);
                    }
                    return End.DIVERGED;
                }
                boolean tired = pace.patience > 0 && position.sinceLowest() >= pace.patience;
                if (pace.checkpointEvery > 0 && number % pace.checkpointEvery == 0 || number == steps || tired) {
                    checkpoints.write(learner, position, pace.keep);
                    metrics.sync();
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
        return pace.above > 0 && position.mean() > position.calmest() + pace.above;
    }

    /** How fast some steps were. */
    private static final class Window {

        private final long began = System.nanoTime();
        private long tokens;
        private int steps;

        void add(List<Examples> batches) {
            tokens += batches.stream().mapToLong(Examples::targets).sum();
            steps++;
        }

        Metrics.Line line(Checkpoints.Position position, double rate, Learner.Evaluation validated, long total) {
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
