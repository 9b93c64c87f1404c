package isonorm.cli.commands;

import com.fasterxml.jackson.databind.JsonNode;
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
            "FILE holds a JSON object a line: {\"context\": \"...\", \"choices\": [\"...\", \"...\"], \"answer\": 0}. The answer counts "
                    + "from 0, and may be called gold or label. The likeliest choice is the model's; for the normalized accuracy, the one "
                    + "with the largest log likelihood a character."
        },
        footer = {
            "  isonorm score gpt2/ --data questions.jsonl",
            "  isonorm score gpt2/ --data questions.jsonl --delimiter \" \" --limit 100"
        })
public final class Score extends CheckpointCommand {

    @Parameters(paramLabel = "CHECKPOINT", description = "A folder, a file in it, or owner/name[@revision] in the Hugging Face cache.")
    private String checkpoint;

    @Option(names = "--data", paramLabel = "FILE", required = true, description = "The questions, one JSON object a line.")
    private Path data;

    @Option(names = "--delimiter", paramLabel = "TEXT", defaultValue = "",
            description = "What stands between context and choice; lm-evaluation-harness puts one space there. Default: nothing.")
    private String delimiter;

    @Option(names = "--limit", paramLabel = "N", description = "How many questions to ask. Default: all.")
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
        LoadedModel model = open(checkpoint);
        List<Question> questions = Question.read(data, limit != null ? limit : Long.MAX_VALUE);
        announceEngine();
        long start = System.nanoTime();
        List<Answered> answered;
        try (ProgressBar progress = progress()) {
            answered = MultipleChoice.answer(model, questions, delimiter, Beginnings.named(bos), Compute.named(compute),
                    (_, done, total) -> progress.step("scoring in " + compute, done, total));
        }
        ObjectNode result = Json.object();
        result.put("checkpoint", checkpoint);
        result.put("data", data.toString());
        result.put("compute", compute);
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
        result.setAll(Measured.accuracy(answered, (System.nanoTime() - start) / 1e9));
        if (json) {
            console.json(result);
        } else {
            print(result);
        }
        return DONE;
    }

    private void print(JsonNode result) {
        console.out().println(console.bold(data.toString()) + ", " + Beginnings.named(result) + ", computed in " + compute);
        console.out().println();
        Table.ofFacts()
                .row("questions", Table.count(result.path("questions").asLong()) + " with "
                        + Table.count(result.path("choices").asLong(), "choice") + " together")
                .row("accuracy", part(result, "accuracy"))
                .row("normalized accuracy", part(result, "normalized_accuracy") + ", by the characters of a choice")
                .row("time", String.format(Locale.ROOT, "%.1f s", result.path("seconds").asDouble()))
                .print(console.out());
    }

    private static String part(JsonNode result, String name) {
        String value = String.format(Locale.ROOT, "%.4f", result.path(name).asDouble());
        String error = name + "_standard_error";
        return result.has(error) ? value + String.format(Locale.ROOT, " (standard error %.4f)", result.path(error).asDouble()) : value;
    }
}
