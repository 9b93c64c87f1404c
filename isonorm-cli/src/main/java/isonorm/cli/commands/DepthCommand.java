package isonorm.cli.commands;

import isonorm.cli.report.DepthReport;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.ProgressBar;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code isonorm depth}: how models use their depth. */
@Command(
        name = "depth",
        description = {
            "Measure how a model uses its depth, on a text: what its stream is like at the positions of every block, how far apart the "
                    + "inputs of its blocks are, which activations are massive, how the variance grows, and which blocks are idle.",
            "The text is read in whole windows that follow each other. Distances are arccos(cos)/pi between inputs of two blocks, the mean "
                    + "over all tokens. Of experts it says how often each is chosen. With --out there is a report with plots; several checkpoints are drawn together. "
                    + "Models that read images alone are refused.",
            "Two stacks are measured each by itself: a decoder reads the text behind the token that it begins with, and its encoder the same text; an encoder of "
                    + "sounds and a tower of images are given noise, and their report says so."
        },
        footer = {
            "  isonorm depth gpt2/                                  a table and a verdict, on an embedded text",
            "  isonorm depth gpt2/ --text wiki.txt --out report     report.html, report.json, CSV and SVG files",
            "  isonorm depth before/ after/ --sensitivity --out report"
        })
public final class DepthCommand extends CheckpointCommand {

    @Parameters(paramLabel = "CHECKPOINT", arity = "1..*",
            description = "Folders, files in them, or owner/name[@revision] in the Hugging Face cache.")
    private List<String> checkpoints;

    @Option(names = "--text", paramLabel = "FILE", description = "The UTF-8 text to read, or a folder of tokens from isonorm data build. Default: an embedded sample of Shakespeare.")
    private @Nullable Path text;

    @Option(names = "--tokens", paramLabel = "N", defaultValue = "262144", description = "How much of it to read. Default: ${DEFAULT-VALUE}.")
    private long tokens;

    @Option(names = "--window", paramLabel = "N", description = "Tokens in a window of the text. Default: the context, 1024 at most.")
    private @Nullable Integer window;

    @Option(names = "--compute", paramLabel = "TYPE", defaultValue = "f32", converter = Choice.Computes.class,
            description = "The type to compute in: f32, bf16 or f64. Default: ${DEFAULT-VALUE}.")
    private String compute;

    @Option(names = "--sensitivity", description = "Also measure the perplexity without each block, and without ranges of blocks.")
    private boolean sensitivity;

    @Option(names = "--span", paramLabel = "N", split = ",",
            description = "With --sensitivity: how many blocks the ranges have. Default: a quarter of the model's.")
    private @Nullable List<Integer> spans;

    @Option(names = "--data", paramLabel = "FILE",
            description = "With --sensitivity: multiple-choice questions, as score has them, of which the accuracy without blocks is measured too.")
    private @Nullable Path data;

    @Option(names = "--delimiter", paramLabel = "TEXT", defaultValue = "",
            description = "With --data: what stands between context and choice. Default: nothing.")
    private String delimiter;

    @Option(names = "--gradients", description = "Also measure the gradient's norm of each block and kind of parameter.")
    private boolean gradients;

    @Option(names = "--basis", description = "Also measure the effective rank of what each block's norms give, and its outliers before and after a rotation.")
    private boolean basis;

    @Option(names = "--sensitivity-tokens", paramLabel = "N", defaultValue = "16384",
            description = "With --sensitivity, --gradients and --basis: how many tokens are read. Default: ${DEFAULT-VALUE}.")
    private long sensitivityTokens;

    @Option(names = "--out", paramLabel = "DIR", description = "Write report.html, report.json, CSV files and an SVG of each plot there.")
    private @Nullable Path out;

    public DepthCommand(Console console) {
        super(console);
    }

    @Override
    public Integer call() throws IOException {
        if (window != null && window < 2 || tokens < 2 || sensitivityTokens < 2) {
            throw wrongUsage("--window, --tokens and --sensitivity-tokens must be 2 or more");
        }
        if (window != null && window > tokens) {
            throw wrongUsage("--window must be --tokens at most, or there is no whole one, got " + window + " and " + tokens);
        }
        if (spans != null && (!sensitivity || spans.stream().anyMatch(span -> span < 1))) {
            throw wrongUsage(sensitivity ? "--span must be 1 or more" : "--span says what --sensitivity removes; give both");
        }
        if (data != null && !sensitivity) {
            throw wrongUsage("--data has the questions that --sensitivity asks without blocks; give both");
        }
        if (out != null && Files.exists(out) && !Files.isDirectory(out)) {
            throw wrongUsage("--out must be a folder, got the file " + out);
        }
        if (out != null) {
            DepthReport.requireFolder(out);
        }
        DepthReport report;
        try (ProgressBar progress = progress()) {
            report = new Depths(Optional.ofNullable(text), tokens, Optional.ofNullable(window), compute, sensitivity,
                    Optional.ofNullable(spans), sensitivityTokens, Optional.ofNullable(data), delimiter, gradients, basis).measure(checkpoints, this::open, this::warnOfPositions, this::announceEngine,
                            progress, arguments(), json || out != null);
        }
        // Printed first: what was measured is not lost where it cannot be written.
        if (json) {
            console.json(report.json());
        } else {
            report.print(console);
        }
        if (out != null) {
            console.out().flush();
            report.write(out);
            if (!json) {
                console.out().println();
                console.say("Written: " + console.bold(out.resolve("report.html").toString()) + ", report.json, CSV and SVG files");
            }
        }
        return DONE;
    }
}
