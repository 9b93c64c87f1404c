package isonorm.compare;

import static java.util.Objects.requireNonNull;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.checkpoint.OutputFolder;
import isonorm.depth.Depth;
import isonorm.depth.Position;
import isonorm.train.Metrics;
import isonorm.train.MetricsTail;
import isonorm.train.Trainer;
import isonorm.words.SystemFault;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * What a run gave; in its folder it is outcome.json, which is there when the run has ended, beside metrics.jsonl.
 *
 * @param parameters how many values were trained
 * @param frequencies the validation loss of expecting every token as often as it comes
 * @param lines what it saw while it ran
 * @param blocks what it saw of its blocks, where it measured them
 * @param before the stream before the first step; nothing where text is not read
 * @param after the stream at the end, or when the run diverged
 */
public record Outcome(Trainer.End end, long parameters, double frequencies, List<Metrics.Line> lines, List<MetricsTail.Blocks> blocks, Optional<Stream> before,
        Optional<Stream> after) {

    /** The part of what is to be learned beyond frequencies that a run must have learned, or it is stuck. */
    static final double LITTLE = 0.05;

    /** The part of the loss of frequencies that it must have learned at least, whatever the others did: where none learns, the best of them has not either. */
    static final double LEAST = 0.01;

    private static final String FILE = "outcome.json";
    private static final ObjectMapper JSON = new ObjectMapper();

    /**
     * What of a {@link Depth} is compared.
     *
     * @param variances behind each block
     * @param angular as {@link Depth#angular()}
     */
    public record Stream(double[] variances, double[][] angular) {

        static Stream of(Depth depth) {
            return new Stream(depth.activations().stream().mapToDouble(block -> requireNonNull(block.get(Position.BLOCK_OUTPUT)).variance()).toArray(), depth.angular());
        }

        private ObjectNode json() {
            ObjectNode json = JSON.createObjectNode();
            put(json.putArray("variance"), variances);
            ArrayNode distances = json.putArray("angular_distance");
            Arrays.stream(angular).forEach(row -> put(distances.addArray(), row));
            return json;
        }

        private static void put(ArrayNode into, double[] values) {
            for (double value : values) {
                if (Double.isFinite(value)) {
                    into.add(value);
                } else {
                    into.addNull();
                }
            }
        }

        private static Optional<Stream> of(JsonNode json) {
            if (!json.isObject()) {
                return Optional.empty();
            }
            JsonNode rows = json.path("angular_distance");
            double[][] angular = new double[rows.size()][];
            for (int l = 0; l < angular.length; l++) {
                angular[l] = numbers(rows.get(l));
            }
            return Optional.of(new Stream(numbers(json.path("variance")), angular));
        }

        private static double[] numbers(JsonNode array) {
            double[] numbers = new double[array.size()];
            Arrays.setAll(numbers, i -> array.get(i).asDouble(Double.NaN));
            return numbers;
        }
    }

    /** Whether the run has ended without diverging. */
    public boolean whole() {
        return end != Trainer.End.DIVERGED;
    }

    /** The last validation loss; NaN of a run that diverged. */
    public double validation() {
        return whole() ? lines.stream().mapToDouble(Metrics.Line::validation).filter(loss -> !Double.isNaN(loss)).reduce(Double.NaN, (_, last) -> last)
                : Double.NaN;
    }

    /** How often it spiked. */
    public Spikes spikes() {
        return Spikes.of(lines);
    }

    /**
     * The norm of the gradient of each block's parameters, the mean over what was measured where all of them were finite: one that overflowed says
     * nothing of how blocks compare. Empty where nothing was.
     */
    public double[] gradientNorms() {
        List<double[]> moments = blocks.stream()
                .map(moment -> moment.blocks().stream().limit(Math.max(0, moment.blocks().size() - 1)).mapToDouble(Metrics.BlockLine::gradientNorm).toArray()) // the last is what is behind all
                .filter(norms -> Arrays.stream(norms).allMatch(Double::isFinite)).toList();
        double[] means = new double[moments.isEmpty() ? 0 : moments.getFirst().length];
        for (double[] norms : moments) {
            Arrays.setAll(means, l -> means[l] + norms[l] / moments.size());
        }
        return means;
    }

    /** How many steps it took. */
    public long steps() {
        return lines.isEmpty() ? 0 : lines.getLast().step();
    }

    /** How long it took, measuring at both ends apart. */
    public double seconds() {
        return lines.stream().mapToDouble(Metrics.Line::seconds).sum();
    }

    /** Whether it has learned next to nothing but how frequent tokens are, {@code best} being the lowest loss of all. */
    boolean stuck(double best) {
        return whole() && frequencies - validation() < Math.max(LITTLE * (frequencies - best), LEAST * frequencies);
    }

    /** Whether a run's folder has one. */
    static boolean isIn(Path run) {
        return Files.exists(run.resolve(FILE));
    }

    /**
     * What a run left.
     *
     * @throws IOException in one line, if it is not what was written
     */
    static Outcome read(Path run) throws IOException {
        Path file = run.resolve(FILE);
        try {
            JsonNode json = JSON.readTree(Files.readAllBytes(file));
            Trainer.End end = Trainer.End.valueOf(json.path("end").asText().toUpperCase(Locale.ROOT));
            List<Metrics.Line> lines = Metrics.read(run);
            List<MetricsTail.Blocks> blocks = Metrics.readBlocks(run);
            if (lines.isEmpty() || lines.getLast().step() != json.path("steps").asLong()) {
                throw new IOException("metrics.jsonl ends at another step");
            }
            return new Outcome(end, json.path("parameters").asLong(), json.path("loss_of_frequencies").asDouble(Double.NaN), lines, blocks,
                    Stream.of(json.path("before")), Stream.of(json.path("after")));
        } catch (JacksonException | IllegalArgumentException e) {
            throw new IOException(file + " is not what was written; delete the folder " + run + " to run it again", e);
        } catch (IOException e) {
            throw new IOException(run + " is damaged: " + SystemFault.named(e) + "; delete it to run it again", e);
        }
    }

    void write(Path run) throws IOException {
        ObjectNode json = JSON.createObjectNode();
        json.put("end", end.name().toLowerCase(Locale.ROOT)).put("steps", steps()).put("parameters", parameters);
        if (Double.isFinite(frequencies)) { // JSON has no other numbers
            json.put("loss_of_frequencies", frequencies);
        }
        before.ifPresent(stream -> json.set("before", stream.json()));
        after.ifPresent(stream -> json.set("after", stream.json()));
        Path temporary = run.resolve("." + FILE + ".tmp");
        OutputFolder.write(temporary, (JSON.writeValueAsString(json) + "\n").getBytes(StandardCharsets.UTF_8), StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING,
                StandardOpenOption.WRITE, StandardOpenOption.SYNC);
        Files.move(temporary, run.resolve(FILE), StandardCopyOption.ATOMIC_MOVE);
    }
}
