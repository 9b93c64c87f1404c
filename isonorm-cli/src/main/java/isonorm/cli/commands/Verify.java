package isonorm.cli.commands;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.checkpoint.Checkpoint;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.ProgressBar;
import isonorm.cli.terminal.Table;
import isonorm.convert.Comparison;
import isonorm.convert.LoadedModel;
import isonorm.layer.Tolerance;
import isonorm.model.Compute;
import isonorm.verify.TokenizedText;
import isonorm.verify.Verification;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code isonorm verify}: compares the outputs of two checkpoints. */
@Command(
        name = "verify",
        description = {
            "Compare the outputs of two checkpoints.",
            "Both are run on the same inputs. The exit code is 1 if they differ by more than the tolerance."
        },
        footer = {
            "  isonorm verify gpt2/ gpt2-rms/",
            "  isonorm verify gpt2/ gpt2-rms/ --text held-out.txt         with the perplexity of both",
            "  isonorm verify gpt2/ gpt2-bf16/ --compute f32 --tolerance 0.1"
        })
public final class Verify extends Subcommand {

    @Parameters(index = "0", paramLabel = "A", description = "The reference.")
    private String a;

    @Parameters(index = "1", paramLabel = "B", description = "What is compared with it.")
    private String b;

    @Option(names = "--text", paramLabel = "FILE", description = "A UTF-8 text to run both on, in place of random inputs.")
    private Path text;

    @Option(names = "--compute", paramLabel = "TYPE", defaultValue = "f64", converter = Choice.Computes.class,
            description = "The type to compute in: f64, f32 or bf16. Default: ${DEFAULT-VALUE}.")
    private String compute;

    @Option(names = "--tolerance", paramLabel = "X",
            description = "The largest error to accept, as a part of the standard deviation of A's outputs. "
                    + "Default: what rounding to the stored type and the compute type explains.")
    private Double tolerance;

    @Option(names = "--window", paramLabel = "N", description = "Tokens in a window of the text. Default: the context, 1024 at most.")
    private Integer window;

    @Option(names = "--tokens", paramLabel = "N", defaultValue = "65536",
            description = "How much of the text to run. Default: ${DEFAULT-VALUE} tokens.")
    private long tokens;

    public Verify(Console console) {
        super(console);
    }

    @Override
    public Integer call() throws IOException {
        if (tolerance != null && !(tolerance >= 0)) {
            throw wrongUsage("--tolerance must be zero or more, got " + tolerance);
        }
        if (window != null && window < 2 || tokens < 2) {
            throw wrongUsage("--window and --tokens must be 2 or more");
        }
        LoadedModel first = Checkpoints.open(a);
        LoadedModel second = Checkpoints.open(b);
        Compute type = Compute.named(compute);
        double limit = tolerance != null ? tolerance
                : Math.max(Tolerance.written(Model.of(first.model()).coarsest(), type), Tolerance.written(Model.of(second.model()).coarsest(), type));
        announceEngine();
        ObjectNode result = JsonNodeFactory.instance.objectNode().put("compute", compute);
        Verification verification = Verification.of(first.model(), second.model()).compute(type, type);
        if (text != null) {
            int length = window != null ? window
                    : Math.min(1024, Math.min(first.model().context(), second.model().context()));
            TokenizedText words = TokenizedText.read(tokenizer(first.checkpoint(), second.checkpoint()), text, length, tokens);
            verification = verification.withText(words);
            result.put("window", words.window());
        }
        boolean equal;
        try (ProgressBar progress = progress()) {
            Comparison comparison = verification.run((_, done, total) -> progress.step("verifying in " + compute, done, total));
            equal = comparison.within(limit);
            Equality.put(result, comparison);
        }
        result.put("tolerance", limit);
        result.put("equal", equal);
        result.put("a", a);
        result.put("b", b);
        if (json) {
            console.json(result);
        } else {
            print(result);
        }
        return equal ? DONE : FAILED;
    }

    private Path tokenizer(Checkpoint first, Checkpoint second) throws IOException {
        for (Checkpoint checkpoint : List.of(first, second)) {
            Path file = checkpoint.folder().resolve("tokenizer.json");
            if (Files.isRegularFile(file)) {
                return file;
            }
        }
        throw new IOException("neither " + a + " nor " + b + " has a tokenizer.json, which --text needs");
    }

    private void print(JsonNode result) {
        boolean equal = result.path("equal").asBoolean();
        console.out().println((equal ? console.green("Equal") : console.bold("Different")) + ": " + result.path("compared").asText() + " at "
                + Table.count(result.path("positions").asLong(), "position") + ", both computed in " + compute);
        console.out().println();
        Table table = Table.ofFacts()
                .row("largest error", error(result, "largest_error") + " of A's standard deviation (tolerance "
                        + Table.error(result.path("tolerance").asDouble()) + ")")
                .row("mean error", error(result, "mean_error"));
        if (result.has("kl")) {
            table.row("KL", Table.error(result.path("kl").asDouble()) + " nats");
            table.row("top-1 agreement", Table.percent(result.path("top1_agreement").asDouble()));
        }
        if (result.has("perplexity_a")) {
            table.row("perplexity of A", perplexity(result, "perplexity_a"));
            table.row("perplexity of B", perplexity(result, "perplexity_b"));
        }
        table.print(console.out());
    }

    private static String error(JsonNode result, String name) {
        return result.has(name) ? Table.error(result.path(name).asDouble()) : "-";
    }

    private static String perplexity(JsonNode result, String name) {
        return perplexity(result.path(name).asDouble());
    }

    static String perplexity(double value) {
        return String.format(Locale.ROOT, "%.6f", value);
    }
}
