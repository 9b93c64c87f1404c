package isonorm.cli.commands;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Architecture;
import isonorm.checkpoint.OutputFolder;
import isonorm.cli.terminal.Json;
import isonorm.cli.terminal.ProgressBar;
import isonorm.convert.Pruning;
import isonorm.data.TokenDataBuilder;
import isonorm.data.Vocabulary;
import isonorm.depth.Depth;
import isonorm.depth.DepthSurvey;
import isonorm.depth.SampleText;
import isonorm.family.LoadedModel;
import isonorm.tensor.Compute;
import isonorm.train.Trainer;
import isonorm.train.TrainingRun;
import isonorm.verify.Likelihood;
import isonorm.verify.TokenizedText;
import isonorm.verify.Verification;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;

/**
 * Prunes a checkpoint: chooses blocks, measures before and after, heals. Apart from the command, so that listing commands loads nothing of
 * the engine.
 */
record Pruner(Optional<Path> text, long tokens, Optional<Integer> heal) {

    static final List<String> MEASURES = List.of("angular", "influence", "sensitivity");

    /** What healing trains with: a tenth of what training from nothing would begin with, and sequences that most texts fill. */
    private static final double RATE = 1e-4;

    private static final int BATCH = 8;

    private static final int SEQUENCE = 256;

    private static final ObjectMapper JSON = new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);

    /** What perplexities are of, or why there are none. */
    private record Measure(Optional<TokenizedText> words, String lacking) {}

    /**
     * @param named the blocks that go; where there are none, so many as {@code count} are chosen
     * @return what was done
     */
    ObjectNode prune(String checkpoint, Path out, Optional<Set<Integer>> named, int count, String by, Runnable announcement, ProgressBar progress)
            throws IOException {
        LoadedModel source = Checkpoints.open(checkpoint);
        Architecture architecture = source.model().architecture();
        if (named.isEmpty() && count >= architecture.blocks().size()) {
            throw new IllegalArgumentException("no block would be left; this model has " + architecture.blocks().size());
        }
        Optional<Pruning> known = named.isPresent() ? Optional.of(Pruning.of(source, named.get())) : Optional.empty();
        Measure measure = measure(source, named.isEmpty());
        announcement.run();
        Pruning pruning = (known.isPresent() ? known.get() : Pruning.of(source, chosen(source.model(), measure.words.orElseThrow(), count, by, progress)))
                .verifiedBy(Verification.verifier());
        ObjectNode result = JSON.createObjectNode();
        if (measure.words.isPresent()) {
            TokenizedText words = measure.words.get();
            Json.put(result, "perplexity_before", likelihood(source.model(), words, "before", progress).perplexity());
            Likelihood after = likelihood(pruning.result(), words, "after", progress);
            Json.put(result, "perplexity_after", after.perplexity());
            result.put("predicted_tokens", after.predicted());
            result.put("text", text.map(Path::toString).orElse(SampleText.NAME));
        } else {
            result.put("not_measured", measure.lacking);
        }
        if (named.isEmpty()) {
            result.put("chosen_by", by);
        }
        ObjectNode report = heal.isPresent() ? healed(pruning, out, measure, result, progress) : written(pruning, out, progress);
        report.setAll(result);
        return report.put("output", out.toString());
    }

    /** The text, if the model predicts texts; what was asked for is refused without. */
    private Measure measure(LoadedModel source, boolean needed) throws IOException {
        Architecture architecture = source.model().architecture();
        Path tokenizer = source.checkpoint().folder().resolve("tokenizer.json");
        boolean asked = needed || text.isPresent() || heal.isPresent();
        try {
            DepthSurvey.require(architecture);
            int window = (int) Math.min(Math.min(Depths.LONGEST, tokens), Depths.room(architecture));
            Verification.requirePrediction(architecture, window);
            if (!asked && !Files.exists(tokenizer)) {
                return new Measure(Optional.empty(), tokenizer + " does not exist");
            }
            return new Measure(Optional.of(SampleText.read(tokenizer, text, window, tokens)), "");
        } catch (IllegalArgumentException e) {
            if (asked) {
                throw e;
            }
            return new Measure(Optional.empty(), e.getMessage());
        }
    }

    private static Collection<Integer> chosen(Model model, TokenizedText words, int count, String by, ProgressBar progress) throws IOException {
        try (DepthSurvey survey = DepthSurvey.of(model, Compute.F32)) {
            if (by.equals("sensitivity")) {
                return survey.sensitivity(words, List.of(count), progress).cheapest(count);
            }
            Depth depth = survey.measure(words, progress);
            return by.equals("influence") ? depth.leastInfluence(count) : depth.closest(count);
        }
    }

    private static Likelihood likelihood(Model model, TokenizedText words, String when, ProgressBar progress) throws IOException {
        return Verification.likelihood(model, words, Compute.F32, (_, done, total) -> progress.step("predicting " + when, done, total));
    }

    /** Writes what was pruned and gives its report.json. */
    private static ObjectNode written(Pruning pruning, Path folder, ProgressBar progress) throws IOException {
        pruning.writeTo(folder, progress);
        return (ObjectNode) JSON.readTree(folder.resolve("report.json").toFile());
    }

    /** All is done in the temporary folder that becomes the result, so that nothing is left where it fails. */
    private ObjectNode healed(Pruning pruning, Path out, Measure measure, ObjectNode result, ProgressBar progress) throws IOException {
        Path source = pruning.source().checkpoint().folder();
        try (OutputFolder output = OutputFolder.create(out, false); OutputFolder.Promise _ = output.closedAtExit()) {
            Path work = output.path().resolve("heal");
            ObjectNode report = written(pruning, work.resolve("pruned"), progress);
            Path data = text.orElseThrow();
            if (!Files.isDirectory(data)) {
                try (Vocabulary vocabulary = Vocabulary.open(source, Optional.empty())) {
                    TokenDataBuilder.of(List.of(data), vocabulary).writeTo(work.resolve("tokens"), progress);
                }
                data = work.resolve("tokens");
            }
            TrainingRun run = TrainingRun.in(work.resolve("run")).withCheckpoint(work.resolve("pruned")).withData(data).withSteps(heal.orElseThrow())
                    .withBatch(BATCH).withSequence(Math.min(SEQUENCE, Depths.room(pruning.result().architecture()))).withRate(RATE)
                    .withEvaluation(0, 1).withDepthEvery(0).withCheckpoints(0, 1);
            try (Trainer trainer = Trainer.begin(run, new Steps(progress))) {
                if (trainer.run() == Trainer.End.DIVERGED) {
                    throw new IOException("healing diverged; the pruned model is too far from what it was, or the text too short");
                }
            }
            for (Path from : List.of(work.resolve("run/model"), work.resolve("pruned"))) {
                try (Stream<Path> files = Files.list(from)) {
                    for (Path file : files.filter(each -> !each.getFileName().toString().matches("model.*\\.safetensors.*") || from.endsWith("model")).toList()) {
                        if (!Files.exists(output.path().resolve(file.getFileName()))) {
                            Files.move(file, output.path().resolve(file.getFileName()));
                        }
                    }
                }
            }
            result.put("healed_steps", heal.orElseThrow());
            Json.put(result, "perplexity_healed", likelihood(LoadedModel.open(output.path()).model(), measure.words.orElseThrow(), "healed",
                    progress).perplexity());
            report.remove("result_files"); // they were healed since
            JSON.writeValue(output.path().resolve("report.json").toFile(), report.deepCopy().setAll(result));
            try (Stream<Path> all = Files.walk(work)) {
                for (Path each : all.sorted(Comparator.reverseOrder()).toList()) {
                    Files.delete(each);
                }
            }
            output.commit();
            return report;
        }
    }

    /** Shows steps, and nothing else of a run. */
    private record Steps(ProgressBar progress) implements Trainer.Watcher {
        @Override
        public void step(long done, long total) {
            progress.step("healing", done, total);
        }
    }
}
