package isonorm.cli;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.convert.Conversion;
import isonorm.convert.Form;
import isonorm.convert.Verifier;
import isonorm.family.LoadedModel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code isonorm tour}: everything on a small GPT-2 that comes with Isonorm, told as it happens. */
@Command(
        name = "tour",
        description = {
            "See all of it on a small GPT-2, in less than a minute.",
            "Looks at a GPT-2 trained on Shakespeare, converts it twice, verifies both on text it never saw, and says what to do next."
        },
        footer = {"  isonorm tour"})
final class Tour extends Subcommand {

    /** A folder with this file is a tour's, and may be replaced. */
    private static final String MARKER = "tour.json";
    private static final int WINDOW = 128;

    @Option(names = "--output", paramLabel = "FOLDER", defaultValue = "isonorm-tour", description = "Where to write. Default: ./${DEFAULT-VALUE}.")
    private Path output;

    @Option(names = "--tokens", paramLabel = "N", defaultValue = "1000000", hidden = true)
    private long tokens;

    Tour(Console console) {
        super(console);
    }

    @Override
    public Integer call() throws IOException {
        Path examples = examples();
        Path original = examples.resolve("shakespeare-gpt2");
        Path text = examples.resolve("tinyshakespeare-heldout.txt");
        LoadedModel model = LoadedModel.open(original);
        claim();
        announceEngine();

        say(1, "The checkpoint", "A GPT-2 trained on nine tenths of Shakespeare. Before each sub-layer stands a LayerNorm, which takes the "
                + "mean out of the stream and divides by its deviation. Its facts, read from the headers alone:");
        if (!json) {
            Facts.of(model).what().print(console.out());
        }

        ObjectNode tour = JsonNodeFactory.instance.objectNode();
        tour.put("made_by", "isonorm tour");
        tour.put("text", text.toString());
        ArrayNode rows = tour.putArray("conversions");
        say(2, "Convert it", "If nothing writes a mean into the stream, no norm has to take one out: LayerNorm becomes RMSNorm. So the means are "
                + "taken out of the weights once, in float64, and gains and biases move into the layers behind the norms. A stream whose values "
                + "sum to zero needs one value less, and RMSNorm becomes CRMSNorm. The function stays the same.");
        rows.add(convert(model, original, text, Form.PRE_RMSNORM));
        rows.add(convert(model, original, text, Form.PRE_CRMSNORM));
        if (!json) {
            Table sizes = Table.ofNumbers("form", "parameters", "folder").row("original", parameters(rows, "parameters_before"), "");
            rows.forEach(row -> sizes.row(row.path("form").asText(), Table.count(row.path("parameters_after").asLong()), row.path("folder").asText()));
            sizes.print(console.out());
        }

        say(3, "Verify both", "The original and each conversion read the tenth of Shakespeare that training never saw, in windows of " + WINDOW
                + " tokens, in float64. Errors are parts of the logits' standard deviation:");
        if (!json) {
            Table measured = Table.ofNumbers("form", "perplexity", "largest error", "mean error", "KL", "top-1 agreement");
            measured.row("original", Verify.perplexity(rows.get(0), "perplexity_a"), "", "", "", "");
            rows.forEach(row -> measured.row(row.path("form").asText(), Verify.perplexity(row, "perplexity_b"), Convert.error(row, "largest_error"),
                    Convert.error(row, "mean_error"), Convert.error(row, "kl"), Table.percent(row.path("top1_agreement").asDouble())));
            measured.print(console.out());
            console.out().println();
            console.out().println("  " + console.green("Equal") + String.format(Locale.ROOT, " at %s positions. What is left is rounding: weights are"
                    + " written in float32.", Table.count(rows.get(0).path("positions").asLong())));
        }
        Files.writeString(output.resolve(MARKER), tour.toPrettyString() + System.lineSeparator());
        if (json) {
            console.json(tour);
        } else {
            next(original, text);
        }
        return DONE;
    }

    private static Path examples() throws IOException {
        Path home = Path.of(System.getProperty("isonorm.home", "."));
        Path examples = home.resolve("examples");
        if (!Files.isDirectory(examples.resolve("shakespeare-gpt2"))) {
            throw new IOException(examples.resolve("shakespeare-gpt2") + " does not exist; start the tour with the isonorm script of a complete checkout");
        }
        return examples;
    }

    /** Makes the output folder, or takes that of an earlier tour. */
    private void claim() throws IOException {
        if (Files.exists(output) && !Files.isDirectory(output)) {
            throw new IOException(output + " exists and is not a folder; choose another with --output");
        }
        if (Files.isDirectory(output) && !Files.isRegularFile(output.resolve(MARKER))) {
            try (Stream<Path> entries = Files.list(output)) {
                if (entries.findAny().isPresent()) {
                    throw new IOException(output + " is not empty and was not written by a tour, so it is left alone; choose another with --output");
                }
            }
        }
        Files.createDirectories(output);
        Files.writeString(output.resolve(MARKER), "{\"made_by\": \"isonorm tour\"}" + System.lineSeparator());
    }

    /** Converts to one form, verified on the text before it appears. */
    private ObjectNode convert(LoadedModel model, Path original, Path text, Form form) throws IOException {
        Path folder = output.resolve(form.label());
        try (ProgressBar progress = progress()) {
            ObjectNode row = JsonNodeFactory.instance.objectNode();
            Verifier onText = (plan, result) -> {
                row.setAll(Equality.onText(original.resolve("tokenizer.json"), text, WINDOW, tokens, progress)
                        .compare(plan.source(), result, "f64", Equality.tolerance(Checkpoints.coarsest(result.checkpoint()), "f64")));
                if (!row.path("equal").asBoolean()) {
                    throw new IOException(form + " is not equal to the original: the largest error is " + Convert.error(row, "largest_error"));
                }
                return Optional.of(row.deepCopy());
            };
            ObjectNode report = Conversion.of(model, form).overwriting().verifiedBy(onText).writeTo(folder, progress);
            row.put("form", form.label());
            row.put("folder", folder.toString());
            row.set("parameters_before", report.path("parameters_before"));
            row.set("parameters_after", report.path("parameters_after"));
            return row;
        }
    }

    private static String parameters(ArrayNode rows, String name) {
        return Table.count(rows.get(0).path(name).asLong());
    }

    private void say(int step, String title, String words) {
        if (!json) {
            if (step > 1) {
                console.out().println();
            }
            console.out().println(console.bold(step + ". " + title));
            Table.ofFacts().row(words).print(console.out());
            console.out().println();
        }
    }

    private void next(Path original, Path text) {
        String command = System.getProperty("isonorm.command", "isonorm");
        say(4, "Next", "Everything is in " + output + ": two checkpoints, each with a report.json of what was done to every tensor. Try");
        String compressed = shown(output.resolve(Form.PRE_CRMSNORM.label()));
        List.of(
                "info " + compressed,
                "verify " + shown(original) + " " + compressed + " --text " + shown(text) + " --window 128",
                "convert " + compressed + " back --to pre-ln",
                "convert YOUR-MODEL YOUR-MODEL-centred --to centred",
                "--help").forEach(arguments -> console.out().println("    " + command + " " + arguments));
    }

    /** As short as it can be typed here. */
    private static String shown(Path path) {
        Path here = Path.of("").toAbsolutePath();
        Path whole = path.toAbsolutePath().normalize();
        String word = (whole.startsWith(here) ? here.relativize(whole) : whole).toString();
        return word.contains(" ") ? "'" + word + "'" : word;
    }
}
