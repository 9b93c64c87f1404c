package isonorm.cli.commands;

import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.checkpoint.Dtype;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Json;
import isonorm.cli.terminal.ProgressBar;
import isonorm.cli.terminal.Table;
import isonorm.onnx.OnnxExport;
import isonorm.onnx.OnnxRuntime;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code isonorm export}: writes a checkpoint as an ONNX graph. */
@Command(
        name = "export",
        description = {
            "Write a checkpoint of any family and form as an ONNX graph.",
            "Inputs and outputs have the names that optimum gives them; a decoder has keys and values of what was read before among them. Norms are "
                    + "LayerNormalization or RMSNormalization. Where ONNX Runtime's jar is found, in the file that ISONORM_ONNXRUNTIME names or else in "
                    + "~/.cache/isonorm/onnxruntime.jar, the graph is run and compared with the checkpoint before it appears."
        },
        footer = {
            "  isonorm export gpt2-rms/ gpt2-rms.onnx",
            "  isonorm export llama/ llama.onnx --dtype f16 --external-data"
        })
public final class Export extends CheckpointCommand {

    @Parameters(index = "0", paramLabel = "CHECKPOINT", description = "The checkpoint to export; it is only read.")
    private String in;

    @Parameters(index = "1", paramLabel = "OUT.onnx", description = "The file to write.")
    private Path out;

    @Option(names = "--opset", paramLabel = "N", defaultValue = "23",
            description = "The version of ONNX's operators, 18 to 25; RMSNorm needs 23. Default: ${DEFAULT-VALUE}.")
    private int opset;

    @Option(names = "--dtype", paramLabel = "TYPE", defaultValue = "f32", converter = Choice.Exportable.class,
            description = "The type of weights and of what is computed: f32 or f16. Default: ${DEFAULT-VALUE}.")
    private String dtype;

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

    private OnnxExport export() throws IOException {
        OnnxExport export = OnnxExport.of(open(in)).inType(Dtype.named(dtype.toUpperCase(Locale.ROOT)).orElseThrow());
        try {
            export = export.opset(opset);
        } catch (IllegalArgumentException e) {
            throw wrongUsage("--opset: " + e.getMessage());
        }
        export = external ? export.externalData() : export;
        return overwrite ? export.overwriting() : export;
    }

    private ObjectNode json(OnnxExport.Report report) {
        ObjectNode node = Json.object().put("input", in);
        report.files().forEach(file -> node.withArray("files").add(file.toString()));
        node.put("bytes", report.bytes()).put("opset", report.opset()).put("dtype", dtype).put("parameters", report.parameters()).put("nodes", report.nodes());
        report.operators().forEach(node.putObject("norms")::put);
        report.inputs().forEach(node.putArray("inputs")::add);
        report.outputs().forEach(node.putArray("outputs")::add);
        node.put("verified", report.error().isPresent());
        report.error().ifPresent(error -> node.put("error", error));
        report.notes().forEach(node.putArray("notes")::add);
        return node;
    }

    private void print(OnnxExport.Report report, Optional<OnnxRuntime> runtime) {
        console.out().println(console.bold(in) + " -> " + console.bold(out.toString()) + " (ONNX, opset " + report.opset() + ", " + dtype + ")");
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
        report.notes().forEach(note -> console.out().println("Note: " + note));
        if (report.error().isPresent()) {
            console.out().println(console.green("Verified") + " by ONNX Runtime " + runtime.orElseThrow().version() + ": its outputs are the checkpoint's but for "
                    + Table.error(report.error().getAsDouble()) + " of their standard deviation.");
        } else {
            console.out().println("Not verified" + (unverified ? "." : ": ONNX Runtime was not found; " + OnnxRuntime.howToGet() + "."));
        }
    }

    /** Keys and values of blocks are said once. */
    private static String shortened(List<String> names) {
        return names.stream().map(name -> name.replaceFirst("\\.\\d+\\.(key|value)$", ".N.$1")).distinct().collect(Collectors.joining(", "));
    }
}
