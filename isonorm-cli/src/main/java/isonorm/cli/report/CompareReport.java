package isonorm.cli.report;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.cli.terminal.Console;
import isonorm.cli.terminal.Json;
import isonorm.cli.terminal.Table;
import isonorm.compare.Difference;
import isonorm.compare.Grid;
import isonorm.compare.Group;
import isonorm.compare.Outcome;
import isonorm.compare.Results;
import isonorm.compare.Spikes;
import isonorm.compare.Spread;
import isonorm.compare.Trial;
import isonorm.compare.Trials;
import isonorm.data.RunLock;
import isonorm.train.Configuration;
import isonorm.train.Metrics;
import isonorm.train.Trainer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/** What the runs of a grid gave: as a table and sentences, as JSON, and as a folder of files. */
public record CompareReport(Results results, Trials trials, Provenance provenance) {

    /** How many contenders a title names. */
    private static final int NAMED = 6;

    // JSON

    public JsonNode json() {
        ObjectNode json = Json.object();
        json.set("made", provenance.json());
        ObjectNode grid = json.putObject("grid");
        results.grid().base().forEach(grid.putObject("base")::put);
        ObjectNode axes = grid.putObject("axes");
        results.grid().axes().forEach((key, values) -> values.forEach(axes.withArray(key)::add));
        results.findings().forEach(json.putArray("findings")::add);
        ArrayNode summary = json.putArray("summary");
        results.groups().forEach(group -> summary.add(summary(group)));
        ArrayNode differences = json.putArray("differences");
        results.settings().forEach((setting, groups) -> results.compared(groups).forEach(compared -> differences.add(difference(setting, compared))));
        ArrayNode runs = json.putArray("runs");
        ArrayNode curves = json.putArray("curves");
        ArrayNode variance = json.putArray("variance");
        ArrayNode distances = json.putArray("angular_distance");
        ArrayNode gradients = json.putArray("gradients");
        for (int t = 0; t < trials.all().size(); t++) {
            Trial trial = trials.all().get(t);
            Outcome outcome = results.outcomes().get(t);
            runs.add(run(trial, outcome));
            for (Metrics.Line line : outcome.lines()) {
                ObjectNode row = curves.addObject().put("run", trial.name()).put("step", line.step());
                Json.put(row, "loss", line.loss());
                Json.put(row, "validation_loss", line.validation());
                Json.put(row, "gradient_norm", line.gradientNorm());
                Json.put(row, "learning_rate", line.rate());
            }
            double[] norms = outcome.gradientNorms();
            for (int l = 0; l < norms.length; l++) {
                Json.put(gradients.addObject().put("run", trial.name()).put("block", l), "gradient_norm", norms[l]);
            }
            outcome.before().ifPresent(stream -> stream(trial, "before", stream, variance, distances));
            outcome.after().ifPresent(stream -> stream(trial, "after", stream, variance, distances));
        }
        return json;
    }

    private ObjectNode summary(Group group) {
        ObjectNode row = Json.object();
        group.place().forEach(row::put);
        row.put("runs", group.trials().size()).put("diverged", group.diverged()).put("stuck", group.stuck(results.best()));
        put(row, "validation_loss", group.loss());
        put(row, "perplexity", group.perplexity());
        put(row, "spike_score_loss", group.spikes(Spikes::loss));
        put(row, "spike_score_gradient_norm", group.spikes(Spikes::gradient));
        put(row, "seconds", group.seconds());
        return row;
    }

    /** By how much a contender is higher than the lowest, and whether chance is told from it. */
    private ObjectNode difference(String setting, Results.Compared compared) {
        Difference difference = compared.difference();
        ObjectNode row = Json.object().put("setting", setting).put("lowest", results.contender(compared.lowest())).put("other", results.contender(compared.other()))
                .put("seeds", difference.seeds());
        Json.put(row, "difference", difference.mean());
        Json.put(row, "interval_low", difference.low());
        Json.put(row, "interval_high", difference.high());
        return row.put("verdict", difference.verdict().label());
    }

    private static void put(ObjectNode row, String name, Spread spread) {
        Json.put(row, name, spread.mean());
        Json.put(row, name + "_deviation", spread.deviation());
    }

    private ObjectNode run(Trial trial, Outcome outcome) {
        ObjectNode row = Json.object().put("run", trial.name()).put("folder", trials.folder(trial).toString());
        trial.place().forEach(row::put);
        row.put("end", outcome.end().name().toLowerCase(Locale.ROOT)).put("steps", outcome.steps()).put("parameters", outcome.parameters());
        Json.put(row, "validation_loss", outcome.validation());
        Json.put(row, "perplexity", Math.exp(outcome.validation()));
        Json.put(row, "loss_of_frequencies", outcome.frequencies());
        Json.put(row, "spike_score_loss", outcome.spikes().loss());
        Json.put(row, "spike_score_gradient_norm", outcome.spikes().gradient());
        Json.put(row, "seconds", outcome.seconds());
        return row;
    }

    private static void stream(Trial trial, String moment, Outcome.Stream stream, ArrayNode variance, ArrayNode distances) {
        for (int l = 0; l < stream.variances().length; l++) {
            Json.put(variance.addObject().put("run", trial.name()).put("moment", moment).put("block", l), "variance", stream.variances()[l]);
        }
        for (int l = 0; l < stream.angular().length; l++) {
            for (int n = 1; n <= stream.angular()[l].length; n++) {
                Json.put(distances.addObject().put("run", trial.name()).put("moment", moment).put("block", l).put("span", n), "distance",
                        stream.angular()[l][n - 1]);
            }
        }
    }

    // Terminal

    public void print(Console console) {
        console.out().println();
        Table table = Table.ofNumbers(heads().toArray(String[]::new));
        rows().forEach(row -> table.row(row.toArray(String[]::new)));
        table.print(console.out());
        if (repeated()) {
            console.say("  Means over seeds of the runs that did not diverge, and their standard deviations.");
        }
        console.out().println();
        List<String> findings = results.findings();
        findings.forEach(sentence -> console.say(sentence.equals(findings.getFirst()) ? console.bold(sentence) : sentence));
    }

    private boolean repeated() {
        return results.groups().getFirst().trials().size() > 1;
    }

    private List<String> heads() {
        List<String> heads = new ArrayList<>();
        results.groups().getFirst().place().keySet().forEach(key -> heads.add(head(key)));
        if (heads.isEmpty()) {
            heads.add("strategy");
        }
        heads.addAll(repeated() ? List.of("validation loss", "±", "perplexity", "±", "time", "diverged", "stuck")
                : List.of("validation loss", "perplexity", "time", "diverged", "stuck"));
        return heads;
    }

    private static String head(String key) {
        return key.startsWith("strategy.") ? key : key.substring(key.lastIndexOf('.') + 1);
    }

    private List<List<String>> rows() {
        List<List<String>> rows = new ArrayList<>();
        for (Group group : results.groups()) {
            List<String> row = new ArrayList<>(group.place().isEmpty() ? List.of(group.name()) : group.place().values());
            add(row, group.loss(), "%.4f");
            add(row, group.perplexity(), "%.3f");
            row.add(Double.isNaN(group.seconds().mean()) ? "-" : Table.time(group.seconds().mean()));
            row.add(group.diverged() + " of " + group.trials().size());
            row.add(group.stuck(results.best()) + " of " + group.trials().size());
            rows.add(row);
        }
        return rows;
    }

    private void add(List<String> row, Spread spread, String format) {
        row.add(Double.isNaN(spread.mean()) ? "-" : String.format(Locale.ROOT, format, spread.mean()));
        if (repeated()) {
            row.add(Double.isNaN(spread.deviation()) ? "-" : String.format(Locale.ROOT, format, spread.deviation()));
        }
    }

    // Files

    /** Refuses a folder that holds something else than runs and such a report, or that cannot be written. */
    public static void requireFolder(Path folder) throws IOException {
        ReportFolder.require(folder, "runs", CompareReport::isOfAGrid);
    }

    /** A run, also one that has just begun, and files of which everything begins with a dot: the lock, and what a killed program left. */
    private static boolean isOfAGrid(Path entry) {
        try {
            return Files.isDirectory(entry) ? Files.exists(entry.resolve("config.yaml")) || Trainer.isFresh(entry)
                    : entry.getFileName().toString().equals(RunLock.FILE);
        } catch (IOException e) {
            return false;
        }
    }

    /** Writes all files; each of them is complete or not there. */
    public void write(Path folder) throws IOException {
        ReportFolder.write(folder, json(), List.of("summary", "differences", "runs", "curves", "variance", "angular_distance", "gradients"), page());
    }

    private Page page() {
        Grid grid = results.grid();
        Map<String, String> facts = new LinkedHashMap<>();
        facts.put("runs", String.valueOf(results.outcomes().size()));
        grid.axes().forEach((key, values) -> facts.put(key, String.join(", ", values)));
        Configuration told = trials.all().getFirst().configuration();
        for (String key : List.of("data", "steps", "batch", "sequence", "model.preset", "model.width", "model.blocks", "model.heads", "lr", "schedule",
                "warmup", "dtype")) {
            if (!grid.axes().containsKey(key) && !told.text(key).isEmpty()) {
                facts.put(key, told.text(key));
            }
        }
        List<Page.Part> parts = new ArrayList<>();
        parts.add(verdicts());
        parts.add(new Page.Card("In sentences", String.join("\n", results.findings()), facts));
        parts.addAll(new ComparePlots(results).groups());
        parts.add(new Page.Grid(repeated() ? "Means over seeds" : "Configurations", Optional.of("summary"), heads(), rows()));
        parts.add(runs());
        return new Page("Comparison of " + subjects(), Table.count(results.outcomes().size(), "run") + ", equal data and tokens for all; seeds share the order of the data. "
                + provenance.date() + ", on " + provenance.processor(), provenance, "compare.md", parts);
    }

    private String subjects() {
        List<String> contenders = results.contenders();
        return contenders.size() <= NAMED ? String.join(", ", contenders) : String.join(", ", contenders.subList(0, NAMED)) + " and " + (contenders.size() - NAMED) + " more";
    }

    /** Each contender at the rate that is best for it, beside the lowest of its setting. */
    private Page.Grid verdicts() {
        boolean several = results.settings().size() > 1;
        boolean rated = results.groups().getFirst().place().containsKey(Grid.RATE) && !results.grid().contenders().contains(Grid.RATE);
        List<String> heads = new ArrayList<>(List.of("contender", "verdict"));
        if (several) {
            heads.addFirst("setting");
        }
        if (rated) {
            heads.add("best lr");
        }
        heads.addAll(repeated() ? List.of("validation loss", "±", "paired difference", "interval", "seeds") : List.of("validation loss", "difference"));
        List<List<String>> rows = new ArrayList<>();
        results.settings().forEach((setting, groups) -> {
            List<Results.Compared> compared = results.compared(groups);
            for (Group group : results.ranking(groups)) {
                Optional<Difference> difference = compared.stream().filter(each -> each.other().equals(group)).map(Results.Compared::difference).findFirst();
                List<String> row = new ArrayList<>(List.of(results.contender(group), verdict(group, difference, compared)));
                if (several) {
                    row.addFirst(setting);
                }
                if (rated) {
                    row.add(String.valueOf(group.place().get(Grid.RATE)));
                }
                add(row, group.loss(), "%.4f");
                row.add(difference.filter(each -> each.seeds() > 0).map(each -> String.format(Locale.ROOT, "%+.4f", each.mean())).orElse("-"));
                if (repeated()) {
                    row.add(difference.filter(each -> each.seeds() > 1).map(each -> String.format(Locale.ROOT, "%+.4f to %+.4f", each.low(), each.high())).orElse("-"));
                    row.add(difference.map(each -> String.valueOf(each.seeds())).orElse(String.valueOf(group.trials().size() - group.diverged())));
                }
                rows.add(row);
            }
        });
        return new Page.Grid("Verdicts", Optional.of("differences"), heads, rows);
    }

    private String verdict(Group group, Optional<Difference> difference, List<Results.Compared> compared) {
        if (group.diverged() == group.trials().size()) {
            return "diverged";
        }
        String also = group.diverged() > 0 ? "; " + group.diverged() + " of " + group.trials().size() + " diverged" : "";
        if (group.stuck(results.best()) == group.trials().size() - group.diverged()) {
            return "stuck" + also;
        }
        return difference.map(each -> switch (each.verdict()) {
            case LOWER -> "higher than the lowest";
            case NO_DIFFERENCE -> "no difference from the lowest";
            case UNKNOWN -> "unknown, of one seed";
        }).orElse(!compared.isEmpty() && compared.stream().allMatch(each -> each.difference().verdict() == Difference.Verdict.LOWER) ? "winner" : "lowest, no winner") + also;
    }

    /** A row for each run. */
    private Page.Grid runs() {
        List<String> keys = List.copyOf(trials.all().getFirst().place().keySet());
        List<String> heads = new ArrayList<>(List.of("run"));
        keys.forEach(key -> heads.add(head(key)));
        heads.addAll(List.of("end", "steps", "validation loss", "perplexity", "time"));
        List<List<String>> rows = new ArrayList<>();
        for (int t = 0; t < trials.all().size(); t++) {
            Trial trial = trials.all().get(t);
            Outcome outcome = results.outcomes().get(t);
            List<String> row = new ArrayList<>(List.of(trial.folder()));
            keys.forEach(key -> row.add(String.valueOf(trial.place().get(key))));
            row.addAll(List.of(outcome.end().name().toLowerCase(Locale.ROOT), Table.count(outcome.steps()), number("%.4f", outcome.validation()),
                    number("%.3f", Math.exp(outcome.validation())), Table.time(outcome.seconds())));
            rows.add(row);
        }
        return new Page.Grid("Runs", Optional.of("runs"), heads, rows);
    }

    private static String number(String format, double value) {
        return Double.isFinite(value) ? String.format(Locale.ROOT, format, value) : "-";
    }
}
