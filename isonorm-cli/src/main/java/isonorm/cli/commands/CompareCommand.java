package isonorm.cli.commands;

import isonorm.cli.report.CompareReport;
import isonorm.cli.terminal.CompareProgress;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Table;
import isonorm.compare.Grid;
import isonorm.compare.Results;
import isonorm.compare.Trial;
import isonorm.compare.Trials;
import isonorm.data.RunLock;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code isonorm compare}: trains a grid of strategies and says who wins. */
@Command(
        name = "compare",
        description = {
            "Train a grid of models that differ in strategy, learning rate, depth, size or seed and read the same, and say who wins. Without a "
                    + "grid, a small one of Post-LN, Pre-LN, Peri-LN and LayerNorm Scaling, for some six minutes on two cores.",
            "A grid is YAML with the keys of isonorm train: one value is what all runs have, a list is what they differ in. A run that diverges "
                    + "is a result. The same command again goes on where it was killed; runs that have ended are kept."
        },
        footer = {
            "  isonorm compare                                   the small grid, in isonorm-compare",
            "  isonorm compare --list > grid.yaml                its YAML, to begin one's own with",
            "  isonorm compare grid.yaml --out depths --jobs 2",
            "  isonorm compare strategy=pre-ln,lns lr=1e-3,3e-3 model.blocks=8,16 seed=1,2,3 --out depths"
        })
public final class CompareCommand extends Subcommand {

    @Parameters(paramLabel = "GRID | key=value,...", arity = "0..*",
            description = "A YAML file, and values in the place of its own, several of them with commas between.")
    private List<String> given = new ArrayList<>();

    @Option(names = "--out", paramLabel = "DIR", defaultValue = "isonorm-compare",
            description = "The folder of the runs and the report; goes on with what is there. Default: ${DEFAULT-VALUE}.")
    private Path out;

    @Option(names = "--jobs", paramLabel = "N",
            description = "How many runs at once; the cores are shared between them. Default: 1, and one a core for the grid that comes along.")
    private @Nullable Integer jobs;

    @Option(names = "--list", description = "Print the grid and its runs, and train nothing.")
    private boolean list;

    public CompareCommand(Console console) {
        super(console);
    }

    @Override
    public Integer call() throws IOException {
        int processors = Runtime.getRuntime().availableProcessors();
        if (jobs != null && (jobs < 1 || jobs > processors)) {
            throw wrongUsage("--jobs must be 1 to " + processors + ", the cores there are, got " + jobs);
        }
        if (Files.exists(out) && !Files.isDirectory(out)) {
            throw wrongUsage("--out must be a folder, got the file " + out);
        }
        Grid grid = grid();
        if (list) {
            list(grid);
            return DONE;
        }
        Trials trials = Trials.of(grid, out);
        CompareReport.requireFolder(out);
        try (RunLock _ = RunLock.of(out)) {
            compare(grid, trials);
        }
        return DONE;
    }

    private void compare(Grid grid, Trials trials) throws IOException {
        int processors = Runtime.getRuntime().availableProcessors();
        announceEngine();
        if (!json && !quiet) {
            console.out().println(Table.count(trials.all().size(), "run") + " in " + console.bold(out.toString()) + ": " + axes(grid) + "; "
                    + steps(trials.all().getFirst()));
        }
        int together = jobs != null ? jobs : file().isPresent() ? 1 : processors;
        Results results;
        try (CompareProgress progress = new CompareProgress(console, trials, together, json || quiet)) {
            results = trials.run(together, progress);
        }
        CompareReport report = new CompareReport(results, trials);
        // Printed first: what was learned is not lost where it cannot be written.
        if (json) {
            console.json(report.json());
        } else {
            report.print(console);
        }
        console.out().flush();
        report.write(out);
        if (!json) {
            console.out().println();
            console.out().println("Written: " + console.bold(out.resolve("report.html").toString()) + ", report.json, CSV and SVG files");
        }
    }

    /** The file, or the grid that is there without one, and values in the place of theirs. */
    private Grid grid() throws IOException {
        Optional<Path> file = file();
        try {
            Grid grid = file.isPresent() ? Grid.read(file.get()) : Grid.embedded();
            for (String word : given) {
                int equals = word.indexOf('=');
                if (equals > 0) {
                    grid = grid.with(word.substring(0, equals).strip(), List.of(word.substring(equals + 1).strip().split("\\s*,\\s*", -1)));
                }
            }
            return grid;
        } catch (IllegalArgumentException e) {
            throw wrongUsage(String.valueOf(e.getMessage()));
        }
    }

    private Optional<Path> file() {
        List<String> files = given.stream().filter(word -> word.indexOf('=') <= 0).toList();
        if (files.size() > 1) {
            throw wrongUsage("a grid is one file, got " + String.join(" and ", files));
        }
        for (String word : files) {
            if (!Files.exists(Path.of(word)) && !word.endsWith(".yaml") && !word.endsWith(".yml")) {
                throw wrongUsage("'" + word + "' is no file and no key=value");
            }
        }
        return files.stream().findFirst().map(Path::of);
    }

    private void list(Grid grid) throws IOException {
        console.out().print(given.isEmpty() ? Grid.embeddedText() : "");
        for (Trial trial : grid.trials()) {
            console.out().println((given.isEmpty() ? "# " : "") + trial.name());
        }
    }

    private static String axes(Grid grid) {
        return grid.axes().isEmpty() ? "one" : String.join(" x ", grid.axes().entrySet().stream()
                .map(axis -> axis.getKey() + " (" + String.join(", ", axis.getValue()) + ")").toList());
    }

    private static String steps(Trial trial) {
        return Table.count(trial.steps(), "step") + " of "
                + Table.count((long) trial.run().reading().batch() * trial.run().reading().accumulate(), "example") + " each";
    }
}
