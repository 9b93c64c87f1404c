package isonorm.cli.commands;

import static java.util.Objects.requireNonNull;

import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.checkpoint.Dtype;
import isonorm.cli.report.OutputFile;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Json;
import isonorm.cli.terminal.ProgressBar;
import isonorm.cli.terminal.Table;
import isonorm.convert.LoadedModel;
import isonorm.gguf.GgufExport;
import isonorm.onnx.OnnxExport;
import isonorm.onnx.OnnxRuntime;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code isonorm export}: writes a checkpoint as an ONNX graph, or in GGUF. */
@Command(
        name = "export",
        description = {
            "Write a checkpoint of any family and form as an ONNX graph.",
            "Inputs and outputs have the names that optimum gives them; a decoder has keys and values of what was read before among them. Norms are "
                    + "LayerNormalization or RMSNormalization. Where ONNX Runtime's jar is found, in the file that ISONORM_ONNXRUNTIME names or else in "
                    + "~/.cache/isonorm/onnxruntime.jar, the graph is run and compared with the checkpoint before it appears.",
            "Where OUT ends in .gguf, a Llama (or what convert --as llama wrote) is written for llama.cpp, with its tokenizer."
        },
        footer = {
            "  isonorm export gpt2-rms/ gpt2-rms.onnx",
            "  isonorm export llama/ llama.onnx --dtype f16 --external-data",
            "  isonorm export whisper/ encoder_model.onnx --part encoder",
            "  isonorm export llama/ llama.gguf --dtype bf16",
            "  isonorm export llama-q4/ llama-q4.gguf                     what 'isonorm quantize' wrote, as Q4_0 and Q8_0"
        })
public final class Export extends CheckpointCommand {

    private static final int OPSET = 23;

    @Parameters(index = "0", paramLabel = "CHECKPOINT", description = "The checkpoint to export; it is only read.")
    private String in;

    @Parameters(index = "1", paramLabel = "OUT", description = "The file to write, .onnx or .gguf.")
    private Path out;

    @Option(names = "--opset", paramLabel = "N", description = "The version of ONNX's operators, 18 to 25; RMSNorm needs 23. Default: " + OPSET + ".")
    private @Nullable Integer opset;

    @Option(names = "--dtype", paramLabel = "TYPE", converter = Choice.Exportable.class,
            description = "The type of weights and of what is computed: f32 or f16; of weights in GGUF also bf16. Default: f32; in GGUF what is in few bits stays so, as Q8_0 and Q4_0.")
    private @Nullable String dtype;

    @Option(names = "--part", paramLabel = "PART", defaultValue = "whole", converter = Choice.Parts.class,
            description = "Of an encoder and a decoder: whole, or encoder, decoder (which reads the first tokens) or decoder-with-past, the three graphs that optimum has. "
                    + "Default: ${DEFAULT-VALUE}.")
    private OnnxExport.Part part;

    @Option(names = "--external-data", description = "Put tensors in OUT.onnx.data; above 2 GB they are there anyway.")
    private boolean external;

    @Option(names = "--no-verify", description = "Do not run the graph to compare it.")
    private boolean unverified;

    @Option(names = "--overwrite", description = "Replace files that exist.")
    private boolean overwrite;

    public Export(Console console) {
        super(console);
    }

    @Override
    public Integer call() throws IOException {
        if (out.toString().endsWith(".gguf")) {
            return gguf();
        }
        if (!out.toString().endsWith(".onnx") && !Files.isDirectory(out)) {
            throw wrongUsage("OUT ends in .onnx or .gguf, which says what is written, got " + out);
        }
        if (type().equals("bf16")) {
            throw wrongUsage("--dtype bf16 is of GGUF; graphs are f32 or f16");
        }
        OnnxExport export = export();
        Optional<OnnxRuntime> runtime = unverified ? Optional.empty() : OnnxRuntime.find();
        if (runtime.isPresent()) {
            announceEngine();
            export = export.verifiedBy(runtime.get());
        }
        OnnxExport.Report report;
        try (ProgressBar progress = progress()) {
            report = export.writeTo(out, progress);
        }
        if (json) {
            console.json(json(report));
        } else {
            print(report, runtime);
        }
        return DONE;
    }

    private int gguf() throws IOException {
        if (external || unverified || opset != null || part != OnnxExport.Part.WHOLE) {
            throw wrongUsage("--opset, --part, --external-data and --no-verify are of ONNX graphs");
        }
        LoadedModel model = open(in);
        String word = dtype == null && model.bits().isPresent() ? "q" + model.bits().getAsInt() : type();
        GgufExport export = new GgufExport(model, Optional.ofNullable(dtype).map(Export::named));
        if (Files.exists(out) && !overwrite) {
            throw new IOException(out + " exists already; replace it with --overwrite");
        }
        AtomicReference<GgufExport.Report> report = new AtomicReference<>();
        try (ProgressBar progress = progress()) {
            OutputFile.write(out, temporary -> report.set(export.writeTo(temporary, progress)));
        }
        GgufExport.Report written = requireNonNull(report.get());
        ObjectNode node = Json.object().put("input", in).put("file", out.toString()).put("bytes", Files.size(out)).put("dtype", word)
                .put("parameters", written.parameters()).put("tensors", written.tensors()).put("tokenizer", written.tokenizer().orElse(null)).put("verified", false);
        written.notes().forEach(node.putArray("notes")::add);
        if (json) {
            console.json(node);
            return DONE;
        }
        console.out().println(console.bold(in) + " -> " + console.bold(out.toString()) + " (GGUF, llama, " + word + ")");
        console.out().println();
        Table.ofFacts().row("size", Table.bytes(Files.size(out))).row("tensors", Table.count(written.tensors()))
                .row("tokenizer", written.tokenizer().orElse("none")).print(console.out());
        console.out().println();
        written.notes().forEach(note -> console.out().println("Note: " + note));
        console.out().println("Not verified: nothing here runs GGUF.");
        return DONE;
    }

    private String type() {
        return dtype == null ? "f32" : dtype;
    }

    private static Dtype named(String word) {
        return Dtype.named(word.toUpperCase(Locale.ROOT)).orElseThrow();
    }

    private OnnxExport export() throws IOException {
        OnnxExport export = OnnxExport.of(open(in)).inType(named(type()));
        try {
            export = export.opset(opset == null ? OPSET : opset);
        } catch (IllegalArgumentException e) {
            throw wrongUsage("--opset: " + e.getMessage());
        }
        try {
            export = export.part(part);
        } catch (IllegalArgumentException e) {
            throw wrongUsage("--part: " + e.getMessage());
        }
        export = external ? export.externalData() : export;
        return overwrite ? export.overwriting() : export;
    }

    private ObjectNode json(OnnxExport.Report report) {
        ObjectNode node = Json.object().put("input", in);
        report.files().forEach(file -> node.withArray("files").add(file.toString()));
        node.put("bytes", report.bytes()).put("opset", report.opset()).put("dtype", type()).put("parameters", report.parameters()).put("nodes", report.nodes());
        report.operators().forEach(node.putObject("norms")::put);
        report.inputs().forEach(node.putArray("inputs")::add);
        report.outputs().forEach(node.putArray("outputs")::add);
        node.put("verified", report.error().isPresent());
        report.error().ifPresent(error -> node.put("error", error));
        report.notes().forEach(node.putArray("notes")::add);
        return node;
    }

    private void print(OnnxExport.Report report, Optional<OnnxRuntime> runtime) {
        console.say(console.bold(in) + " -> " + console.bold(out.toString()) + " (ONNX, opset " + report.opset() + ", " + type() + ")");
        console.out().println();
        Table table = Table.ofFacts();
        report.files().forEach(file -> table.row("written", file.getFileName().toString()));
        table.row("size", Table.bytes(report.bytes()));
        table.row("operators", Table.count(report.nodes()));
        String norms = report.operators().entrySet().stream().map(each -> each.getValue() + " " + each.getKey()).collect(Collectors.joining(", "));
        table.row("norms", norms.isEmpty() ? "of plain operators" : norms);
        table.row("inputs", shortened(report.inputs()));
        table.row("outputs", shortened(report.outputs()));
        table.print(console.out());
        console.out().println();
        report.notes().forEach(note -> console.say("Note: " + note));
        if (report.error().isPresent()) {
            console.say(console.green("Verified") + " by ONNX Runtime " + runtime.orElseThrow().version() + ": its outputs are the checkpoint's but for "
                    + Table.error(report.error().getAsDouble()) + " of their standard deviation.");
        } else {
            console.say("Not verified" + (unverified ? "." : ": ONNX Runtime was not found; " + OnnxRuntime.howToGet() + "."));
        }
    }

    /** Keys and values of blocks are said once. */
    private static String shortened(List<String> names) {
        return names.stream().map(name -> name.replaceFirst("\\.\\d+\\.(key|value)$", ".N.$1")).distinct().collect(Collectors.joining(", "));
    }
}
