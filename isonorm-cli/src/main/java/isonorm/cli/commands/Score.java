package isonorm.cli.commands;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Json;
import isonorm.cli.terminal.ProgressBar;
import isonorm.cli.terminal.Table;
import isonorm.convert.LoadedModel;
import isonorm.model.Compute;
import isonorm.score.Answered;
import isonorm.score.MultipleChoice;
import isonorm.score.Question;
import isonorm.text.Tokenizer;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code isonorm score}: how many multiple-choice questions a checkpoint answers right. */
@Command(
        name = "score",
        description = {
            "Measure how many multiple-choice questions a checkpoint answers right, as lm-evaluation-harness does.",
            "Each FILE holds a JSON object a line: {\"context\": \"...\", \"choices\": [\"...\", \"...\"], \"answer\": 0}. The answer counts "
                    + "from 0, and may be called gold or label. The likeliest choice is the model's; for the normalized accuracy, the one "
                    + "with the largest log likelihood a character. Several files are several tasks, with the mean of all.",
            "With --shots, so many examples with their right choices stand in front of each question, a blank line between them."
        },
        footer = {
            "  isonorm score gpt2/ --data questions.jsonl",
            "  isonorm score gpt2/ --data questions.jsonl --delimiter \" \" --limit 100",
            "  isonorm score gpt2/ --data arc.jsonl --data piqa.jsonl --delimiter \" \"",
            "  isonorm score gpt2/ --data test.jsonl --shots 5 --examples dev.jsonl --delimiter \" \""
        })
public final class Score extends CheckpointCommand {

    @Parameters(paramLabel = "CHECKPOINT", description = "A folder, a file in it, or owner/name[@revision] in the Hugging Face cache.")
    private String checkpoint;

    @Option(names = "--data", paramLabel = "FILE", required = true, description = "The questions, one JSON object a line. May be given several times.")
    private List<Path> data;

    @Option(names = "--delimiter", paramLabel = "TEXT", defaultValue = "",
            description = "What stands between context and choice; lm-evaluation-harness puts one space there. Default: nothing.")
    private String delimiter;

    @Option(names = "--shots", paramLabel = "N", defaultValue = "0", description = "How many examples stand in front of each question. Default: ${DEFAULT-VALUE}.")
    private int shots;

    @Option(names = "--examples", paramLabel = "FILE",
            description = "Where they are read, the first ones, as questions are. One for all tasks, or one for each --data in their order.")
    private List<Path> examples = List.of();

    @Option(names = "--limit", paramLabel = "N", description = "How many questions of each task to ask. Default: all.")
    private @Nullable Long limit;

    @Option(names = "--bos", paramLabel = "WHEN", defaultValue = "auto", converter = Choice.Beginning.class, description = Beginnings.HELP)
    private String bos;

    @Option(names = "--compute", paramLabel = "TYPE", defaultValue = "f32", converter = Choice.Computes.class,
            description = "The type to compute in: f64, f32 or bf16. Default: ${DEFAULT-VALUE}.")
    private String compute;

    public Score(Console console) {
        super(console);
    }

    @Override
    public Integer call() throws IOException {
        if (limit != null && limit < 1) {
            throw wrongUsage("--limit must be 1 or more, got " + limit);
        }
        if (shots < 0 || shots > 0 == examples.isEmpty() || !examples.isEmpty() && examples.size() != 1 && examples.size() != data.size()) {
            throw wrongUsage("--shots N goes with --examples FILE, one for all of --data or one for each, got --shots " + shots + ", " + examples.size()
                    + " of --examples and " + data.size() + " of --data");
        }
        LoadedModel model = open(checkpoint);
        List<List<Question>> tasks = new ArrayList<>();
        for (int t = 0; t < data.size(); t++) {
            String before = shots == 0 ? "" : Question.shots(examples(examples.get(examples.size() == 1 ? 0 : t)), delimiter);
            tasks.add(Question.read(data.get(t), limit != null ? limit : Long.MAX_VALUE).stream().map(question -> question.behind(before)).toList());
        }
        List<Question> questions = tasks.stream().flatMap(List::stream).toList();
        announceEngine();
        long start = System.nanoTime();
        List<Answered> answered;
        try (ProgressBar progress = progress()) {
            answered = MultipleChoice.answer(model, questions, delimiter, Beginnings.named(bos), Compute.named(compute),
                    (_, done, total) -> progress.step("scoring in " + compute, done, total));
        }
        double seconds = (System.nanoTime() - start) / 1e9;
        ObjectNode result = Json.object();
        result.put("checkpoint", checkpoint);
        result.put("compute", compute);
        if (shots > 0) {
            result.put("shots", shots);
        }
        try (Tokenizer tokenizer = Tokenizer.open(model.checkpoint().folder().resolve("tokenizer.json"))) {
            Beginnings.put(result, tokenizer.beginning(Beginnings.named(bos)));
            int longest = 0;
            for (Question question : questions) {
                for (String choice : question.choices()) {
                    longest = Math.max(longest, tokenizer.ids(question.context() + delimiter + choice).length + result.path("beginning").size());
                }
            }
            warnOfPositions(checkpoint, model, Math.min(longest, model.model().context()));
        }
        if (data.size() == 1) {
            result.put("data", data.getFirst().toString());
            result.setAll(Measured.accuracy(answered));
        } else {
            ArrayNode all = result.putArray("tasks");
            int first = 0;
            for (int t = 0; t < tasks.size(); t++) {
                ObjectNode task = all.addObject().put("data", data.get(t).toString());
                task.setAll(Measured.accuracy(answered.subList(first, first += tasks.get(t).size())));
            }
            result.set("mean", Measured.mean(all));
        }
        result.put("seconds", seconds);
        if (json) {
            console.json(result);
        } else {
            print(result);
        }
        return DONE;
    }

    private List<Question> examples(Path file) throws IOException {
        List<Question> all = Question.read(file, shots);
        if (all.size() < shots) {
            throw new IOException(file + " has " + Table.count(all.size(), "example") + ", and --shots asks for " + shots);
        }
        return all;
    }

    private void print(JsonNode result) {
        String how = (shots > 0 ? Table.count(shots, "example") + " in front of each question, " : "") + Beginnings.named(result) + ", computed in " + compute;
        if (!result.has("tasks")) {
            console.out().println(console.bold(data.getFirst().toString()) + ", " + how);
            console.out().println();
            Table.ofFacts()
                    .row("questions", Table.count(result.path("questions").asLong()) + " with "
                            + Table.count(result.path("choices").asLong(), "choice") + " together")
                    .row("accuracy", part(result, "accuracy"))
                    .row("normalized accuracy", part(result, "normalized_accuracy") + ", by the characters of a choice")
                    .row("time", String.format(Locale.ROOT, "%.1f s", result.path("seconds").asDouble()))
                    .print(console.out());
            return;
        }
        console.out().println(console.bold(checkpoint) + ", " + how);
        console.out().println();
        Table table = Table.ofNumbers("task", "questions", "accuracy", "standard error", "normalized", "standard error");
        for (JsonNode task : result.path("tasks")) {
            table.row(task.path("data").asText(), Table.count(task.path("questions").asLong()), number(task, "accuracy"), number(task, "accuracy_standard_error"),
                    number(task, "normalized_accuracy"), number(task, "normalized_accuracy_standard_error"));
        }
        JsonNode mean = result.path("mean");
        table.row("mean", "", number(mean, "accuracy"), number(mean, "accuracy_standard_error"), number(mean, "normalized_accuracy"),
                number(mean, "normalized_accuracy_standard_error")).print(console.out());
        console.out().println();
        console.out().println("normalized by the characters of a choice; the mean counts each task once; " + String.format(Locale.ROOT, "%.1f s", result.path("seconds").asDouble()));
    }

    private static String number(JsonNode json, String name) {
        return json.has(name) ? String.format(Locale.ROOT, "%.4f", json.path(name).asDouble()) : "";
    }

    private static String part(JsonNode result, String name) {
        String value = String.format(Locale.ROOT, "%.4f", result.path(name).asDouble());
        String error = name + "_standard_error";
        return result.has(error) ? value + String.format(Locale.ROOT, " (standard error %.4f)", result.path(error).asDouble()) : value;
    }
}
