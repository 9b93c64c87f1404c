package isonorm.train;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.checkpoint.OutputFolder;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;

/** What a run saw, in metrics.jsonl and as TensorBoard's events. A run that goes on keeps the lines up to where it begins. */
public final class Metrics implements AutoCloseable {

    private static final ObjectMapper JSON = new ObjectMapper();
    static final String FILE = "metrics.jsonl";

    /**
     * One window of steps.
     *
     * @param loss the mean over its steps
     * @param gradientNorm the largest, before clipping
     * @param validation the loss on what is never learned from; NaN where it was not asked for
     * @param accuracy the share of its images that were given their class; NaN for words
     * @param memory resident, in bytes
     * @param seconds it took, with the evaluation and all that was written
     * @param left seconds to the end
     * @param lossScale what the next step's loss is multiplied with before its backward pass; 1 where nothing overflows
     * @param skipped how many steps so far were not learned from, because their gradient overflowed
     */
    public record Line(long step, double loss, double gradientNorm, double rate, double validation, double accuracy, double tokensPerSecond,
            long memory, double seconds, double left, double lossScale, long skipped) {

        public double perplexity() {
            return Math.exp(loss);
        }
    }

    /**
     * The stream in front of a block, with the gradient of the block's parameters; or behind the last block.
     *
     * @param block its number; the number of blocks for what is behind the last
     * @param variance over all tokens and dimensions, as {@code isonorm depth} has it
     * @param beyond how many magnitudes are above the largest number of float16
     * @param gradientNorm NaN behind the last block
     */
    public record BlockLine(int block, double variance, double largest, long beyond, double gradientNorm) {}

    private final Path file;
    private final FileChannel lines;
    private final EventFile events;
    private final boolean scaled;

    private Metrics(Path file, FileChannel lines, EventFile events, boolean scaled) {
        this.file = file;
        this.lines = lines;
        this.events = events;
        this.scaled = scaled;
    }

    /** The windows of steps that a run's folder has, up to a line that was begun when the run was killed. */
    public static List<Line> read(Path run) throws IOException {
        List<Line> lines = new ArrayList<>();
        for (MetricsTail.Entry entry : MetricsTail.of(run).read().entries()) {
            if (entry instanceof MetricsTail.Window(Line line)) {
                lines.add(line);
            }
        }
        return lines;
    }

    /** The measurements of blocks that a run's folder has. */
    public static List<MetricsTail.Blocks> readBlocks(Path run) throws IOException {
        List<MetricsTail.Blocks> all = new ArrayList<>();
        for (MetricsTail.Entry entry : MetricsTail.of(run).read().entries()) {
            if (entry instanceof MetricsTail.Blocks blocks) {
                all.add(blocks);
            }
        }
        return all;
    }

    /** A line of the file; how much is left of the run is not in it, so it is NaN. */
    static Line line(JsonNode json) {
        return new Line(json.path("step").asLong(), number(json, "loss"), number(json, "gradient_norm"), number(json, "learning_rate"),
                number(json, "validation_loss"), number(json, "validation_accuracy"), number(json, "tokens_per_second"),
                json.path("memory_bytes").asLong(), number(json, "seconds"), Double.NaN, json.path("loss_scale").asDouble(1),
                json.path("skipped_steps").asLong());
    }

    /** What is not finite is written as a word. */
    static double number(JsonNode json, String name) {
        JsonNode value = json.path(name);
        return value.isTextual() ? Double.parseDouble(value.asText()) : value.asDouble(Double.NaN);
    }

    /**
     * @param scaled whether there is a loss scale to be told
     */
    static Metrics open(Path run, long step, boolean scaled) throws IOException {
        Path file = run.resolve(FILE);
        List<String> kept = new ArrayList<>();
        if (Files.exists(file)) {
            for (String line : Files.readAllLines(file)) {
                try {
                    JsonNode json = JSON.readTree(line);
                    if (json != null && json.has("step") && json.path("step").asLong() <= step) {
                        kept.add(line);
                    }
                } catch (JacksonException e) {
                    break; // the run was killed while it wrote
                }
            }
        }
        Path temporary = run.resolve(".metrics.jsonl.tmp");
        OutputFolder.write(temporary, kept.stream().map(line -> line + "\n").collect(Collectors.joining()).getBytes(StandardCharsets.UTF_8));
        Files.move(temporary, file, StandardCopyOption.ATOMIC_MOVE);
        return new Metrics(file, FileChannel.open(file, StandardOpenOption.APPEND), EventFile.create(run, step), scaled);
    }

    void write(Line line) throws IOException {
        write(line, new double[0]);
    }

    /**
     * The same.
     *
     * @param rankSeconds what each rank of a group worked a step, in seconds, without what it waited for others; none of one that is alone
     */
    void write(Line line, double[] rankSeconds) throws IOException {
        ObjectNode json = JSON.createObjectNode();
        json.put("step", line.step).put("loss", line.loss).put("perplexity", line.perplexity()).put("gradient_norm", line.gradientNorm)
                .put("learning_rate", line.rate);
        if (!Double.isNaN(line.validation)) {
            json.put("validation_loss", line.validation);
        }
        if (!Double.isNaN(line.accuracy)) {
            json.put("validation_accuracy", line.accuracy);
        }
        if (scaled) {
            json.put("loss_scale", line.lossScale).put("skipped_steps", line.skipped);
        }
        json.put("tokens_per_second", line.tokensPerSecond).put("memory_bytes", line.memory)
                .put("seconds", line.seconds);
        if (rankSeconds.length > 0) {
            ArrayNode seconds = json.putArray("rank_seconds");
            Arrays.stream(rankSeconds).forEach(seconds::add);
        }
        append(json);
        events.scalar(line.step, "loss", line.loss);
        events.scalar(line.step, "gradient_norm", line.gradientNorm);
        events.scalar(line.step, "learning_rate", line.rate);
        events.scalar(line.step, "tokens_per_second", line.tokensPerSecond);
        if (!Double.isNaN(line.validation)) {
            events.scalar(line.step, "validation_loss", line.validation);
        }
        if (!Double.isNaN(line.accuracy)) {
            events.scalar(line.step, "validation_accuracy", line.accuracy);
        }
        if (scaled) {
            events.scalar(line.step, "loss_scale", line.lossScale);
        }
    }

    void write(long step, List<BlockLine> blocks) throws IOException {
        ObjectNode json = JSON.createObjectNode();
        json.put("step", step);
        ArrayNode all = json.putArray("blocks");
        for (BlockLine block : blocks) {
            ObjectNode one = all.addObject().put("block", block.block).put("variance", block.variance).put("max_abs", block.largest)
                    .put("beyond_fp16", block.beyond);
            if (!Double.isNaN(block.gradientNorm)) {
                one.put("gradient_norm", block.gradientNorm);
            }
        }
        append(json);
        for (BlockLine block : blocks) {
            events.scalar(step, "variance/block" + block.block, block.variance);
            events.scalar(step, "max_abs/block" + block.block, block.largest);
            if (!Double.isNaN(block.gradientNorm)) {
                events.scalar(step, "gradient_norm/block" + block.block, block.gradientNorm);
            }
        }
    }

    private void append(ObjectNode json) throws IOException {
        ByteBuffer bytes = ByteBuffer.wrap((JSON.writeValueAsString(json) + "\n").getBytes(StandardCharsets.UTF_8));
        try {
            while (bytes.hasRemaining()) {
                lines.write(bytes);
            }
        } catch (IOException e) {
            throw RunCheckpoints.notWritten(file, e);
        }
    }

    void sync() throws IOException {
        lines.force(false);
        events.sync();
    }

    @Override
    public void close() throws IOException {
        try (lines; events) {
            sync();
        }
    }
}
