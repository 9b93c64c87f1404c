package isonorm.cli.commands;

import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.checkpoint.OutputFolder;
import isonorm.cli.report.Facts;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Json;
import isonorm.cli.terminal.ProgressBar;
import isonorm.cli.terminal.Table;
import isonorm.convert.Comparison;
import isonorm.convert.Conversion;
import isonorm.convert.Evidence;
import isonorm.convert.Form;
import isonorm.convert.LoadedModel;
import isonorm.convert.Verifier;
import isonorm.verify.TokenizedText;
import isonorm.verify.Verification;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
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
public final class Tour extends Subcommand {

    /** A folder with this file is a tour's, and may be replaced. */
    private static final String MARKER = "tour.json";
    /** The context of the example, all of which was trained. */
    private static final int WINDOW = 256;

    @Option(names = "--output", paramLabel = "FOLDER", defaultValue = "isonorm-tour", description = "Where to write. Default: ./${DEFAULT-VALUE}.")
    private Path output;

    @Option(names = "--tokens", paramLabel = "N", defaultValue = "1000000", hidden = true)
    private long tokens;

    public Tour(Console console) {
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

        say(2, "Convert it", "If nothing writes a mean into the stream, no norm has to take one out: LayerNorm becomes RMSNorm. So the means are "
                + "taken out of the weights once, in float64, and gains and biases move into the layers behind the norms. A stream whose values "
                + "sum to zero needs one value less, and RMSNorm becomes CRMSNorm. The function stays the same.");
        Verifier verifier = Verification.verifier(TokenizedText.read(original.resolve("tokenizer.json"), text, WINDOW, tokens));
        List<Conversion.Report> reports = List.of(convert(model, verifier, Form.PRE_RMSNORM), convert(model, verifier, Form.PRE_CRMSNORM));
        if (!json) {
            Table sizes = Table.ofNumbers("form", "parameters", "folder").row("original", Table.count(reports.getFirst().parametersBefore()), "");
            reports.forEach(report -> sizes.row(report.to(), Table.count(report.parametersAfter()), output.resolve(report.to()).toString()));
            sizes.print(console.out());
        }

        say(3, "Verify both", "The original and each conversion read the tenth of Shakespeare that training never saw, in windows of " + WINDOW
                + " tokens, in float64. Errors are parts of the logits' standard deviation:");
        if (!json) {
            Table measured = Table.ofNumbers("form", "perplexity", "largest error", "mean error", "KL", "top-1 agreement");
            Comparison first = reports.getFirst().verification().orElseThrow().decisive();
            measured.row("original", Verify.perplexity(first.perplexityA()), "", "", "", "");
            for (Conversion.Report report : reports) {
                Comparison comparison = report.verification().orElseThrow().decisive();
                measured.row(report.to(), Verify.perplexity(comparison.perplexityB()), Table.error(comparison.largestError()),
                        Table.error(comparison.meanError()), Table.error(comparison.kl()), Table.percent(comparison.top1Agreement()));
            }
            measured.print(console.out());
            console.out().println();
            console.out().println("  " + console.green("Equal") + String.format(Locale.ROOT, " at %s positions. What is left is rounding: weights are"
                    + " written in float32.", Table.count(first.positions())));
        }
        ObjectNode tour = Json.object();
        tour.put("made_by", "isonorm tour");
        tour.put("text", text.toString());
        reports.forEach(report -> tour.withArray("conversions").add(row(report)));
        OutputFolder.write(output.resolve(MARKER), (tour.toPrettyString() + System.lineSeparator()).getBytes(StandardCharsets.UTF_8));
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
        OutputFolder.write(output.resolve(MARKER), ("{\"made_by\": \"isonorm tour\"}" + System.lineSeparator()).getBytes(StandardCharsets.UTF_8));
    }

    /** Converts to one form, verified on the text before it appears. */
    private Conversion.Report convert(LoadedModel model, Verifier verifier, Form form) throws IOException {
        try (ProgressBar progress = progress()) {
            return Conversion.of(model, form).overwriting().verifiedBy(verifier).writeTo(output.resolve(form.label()), progress);
        }
    }

    private ObjectNode row(Conversion.Report report) {
        Evidence evidence = report.verification().orElseThrow();
        ObjectNode row = Json.object().put("compute", "f64");
        Equality.put(row, evidence.decisive());
        row.put("window", WINDOW);
        Equality.putLimits(row, evidence);
        row.put("equal", true);
        row.put("form", report.to());
        row.put("folder", output.resolve(report.to()).toString());
        row.put("parameters_before", report.parametersBefore());
        row.put("parameters_after", report.parametersAfter());
        return row;
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
                "verify " + shown(original) + " " + compressed + " --text " + shown(text),
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
