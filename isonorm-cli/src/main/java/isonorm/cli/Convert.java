package isonorm.cli;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.checkpoint.Dtype;
import isonorm.convert.Conversion;
import isonorm.convert.ConversionRefused;
import isonorm.convert.Form;
import isonorm.convert.Verifier;
import isonorm.weights.Progress;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code isonorm convert}: writes a checkpoint in another form and verifies that both are the same function. */
@Command(
        name = "convert",
        description = {
            "Write a checkpoint in another form and verify that it is equal.",
            "Both are run and compared before the result appears. If they are not equal, or the conversion fails or is "
                    + "interrupted, nothing is left of it."
        },
        footer = {
            "  isonorm convert gpt2/ gpt2-rms/ --to pre-rmsnorm",
            "  isonorm convert gpt2/ gpt2-centred/ --to centred          for other tools, which load it as it is",
            "  isonorm convert gpt2-rms/ back/ --to pre-ln --dtype f32   and back",
            "  isonorm convert bert/ bert-rms/ --to rmsnorm --json       Post-LN"
        })
final class Convert extends Subcommand {

    @Parameters(index = "0", paramLabel = "IN", description = "The checkpoint to convert; it is only read.")
    private String in;

    @Parameters(index = "1", paramLabel = "OUT", description = "The folder to write.")
    private Path out;

    @Option(names = "--to", paramLabel = "FORM", required = true, converter = Choice.Forms.class,
            description = "centred, pre-rmsnorm, pre-crmsnorm, rmsnorm (Post-LN models) or pre-ln (the way back).")
    private Form form;

    @Option(names = "--dtype", paramLabel = "TYPE", defaultValue = "keep", converter = Choice.Dtypes.class,
            description = "The type to write: keep, f32, bf16 or f16. Default: ${DEFAULT-VALUE}.")
    private String dtype;

    @Option(names = "--untie", description = "Give a head that is tied to the token table a weight of its own.")
    private boolean untie;

    @Option(names = "--no-verify", description = "Do not run both models to compare them.")
    private boolean unverified;

    @Option(names = "--overwrite", description = "Replace a checkpoint that is already in OUT.")
    private boolean overwrite;

    Convert(Console console) {
        super(console);
    }

    @Override
    public Integer call() throws IOException {
        ObjectNode summary;
        try {
            summary = convert();
        } catch (ConversionRefused refused) {
            refuse(refused);
            return FAILED;
        }
        if (json) {
            console.json(summary);
        } else {
            print(summary);
        }
        return DONE;
    }

    private ObjectNode convert() throws IOException {
        long start = System.nanoTime();
        try (ProgressBar progress = progress()) {
            Conversion conversion = Conversion.of(Checkpoints.open(in), form);
            conversion = dtype.equals("keep") ? conversion : conversion.inType(Dtype.named(dtype.toUpperCase(Locale.ROOT)).orElseThrow());
            conversion = untie ? conversion.untied() : conversion;
            conversion = overwrite ? conversion.overwriting() : conversion;
            conversion = unverified ? conversion : conversion.verifiedBy((plan, result) -> verifier(progress).verify(plan, result));
            return summary(conversion.writeTo(out, progress), System.nanoTime() - start);
        }
    }

    /** Made when it is needed, because it loads the engine. */
    private Verifier verifier(Progress progress) {
        announceEngine();
        return Equality.measured(progress);
    }

    private void refuse(ConversionRefused refused) {
        console.err().println("isonorm: cannot convert " + in + " to " + form + ":");
        refused.reasons().forEach(reason -> console.err().println("  - " + reason));
        if (json) {
            ObjectNode node = JsonNodeFactory.instance.objectNode();
            refused.reasons().forEach(node.putArray("refused")::add);
            console.json(node);
        }
    }

    /** The report without the list of tensors, which report.json has: what was done to how many of them instead. */
    private ObjectNode summary(ObjectNode report, long nanos) {
        ObjectNode summary = report.deepCopy();
        JsonNode tensors = summary.remove("tensors");
        JsonNode verification = summary.remove("verification");
        summary.put("input", in);
        summary.put("output", out.toString());
        summary.put("report", out.resolve("report.json").toString());
        summary.put("seconds", Math.round(nanos / 1e6) / 1e3);
        Map<String, Integer> work = new LinkedHashMap<>();
        for (JsonNode tensor : tensors) {
            work.merge(work(tensor.path("steps")), 1, Integer::sum);
        }
        var list = summary.putArray("work");
        work.forEach((what, count) -> list.addObject().put("tensors", count).put("what", what));
        summary.set("verification", verification);
        return summary;
    }

    /** The steps behind reading, each once. */
    private static String work(JsonNode steps) {
        StringBuilder words = new StringBuilder();
        for (JsonNode step : steps) {
            String word = step.asText();
            if (!word.startsWith("read ") && words.indexOf(word) < 0) {
                words.append(words.isEmpty() ? "" : ", ").append(word);
            }
        }
        return words.isEmpty() ? "unchanged" : words.toString();
    }

    private void print(JsonNode summary) {
        console.out().println(console.bold(in) + " -> " + console.bold(out.toString()) + " (" + summary.path("family").asText() + ", "
                + summary.path("to").asText() + ")");
        console.out().println();
        Table.ofFacts()
                .row("parameters before", Table.count(summary.path("parameters_before").asLong()))
                .row("parameters after", Table.count(summary.path("parameters_after").asLong()))
                .print(console.out());
        console.out().println();
        Table work = Table.ofFacts();
        summary.path("work").forEach(row -> work.row(Table.count(row.path("tensors").asLong(), "tensor"), row.path("what").asText()));
        work.print(console.out());
        console.out().println();
        Table files = Table.ofFacts();
        summary.path("result_files").forEach(file -> files.row(file.path("file").asText(), "sha256 " + file.path("sha256").asText()));
        files.row("report.json", "what was done to each tensor");
        files.print(console.out());
        console.out().println();
        verification(console, summary.path("verification"));
        summary.path("notes").forEach(note -> console.out().println("Note: " + note.asText()));
        if (!summary.path("left_out").isEmpty()) {
            console.out().println("Note: " + Table.count(summary.path("left_out").size(), "tensor")
                    + " that the model does not use were left out; report.json names them.");
        }
    }

    /** The table of a verification, or that there was none. */
    static void verification(Console console, JsonNode verification) {
        if (verification.isMissingNode() || verification.isNull()) {
            console.out().println("Not verified; 'isonorm verify' compares both.");
            return;
        }
        Table table = Table.ofNumbers("model", "computed in", "largest error", "mean error", "KL", "top-1 agreement");
        for (JsonNode row : verification.path("comparisons")) {
            table.row(row.path("model").asText(), row.path("compute").asText(), error(row, "largest_error"), error(row, "mean_error"),
                    error(row, "kl"), row.has("top1_agreement") ? Table.percent(row.path("top1_agreement").asDouble()) : "-");
        }
        console.out().println(console.green("Verified equal") + ": " + verification.path("compared").asText() + " at "
                + Table.count(verification.path("positions").asLong(), "position") + " against the " + verification.path("reference").asText()
                + "; errors are parts of their standard deviation.");
        table.print(console.out());
    }

    static String error(JsonNode row, String name) {
        return row.has(name) ? Table.error(row.path(name).asDouble()) : "-";
    }
}
