package isonorm.cli.watch;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.cli.report.Page;
import isonorm.cli.report.Plot;
import isonorm.cli.terminal.Json;
import isonorm.train.Metrics;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;

/**
 * Runs that are watched together: those that were named, and those in folders that were named, where more may appear. Nothing is read
 * but when a page asks.
 *
 * <p>What a page has seen is said by a cursor: which shape of the page it has, and the last row of metrics it knows. As long as the shape
 * stays, it is sent what was added; when a run appears or begins again, it is told to begin again too.
 */
public final class WatchedRuns {

    /** How deep below a folder runs may lie. */
    private static final int DEPTH = 3;

    private static final List<String> HEADS =
            List.of("run", "state", "strategy", "step", "loss", "validation", "gradient norm", "learning rate", "tokens/s", "spikes");

    private final List<Path> given;
    private final Map<Path, WatchedRun> runs = new LinkedHashMap<>();
    private long shape = System.currentTimeMillis(); // a page that another process made does not fit
    private long number;

    private WatchedRuns(List<Path> given) {
        this.given = given;
    }

    /**
     * The runs of folders.
     *
     * @throws IOException if there is none, or a file of one is damaged
     */
    public static WatchedRuns of(List<Path> folders) throws IOException {
        WatchedRuns watched = new WatchedRuns(folders);
        for (Path folder : folders) {
            if (!Files.exists(folder)) {
                throw new IOException(folder + " does not exist");
            }
            if (!Files.isDirectory(folder)) {
                throw new IOException(folder + " is a file; name the folder of a run, or one with runs in it");
            }
            if (found(folder).isEmpty()) {
                throw new IOException(folder + " is no run and has none in it: there is no config.yaml and no metrics.jsonl");
            }
        }
        watched.find();
        for (WatchedRun run : watched.runs.values()) {
            run.read();
        }
        return watched;
    }

    private static List<Path> found(Path folder) throws IOException {
        return Files.isDirectory(folder) ? found(folder, DEPTH) : List.of();
    }

    private static List<Path> found(Path folder, int deep) throws IOException {
        if (WatchedRun.isRun(folder)) {
            return List.of(folder);
        }
        List<Path> all = new ArrayList<>();
        if (deep > 0) {
            try (Stream<Path> inside = Files.list(folder)) {
                for (Path each : inside.filter(Files::isDirectory).filter(Files::isReadable).sorted().toList()) {
                    all.addAll(found(each, deep - 1));
                }
            }
        }
        return all;
    }

    private void find() throws IOException {
        for (Path folder : given) {
            for (Path run : found(folder)) {
                if (runs.putIfAbsent(run.toAbsolutePath().normalize(), new WatchedRun(run, () -> ++number)) == null) {
                    shape++;
                }
            }
        }
    }

    /** Reads what is new in all runs; one that is damaged says so in the table. */
    private void read() throws IOException {
        find();
        for (WatchedRun run : runs.values()) {
            boolean drawn = !run.blocks().isEmpty();
            try {
                if (run.read()) {
                    shape++;
                }
            } catch (IOException e) {
                // kept by the run
            }
            if (drawn == run.blocks().isEmpty()) {
                shape++; // there are plots by depth now
            }
        }
    }

    public int count() {
        return runs.size();
    }

    /** The whole page as it is now, which then asks for what it lacks. */
    synchronized String html() throws IOException {
        read();
        List<Page.Group> groups = plots().groups(0).stream()
                .map(group -> new Page.Group(group.name(), group.plots().stream().map(WatchPlots.Live::whole).toList())).toList();
        Page page = new Page("Training", runs.size() == 1 ? given.getFirst().toString() : runs.size() + " runs", List.of(), groups,
                List.of(new Page.Grid("Runs", HEADS, table())));
        return page.live(Page.resource(WatchedRuns.class, "watch.js").replace("{{cursor}}", cursor()));
    }

    /** What a page that was made just now has seen. */
    private String cursor() {
        return shape + "." + number;
    }

    /** What a page with a cursor lacks. */
    synchronized ObjectNode since(String cursor) throws IOException {
        read();
        ObjectNode json = Json.object();
        json.put("cursor", cursor());
        long seen = seen(cursor);
        json.put("anew", seen < 0);
        if (seen < 0) {
            return json;
        }
        ArrayNode rows = json.putArray("table");
        table().forEach(row -> row.forEach(rows.addArray()::add));
        ArrayNode groups = json.putArray("groups");
        if (seen < number) {
            for (WatchPlots.Group group : plots().groups(seen)) {
                ArrayNode plots = groups.addArray();
                for (WatchPlots.Live live : group.plots()) {
                    ObjectNode plot = live.news().json();
                    if (live.whole() instanceof Plot.Lines lines) {
                        plot.put("logarithmic", lines.logarithmic());
                        for (int c = 0; c < lines.curves().size(); c++) {
                            ((ObjectNode) plot.path("curves").get(c)).put("pointsShown", lines.curves().get(c).points());
                        }
                    }
                    plots.add(plot.put("grows", live.grows()));
                }
            }
        }
        return json;
    }

    /** The last row that a page knows, or -1 if its shape is not today's. */
    private long seen(String cursor) {
        String[] parts = cursor.split("\\.");
        return parts.length == 2 && parts[0].equals(String.valueOf(shape)) && parts[1].matches("[0-9]{1,18}") ? Long.parseLong(parts[1]) : -1;
    }

    private WatchPlots plots() {
        Map<String, WatchedRun> named = new LinkedHashMap<>();
        List<String> names = names();
        int at = 0;
        for (WatchedRun run : runs.values()) {
            named.put(names.get(at++), run);
        }
        return new WatchPlots(named);
    }

    /** The last parts of the folders' names, as many as tell them apart. */
    private List<String> names() {
        List<Path> all = List.copyOf(runs.keySet());
        int most = all.stream().mapToInt(Path::getNameCount).max().orElse(0);
        for (int parts = 1; parts <= most; parts++) {
            int some = parts;
            List<String> names = all.stream().map(path -> path.subpath(Math.max(0, path.getNameCount() - some), path.getNameCount()).toString()).toList();
            if (names.stream().distinct().count() == names.size()) {
                return names;
            }
        }
        return all.stream().map(Path::toString).toList();
    }

    private List<List<String>> table() throws IOException {
        List<List<String>> rows = new ArrayList<>();
        List<String> names = names();
        for (WatchedRun run : runs.values()) {
            Metrics.Line last = run.lines().isEmpty() ? null : run.lines().getLast().value();
            double validation = run.lines().stream().mapToDouble(row -> row.value().validation()).filter(value -> !Double.isNaN(value))
                    .reduce(Double.NaN, (_, next) -> next);
            List<String> row = new ArrayList<>(List.of(names.get(rows.size()), run.damage().isPresent() ? run.damage().get() : run.state(), run.strategy()));
            if (last == null) {
                row.addAll(List.of("", "", "", "", "", "", ""));
            } else {
                row.addAll(List.of(last.step() + (run.steps().isEmpty() ? "" : " of " + run.steps()), number("%.4f", last.loss()),
                        number("%.4f", validation), number("%.3f", last.gradientNorm()), number("%.2e", last.rate()),
                        number("%,.0f", last.tokensPerSecond()), String.valueOf(run.spikes())));
            }
            rows.add(row);
        }
        return rows;
    }

    private static String number(String format, double value) {
        return Double.isNaN(value) ? "" : String.format(Locale.ROOT, format, value);
    }
}
