package isonorm.cli.commands;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.cli.report.Facts;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Json;
import isonorm.cli.terminal.ProgressBar;
import isonorm.cli.terminal.Table;
import isonorm.convert.Conversion;
import isonorm.convert.LoadedModel;
import isonorm.measure.Gptq;
import isonorm.model.ConversionRefused;
import isonorm.verify.Verification;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code isonorm quantize}: writes a checkpoint whose matrices are in 8 or 4 bits. */
@Command(
        name = "quantize",
        description = {
            "Write a checkpoint whose linear layers, head and table of tokens are in few bits, in groups of inputs that share a scale: another function, near to "
                    + "the source, and less to read for each token. The result is in Isonorm's own format. Before it appears it is held to what it was to be.",
            "rtn rounds each value to the nearest. gptq (Frantar et al. 2023) goes through the inputs of a layer and puts each one's error right on those that "
                    + "follow, as far as --data shows that it can be."
        },
        footer = {
            "  isonorm quantize gpt2/ gpt2-q8/ --bits 8",
            "  isonorm quantize gpt2-rms/ gpt2-q4/ --bits 4 --method gptq --data wiki.txt",
            "  isonorm quantize llama/ llama-q4/ --bits 4 --group 64 --keep 'blocks.0.*' --keep head"
        })
public final class Quantize extends CheckpointCommand {

    @Parameters(index = "0", paramLabel = "CHECKPOINT", description = "The checkpoint to quantize; it is only read.")
    private String in;

    @Parameters(index = "1", paramLabel = "OUT", description = "The folder to write.")
    private Path out;

    @Option(names = "--bits", required = true, paramLabel = "N", description = "Of linear layers, 8 or 4.")
    private int bits;

    @Option(names = "--head-bits", paramLabel = "N", defaultValue = "8", description = "Of the head and the table of tokens, 8 or 4. Default: ${DEFAULT-VALUE}.")
    private int headBits;

    @Option(names = "--group", paramLabel = "N", defaultValue = "32", description = "How many inputs share a scale, a multiple of 32. Default: ${DEFAULT-VALUE}.")
    private int group;

    @Option(names = "--method", paramLabel = "METHOD", converter = Choice.Roundings.class, defaultValue = "rtn", description = "rtn or gptq. Default: ${DEFAULT-VALUE}.")
    private String method;

    @Option(names = "--data", paramLabel = "DATA",
            description = "A text, a folder of tokens, or a folder of images in folders. Three quarters of it are what gptq goes by, and the last is measured on.")
    private @Nullable Path data;

    @Option(names = "--tokens", paramLabel = "N", defaultValue = "65536", description = "Of --data: how many tokens are taken. Default: ${DEFAULT-VALUE}.")
    private long tokens;

    @Option(names = "--keep", paramLabel = "PATTERN",
            description = "Matrices that stay, by their names in Isonorm's format; * stands for any letters: 'blocks.0.*', head. May be given several times.")
    private List<String> kept = List.of();

    @Option(names = "--no-code", description = "Write no files of Python beside the result, by which transformers computes it.")
    private boolean withoutCode;

    @Option(names = "--overwrite", description = "Replace OUT if it is a checkpoint.")
    private boolean overwrite;

    public Quantize(Console console) {
        super(console);
    }

    @Override
    public Integer call() throws IOException {
        if (method.equals("gptq") && data == null) {
            throw wrongUsage("gptq goes by data: say which, --data DATA");
        }
        if (tokens < 2) {
            throw wrongUsage("--tokens must be 2 or more, got " + tokens);
        }
        Conversion.Bits wanted;
        try {
            wanted = new Conversion.Bits(bits, headBits, group, kept);
        } catch (IllegalArgumentException e) {
            throw wrongUsage(String.valueOf(e.getMessage()));
        }
        putBack(out);
        LoadedModel model = open(in);
        announceEngine();
        Conversion.Report report;
        ObjectNode measured = Json.object();
        try (ProgressBar progress = progress()) {
            List<String> reasons = Conversion.quantizingRefusals(model);
            if (!reasons.isEmpty()) {
                throw new ConversionRefused(reasons);
            }
            Optional<Calibration> calibration = data == null ? Optional.empty() : Optional.of(Calibration.of(model, data, tokens));
            Map<String, Conversion.Codes> chosen = method.equals("gptq") ? gptq(model, wanted, calibration.orElseThrow(), measured, progress) : Map.of();
            Conversion conversion = Conversion.quantized(model, wanted, chosen, method).verifiedBy(Verification.verifier());
            conversion = withoutCode ? conversion.withoutCode() : conversion;
            conversion = overwrite ? conversion.overwriting() : conversion;
            if (calibration.isPresent()) {
                measured.setAll(calibration.get().told());
                calibration.get().measure(conversion.result(), measured, progress);
            }
            report = conversion.writeTo(out, progress);
        } catch (ConversionRefused refused) {
            throw new IOException("cannot quantize " + in + ": " + refused.getMessage(), refused);
        }
        ObjectNode result = result(report, model, measured);
        if (json) {
            console.json(result);
        } else {
            print(result, report);
        }
        return DONE;
    }

    private static Map<String, Conversion.Codes> gptq(LoadedModel model, Conversion.Bits wanted, Calibration calibration, ObjectNode measured, ProgressBar progress)
            throws IOException {
        Gptq.Chosen result = Gptq.of(model, wanted, calibration.found(), progress);
        measured.put("error_of_layers", result.error()).put("error_of_layers_by_rtn", result.errorOfRounding());
        return result.codes();
    }

    private ObjectNode result(Conversion.Report report, LoadedModel model, ObjectNode measured) throws IOException {
        ObjectNode result = Json.object().put("input", in).put("output", out.toString()).put("family", report.family()).put("method", method).put("bits", bits)
                .put("head_bits", headBits).put("group_size", group);
        LoadedModel written = LoadedModel.open(out);
        result.put("bits_per_weight", Facts.bitsPerWeight(written)).put("bits_per_weight_before", Facts.bitsPerWeight(model));
        result.put("report", out.resolve("report.json").toString());
        result.set("measured", measured);
        return result;
    }

    private void print(JsonNode result, Conversion.Report report) {
        console.out().println(console.bold(in) + " -> " + console.bold(out.toString()) + " (" + report.family() + ", " + report.to() + ", " + method + ")");
        console.out().println();
        JsonNode measured = result.path("measured");
        Table table = Table.ofFacts()
                .row("parameters", Table.count(report.parametersAfter()))
                .row("bits per weight", Facts.bits(result.path("bits_per_weight_before").asDouble()) + " before, " + Facts.bits(result.path("bits_per_weight").asDouble()) + " now")
                .row("groups", "of " + group + " inputs, a float16 scale each; head and table in " + headBits + " bits");
        if (measured.has("error_of_layers")) {
            table.row("error of layers", Table.error(measured.path("error_of_layers").asDouble()) + " of their outputs, RMS over the data; "
                    + Table.error(measured.path("error_of_layers_by_rtn").asDouble()) + " by rounding to the nearest");
        }
        if (measured.has("perplexity_before")) {
            table.row("perplexity", Verify.perplexity(measured.path("perplexity_before").asDouble()) + " before, "
                    + Verify.perplexity(measured.path("perplexity_after").asDouble()) + " now, on " + Table.count(measured.path("predicted_tokens").asLong(), "token")
                    + " held back");
        }
        if (measured.has("kl")) {
            table.row("KL", Table.error(measured.path("kl").asDouble()) + " nats, " + measured.path("compared").asText() + " at "
                    + Table.count(measured.path("positions").asLong(), "position") + " held back");
            table.row("top-1 agreement", Table.percent(measured.path("top1_agreement").asDouble()));
        }
        table.print(console.out());
        console.out().println();
        console.say(console.bold("Another function") + " than " + in + ", near to it. The file holds what it was to hold: run, it is equal to that.");
        report.code().ifPresent(code -> console.say("Note: transformers loads it as " + code.modelClass() + ", with trust_remote_code=True."));
    }
}
