package isonorm.cli.watch;

import isonorm.train.Configuration;
import isonorm.train.Metrics;
import isonorm.train.MetricsTail;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.function.LongSupplier;
import java.util.function.ToDoubleFunction;
import java.util.stream.DoubleStream;

/** One run that is followed: what its files said so far, and what it means. */
final class WatchedRun {

    /** A spike is judged by this many windows of steps before it; by fewer than the least only where it is plain. */
    private static final int BEFORE = 20;

    private static final int LEAST = 5;

    /** How many times the largest before a gradient's norm is that spikes whatever comes, and a loss. */
    private static final double PLAIN_TIMES = 10;

    private static final double PLAIN_RISE = 1.25;

    /** How far above the mean loss before, in standard deviations and as a factor, a loss is that spikes. */
    private static final double DEVIATIONS = 4;

    private static final double RISE = 1.02;

    /** How many times the median before a gradient's norm is that spikes. */
    private static final double TIMES = 4;

    private static final Duration SILENT = Duration.ofMinutes(5);

    /** A value of the file, by when it was read; these numbers rise over all runs that are watched together. */
    record Row<T>(long number, T value) {}

    /** What stands out, at a window of steps. */
    record Event(long number, Metrics.Line line, boolean diverged, boolean loss, boolean gradient) {}

    private final Path folder;
    private final LongSupplier numbers;
    private final MetricsTail tail;
    private final List<Row<Metrics.Line>> lines = new ArrayList<>();
    private final List<Row<MetricsTail.Blocks>> blocks = new ArrayList<>();
    private final List<Event> events = new ArrayList<>();
    private double lowest = Double.POSITIVE_INFINITY;
    private Map<String, String> configuration = Map.of();
    private Optional<String> damage = Optional.empty();

    WatchedRun(Path folder, LongSupplier numbers) {
        this.folder = folder;
        this.numbers = numbers;
        this.tail = MetricsTail.of(folder);
    }

    /** Whether a folder is that of a run. */
    static boolean isRun(Path folder) {
        return Files.isRegularFile(folder.resolve("config.yaml")) || Files.isRegularFile(folder.resolve("metrics.jsonl"));
    }

    Path folder() {
        return folder;
    }

    /**
     * Reads what is new, and tells whether what was read before does not count any more.
     *
     * @throws IOException if a file of the run is damaged; what was read before stays
     */
    boolean read() throws IOException {
        try {
            if (configuration.isEmpty() && Files.exists(folder.resolve("config.yaml"))) {
                configuration = Configuration.read(folder.resolve("config.yaml"));
            }
            MetricsTail.News news = tail.read();
            damage = Optional.empty();
            if (news.anew()) {
                lines.clear();
                blocks.clear();
                events.clear();
                lowest = Double.POSITIVE_INFINITY;
                configuration = Map.of();
            }
            news.entries().forEach(this::add);
            return news.anew();
        } catch (IOException e) {
            damage = Optional.of(String.valueOf(e.getMessage()));
            throw e;
        }
    }

    private void add(MetricsTail.Entry entry) {
        long number = numbers.getAsLong();
        switch (entry) {
            case MetricsTail.Blocks measured -> blocks.add(new Row<>(number, measured));
            case MetricsTail.Window window -> {
                Metrics.Line line = window.line();
                double above = above();
                boolean broken = !Double.isFinite(line.loss()) || !Double.isFinite(line.gradientNorm());
                Event event = new Event(number, line, broken || above > 0 && line.loss() > lowest + above, lossSpikes(line), gradientSpikes(line));
                if (event.diverged || event.loss || event.gradient) {
                    events.add(event);
                }
                lowest = Math.min(lowest, Double.isFinite(line.loss()) ? line.loss() : lowest);
                lines.add(new Row<>(number, line));
            }
        }
    }

    /** What the run itself is stopped at. */
    private double above() {
        try {
            return Double.parseDouble(configuration.getOrDefault("stop.above", "0"));
        } catch (NumberFormatException e) {
            return 0;
        }
    }

    private boolean lossSpikes(Metrics.Line line) {
        double[] before = before(Metrics.Line::loss);
        double mean = Arrays.stream(before).average().orElse(0);
        double deviation = Math.sqrt(Arrays.stream(before).map(loss -> (loss - mean) * (loss - mean)).average().orElse(0));
        double largest = Arrays.stream(before).max().orElse(Double.POSITIVE_INFINITY);
        return line.loss() > PLAIN_RISE * largest
                || before.length >= LEAST && line.loss() > mean + DEVIATIONS * deviation && line.loss() > RISE * mean;
    }

    private boolean gradientSpikes(Metrics.Line line) {
        double[] before = Arrays.stream(before(Metrics.Line::gradientNorm)).sorted().toArray();
        return before.length > 0 && line.gradientNorm() > PLAIN_TIMES * before[before.length - 1]
                || before.length >= LEAST && line.gradientNorm() > TIMES * before[before.length / 2];
    }

    private double[] before(ToDoubleFunction<Metrics.Line> value) {
        DoubleStream last = lines.subList(Math.max(0, lines.size() - BEFORE), lines.size()).stream().mapToDouble(row -> value.applyAsDouble(row.value));
        return last.filter(Double::isFinite).toArray();
    }

    List<Row<Metrics.Line>> lines() {
        return lines;
    }

    List<Row<MetricsTail.Blocks>> blocks() {
        return blocks;
    }

    /** Spikes, and where the run diverged. */
    List<Event> events() {
        return events;
    }

    long spikes() {
        return events.stream().filter(event -> event.loss || event.gradient).count();
    }

    /** All that the run was told. */
    Map<String, String> configuration() {
        return configuration;
    }

    private long told(String key) {
        String value = configuration.getOrDefault(key, "");
        return value.matches("[0-9]{1,15}") ? Long.parseLong(value) : 0;
    }

    /** How many steps the run is to have; 0 where nothing says so. */
    long steps() {
        return told("steps");
    }

    /** Seconds to its end, if a step takes as long as in the last windows of steps; none where that is not known, or there is nothing left. */
    OptionalDouble left() {
        List<Row<Metrics.Line>> last = lines.subList(Math.max(0, lines.size() - BEFORE), lines.size());
        if (last.size() < 2 || steps() <= last.getLast().value.step()) {
            return OptionalDouble.empty();
        }
        double seconds = last.stream().skip(1).mapToDouble(row -> row.value.seconds()).sum();
        double perStep = seconds / (last.getLast().value.step() - last.getFirst().value.step());
        return Double.isFinite(perStep) && perStep > 0 ? OptionalDouble.of(perStep * (steps() - last.getLast().value.step())) : OptionalDouble.empty();
    }

    /** What the run is doing, in a word or two. */
    String state() throws IOException {
        if (!Files.isDirectory(folder)) {
            return "gone";
        }
        if (damage.isPresent()) {
            return "damaged";
        }
        if (!lines.isEmpty() && !events.isEmpty() && events.getLast().diverged && events.getLast().line == lines.getLast().value) {
            return "diverged";
        }
        if (Files.isDirectory(folder.resolve("model"))) {
            return "finished";
        }
        if (lines.isEmpty()) {
            return "no line yet";
        }
        Path file = folder.resolve("metrics.jsonl");
        Duration silent = Files.exists(file) ? Duration.between(Files.getLastModifiedTime(file).toInstant(), Instant.now()) : Duration.ZERO;
        return silent.compareTo(SILENT) < 0 ? "training" : "silent for " + (silent.toHours() > 1 ? silent.toHours() + " h" : silent.toMinutes() + " min");
    }

    /** Why the run cannot be read on; empty where it can. */
    Optional<String> damage() {
        return damage;
    }
}
