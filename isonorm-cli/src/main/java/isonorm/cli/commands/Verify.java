package isonorm.cli.commands;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.checkpoint.Checkpoint;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Json;
import isonorm.cli.terminal.ProgressBar;
import isonorm.cli.terminal.Table;
import isonorm.convert.Conversion;
import isonorm.convert.Evidence;
import isonorm.convert.LoadedModel;
import isonorm.family.Isonorm;
import isonorm.model.Compute;
import isonorm.verify.TokenizedText;
import isonorm.verify.Verification;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalDouble;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code isonorm verify}: compares the outputs of two checkpoints. */
@Command(
        name = "verify",
        description = {
            "Compare the outputs of two checkpoints.",
            "Both are run on the same inputs. Where B says that it was converted, and A is what from, each of its values must be the rounding "
                    + "of what A gives. The exit code is 1 if they differ.",
            "Where B's weights are in few bits it is another function, and how near it is to A is told by KL, top-1 agreement and perplexity; the exit code is 0 "
                    + "then, unless --tolerance is given."
        },
        footer = {
            "  isonorm verify gpt2/ gpt2-rms/",
            "  isonorm verify gpt2/ gpt2-rms/ --text held-out.txt         with the perplexity of both",
            "  isonorm verify gpt2/ gpt2-bf16/ --compute f32 --tolerance 0.1"
        })
public final class Verify extends CheckpointCommand {

    @Parameters(index = "0", paramLabel = "A", description = "The reference.")
    private String a;

    @Parameters(index = "1", paramLabel = "B", description = "What is compared with it.")
    private String b;

    @Option(names = "--text", paramLabel = "FILE", description = "A UTF-8 text to run both on, in place of random inputs.")
    private @Nullable Path text;

    @Option(names = "--compute", paramLabel = "TYPE", defaultValue = "f64", converter = Choice.Computes.class,
            description = "The type to compute in: f64, f32 or bf16. Default: ${DEFAULT-VALUE}.")
    private String compute;

    @Option(names = "--tolerance", paramLabel = "X",
            description = "The largest error to accept, as a part of the standard deviation of A's outputs; it alone decides then. "
                    + "Default: what rounding explains; of 16 bits that is measured on A, its own weights rounded.")
    private @Nullable Double tolerance;

    @Option(names = "--window", paramLabel = "N", description = "Tokens in a window of the text. Default: the context, 1024 at most.")
    private @Nullable Integer window;

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
        LoadedModel first = open(a);
        LoadedModel second = open(b);
        Compute type = Compute.named(compute);
        announceEngine();
        ObjectNode result = Json.object().put("compute", compute);
        Optional<TokenizedText> words = Optional.empty();
        if (text != null) {
            int length = window != null ? window
                    : Math.min(1024, Math.min(first.model().context(), second.model().context()));
            words = Optional.of(TokenizedText.read(tokenizer(first.checkpoint(), second.checkpoint()), text, length, tokens));
            result.put("window", words.get().window());
            warnOfPositions(a, first, words.get().window());
        }
        Verification.Judgement verdict;
        try (ProgressBar progress = progress()) {
            OptionalDouble limit = tolerance != null ? OptionalDouble.of(tolerance) : OptionalDouble.empty();
            verdict = Verification.judge(first, second, type, words, limit, (_, done, total) -> progress.step("verifying in " + compute, done, total));
        }
        Evidence evidence = verdict.evidence();
        Equality.put(result, evidence.decisive());
        Equality.putLimits(result, evidence);
        verdict.remade().filter(Conversion.Remade::source).ifPresent(remade -> {
            result.put("as_made_from_a", remade.exact());
            for (Conversion.Deviation deviation : remade.deviations()) {
                result.withArray("deviations").addObject().put("tensor", deviation.tensor()).put("values", deviation.values())
                        .put("different", deviation.different());
            }
        });
        boolean rounded = second.bits().isPresent() && first.bits().isEmpty() && tolerance == null;
        if (rounded) {
            result.put("bits", second.bits().getAsInt()).remove(List.of("tolerance", "rms_tolerance", "kl_tolerance"));
        } else {
            verdict.where().ifPresent(where -> result.put("where", where));
        }
        int cut = first.model().width() - second.model().width();
        boolean centres = Model.of(first.model()).architecture().blocks().stream().allMatch(block -> block.norm().kind().centres());
        if (cut > (centres ? 1 : 0) && Isonorm.rotation(second.config()).isPresent()) {
            result.put("slice", "of " + first.model().width() + " values of A's stream it has " + second.model().width());
        }
        result.put("equal", verdict.equal());
        result.put("a", a);
        result.put("b", b);
        if (json) {
            console.json(result);
        } else {
            print(result, evidence);
        }
        return verdict.equal() || rounded ? DONE : FAILED;
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

    private void print(JsonNode result, Evidence evidence) {
        String equal = Equality.words(evidence);
        String verdict = result.path("equal").asBoolean()
                ? console.green("E" + equal.substring(1)) + (equal.contains(":") ? "; " : ": ")
                : result.has("bits") ? console.bold("Another function") + ", of weights in " + result.path("bits").asText() + " bits: " : console.bold("Different") + ": ";
        console.say(verdict + result.path("compared").asText() + " at "
                + Table.count(result.path("positions").asLong(), "position") + ", both computed in " + compute);
        if (result.has("as_made_from_a")) {
            printMade(result);
        }
        if (result.has("slice")) {
            console.out().println("B is a slice: " + result.path("slice").asText() + ".");
        }
        if (result.has("where")) {
            String where = result.path("where").asText();
            console.say(where.substring(0, 1).toUpperCase(Locale.ROOT) + where.substring(1) + ".");
        }
        console.out().println();
        Table table = Table.ofFacts()
                .row("largest error", error(result, "largest_error") + " of A's standard deviation" + limit(result, "tolerance"))
                .row("RMS error", error(result, "rms_error") + limit(result, "rms_tolerance"))
                .row("mean error", error(result, "mean_error"));
        if (result.has("kl")) {
            table.row("KL", Table.error(result.path("kl").asDouble()) + " nats" + limit(result, "kl_tolerance"));
            table.row("top-1 agreement", Table.percent(result.path("top1_agreement").asDouble()));
        }
        JsonNode rounded = result.path("original_rounded");
        if (rounded.isObject()) {
            table.row("original, rounded", "largest error " + error(rounded, "largest_error") + ", RMS error " + error(rounded, "rms_error")
                    + (rounded.has("kl") ? ", KL " + error(rounded, "kl") : ""));
        }
        if (result.has("perplexity_a")) {
            table.row("perplexity of A", perplexity(result, "perplexity_a"));
            table.row("perplexity of B", perplexity(result, "perplexity_b"));
        }
        table.print(console.out());
    }

    /** Whether B is what A gives, or which of its tensors are not. */
    private void printMade(JsonNode result) {
        if (result.path("as_made_from_a").asBoolean()) {
            console.say("B says that it was converted, and each of its values is the rounding of what A gives.");
        }
        for (JsonNode deviation : result.path("deviations")) {
            console.say("Tensor " + deviation.path("tensor").asText() + " is not the rounding of what A gives: "
                    + Table.count(deviation.path("different").asLong()) + " of " + Table.count(deviation.path("values").asLong(), "value") + " differ.");
        }
    }

    private static String limit(JsonNode result, String name) {
        return result.has(name) ? " (tolerance " + Table.error(result.path(name).asDouble()) + ")" : "";
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
