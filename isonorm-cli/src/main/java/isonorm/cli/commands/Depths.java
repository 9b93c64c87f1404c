package isonorm.cli.commands;

import isonorm.architecture.Architecture;
import isonorm.architecture.Companion;
import isonorm.architecture.Embedding;
import isonorm.cli.report.DepthReport;
import isonorm.cli.report.Provenance;
import isonorm.cli.terminal.ProgressBar;
import isonorm.convert.LoadedModel;
import isonorm.depth.Depth;
import isonorm.depth.DepthSurvey;
import isonorm.depth.MassiveActivation;
import isonorm.depth.Sensitivity;
import isonorm.generate.Generator;
import isonorm.measure.StreamBasis;
import isonorm.measure.TextGradient;
import isonorm.model.Compute;
import isonorm.score.MultipleChoice;
import isonorm.score.Question;
import isonorm.text.BeginningToken;
import isonorm.text.Tokenizer;
import isonorm.verify.TokenizedText;
import isonorm.verify.Verification;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.IntPredicate;

/**
 * Measures checkpoints one after the other, each on the same text. Apart from the command, so that listing commands loads nothing of the
 * engine.
 */
record Depths(
        Optional<Path> text,
        long tokens,
        Optional<Integer> window,
        String compute,
        boolean sensitivity,
        Optional<List<Integer>> spans,
        long sensitivityTokens,
        Optional<Path> questions,
        String delimiter,
        boolean gradients,
        boolean basis) {

    static final int LONGEST = 1024;

    /** Is told in which windows a checkpoint reads a text. */
    interface Reading {
        void windows(String name, LoadedModel model, int length) throws IOException;
    }

    /** A checkpoint and all that is known before it is run. */
    private record Task(String name, String checkpoint, LoadedModel model, TokenizedText text, TokenizedText predicted) {}

    /**
     * Measures all of the checkpoints.
     *
     * @param told whether anybody is told of which bytes: files are hashed only then
     */
    DepthReport measure(List<String> checkpoints, Checkpoints.Opener opener, Reading reading, Runnable announcement, ProgressBar progress,
            List<String> arguments, boolean told) throws IOException {
        List<Task> tasks = new ArrayList<>();
        List<String> names = names(checkpoints);
        for (int c = 0; c < checkpoints.size(); c++) {
            tasks.add(task(names.get(c), checkpoints.get(c), opener, reading));
        }
        announcement.run();
        List<DepthReport.Measured> measured = new ArrayList<>();
        for (Task task : tasks) {
            measured.addAll(measure(task, progress));
        }
        return new DepthReport(text.map(Path::toString).orElse(SampleText.NAME), measured, Provenance.now(arguments, told ? sources(tasks) : List.of()));
    }

    private List<Provenance.Source> sources(List<Task> tasks) throws IOException {
        List<Provenance.Source> sources = new ArrayList<>();
        for (Task task : tasks) {
            sources.addAll(Provenance.Source.of(task.model.checkpoint()));
        }
        if (questions.isPresent()) {
            sources.add(Provenance.Source.data(questions.get()));
        }
        sources.add(text.isPresent() ? Provenance.Source.data(text.get()) : SampleText.source());
        return sources;
    }

    /** Everything that can be wrong with a checkpoint or a text is found before anything is run. */
    private Task task(String name, String checkpoint, Checkpoints.Opener opener, Reading reading) throws IOException {
        LoadedModel model = opener.open(checkpoint);
        Architecture architecture = Model.of(model.model()).architecture();
        DepthSurvey.require(model.model());
        int length = length(window, tokens, architecture);
        Path tokenizer = model.checkpoint().folder().resolve("tokenizer.json");
        if (basis) {
            StreamBasis.require(model.model());
        }
        if (questions.isPresent()) {
            Question.read(questions.get(), Long.MAX_VALUE);
        }
        if (sensitivity || gradients) {
            Verification.requirePrediction(model.model(), length);
        }
        TokenizedText words = SampleText.read(tokenizer, text, length, tokens);
        if (architecture.companion().orElse(null) instanceof Companion.Encoder) {
            words = new TokenizedText(words.ids(), new long[] {Generator.start(model)}, length, length - 1, 0);
        }
        TokenizedText predicted = sensitivity || gradients || basis
                ? SampleText.read(tokenizer, text, length, Math.max(length, Math.min(tokens, sensitivityTokens)))
                : words;
        reading.windows(name, model, length);
        return new Task(name, checkpoint, model, words, predicted);
    }

    /** The window that is asked for, or the longest there can be, up to {@value #LONGEST}. An encoder reads what a window has of the text, one token less. */
    static int length(Optional<Integer> window, long tokens, Architecture architecture) {
        int longest = architecture.companion().orElse(null) instanceof Companion.Encoder(Architecture encoder, boolean _)
                && encoder.embedding() instanceof Embedding.Tokens
                        ? Math.min(architecture.longestSequence(), encoder.longestSequence() + 1)
                        : architecture.longestSequence();
        int length = window.orElse((int) Math.min(Math.min(LONGEST, tokens), longest));
        if (length > longest) {
            throw new IllegalArgumentException("this model has " + longest + " positions, got a window of " + length + " tokens; take a shorter one");
        }
        return length;
    }

    private Sensitivity.Accuracies accuracies(Task task, Sensitivity measured, ProgressBar progress) throws IOException {
        List<Question> asked = Question.read(questions.orElseThrow(), Long.MAX_VALUE);
        List<IntPredicate> parts = new ArrayList<>(List.of(_ -> true));
        measured.removals().forEach(removal -> parts.add(removal.others()));
        List<Sensitivity.Accuracy> all = MultipleChoice.answer(task.model, asked, delimiter, BeginningToken.AUTO, Compute.named(compute), parts,
                (_, done, total) -> progress.step(task.name + ": asking without blocks", done, total)).stream().map(Measured::right).toList();
        return new Sensitivity.Accuracies(asked.size(), all.getFirst(), all.subList(1, all.size()));
    }

    /** Of a model of two stacks first what the second one gave: a decoder reads it, and images come before texts. */
    private List<DepthReport.Measured> measure(Task task, ProgressBar progress) throws IOException {
        long start = System.nanoTime();
        try (DepthSurvey survey = DepthSurvey.of(task.model.model(), Compute.named(compute))) {
            Depth depth = survey.measure(task.text, (what, done, total) -> progress.step(task.name + ": " + what, done, total));
            double seconds = (System.nanoTime() - start) / 1e9;
            if (sensitivity) {
                depth = depth.withSensitivity(survey.sensitivity(task.predicted, spans.orElse(List.of(Math.max(2, depth.blocks() / 4))),
                        (what, done, total) -> progress.step(task.name + ": " + what, done, total)));
                if (questions.isPresent()) {
                    Sensitivity measured = depth.sensitivity().orElseThrow();
                    depth = depth.withSensitivity(measured.withAccuracies(accuracies(task, measured, progress)));
                }
            }
            if (gradients) {
                depth = depth.withGradients(TextGradient.of(task.model.model(), task.predicted,
                        (what, done, total) -> progress.step(task.name + ": " + what, done, total)));
            }
            List<StreamBasis.Shape> shapes = basis
                    ? StreamBasis.shapes(task.model.model(), StreamBasis.Inputs.of(task.predicted, 0, task.predicted.windows()),
                            (what, done, total) -> progress.step(task.name + ": " + what, done, total))
                    : List.of();
            Architecture architecture = Model.of(task.model.model()).architecture();
            Optional<Companion> beside = architecture.companion();
            List<DepthReport.Measured> measured = new ArrayList<>();
            if (beside.isPresent()) {
                Depth other = depth.companion().orElseThrow();
                Architecture stack = beside.get().architecture();
                measured.add(new DepthReport.Measured(task.name, Optional.of(beside.get().stack().title()), task.checkpoint, stack,
                        input(stack, task.text.window() - task.text.beginning().length, task.text.window()), seconds, other, List.of(), words(task.model, other)));
            }
            measured.add(new DepthReport.Measured(task.name, beside.map(Companion::mainTitle), task.checkpoint, architecture,
                    DepthReport.Input.text(task.text.window()), seconds, depth, shapes, words(task.model, depth)));
            return measured;
        }
    }

    /** What a second stack reads beside windows of a text. */
    private static DepthReport.Input input(Architecture stack, int tokens, int window) {
        return switch (stack.embedding()) {
            case Embedding.Tokens _ -> DepthReport.Input.text(tokens);
            case Embedding.Patches shape -> new DepthReport.Input("patch", "patches", "image", shape.tokens());
            case Embedding.Sound shape -> new DepthReport.Input("frame", "frames", "sound",
                    shape.steps(shape.framesOf(Math.min(window, stack.longestSequence()))));
        };
    }

    /** The text of the tokens that have massive activations. */
    private static Map<Long, String> words(LoadedModel model, Depth depth) throws IOException {
        Map<Long, String> words = new TreeMap<>();
        if (depth.massive().stream().anyMatch(massive -> massive.token().isPresent())) {
            try (Tokenizer tokenizer = Tokenizer.open(model.checkpoint().folder().resolve("tokenizer.json"))) {
                for (MassiveActivation massive : depth.massive()) {
                    long token = massive.token().orElseThrow();
                    words.put(token, tokenizer.decode(token));
                }
            }
        }
        return words;
    }

    /** The last parts of the arguments' paths, or all of them where two would be the same. */
    private static List<String> names(List<String> checkpoints) {
        List<String> names = checkpoints.stream().map(Depths::lastPart).toList();
        return new HashSet<>(names).size() == names.size() ? names : numbered(checkpoints);
    }

    private static List<String> numbered(List<String> checkpoints) {
        List<String> names = new ArrayList<>();
        for (String checkpoint : checkpoints) {
            names.add(names.contains(checkpoint) ? checkpoint + " (" + (names.size() + 1) + ")" : checkpoint);
        }
        return names;
    }

    private static String lastPart(String checkpoint) {
        Path last = Path.of(checkpoint).normalize().getFileName();
        return last == null || last.toString().isEmpty() ? checkpoint : last.toString();
    }
}
