package isonorm.cli.watch;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.cli.report.Page;
import isonorm.cli.terminal.Json;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
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

    /** What the page's glossary explains. */
    private static final List<String> TERMS = List.of("residual stream", "variance", "massive activations", "gradient norm", "validation loss", "diverged", "spike", "smoothing",
            "window of steps", "tokens/s", "time left");

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
        ObjectNode data = Json.object().put("cursor", cursor());
        ArrayNode all = data.putArray("runs");
        each((name, run) -> {
            ObjectNode one = all.addObject().put("name", name).put("folder", run.folder().toString()).put("steps", run.steps());
            ObjectNode told = one.putObject("configuration");
            run.configuration().forEach(told::put);
            says(run, one);
            WatchedCurves.all(run, one);
        });
        return Page.live(title(), given.size() == 1 ? given.getFirst().toString() : given.size() + " folders", Page.resource(WatchedRuns.class, "watch.html"),
                TERMS, Json.line(data), Page.resource(WatchedRuns.class, "watch.js"));
    }

    /** The folders' names. */
    private String title() {
        return String.join(", ", given.stream().map(path -> path.toAbsolutePath().normalize().getFileName()).map(String::valueOf).toList()) + " \u2013 training";
    }

    /** Told something of each run, with the name it has on the page. */
    @FunctionalInterface
    private interface Telling {
        void of(String name, WatchedRun run) throws IOException;
    }

    private void each(Telling telling) throws IOException {
        List<String> names = names();
        int at = 0;
        for (WatchedRun run : runs.values()) {
            telling.of(names.get(at++), run);
        }
    }

    /** How it stands with a run now. */
    private static void says(WatchedRun run, ObjectNode into) throws IOException {
        into.put("state", run.damage().isPresent() ? run.damage().get() : run.state()).put("spikes", run.spikes());
        run.left().ifPresent(left -> into.put("left", Math.round(left)));
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
        ArrayNode all = json.putArray("runs");
        each((_, run) -> {
            ObjectNode one = all.addObject();
            says(run, one);
            WatchedCurves.since(run, seen, one);
        });
        return json;
    }

    /** The last row that a page knows, or -1 if its shape is not today's. */
    private long seen(String cursor) {
        String[] parts = cursor.split("\\.");
        return parts.length == 2 && parts[0].equals(String.valueOf(shape)) && parts[1].matches("[0-9]{1,18}") ? Long.parseLong(parts[1]) : -1;
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
}
