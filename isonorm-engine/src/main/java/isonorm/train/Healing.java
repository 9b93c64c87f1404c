package isonorm.train;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.checkpoint.OutputFolder;
import isonorm.convert.LoadedModel;
import isonorm.convert.Pruning;
import isonorm.data.TokenDataBuilder;
import isonorm.data.Vocabulary;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.verify.Likelihood;
import isonorm.verify.TokenizedText;
import isonorm.verify.Verification;
import isonorm.weights.Model;
import java.io.Closeable;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;

/**
 * Goes on training what was pruned, so that the blocks that stay make up for those that went.
 *
 * <p>Text that the source's tokenizer does not know, and a model that predicts no tokens, are refused.
 */
public final class Healing {

    /** A tenth of what training from nothing would begin with, and sequences that most texts fill. */
    public static final double RATE = 1e-4;

    private static final int BATCH = 8;

    private static final int SEQUENCE = 256;

    private static final ObjectMapper JSON = new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);

    private final Pruning pruning;
    private final Path text;
    private final long steps;
    private final BooleanSupplier interrupts;

    private Healing(Pruning pruning, Path text, long steps, BooleanSupplier interrupts) {
        this.pruning = pruning;
        this.text = text;
        this.steps = steps;
        this.interrupts = interrupts;
    }

    /**
     * What learns from a text for some steps; nothing is done yet.
     *
     * @param text a file in UTF-8, or a folder of tokens
     */
    public static Healing of(Pruning pruning, Path text, long steps) {
        Range.STEPS.require(steps);
        return new Healing(pruning, text, steps, () -> false);
    }

    /** The same that asks behind every step whether to end there, and then writes what it has until then. */
    public Healing interruptedBy(BooleanSupplier asked) {
        return new Healing(pruning, text, steps, asked);
    }

    /**
     * What was done.
     *
     * @param pruning what was done before the first step; files have changed since
     * @param steps how many were taken; fewer than were told where it was interrupted
     * @param likelihood of the tokens that were measured, behind the last step
     */
    public record Report(Pruning.Report pruning, long steps, Likelihood likelihood) {}

    /**
     * Prunes, trains and writes the checkpoint in float32: to a temporary folder that is renamed at the end, so nothing is left where it fails.
     *
     * @param measured what is predicted with the result
     * @throws IOException if the folder exists or cannot be written, if the pruning is not equal to its source without the blocks where that
     *     is verified, or if the loss diverges
     */
    public Report writeTo(Path folder, TokenizedText measured, Progress progress) throws IOException {
        try (OutputFolder output = OutputFolder.create(folder, false); Closeable _ = output.closedAtExit()) {
            Path work = output.path().resolve("heal");
            Path pruned = work.resolve("pruned");
            Pruning.Report report = pruning.writeTo(pruned, progress);
            Path run = work.resolve("run");
            Steps taken = new Steps(progress, interrupts);
            move(train(run, pruned, tokens(work.resolve("tokens"), progress), taken), output.path(), true);
            move(pruned, output.path(), false);
            Likelihood likelihood = Verification.likelihood(LoadedModel.open(output.path()).model(), measured, Compute.F32,
                    (_, done, total) -> progress.step("predicting healed", done, total));
            report(output.path().resolve("report.json"), taken.done, likelihood);
            delete(work);
            output.commit();
            return new Report(report, taken.done, likelihood);
        }
    }

    private Path tokens(Path folder, Progress progress) throws IOException {
        if (Files.isDirectory(text)) {
            return text;
        }
        try (Vocabulary vocabulary = Vocabulary.open(pruning.source().checkpoint().folder(), Optional.empty())) {
            TokenDataBuilder.of(List.of(text), vocabulary).writeTo(folder, progress);
        }
        return folder;
    }

    /** The folder with the model, and with more where training was interrupted. */
    private Path train(Path run, Path pruned, Path tokens, Steps watcher) throws IOException {
        TrainingRun told = TrainingRun.in(run).withCheckpoint(pruned).withData(tokens).withSteps(steps).withBatch(BATCH)
                .withSequence(Math.min(SEQUENCE, Model.of(pruning.result()).architecture().steadySequence())).withRate(RATE)
                .withEvaluation(0, 1).withDepthEvery(0).withCheckpoints(0, 1);
        try (Trainer trainer = Trainer.begin(told, watcher)) {
            return switch (trainer.run()) {
                case DIVERGED -> throw new IOException("healing diverged; the pruned model is too far from what it was, or the text too short");
                case INTERRUPTED -> RunCheckpoints.all(run).getFirst();
                case FINISHED, STOPPED -> run.resolve("model");
            };
        }
    }

    /** Moves files that the target has none of. */
    private static void move(Path from, Path into, boolean weights) throws IOException {
        try (Stream<Path> files = Files.list(from)) {
            for (Path file : files.filter(each -> weights || !each.getFileName().toString().matches("model.*\\.safetensors.*")).toList()) {
                Path target = into.resolve(file.getFileName());
                if (!Files.exists(target) && !file.getFileName().toString().startsWith("trainer.")) {
                    Files.move(file, target);
                }
            }
        }
    }

    private static void report(Path file, long steps, Likelihood likelihood) throws IOException {
        ObjectNode json = (ObjectNode) JSON.readTree(file.toFile());
        json.remove("result_files"); // they were healed since
        json.put("healed_steps", steps);
        if (Double.isFinite(likelihood.perplexity())) {
            json.put("perplexity_healed", likelihood.perplexity());
        }
        json.put("predicted_tokens", likelihood.predicted());
        OutputFolder.write(file, JSON.writeValueAsBytes(json));
    }

    private static void delete(Path folder) throws IOException {
        try (Stream<Path> all = Files.walk(folder)) {
            for (Path each : all.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(each);
            }
        }
    }

    /** Shows steps, and nothing else of a run. */
    private static final class Steps implements Trainer.Watcher {

        private final Progress progress;
        private final BooleanSupplier interrupts;
        private long done;

        private Steps(Progress progress, BooleanSupplier interrupts) {
            this.progress = progress;
            this.interrupts = interrupts;
        }

        @Override
        public void step(long number, long total) {
            done = number;
            progress.step("healing", number, total);
        }

        @Override
        public boolean interrupts() {
            return interrupts.getAsBoolean();
        }
    }
}
