package isonorm.cli.commands;

import com.fasterxml.jackson.databind.node.ArrayNode;
import isonorm.cli.report.NormReport;
import isonorm.cli.report.OutputFile;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.ProgressBar;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code isonorm bench norms}: what the norms of a model cost, by form. */
@Command(
        name = "norms",
        description = {
            "Measure what norms cost: forward passes of one model without norms, as Pre-LN, and converted to pre-rmsnorm and pre-crmsnorm.",
            "The weights are random. All four are timed in turn, in this process, on the same input; the last three must give the same "
                    + "outputs, or nothing is printed. The ratio to Pre-LN is the median over rounds of the times' ratio within a round."
        },
        footer = {
            "  isonorm bench norms --model vit-ti,vit-s --batch 1,8",
            "  isonorm bench norms --model gpt2-small --dtype f32 --format md --plot norms.svg"
        })
final class BenchNorms extends Subcommand {

    @Option(names = "--model", paramLabel = "NAME", split = ",", defaultValue = "vit-ti,vit-s,vit-b", converter = Choice.Shapes.class,
            description = "Shapes: vit-ti, vit-s, vit-b, vit-l, gpt2-small, gpt2-medium, gpt2-xl, llama-134m (with LayerNorm). "
                    + "Default: ${DEFAULT-VALUE}.")
    private List<String> models;

    @Option(names = "--batch", paramLabel = "N", split = ",", defaultValue = "1,8",
            description = "Images or prompts at once. Default: ${DEFAULT-VALUE}.")
    private List<Integer> batches;

    @Option(names = "--runtime", paramLabel = "NAME", defaultValue = "isonorm", converter = Choice.Runtimes.class,
            description = "What runs them: isonorm, or onnx, ONNX Runtime where its jar is found (see export). Default: ${DEFAULT-VALUE}.")
    private String runtime;

    @Option(names = "--dtype", paramLabel = "TYPE", split = ",", converter = Choice.Measurable.class,
            description = "Types of weights and activations: f32, bf16. Default: both, and with onnx f32, the only one.")
    private @Nullable List<String> dtypes;

    @Option(names = "--runs", paramLabel = "N", defaultValue = "15", description = "How often each form is timed. Default: ${DEFAULT-VALUE}.")
    private int runs;

    @Option(names = "--warm-up", paramLabel = "SECONDS", defaultValue = "5", converter = Choice.WarmUp.class,
            description = "How long each form runs before that. Default: ${DEFAULT-VALUE}.")
    private Duration warmUp;

    @Option(names = "--threads", paramLabel = "N", description = "Threads. Default: as many as there are processors.")
    private @Nullable Integer threads;

    @Option(names = "--tokens", paramLabel = "N", defaultValue = "512",
            description = "The length of a prompt, for language models. Default: ${DEFAULT-VALUE}.")
    private int tokens;

    @Option(names = "--format", paramLabel = "FORMAT", defaultValue = "table", converter = Choice.Formats.class,
            description = "table, md, csv or json. Default: ${DEFAULT-VALUE}; --json is --format json.")
    private String format;

    @Option(names = "--plot", paramLabel = "FILE.svg", description = "Draw the ratios, with quartiles, as bars.")
    private @Nullable Path plot;

    BenchNorms(Console console) {
        super(console);
    }

    @Override
    public Integer call() throws IOException {
        if (batches.stream().anyMatch(batch -> batch < 1)) {
            throw wrongUsage("--batch must be 1 or more, got " + batches.stream().filter(batch -> batch < 1).findFirst().orElseThrow());
        }
        if (runs < 1 || tokens < 1 || threads != null && threads < 1) {
            throw wrongUsage("--runs, --tokens and --threads must be 1 or more");
        }
        if (plot != null && (Files.isDirectory(plot) || !Files.isDirectory(folder(plot)))) {
            throw wrongUsage("--plot must be a file in a folder that exists, got " + plot);
        }
        if (plot != null) {
            OutputFile.require(plot);
        }
        boolean onnx = runtime.equals("onnx");
        List<String> types = dtypes != null ? dtypes : onnx ? List.of("f32") : List.of("f32", "bf16");
        if (onnx && !types.equals(List.of("f32"))) {
            throw wrongUsage("--runtime onnx runs f32, got --dtype " + String.join(",", types));
        }
        announceEngine();
        ArrayNode rows;
        try (ProgressBar progress = ProgressBar.on(console, quiet)) {
            rows = Speeds.norms(Speeds.Engine.of(onnx), models, batches, types, runs, warmUp, threads != null ? threads : Runtime.getRuntime().availableProcessors(),
                    tokens, progress);
        }
        switch (json ? "json" : format) {
            case "json" -> console.json(rows);
            case "csv" -> NormReport.csv(rows, console.out());
            case "md" -> NormReport.markdown(rows, console.out());
            default -> NormReport.table(rows, console.out());
        }
        if (plot != null) {
            console.out().flush();
            String svg = NormReport.chart(rows).svg();
            OutputFile.write(plot, temporary -> Files.writeString(
                    temporary, svg, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE, StandardOpenOption.SYNC));
        }
        return DONE;
    }

    private static Path folder(Path file) {
        return file.toAbsolutePath().resolveSibling("");
    }
}
