package isonorm.cli.commands;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Architecture;
import isonorm.checkpoint.OutputFolder;
import isonorm.cli.terminal.Interruption;
import isonorm.cli.terminal.Json;
import isonorm.cli.terminal.ProgressBar;
import isonorm.convert.LoadedModel;
import isonorm.convert.Pruning;
import isonorm.data.TokenDataBuilder;
import isonorm.data.Vocabulary;
import isonorm.depth.Depth;
import isonorm.depth.DepthSurvey;
import isonorm.model.Compute;
import isonorm.model.Transformer;
import isonorm.train.Healing;
import isonorm.verify.Likelihood;
import isonorm.verify.TokenizedText;
import isonorm.verify.Verification;
import isonorm.weights.Model;
import isonorm.words.TextFile;
import java.io.Closeable;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Supplier;

/**
 * Prunes a checkpoint: chooses blocks, measures before and after. Apart from the command, so that listing commands loads nothing of
 * the engine.
 */
record Pruner(Optional<Path> text, long tokens, Optional<Integer> window, Optional<Integer> heal, Supplier<Interruption> healing) {

    static final List<String> MEASURES = List.of("angular", "influence", "sensitivity");

    /** The part of a text that healing doesn't learn from. */
    private static final double HELD_OUT = 0.1;

    /**
     * What perplexities are of, or why there are none.
     *
     * @param chooses what blocks are chosen on: the same, or, where there is healing, what that learns from
     */
    private record Measure(Optional<TokenizedText> words, Optional<TokenizedText> chooses, String lacking) {}

    /**
     * Chooses, measures and writes.
     *
     * @param named the blocks that go; where there are none, so many as {@code count} are chosen
     * @param measured is given what was chosen and measured before anything is written
     * @return what was done
     */
    ObjectNode prune(String checkpoint, Checkpoints.Opener opener, Path out, Optional<Set<Integer>> named, int count, String by, Depths.Reading reading,
            Runnable announcement, Consumer<ObjectNode> measured, ProgressBar progress) throws IOException {
        LoadedModel source = opener.open(checkpoint);
        Architecture architecture = Model.of(source.model()).architecture();
        if (named.isEmpty() && count >= architecture.blocks().size()) {
            throw new IllegalArgumentException("no block would be left; this model has " + architecture.blocks().size());
        }
        Optional<Pruning> known = named.isPresent() ? Optional.of(Pruning.of(source, named.get())) : Optional.empty();
        Pruning.requireTarget(source, out);
        if (heal.isEmpty() || Files.isDirectory(text.orElseThrow())) {
            return prune(checkpoint, source, text, known, out, named.isEmpty() ? count : 0, by, reading, announcement, measured, progress);
        }
        Path file = text.get();
        TextFile.read(file); // whatever is wrong with it is said before anything else
        try (OutputFolder scratch = OutputFolder.create(Path.of(out.toAbsolutePath().normalize() + ".tokens"), false); Closeable _ = scratch.closedAtExit()) {
            Path tokens = scratch.path().resolve("tokens");
            try (Vocabulary vocabulary = Vocabulary.open(source.checkpoint().folder(), Optional.empty())) {
                TokenDataBuilder.of(List.of(file), vocabulary).validation(HELD_OUT, 0).writeTo(tokens, progress);
            }
            return prune(checkpoint, source, Optional.of(tokens), known, out, named.isEmpty() ? count : 0, by, reading, announcement, measured, progress);
        }
    }

    /**
     * @param read the text, or where there is healing its tokens, of which a part is held out
     * @param count how many are chosen; 0 where they are known
     */
    private ObjectNode prune(String checkpoint, LoadedModel source, Optional<Path> read, Optional<Pruning> known, Path out, int count, String by,
            Depths.Reading reading, Runnable announcement, Consumer<ObjectNode> measured, ProgressBar progress) throws IOException {
        Measure measure = measure(source, read, count > 0);
        if (measure.words.isPresent()) {
            reading.windows(checkpoint, source, measure.words.get().window());
        }
        announcement.run();
        Pruning pruning = (known.isPresent() ? known.get() : Pruning.of(source, chosen(source.model(), measure.chooses.orElseThrow(), count, by, progress)))
                .verifiedBy(Verification.verifier());
        ObjectNode result = Json.object();
        if (measure.words.isPresent()) {
            TokenizedText words = measure.words.get();
            Json.put(result, "perplexity_before", likelihood(source.model(), words, "before", progress).perplexity());
            Likelihood after = likelihood(pruning.result(), words, "after", progress);
            Json.put(result, "perplexity_after", after.perplexity());
            result.put("predicted_tokens", after.predicted());
            result.put("window", words.window());
            result.put("text", text.map(Path::toString).orElse(SampleText.NAME));
        } else {
            result.put("not_measured", measure.lacking);
        }
        if (count > 0) {
            result.put("chosen_by", by);
        }
        ArrayNode removed = result.putArray("removed_blocks");
        pruning.removed().forEach(removed::add);
        measured.accept(result);
        ObjectNode report = heal.isPresent() ? healed(pruning, read.orElseThrow(), out, measure.words.orElseThrow(), result, progress) : written(pruning, out, progress);
        report.setAll(result);
        return report.put("output", out.toString());
    }

    /** The text, if the model predicts texts; what was asked for is refused without. */
    private Measure measure(LoadedModel source, Optional<Path> read, boolean needed) throws IOException {
        Architecture architecture = Model.of(source.model()).architecture();
        Path tokenizer = source.checkpoint().folder().resolve("tokenizer.json");
        boolean asked = needed || window.isPresent() || text.isPresent() || heal.isPresent();
        try {
            if (architecture.companion().isPresent()) {
                throw new IllegalArgumentException("blocks are chosen, and perplexities measured, of one stack; this " + architecture.family() + " model has two: name blocks of its "
                        + architecture.companion().get().mainTitle() + " with --blocks, without --text");
            }
            DepthSurvey.require(source.model());
            int length = Depths.length(window, tokens, architecture);
            Verification.requirePrediction(source.model(), length);
            if (!asked && !Files.exists(tokenizer)) {
                return new Measure(Optional.empty(), Optional.empty(), tokenizer + " does not exist");
            }
            if (heal.isPresent()) {
                return new Measure(Optional.of(SampleText.part(tokenizer, read.orElseThrow(), text.orElseThrow(), SampleText.Part.HELD_OUT, length, tokens)),
                        Optional.of(SampleText.part(tokenizer, read.get(), text.get(), SampleText.Part.LEARNED, length, tokens)), "");
            }
            Optional<TokenizedText> words = Optional.of(SampleText.read(tokenizer, read, length, tokens));
            return new Measure(words, words, "");
        } catch (IllegalArgumentException e) {
            if (asked) {
                throw e;
            }
            return new Measure(Optional.empty(), Optional.empty(), String.valueOf(e.getMessage()));
        }
    }

    private static Collection<Integer> chosen(Transformer model, TokenizedText words, int count, String by, ProgressBar progress) throws IOException {
        try (DepthSurvey survey = DepthSurvey.of(model, Compute.F32)) {
            if (by.equals("sensitivity")) {
                return survey.sensitivity(words, List.of(count), progress).cheapest(count);
            }
            Depth depth = survey.measure(words, progress);
            return by.equals("influence") ? depth.leastInfluence(count) : depth.closest(count);
        }
    }

    private static Likelihood likelihood(Transformer model, TokenizedText words, String when, ProgressBar progress) throws IOException {
        return Verification.likelihood(model, words, Compute.F32, (_, done, total) -> progress.step("predicting " + when, done, total));
    }

    /** Writes what was pruned and gives its report.json. */
    private static ObjectNode written(Pruning pruning, Path folder, ProgressBar progress) throws IOException {
        pruning.writeTo(folder, progress);
        return report(folder);
    }

    private ObjectNode healed(Pruning pruning, Path read, Path folder, TokenizedText words, ObjectNode result, ProgressBar progress) throws IOException {
        Healing.Report healed;
        try (Interruption interruption = healing.get()) {
            healed = Healing.of(pruning, read, heal.orElseThrow()).interruptedBy(interruption).writeTo(folder, words, progress);
        }
        result.put("healed_steps", healed.steps());
        Json.put(result, "perplexity_healed", healed.likelihood().perplexity());
        return report(folder);
    }

    private static ObjectNode report(Path folder) throws IOException {
        return Json.read(folder.resolve("report.json"));
    }
}
