package isonorm.cli.commands;

import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Json;
import isonorm.cli.terminal.ProgressBar;
import isonorm.cli.terminal.Table;
import isonorm.onnx.OnnxConversion;
import isonorm.onnx.OnnxRuntime;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;
import java.util.stream.Collectors;

/** {@code isonorm convert model.onnx out.onnx}: what is said of a graph that became another one. */
record GraphConversion(Console console, boolean json, String in, Path out) {

    void run(OnnxConversion conversion, boolean unverified, ProgressBar progress) throws IOException {
        Optional<OnnxRuntime> runtime = unverified ? Optional.empty() : OnnxRuntime.find();
        OnnxConversion.Report report = runtime.map(conversion::verifiedBy).orElse(conversion).writeTo(out, progress);
        progress.close();
        if (json) {
            console.json(json(report));
        } else {
            print(report, unverified, runtime);
        }
    }

    /** The report that lies beside the graph. */
    private ObjectNode json(OnnxConversion.Report report) throws IOException {
        Path file = report.files().getLast();
        ObjectNode node = Json.read(file).put("input", in).put("report", file.toString());
        report.files().stream().limit(report.files().size() - 1).forEach(each -> node.withArray("files").add(each.toString()));
        return node;
    }

    private void print(OnnxConversion.Report report, boolean unverified, Optional<OnnxRuntime> runtime) {
        console.say(console.bold(in) + " -> " + console.bold(out.toString()) + " (ONNX, opset " + report.opset() + ")");
        console.out().println();
        Table table = Table.ofFacts();
        table.row("norms", report.changed() + " of " + report.norms() + " read centred streams" + (report.composed() > 0 ? ", " + report.composed() + " were of plain operators" : ""));
        table.row("folded", report.folded() + " of them gave gain and bias to the products behind them");
        for (OnnxConversion.Stream stream : report.streams()) {
            table.row("stream", Table.count(stream.norms().size(), "norm") + " from " + stream.norms().getFirst() + " on; centred: "
                    + stream.writers().entrySet().stream().map(each -> each.getValue().size() + " " + each.getKey()).collect(Collectors.joining(", ")));
        }
        table.row("report", report.files().getLast().getFileName() + " names all of them");
        table.print(console.out());
        console.out().println();
        report.left().forEach(reason -> console.say("Left as it is: " + reason));
        if (report.error().isPresent()) {
            console.say(console.green("Verified") + " by ONNX Runtime " + runtime.orElseThrow().version() + ": on random inputs outputs differ by "
                    + Table.error(report.error().getAsDouble()) + " of their standard deviation at the most.");
        } else if (report.unrun().isPresent()) {
            console.say("Not verified: on inputs made up from names and dimensions it does not run; " + report.unrun().get());
        } else {
            console.say("Not verified" + (unverified ? "." : ": ONNX Runtime was not found; " + OnnxRuntime.howToGet() + "."));
        }
    }
}
