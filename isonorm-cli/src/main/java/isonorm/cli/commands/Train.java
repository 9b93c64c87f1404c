package isonorm.cli.commands;

import static java.util.Objects.requireNonNull;

import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Interruption;
import isonorm.cli.terminal.Json;
import isonorm.cli.terminal.ProgressBar;
import isonorm.cli.terminal.Table;
import isonorm.train.Configuration;
import isonorm.train.Metrics;
import isonorm.train.ProcessGroup;
import isonorm.train.Strategy;
import isonorm.train.Trainer;
import isonorm.train.TrainingRun;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code isonorm train}: trains a model with any normalization strategy. */
@Command(
        name = "train",
        description = {
            "Train a model with any normalization strategy. Without arguments, a small decoder on the embedded plays of Shakespeare, for about "
                    + "two minutes.",
            "A run is a folder: its configuration, metrics.jsonl, TensorBoard's events, checkpoints, and the model, which every other command "
                    + "reads. One that was killed goes on with --resume as if it never had been."
        },
        footer = {
            "  isonorm train",
            "  isonorm train run.yaml strategy=peri-ln lr=1e-3",
            "  isonorm train model.preset=llama-60m strategy=lns data=tokens/ out=lns-60m",
            "  isonorm train --resume lns-60m",
            "  torchrun --no-python --nproc-per-node 2 isonorm train out=run"
        })
public final class Train extends CheckpointCommand {

    @Parameters(paramLabel = "CONFIG | key=value", arity = "0..*",
            description = "A YAML file, and values in the place of its own or of the defaults. --keys lists them.")
    private List<String> given = new ArrayList<>();

    @Option(names = "--from", paramLabel = "CHECKPOINT", description = "Go on training a checkpoint: its weights, with a new optimizer.")
    private @Nullable String from;

    @Option(names = "--resume", paramLabel = "RUN", description = "Go on with a run from its last checkpoint.")
    private @Nullable Path resume;

    @Option(names = "--keys", description = "List keys with their defaults, strategies and presets, and train nothing.")
    private boolean keys;

    private Path folder = Path.of("");

    public Train(Console console) {
        super(console);
    }

    @Override
    public Integer call() throws IOException {
        if (keys) {
            list();
            return DONE;
        }
        if (resume != null && (!given.isEmpty() || from != null)) {
            throw wrongUsage("--resume goes on with what the run was told; leave out everything else");
        }
        boolean launched = ProcessGroup.Launch.of(System.getenv()).isPresent();
        Optional<TrainingRun> told = resume == null ? Optional.of(configuration(launched)) : Optional.empty();
        if (launched) {
            return inGroup(told.isPresent() ? told.get() : Configuration.ofRun(requireNonNull(resume)).run().withFolder(resume));
        }
        announceEngine();
        Trainer.End end;
        int interrupted;
        try (ProgressBar progress = progress(); Interruption interruption = Interruption.listen(() -> finishing(progress)); Trainer trainer = resume != null
                ? Trainer.resume(resume, new Printer(progress, interruption))
                : Trainer.begin(told.orElseThrow(), new Printer(progress, interruption))) {
            head(trainer);
            end = trainer.run();
            interrupted = interruption.code();
        }
        return ended(end, interrupted);
    }

    /** What every process of a group does: the leading one shows it, and all of them end with the same code. */
    private int inGroup(TrainingRun told) throws IOException {
        folder = told.folder().orElseThrow();
        try (ProcessGroup group = ProcessGroup.join(System.getenv(), Duration.ofSeconds(told.timeout()))) {
            boolean leads = group.rank() == 0;
            if (leads) {
                announceEngine();
            }
            Trainer.End end;
            int interrupted;
            try (ProgressBar progress = progress(); Interruption interruption = Interruption.listen(() -> finishing(progress));
                    Trainer trainer = Trainer.join(told, leads ? new Printer(progress, interruption) : new Silent(interruption), group)) {
                if (leads) {
                    head(trainer);
                }
                end = trainer.run();
                interrupted = interruption.code();
            }
            int code = leads || end == Trainer.End.DIVERGED ? ended(end, interrupted) : end == Trainer.End.INTERRUPTED ? interrupted : DONE;
            return end == Trainer.End.INTERRUPTED && code == 0 ? FAILED : code; // another rank was interrupted
        }
    }

    private void head(Trainer trainer) {
        if (!json) {
            console.out().printf(Locale.ROOT, "%,d parameters%n", trainer.parameters());
            console.out().printf("%9s %8s %10s %9s %9s %9s %8s %9s%n", "step", "loss", "perplexity", "gradient", "rate", "tokens/s", "memory", "left");
        }
    }

    /** Shows nothing, as all ranks but the leading one do. */
    private record Silent(Interruption interruption) implements Trainer.Watcher {
        @Override
        public boolean interrupts() {
            return interruption.getAsBoolean();
        }
    }

    private void finishing(ProgressBar progress) {
        progress.close();
        console.err().println("finishing the step, then writing a checkpoint; once more ends at once");
    }

    private int ended(Trainer.End end, int interrupted) {
        Path run = resume != null ? resume : folder;
        if (json) {
            console.jsonLine(Json.object().put("end", end.name().toLowerCase(Locale.ROOT)).put("run", run.toString()));
        } else {
            switch (end) {
                case FINISHED -> {
                    console.say("The model is in " + run.resolve("model") + ", its metrics in " + run.resolve("metrics.jsonl"));
                    next(run);
                }
                case STOPPED -> {
                    console.say("Stopped: evaluations did not become better. The model is in " + run.resolve("model"));
                    next(run);
                }
                case INTERRUPTED -> console.out().println("Interrupted. Its last checkpoint is in " + run + "; go on with\n  isonorm train --resume " + run);
                case DIVERGED -> console.error("the run diverged; " + run + " has what it saw. A lower lr or a longer warmup may help");
            }
        }
        return end == Trainer.End.DIVERGED ? FAILED : end == Trainer.End.INTERRUPTED ? interrupted : DONE;
    }

    /** What one may want to do with a model that has just been trained. */
    private void next(Path run) {
        Path model = run.resolve("model");
        console.out().println("  isonorm watch " + run + "   its curves");
        if (Files.exists(model.resolve("tokenizer.json"))) {
            console.out().println("  isonorm generate " + model + " --prompt TEXT --temperature 0.8   what it writes");
            console.out().println("  isonorm depth " + model + "   how it uses its blocks");
            console.out().println("  isonorm eval " + model + " --text FILE   its perplexity");
        }
    }

    /** Defaults, then the file, then the values, the last of each counting. */
    private TrainingRun configuration(boolean launched) throws IOException {
        Map<String, String> values = new LinkedHashMap<>();
        for (String word : given) {
            int equals = word.indexOf('=');
            if (equals > 0) {
                values.put(Configuration.keyOf(word.substring(0, equals).strip()), word.substring(equals + 1).strip());
            } else {
                Path file = Path.of(word);
                if (!Files.exists(file) && !word.endsWith(".yaml") && !word.endsWith(".yml")) {
                    throw wrongUsage("'" + word + "' is no file and no key=value");
                }
                Map<String, String> read = Configuration.read(file);
                requireKeys(read);
                read.forEach((key, value) -> values.putIfAbsent(Configuration.keyOf(key), value));
            }
        }
        if (from != null) {
            values.put("from", open(from).checkpoint().folder().toString());
        }
        if (launched && !values.containsKey("out")) {
            throw wrongUsage("processes of a group write to one folder, which all of them must be told; add out=FOLDER");
        }
        if (!values.containsKey("out")) {
            values.put("out", free("isonorm-run").toString());
        }
        folder = Path.of(values.get("out"));
        requireKeys(values);
        Optional<TextToTokens> text = TextToTokens.of(values);
        if (text.isPresent() && launched) {
            throw wrongUsage(text.get().refusal());
        }
        if (text.isPresent()) {
            if (!Trainer.isFresh(folder)) {
                throw new IOException(folder + " exists already; take another folder, or go on with --resume " + folder);
            }
            run(values); // what makes no sense is refused before anything is written
            Path tokens = TextToTokens.beside(folder);
            text.get().build(tokens, console, json || quiet);
            values.put(TextToTokens.DATA, tokens.toString());
            values.remove(TextToTokens.COLUMN);
        }
        return run(values);
    }

    private TrainingRun run(Map<String, String> values) {
        try {
            return Configuration.of(values).run();
        } catch (IllegalArgumentException e) {
            throw wrongUsage(String.valueOf(e.getMessage()));
        }
    }

    private void requireKeys(Map<String, String> read) {
        try {
            Configuration.of(read);
        } catch (IllegalArgumentException e) {
            throw wrongUsage(String.valueOf(e.getMessage()));
        }
    }

    private static Path free(String name) {
        Path folder = Path.of(name);
        for (int number = 2; Files.exists(folder); number++) {
            folder = Path.of(name + "-" + number);
        }
        return folder;
    }

    private void list() {
        if (json) {
            ObjectNode listed = Json.object();
            Configuration.keys().forEach(key -> listed.withArray("keys").addObject().put("name", key.name()).put("default", key.standard()).put("meaning", key.meaning()));
            listed.set("strategies", Json.of(Strategy.names()));
            listed.set("presets", Json.of(TrainingRun.presets()));
            console.json(listed);
            return;
        }
        for (Configuration.Key key : Configuration.keys()) {
            console.out().printf("  %-27s %-12s %s%n", key.name(), key.standard().isEmpty() ? "-" : key.standard(), key.meaning());
        }
        console.out().println();
        console.out().println("strategies  " + String.join(", ", Strategy.names()));
        console.out().println("presets     " + String.join(", ", TrainingRun.presets()));
    }

    /** Shows what a run sees. */
    private final class Printer implements Trainer.Watcher {

        private final ProgressBar progress;
        private final Interruption interruption;

        private Printer(ProgressBar progress, Interruption interruption) {
            this.progress = progress;
            this.interruption = interruption;
        }

        @Override
        public boolean interrupts() {
            return interruption.getAsBoolean();
        }

        @Override
        public void metrics(Metrics.Line line) {
            progress.close();
            if (json) {
                ObjectNode object = Json.object();
                object.put("step", line.step()).put("loss", line.loss()).put("gradient_norm", line.gradientNorm()).put("learning_rate", line.rate())
                        .put("tokens_per_second", line.tokensPerSecond());
                Json.put(object, "validation_loss", line.validation());
                Json.put(object, "validation_accuracy", line.accuracy());
                console.jsonLine(object);
                return;
            }
            console.out().printf(Locale.ROOT, "%9d %8.4f %10.2f %9.3f %9.2e %,9.0f %8s %9s%s%s%n", line.step(), line.loss(), line.perplexity(),
                    line.gradientNorm(), line.rate(), line.tokensPerSecond(), Table.bytes(line.memory()), time(line.left()),
                    Double.isNaN(line.validation()) ? "" : String.format(Locale.ROOT, "   validation %.4f", line.validation()),
                    Double.isNaN(line.accuracy()) ? "" : String.format(Locale.ROOT, ", %.1f %% right", 100 * line.accuracy()));
            console.out().flush();
        }

        private static String time(double seconds) {
            Duration left = Duration.ofSeconds(Math.round(seconds));
            return left.toHours() > 0 ? left.toHours() + "h" + left.toMinutesPart() + "m" : left.toMinutes() + "m" + left.toSecondsPart() + "s";
        }

        @Override
        public void note(String text) {
            progress.close();
            console.err().println(text);
        }

        @Override
        public void step(long done, long total) {
            progress.step("training", done, total);
        }
    }
}
