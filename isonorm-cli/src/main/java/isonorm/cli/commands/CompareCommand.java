package isonorm.cli.commands;

import isonorm.cli.report.CompareReport;
import isonorm.cli.report.Provenance;
import isonorm.cli.terminal.CompareProgress;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Interruption;
import isonorm.cli.terminal.Table;
import isonorm.compare.Grid;
import isonorm.compare.Results;
import isonorm.compare.Trial;
import isonorm.compare.Trials;
import isonorm.data.RunLock;
import isonorm.data.TokenData;
import isonorm.train.ProcessGroup;
import isonorm.train.Trainer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code isonorm compare}: trains a grid of strategies and says who wins. */
@Command(
        name = "compare",
        description = {
            "Train a grid of models that differ in strategy, learning rate, depth, size or seed and read the same, and say who wins, if anyone does. "
                    + "Without a word, or as 'small', a small one of Post-LN, Pre-LN, Peri-LN and LayerNorm Scaling, for some six minutes on two cores.",
            "A grid is YAML with the keys of isonorm train, or words: one value is what all runs have, several are what they differ in, and what is not "
                    + "named is as isonorm train has it, so that each run is what train does with the same words. A run that diverges "
                    + "is a result. The same command again goes on where it was killed; runs that have ended are kept."
        },
        footer = {
            "  isonorm compare                                   the small grid, in isonorm-compare",
            "  isonorm compare --list > grid.yaml                its YAML, to begin one's own with",
            "  isonorm compare small steps=100                   the same grid, with fewer steps",
            "  isonorm compare grid.yaml --out depths --jobs 2",
            "  isonorm compare strategy=pre-ln,lns lr=1e-3,3e-3 model.blocks=8,16 seed=1,2,3 --out depths"
        })
public final class CompareCommand extends Subcommand {

    /** Names the grid that comes along. */
    private static final String SMALL = "small";

    @Parameters(paramLabel = "GRID | key=value,...", arity = "0..*",
            description = "A YAML file, and values in the place of its own, several of them with commas between.")
    private List<String> given = new ArrayList<>();

    @Option(names = "--out", paramLabel = "DIR", defaultValue = "isonorm-compare",
            description = "The folder of the runs and the report; goes on with what is there. Default: ${DEFAULT-VALUE}.")
    private Path out;

    @Option(names = "--jobs", paramLabel = "N",
            description = "How many runs at once; the cores are shared between them. Default: 1, and one a core for the small grid.")
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
        Optional<TextToTokens> text = TextToTokens.of(grid.base());
        Optional<ProcessGroup.Launch> launch = ProcessGroup.Launch.of(System.getenv());
        if (text.isPresent() && launch.isPresent()) {
            throw wrongUsage(text.get().refusal());
        }
        if (text.isPresent()) {
            CompareReport.requireFolder(out);
            Path tokens = TextToTokens.beside(out);
            if (!begun(grid)) {
                text.get().build(tokens, console, json || quiet);
            } else if (!text.get().isIn(tokens)) {
                throw new IOException(out + " has runs on another text than " + text.get().text() + " is now; take another folder, or delete it to run them again");
            }
            grid = grid.with(TextToTokens.DATA, List.of(tokens.toString())).with(TextToTokens.COLUMN, List.of(TextToTokens.USUAL));
        }
        Trials trials = Trials.of(grid, out);
        CompareReport.requireFolder(out);
        if (launch.isPresent()) {
            int local = launch.get().local().orElse(1);
            return compare(grid, trials, new Trials.Share(launch.get().rank(), launch.get().size(), local)); // each run has a lock of its own
        }
        try (RunLock _ = RunLock.of(out)) {
            return compare(grid, trials, Trials.Share.ALL);
        }
    }

    /** Whether any run has begun. */
    private boolean begun(Grid grid) throws IOException {
        for (Trial trial : grid.trials()) {
            if (!Trainer.isFresh(out.resolve(trial.folder()))) {
                return true;
            }
        }
        return false;
    }

    private int compare(Grid grid, Trials trials, Trials.Share share) throws IOException {
        int processors = Math.max(1, Runtime.getRuntime().availableProcessors() / share.local());
        boolean leads = share.rank() == 0;
        announceEngine();
        if (leads && !json && !quiet) {
            console.say(Table.count(trials.all().size(), "run") + " in " + console.bold(out.toString()) + ": " + axes(grid) + "; "
                    + steps(trials.all().getFirst()));
        }
        int together = jobs != null ? jobs : comesAlong() ? processors : 1;
        Results results;
        try (Interruption interruption = Interruption.listen(() -> console.err().println("finishing a step of each run, then writing checkpoints; once more ends at once"))) {
            try (CompareProgress progress = new CompareProgress(console, trials, together, json || quiet || !leads, interruption)) {
                trials.run(together, share, progress);
                if (!leads) {
                    return DONE; // the leading one waits for all, and reports
                }
                results = trials.others(progress, Trials.SILENCE);
            } catch (CancellationException e) {
                if (!interruption.getAsBoolean()) {
                    throw e;
                }
                console.err().println("Interrupted. The runs that have ended and the checkpoints of those that have not are in " + out + "; the same command goes on");
                return interruption.code();
            }
        }
        CompareReport report = new CompareReport(results, trials, Provenance.now(arguments(), List.of(data(trials))));
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
            console.say("Written: " + console.bold(out.resolve("report.html").toString()) + ", report.json, CSV and SVG files");
        }
        return DONE;
    }

    /** What all runs read. */
    private static Provenance.Source data(Trials trials) throws IOException {
        Optional<Path> data = trials.all().getFirst().run().reading().data();
        return data.isPresent() ? Provenance.Source.data(data.get()) : new Provenance.Source("data", "the embedded plays of Shakespeare", TokenData.shakespeareSha256());
    }

    /** Whether it is the grid that comes along, changed or not. */
    private boolean comesAlong() {
        return given.isEmpty() || given.contains(SMALL) && !Files.exists(Path.of(SMALL));
    }

    /** The file, or the grid that comes along, and values in the place of theirs; words alone begin with nothing, so that no run has what nobody said. */
    private Grid grid() throws IOException {
        Optional<Path> file = file();
        try {
            Grid grid = comesAlong() ? Grid.embedded() : file.isPresent() ? Grid.read(file.get()) : new Grid(Map.of(), Map.of());
            for (String word : given) {
                int equals = word.indexOf('=');
                if (equals > 0) {
                    grid = grid.with(word.substring(0, equals).strip(), List.of(word.substring(equals + 1).strip().split("\\s*,\\s*", -1)));
                }
            }
            grid.trials().forEach(Trial::run); // a value that makes no sense is wrong usage, and what does not fit together is found later
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
            if (!word.equals(SMALL) && !Files.exists(Path.of(word)) && !word.endsWith(".yaml") && !word.endsWith(".yml")) {
                throw wrongUsage("'" + word + "' is no file and no key=value; the grid that comes along is called " + SMALL);
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
