package isonorm.cli.commands;

import static java.util.Objects.requireNonNull;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Embedding;
import isonorm.checkpoint.Checkpoint;
import isonorm.checkpoint.Dtype;
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
import isonorm.model.ConversionRefused;
import isonorm.onnx.OnnxConversion;
import isonorm.text.Tokenizer;
import isonorm.verify.Verification;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code isonorm convert}: writes a checkpoint in another form and verifies that both are the same function. */
@Command(
        name = "convert",
        description = {
            "Write a checkpoint in another form and verify that it is equal; or an ONNX graph with RMSNorm.",
            "Both are run and compared before the result appears. If they are not equal, or the conversion fails or is "
                    + "interrupted, nothing is left of it."
        },
        footer = {
            "  isonorm convert gpt2/ gpt2-rms/ --to pre-rmsnorm",
            "  isonorm convert gpt2/ gpt2-centred/ --to centred          for other tools, which load it as it is",
            "  isonorm convert gpt2-rms/ back/ --to pre-ln --dtype f32   and back",
            "  isonorm convert bert/ bert-rms/ --to rmsnorm --json       Post-LN",
            "  isonorm convert olmo/ olmo-llama/ --as llama              a Llama, for whatever runs one",
            "  isonorm convert gpt2/ gpt2-rotated/ --to pre-rmsnorm --rotate hadamard --seed 7",
            "  isonorm convert gpt2/ gpt2-cut/ --to pre-rmsnorm --rotate principal --data text.txt --width 640",
            "  isonorm convert gpt2/ gpt2-cut/ --to pre-rmsnorm --rotate principal --data text.txt --width 640 --basis per-block",
            "  isonorm convert olmo/ olmo-llama/ --as llama --rotate random --width 2047 --pad 2048",
            "  isonorm convert vit.onnx vit-rms.onnx                     a graph of any architecture"
        })
public final class Convert extends CheckpointCommand {

    @Parameters(index = "0", paramLabel = "IN", description = "The checkpoint to convert, or an ONNX graph (.onnx); it is only read.")
    private String in;

    @Parameters(index = "1", paramLabel = "OUT", description = "The folder to write, or the graph's file.")
    private Path out;

    @Option(names = "--to", paramLabel = "FORM", converter = Choice.Forms.class,
            description = "centred, pre-rmsnorm, pre-crmsnorm, rmsnorm (Post-LN models) or pre-ln (the way back).")
    private @Nullable Form form;

    @Option(names = "--as", paramLabel = "FAMILY", converter = Choice.Families.class,
            description = "In place of a form, a family with RMSNorms in whose format some models of others can be written and run without code of ours: "
                    + "llama, cohere2_moe, ernie4_5_moe, internvl_vision (of images), or auto for the plainest that fits.")
    private @Nullable String family;

    @Option(names = "--rotate", paramLabel = "KIND", converter = Choice.Rotations.class,
            description = "With --to pre-rmsnorm or --as FAMILY, of models with LayerNorms or RMSNorms: carry the residual stream in another basis, random or hadamard, as methods "
                    + "for fewer bits begin, or principal, the principal components of --data. The result is an ordinary RMSNorm model.")
    private @Nullable String rotation;

    @Option(names = "--seed", paramLabel = "N", description = "Of --rotate: where what is drawn by chance begins. Default: 0.")
    private @Nullable Long seed;

    @Option(names = "--width", paramLabel = "N",
            description = "Of --rotate: how many values the stream carries. Default: as many as before; one less is enough of a model with LayerNorms. Fewer, of principal alone, make "
                    + "another function.")
    private @Nullable Integer width;

    @Option(names = "--pad", paramLabel = "N", description = "Of --rotate: zeros behind the values that the stream carries, so that it is N values wide.")
    private @Nullable Integer pad;

    @Option(names = "--basis", paramLabel = "EXTENT", converter = Choice.Extents.class,
            description = "Of --rotate principal: one basis for the whole model, whose blocks stay what they are, or per-block: one for each sub-layer, with a product on each skip, which keeps more "
                    + "of what each reads and costs more. Default: one.")
    private @Nullable String basis;

    @Option(names = "--rotate-heads", description = "Of --rotate: rotate the values of each head of attention too, into its output projection; queries and keys stay.")
    private boolean rotatesHeads;

    @Option(names = "--data", paramLabel = "DATA",
            description = "Of --rotate principal: a text, a folder of tokens, or a folder of images in folders. Three quarters of it are read to find the basis, and the last is measured on.")
    private @Nullable Path data;

    @Option(names = "--tokens", paramLabel = "N", defaultValue = "65536", description = "Of --data: how many tokens are taken. Default: ${DEFAULT-VALUE}.")
    private long tokens;

    @Option(names = "--keep-layernorm", description = "Of an ONNX graph: only centre its streams, and leave norms as they are.")
    private boolean keepsLayerNorm;

    @Option(names = "--dtype", paramLabel = "TYPE", defaultValue = "keep", converter = Choice.Dtypes.class,
            description = "The type to write: keep, f32, bf16 or f16. Default: ${DEFAULT-VALUE}.")
    private String dtype;

    @Option(names = "--untie", description = "Give a head that is tied to the token table a weight of its own.")
    private boolean untie;

    @Option(names = "--no-code", description = "Leave out the two files of Python by which transformers loads Isonorm's own forms.")
    private boolean withoutCode;

    @Option(names = "--no-verify", description = "Do not run both models to compare them.")
    private boolean unverified;

    @Option(names = "--overwrite", description = "Replace a checkpoint that is already in OUT.")
    private boolean overwrite;

    public Convert(Console console) {
        super(console);
    }

    @Override
    public Integer call() throws IOException {
        if (in.endsWith(".onnx")) {
            return convertGraph();
        }
        if (keepsLayerNorm) {
            throw wrongUsage("--keep-layernorm is of ONNX graphs; a checkpoint keeps its norms with --to centred");
        }
        if ((form == null) == (family == null)) {
            throw wrongUsage(form == null ? "say what to write: --to FORM or --as FAMILY" : "--to and --as exclude each other");
        }
        requireRotation();
        long start = System.nanoTime();
        putBack(out);
        Conversion.Report report;
        Optional<ObjectNode> measured = Optional.empty();
        try (ProgressBar progress = progress()) {
            LoadedModel model = open(in);
            if (data != null) {
                announceEngine();
                Slicing.Sliced sliced = new Slicing(model, data, rotation(model), family == null ? Optional.empty() : Optional.of(family(model)), tokens).measured(progress);
                measured = Optional.of(sliced.measured());
                report = as(sliced.conversion(), model).writeTo(out, progress);
            } else {
                report = as(conversion(model), model).writeTo(out, progress);
            }
        } catch (ConversionRefused refused) {
            refuse(refused, in + " " + words());
            return FAILED;
        }
        if (json) {
            ObjectNode summary = summary(report, System.nanoTime() - start);
            measured.ifPresent(each -> summary.set("slice", each));
            console.json(summary);
        } else {
            print(report);
            measured.ifPresent(this::printSlice);
        }
        return DONE;
    }

    private void requireRotation() {
        if (rotation == null && (seed != null || width != null || pad != null || basis != null || rotatesHeads || data != null)) {
            throw wrongUsage("--seed, --width, --pad, --basis, --rotate-heads and --data are of --rotate KIND");
        }
        boolean principal = "principal".equals(rotation);
        if (rotation != null && principal != (data != null)) {
            throw wrongUsage(principal ? "principal components come of data: say which, --data DATA" : "--data is of --rotate principal");
        }
        if (!principal && basis != null) {
            throw wrongUsage("--basis is of --rotate principal: one is enough of what is drawn by chance");
        }
        if (principal && seed != null && !rotatesHeads || tokens < 2) {
            throw wrongUsage(tokens < 2 ? "--tokens must be 2 or more, got " + tokens : "nothing of --rotate principal is drawn by chance: leave --seed out");
        }
        if (rotation != null && form != null && form != Form.PRE_RMSNORM) {
            throw wrongUsage("a rotated model is an RMSNorm model: --rotate is of --to pre-rmsnorm and --as FAMILY");
        }
        if (pad != null && pad < (width == null ? 2 : width)) {
            throw wrongUsage("--pad must be " + (width == null ? "2" : "the width, " + width + ",") + " or more, got " + pad);
        }
        if (width != null && width < 2) {
            throw wrongUsage("--width must be 2 or more, got " + width);
        }
    }

    /** A graph has one form to become, and the types that it has. */
    private int convertGraph() throws IOException {
        if (form != null || family != null || rotation != null || seed != null || width != null || pad != null || basis != null || rotatesHeads || data != null || untie || withoutCode || !dtype.equals("keep")) {
            throw wrongUsage("a graph's norms become RMSNorm, in its own types: --to, --as, --rotate, --untie, --no-code and --dtype are of checkpoints");
        }
        OnnxConversion conversion = OnnxConversion.of(Path.of(in));
        conversion = keepsLayerNorm ? conversion.keepingLayerNorm() : conversion;
        try (ProgressBar progress = progress()) {
            new GraphConversion(console, json, in, out).run(overwrite ? conversion.overwriting() : conversion, unverified, progress);
            return DONE;
        } catch (ConversionRefused refused) {
            refuse(refused, in);
            return FAILED;
        }
    }

    private Conversion conversion(LoadedModel model) throws IOException {
        if (rotation != null) {
            Conversion rotated = Conversion.rotated(model, rotation(model));
            return family == null ? rotated : rotated.inFormatOf(family(model));
        }
        return form == null ? Conversion.as(model, family(model)) : Conversion.of(model, form);
    }

    private Conversion.Rotation rotation(LoadedModel model) {
        OptionalInt carried = width == null ? "principal".equals(rotation) ? OptionalInt.of(model.model().width()) : OptionalInt.empty() : OptionalInt.of(width);
        return new Conversion.Rotation(requireNonNull(rotation), seed == null ? 0 : seed, carried, pad == null ? OptionalInt.empty() : OptionalInt.of(pad), rotatesHeads,
                basis == null ? Choice.Extents.ONE : basis);
    }

    /** A conversion as the options want it done. */
    private Conversion as(Conversion asked, LoadedModel model) throws IOException {
        Conversion conversion = asked;
        if (unverified && (dtype.endsWith("16") || isInSixteenBits(model.checkpoint()))) {
            announcePlainNumbers();
        }
        conversion = dtype.equals("keep") ? conversion : conversion.inType(Dtype.named(dtype.toUpperCase(Locale.ROOT)).orElseThrow());
        conversion = untie ? conversion.untied() : conversion;
        conversion = withoutCode ? conversion.withoutCode() : conversion;
        conversion = overwrite ? conversion.overwriting() : conversion;
        return unverified ? conversion : conversion.verifiedBy(verifier());
    }

    /** The family asked for, or one that has a place for the model. */
    private String family(LoadedModel model) throws ConversionRefused {
        String asked = requireNonNull(family);
        if (!asked.equals(Choice.Families.AUTO)) {
            return asked;
        }
        List<String> reasons = new ArrayList<>();
        for (String other : Conversion.families()) {
            List<String> each = rotation == null ? Conversion.refusals(model, other) : Conversion.refusals(model, rotation(model), other);
            if (each.isEmpty()) {
                return other;
            }
            each.forEach(reason -> reasons.add(other + ": " + reason));
        }
        throw new ConversionRefused(reasons);
    }

    private static boolean isInSixteenBits(Checkpoint checkpoint) throws IOException {
        for (String name : checkpoint.names()) {
            if (checkpoint.info(name).dtype().bytes() == Short.BYTES) {
                return true;
            }
        }
        return false;
    }

    /** Looked for when it is needed, because it loads the engine. */
    private Verifier verifier() {
        return (source, original, rewritten, written, progress) -> {
            announceEngine();
            return Verification.verifier().verify(source, original, rewritten, written, progress);
        };
    }

    private String words() {
        return (form != null ? "to " + form : Choice.Families.AUTO.equals(family) ? "to another family" : "to a checkpoint of " + family) + (rotation != null ? ", rotated" : "");
    }

    private void refuse(ConversionRefused refused, String what) {
        console.err().println("isonorm: cannot convert " + what + ":");
        refused.reasons().forEach(reason -> console.err().println("  - " + reason));
        if (json) {
            ObjectNode node = Json.object();
            refused.reasons().forEach(node.putArray("refused")::add);
            console.json(node);
        }
    }

    /** report.json without the list of tensors: what was done to how many of them instead. */
    private ObjectNode summary(Conversion.Report report, long nanos) throws IOException {
        ObjectNode summary = Json.read(out.resolve("report.json"));
        summary.remove("tensors");
        JsonNode verification = summary.remove("verification");
        summary.put("input", in);
        summary.put("output", out.toString());
        summary.put("report", out.resolve("report.json").toString());
        summary.put("seconds", Math.round(nanos / 1e6) / 1e3);
        var list = summary.putArray("work");
        work(report).forEach((what, count) -> list.addObject().put("tensors", count).put("what", what));
        summary.set("verification", verification);
        return summary;
    }

    /** To how many tensors the same was done. */
    private static Map<String, Integer> work(Conversion.Report report) {
        Map<String, Integer> work = new LinkedHashMap<>();
        report.tensors().forEach(tensor -> work.merge(words(tensor), 1, Integer::sum));
        return work;
    }

    /** The steps behind reading, each once. */
    private static String words(Conversion.Tensor tensor) {
        String words = tensor.steps().stream().filter(step -> !step.startsWith("read ")).distinct().collect(Collectors.joining(", "));
        return words.isEmpty() ? "unchanged" : words;
    }

    private void print(Conversion.Report report) throws IOException {
        console.say(console.bold(in) + " -> " + console.bold(out.toString()) + " (" + report.family() + ", " + report.to()
                + report.rotation().map(how -> ", rotated: " + how.kind() + (data == null ? ", seed " + how.seed() : "") + ", width " + how.width().orElseThrow()
                        + (how.pad().isPresent() ? " of " + how.pad().getAsInt() : "")).orElse("") + ")");
        console.out().println();
        Table.ofFacts()
                .row("parameters before", Table.count(report.parametersBefore()))
                .row("parameters after", Table.count(report.parametersAfter()))
                .print(console.out());
        console.out().println();
        Table work = Table.ofFacts();
        work(report).forEach((what, count) -> work.row(Table.count(count, "tensor"), what));
        work.print(console.out());
        console.out().println();
        Table files = Table.ofFacts();
        for (var file : report.resultFiles()) {
            files.row(file.name(), Table.bytes(Files.size(out.resolve(file.name()))) + ", sha256 " + file.sha256());
        }
        report.code().ifPresent(code -> code.files().forEach(file -> files.row(file.name(), "sha256 " + file.sha256())));
        files.row("report.json", "what was done to each tensor");
        files.print(console.out());
        console.out().println();
        if (report.slice()) {
            console.say(console.bold("Another function") + " than " + in + ": a part of the stream is cut off. What is written is verified against that, before it is rounded.");
        }
        report.verification().ifPresentOrElse(this::print, () -> console.say("Not verified; 'isonorm verify' compares both."));
        report.code().ifPresent(code -> console.say("Note: transformers loads it as " + code.modelClass() + ", with trust_remote_code=True."));
        report.notes().forEach(note -> console.say("Note: " + note));
        if (Model.of(LoadedModel.open(out).model()).architecture().embedding() instanceof Embedding.Tokens) {
            Tokenizer.obstacle(out.resolve("tokenizer.json")).ifPresent(why -> console.say("Note: it reads and writes tokens, and no text: " + why));
        }
        if (!report.leftOut().isEmpty()) {
            console.say("Note: " + Table.count(report.leftOut().size(), "tensor")
                    + " that the model does not use were left out; report.json names them.");
        }
    }

    /** What of the stream is left, and what that does. */
    private void printSlice(ObjectNode measured) {
        console.out().println();
        Table table = Table.ofFacts();
        List<String> parts = measured.path("kept_by_block").valueStream().map(part -> Table.percent(part.asDouble())).toList();
        table.row("kept of the stream", "before block 0 to behind the last: " + String.join(", ", parts));
        if (measured.has("perplexity_before")) {
            table.row("perplexity before", Verify.perplexity(measured.path("perplexity_before").asDouble()));
            table.row("perplexity after", Verify.perplexity(measured.path("perplexity_after").asDouble()) + ", on " + Table.count(measured.path("predicted_tokens").asLong(), "token")
                    + " that the basis was not found by");
        }
        if (measured.has("kl")) {
            table.row("KL", Table.error(measured.path("kl").asDouble()) + " nats, " + measured.path("compared").asText() + " at "
                    + Table.count(measured.path("positions").asLong(), "position") + " that the basis was not found by");
            table.row("top-1 agreement", Table.percent(measured.path("top1_agreement").asDouble()));
        }
        table.print(console.out());
        if (measured.has("bases")) {
            console.out().println();
            boolean words = measured.has("perplexity_after");
            Table bases = words ? Table.ofNumbers("basis", "parameters", "perplexity", "tokens/s") : Table.ofNumbers("basis", "parameters", "KL", "top-1 agreement", "tokens/s");
            measured.path("bases").forEach(row -> {
                String speed = String.format(Locale.ROOT, "%,.0f", row.path("tokens_per_second").asDouble());
                String parameters = Table.count(row.path("parameters").asLong());
                if (words) {
                    bases.row(row.path("basis").asText(), parameters, Verify.perplexity(row.path("perplexity").asDouble()), speed);
                } else {
                    bases.row(row.path("basis").asText(), parameters, row.has("kl") ? Table.error(row.path("kl").asDouble()) : "-",
                            row.has("kl") ? Table.percent(row.path("top1_agreement").asDouble()) : "-", speed);
                }
            });
            bases.print(console.out());
        }
        if (!measured.path("fast_widths").isEmpty()) {
            console.out().println("Note: kernels take columns in whole vectors; near this width are "
                    + measured.path("fast_widths").valueStream().map(JsonNode::asText).collect(Collectors.joining(" and ")) + ".");
        }
    }

    private void print(Evidence evidence) {
        Table table = Table.ofNumbers("model", "computed in", "largest error", "RMS error", "KL", "top-1 agreement");
        for (Evidence.Measured row : evidence.comparisons()) {
            Comparison comparison = row.comparison();
            table.row(row.model().label(), row.computed(), Table.error(comparison.largestError()), Table.error(comparison.rootMeanSquareError()),
                    Double.isNaN(comparison.kl()) ? "-" : Table.error(comparison.kl()),
                    Double.isNaN(comparison.top1Agreement()) ? "-" : Table.percent(comparison.top1Agreement()));
        }
        console.say(verified(console, evidence) + "; errors are parts of their standard deviation.");
        table.print(console.out());
    }

    /** That a written model is equal, in words. */
    static String verified(Console console, Evidence evidence) {
        String equal = Equality.words(evidence);
        return console.green("Verified " + equal) + (equal.contains(":") ? "; " : ": ") + evidence.decisive().compared() + " at "
                + Table.count(evidence.decisive().positions(), "position") + " against the original, f64";
    }
}
