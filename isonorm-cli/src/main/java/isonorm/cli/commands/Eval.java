package isonorm.cli.commands;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Json;
import isonorm.cli.terminal.ProgressBar;
import isonorm.cli.terminal.Table;
import isonorm.convert.LoadedModel;
import isonorm.verify.Likelihood;
import isonorm.verify.TokenizedText;
import isonorm.verify.Verification;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code isonorm eval}: how well a checkpoint predicts a text. */
@Command(
        name = "eval",
        description = {
            "Measure how well a checkpoint predicts a text: perplexity and bits per byte.",
            "The text is run in windows. With a stride below the window they overlap, and each predicts only the tokens that "
                    + "none before it has, given window - stride tokens or more.",
            "Where the tokenizer begins a text with a token (BOS), it stands in front of each window, takes one of its positions, and is not "
                    + "predicted; see --bos."
        },
        footer = {
            "  isonorm eval gpt2/ --text held-out.txt",
            "  isonorm eval gpt2/ --text held-out.txt --window 1024 --stride 512"
        })
public final class Eval extends CheckpointCommand {

    @Parameters(paramLabel = "CHECKPOINT", description = "A folder, a file in it, or owner/name[@revision] in the Hugging Face cache.")
    private String checkpoint;

    @Option(names = "--text", paramLabel = "FILE", required = true, description = "The UTF-8 text to predict.")
    private Path text;

    @Option(names = "--window", paramLabel = "N", description = "Tokens in a window of the text. Default: the context, 1024 at most.")
    private @Nullable Integer window;

    @Option(names = "--stride", paramLabel = "N",
            description = "Tokens from the start of a window to that of the next. Default: the window.")
    private @Nullable Integer stride;

    @Option(names = "--tokens", paramLabel = "N", description = "How much of the text to run. Default: all of it.")
    private @Nullable Long tokens;

    @Option(names = "--bos", paramLabel = "WHEN", defaultValue = "auto", converter = Choice.Beginning.class, description = Beginnings.HELP)
    private String bos;

    @Option(names = "--compute", paramLabel = "TYPE", defaultValue = "f32", converter = Choice.ComputesAndBits.class,
            description = "The type to compute in: f64, f32 or bf16; or q8 or q4, weights of 8 or 4 bits in groups, rounded on loading. Default: ${DEFAULT-VALUE}.")
    private String compute;

    public Eval(Console console) {
        super(console);
    }

    @Override
    public Integer call() throws IOException {
        if (window != null && window < 2 || tokens != null && tokens < 2) {
            throw wrongUsage("--window and --tokens must be 2 or more");
        }
        if (stride != null && (stride < 1 || window != null && stride > window)) {
            throw wrongUsage("--stride must be 1 to the window, or tokens are left out, got " + stride);
        }
        Precision precision = Precision.of(open(checkpoint), compute);
        LoadedModel model = precision.model();
        int length = window != null ? window : Math.min(1024, model.model().context());
        Verification.requirePrediction(model.model(), length);
        TokenizedText words = TokenizedText.read(model.checkpoint().folder().resolve("tokenizer.json"), text, Beginnings.named(bos), length,
                stride != null ? stride : length, tokens != null ? tokens : Long.MAX_VALUE);
        warnOfPositions(checkpoint, model, words.window());
        announceEngine();
        long start = System.nanoTime();
        Likelihood likelihood;
        try (ProgressBar progress = progress()) {
            likelihood = Verification.likelihood(model.model(), words, precision.compute(),
                    (_, done, total) -> progress.step("predicting in " + compute, done, total));
        }
        ObjectNode result = Json.object();
        result.put("checkpoint", checkpoint);
        result.put("text", text.toString());
        result.put("compute", compute);
        Beginnings.put(result, words.beginning());
        result.setAll(Measured.likelihood(words, likelihood, (System.nanoTime() - start) / 1e9));
        if (json) {
            console.json(result);
        } else {
            print(result);
        }
        return DONE;
    }

    private void print(JsonNode result) {
        console.out().println(console.bold(text.toString()) + " in windows of " + Table.count(result.path("window").asLong(), "token")
                + (result.path("stride").asLong() < result.path("window").asLong() - result.path("beginning").size() ? ", a stride of " + result.path("stride") : "")
                + ", " + Beginnings.named(result) + ", computed in " + compute);
        console.out().println();
        Table.ofFacts()
                .row("tokens", Table.count(result.path("tokens").asLong()))
                .row("predicted", Table.count(result.path("predicted_tokens").asLong(), "token") + ", "
                        + Table.count(result.path("predicted_bytes").asLong(), "byte"))
                .row("perplexity", number(result, "perplexity"))
                .row("negative log likelihood", number(result, "nats_per_token") + " nats a token")
                .row("bits per byte", number(result, "bits_per_byte"))
                .row("time", String.format(Locale.ROOT, "%.1f s, ", result.path("seconds").asDouble())
                        + Table.count(Math.round(result.path("tokens_per_second").asDouble())) + " tokens/s")
                .print(console.out());
    }

    private static String number(JsonNode result, String name) {
        return result.has(name) ? String.format(Locale.ROOT, "%.6f", result.path(name).asDouble()) : "not a finite number";
    }
}
