package isonorm.compare;

import isonorm.data.Yaml;
import isonorm.train.Configuration;
import isonorm.train.Trainer;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Runs that differ in some keys of their configuration: one for every combination of the values these have, the last key's changing first.
 * All of them read the same: the keys that say what is read, and in which batches, have one value each. Only a seed, which is also that of the
 * data's order, makes runs read in another order, and those of one seed read in the same.
 *
 * @param base what all runs have
 * @param axes the values of each key that varies
 */
public record Grid(Map<String, String> base, Map<String, List<String>> axes) {

    /** The key whose values are drawn, not chosen: what differs in nothing else is a repetition. */
    static final String SEED = "seed";

    /** The key that a fair comparison chooses for each contender. */
    public static final String RATE = "lr";

    /** What says what is read and how it is evaluated, and what the comparison itself sets. */
    private static final Set<String> ONE = Set.of("data", "data.validation", "image", "batch", "sequence", "accumulate", "steps", "eval.every",
            "eval.batches", "out", "threads");

    /** Written as they are, whatever they look like. */
    private static final Set<String> NAMES = Set.of("data", "from");

    private static final String BASE = "base.";
    private static final String EMBEDDED = "small.yaml";

    public Grid {
        base = Collections.unmodifiableMap(new LinkedHashMap<>(base));
        axes = Collections.unmodifiableMap(new LinkedHashMap<>(axes));
    }

    /**
     * The grid of a YAML file: keys of a configuration, those under {@code base} and those beside it alike; a list gives a key several values.
     *
     * @throws IOException if there is no such file, or it is no YAML
     * @throws IllegalArgumentException for a key that is not known, naming the nearest, and for lists that make no grid
     */
    public static Grid read(Path file) throws IOException {
        return of(Yaml.read(file));
    }

    /** A small grid of Post-LN, Pre-LN, Peri-LN and LayerNorm Scaling: some six minutes on two cores. */
    public static Grid embedded() throws IOException {
        return of(Yaml.parse(embeddedText(), EMBEDDED));
    }

    /** The YAML of {@link #embedded}. */
    public static String embeddedText() throws IOException {
        try (InputStream in = Grid.class.getResourceAsStream(EMBEDDED)) {
            if (in == null) {
                throw new IOException("this build lacks its grid, " + EMBEDDED + "; give a file");
            }
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    private static Grid of(Yaml content) {
        Grid grid = new Grid(Map.of(), Map.of());
        Set<String> given = new HashSet<>();
        for (Map.Entry<String, String> entry : content.values().entrySet()) {
            grid = grid.with(once(entry.getKey(), given), List.of(entry.getValue()));
        }
        for (Map.Entry<String, List<String>> entry : content.lists().entrySet()) {
            grid = grid.with(once(entry.getKey(), given), entry.getValue());
        }
        return grid;
    }

    private static String once(String written, Set<String> given) {
        String key = Configuration.keyOf(written.startsWith(BASE) ? written.substring(BASE.length()) : written);
        if (!given.add(key)) {
            throw new IllegalArgumentException(key + " stands in the grid twice, under base and beside it; leave one of them out");
        }
        return key;
    }

    /**
     * The same with other values of a key; one value is what all runs have.
     *
     * @throws IllegalArgumentException as {@link #read}
     */
    public Grid with(String name, List<String> values) {
        String key = Configuration.keyOf(name);
        List<String> plain = values.stream().map(value -> NAMES.contains(key) ? value : Trial.plain(value)).toList();
        if (plain.isEmpty()) {
            throw new IllegalArgumentException(key + " has no value; a list in a grid needs one or more");
        }
        Configuration.of(Map.of(key, plain.getFirst())); // refuses a key that is not known
        if (plain.size() > 1 && ONE.contains(key)) {
            throw new IllegalArgumentException(key + " must have one value in a grid, got " + plain.size() + ": all runs read the same");
        }
        if (key.equals("out")) {
            throw new IllegalArgumentException("out is no key of a grid; --out names the folder of all its runs");
        }
        for (int i = 0; i < plain.size(); i++) {
            if (plain.subList(0, i).contains(plain.get(i))) {
                throw new IllegalArgumentException(key + " has " + plain.get(i) + " twice; the same run again would show nothing");
            }
        }
        Map<String, String> ones = new LinkedHashMap<>(base);
        Map<String, List<String>> others = new LinkedHashMap<>(axes);
        if (plain.size() == 1) {
            others.remove(key);
            ones.put(key, plain.getFirst());
        } else {
            ones.remove(key);
            others.put(key, plain);
        }
        return new Grid(ones, others);
    }

    /** Every combination, in order. */
    public List<Trial> trials() {
        List<Map<String, String>> places = new ArrayList<>(List.of(Map.of()));
        for (Map.Entry<String, List<String>> axis : axes.entrySet()) {
            List<Map<String, String>> longer = new ArrayList<>();
            for (Map<String, String> place : places) {
                for (String value : axis.getValue()) {
                    Map<String, String> next = new LinkedHashMap<>(place);
                    next.put(axis.getKey(), value);
                    longer.add(next);
                }
            }
            places = longer;
        }
        return places.stream().map(this::trial).toList();
    }

    private Trial trial(Map<String, String> place) {
        Map<String, String> values = new LinkedHashMap<>(base);
        values.putAll(place);
        return new Trial(Collections.unmodifiableMap(place), Configuration.of(values));
    }

    /**
     * Finds all that is wrong with the configurations before anything runs.
     *
     * @throws IllegalArgumentException if one makes no sense
     * @throws IOException if data cannot be read
     */
    public void check() throws IOException {
        Set<String> folders = new HashSet<>();
        for (Trial trial : trials()) {
            Trainer.check(trial.run());
            if (trial.run().watching().evaluationEvery() == 0) {
                throw new IllegalArgumentException("eval.every must be a whole number of 1 or more, got 0"); // runs are compared by their validation loss
            }
            if (!folders.add(trial.folder())) {
                throw new IllegalArgumentException("two runs of the grid would have the folder " + trial.folder() + "; give their values other names");
            }
        }
    }

    /** The keys that make runs contenders: those of the strategy if they vary; else all but the rate; else the rate. Never the seed. */
    public List<String> contenders() {
        List<String> strategies = axes.keySet().stream().filter(key -> key.startsWith("strategy")).toList();
        if (!strategies.isEmpty()) {
            return strategies;
        }
        List<String> others = axes.keySet().stream().filter(key -> !key.equals(SEED) && !key.equals(RATE)).toList();
        return !others.isEmpty() ? others : axes.containsKey(RATE) ? List.of(RATE) : List.of();
    }

    /** The keys that make what contenders are compared in: all but the rate and the seed that are not theirs. */
    public List<String> settings() {
        List<String> own = contenders();
        return axes.keySet().stream().filter(key -> !own.contains(key) && !key.equals(SEED) && !key.equals(RATE)).toList();
    }
}
