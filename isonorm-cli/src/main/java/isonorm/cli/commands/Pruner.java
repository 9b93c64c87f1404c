package isonorm.cli.commands;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Architecture;
import isonorm.cli.terminal.Json;
import isonorm.cli.terminal.ProgressBar;
import isonorm.convert.LoadedModel;
import isonorm.convert.Pruning;
import isonorm.depth.Depth;
import isonorm.depth.DepthSurvey;
import isonorm.model.Compute;
import isonorm.model.Transformer;
import isonorm.train.Healing;
import isonorm.verify.Likelihood;
import isonorm.verify.TokenizedText;
import isonorm.verify.Verification;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;

/**
 * Prunes a checkpoint: chooses blocks, measures before and after. Apart from the command, so that listing commands loads nothing of
 * the engine.
 */
record Pruner(Optional<Path> text, long tokens, Optional<Integer> window, Optional<Integer> heal) {

    static final List<String> MEASURES = List.of("angular", "influence", "sensitivity");


    /** What perplexities are of, or why there are none. */
    private record Measure(Optional<TokenizedText> words, String lacking) {}

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
        Measure measure = measure(source, named.isEmpty());
        if (measure.words.isPresent()) {
            reading.windows(checkpoint, source, measure.words.get().window());
        }
        announcement.run();
        Pruning pruning = (known.isPresent() ? known.get() : Pruning.of(source, chosen(source.model(), measure.words.orElseThrow(), count, by, progress)))
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
        if (named.isEmpty()) {
            result.put("chosen_by", by);
        }
        ArrayNode removed = result.putArray("removed_blocks");
        pruning.removed().forEach(removed::add);
        measured.accept(result);
        ObjectNode report = heal.isPresent() ? healed(pruning, out, measure.words.orElseThrow(), result, progress) : written(pruning, out, progress);
        report.setAll(result);
        return report.put("output", out.toString());
    }

    /** The text, if the model predicts texts; what was asked for is refused without. */
    private Measure measure(LoadedModel source, boolean needed) throws IOException {
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
                return new Measure(Optional.empty(), tokenizer + " does not exist");
            }
            return new Measure(Optional.of(SampleText.read(tokenizer, text, length, tokens)), "");
        } catch (IllegalArgumentException e) {
            if (asked) {
                throw e;
            }
            return new Measure(Optional.empty(), String.valueOf(e.getMessage()));
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

    private ObjectNode healed(Pruning pruning, Path folder, TokenizedText words, ObjectNode result, ProgressBar progress) throws IOException {
        Healing.Report healed = Healing.of(pruning, text.orElseThrow(), heal.orElseThrow()).writeTo(folder, words, progress);
        result.put("healed_steps", healed.steps());
        Json.put(result, "perplexity_healed", healed.likelihood().perplexity());
        return report(folder);
    }

    private static ObjectNode report(Path folder) throws IOException {
        return Json.read(folder.resolve("report.json"));
    }
}
