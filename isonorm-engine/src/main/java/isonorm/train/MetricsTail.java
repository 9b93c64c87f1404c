package isonorm.train;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Reads what a run writes to metrics.jsonl, as it is written. A line counts once its end is there; a file that became shorter or was
 * put in the place of another, as when a run goes on from a checkpoint, is read anew.
 */
public final class MetricsTail {

    private static final ObjectMapper JSON = new ObjectMapper();

    /** Lines of the file. */
    public sealed interface Entry {
        long step();
    }

    /** A window of steps. */
    public record Window(Metrics.Line line) implements Entry {
        @Override
        public long step() {
            return line.step();
        }
    }

    /** Every block at one step. */
    public record Blocks(long step, List<Metrics.BlockLine> blocks) implements Entry {}

    /**
     * What was read.
     *
     * @param anew whether everything read before does not count any more
     */
    public record News(boolean anew, List<Entry> entries) {}

    private final Path file;
    private @Nullable Object key;
    private byte[] head = {};
    private long at;
    private long lines;

    private MetricsTail(Path file) {
        this.file = file;
    }

    /** From the begin of the file of a run, which need not be there yet. */
    public static MetricsTail of(Path run) {
        return new MetricsTail(run.resolve(Metrics.FILE));
    }

    /**
     * What was added since the last call.
     *
     * @throws IOException if the file cannot be read, or a whole line of it is none of a run's; the next call tries it again
     */
    public News read() throws IOException {
        try (FileChannel channel = FileChannel.open(file)) {
            Object now = Files.readAttributes(file, BasicFileAttributes.class).fileKey();
            boolean anew = at > 0 && !continues(channel, now);
            if (anew) {
                at = 0;
                lines = 0;
            }
            key = now;
            return new News(anew, entries(channel));
        } catch (NoSuchFileException e) {
            return new News(false, List.of());
        }
    }

    private boolean continues(FileChannel channel, Object now) throws IOException {
        return (key == null || key.equals(now)) && channel.size() >= at && Arrays.equals(head, bytes(channel, 0, head.length));
    }

    private List<Entry> entries(FileChannel channel) throws IOException {
        byte[] bytes = bytes(channel, at, Math.toIntExact(Math.min(channel.size() - at, Integer.MAX_VALUE - 8)));
        List<Entry> entries = new ArrayList<>();
        int from = 0;
        for (int i = 0; i < bytes.length; i++) {
            if (bytes[i] == '\n') {
                entries.add(entry(new String(bytes, from, i - from, StandardCharsets.UTF_8), lines + entries.size() + 1));
                from = i + 1;
            }
        }
        if (at == 0) {
            head = Arrays.copyOf(bytes, Math.min(from, 256)); // another file with the same key begins otherwise
        }
        at += from;
        lines += entries.size();
        return entries;
    }

    private static byte[] bytes(FileChannel channel, long from, int count) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocate(count);
        while (buffer.hasRemaining() && channel.read(buffer, from + buffer.position()) >= 0) {
            // until it is full
        }
        return Arrays.copyOf(buffer.array(), buffer.position());
    }

    private Entry entry(String line, long number) throws IOException {
        JsonNode json;
        try {
            json = JSON.readTree(line);
        } catch (JacksonException e) {
            throw new IOException(file + " is damaged: line " + number + " is no JSON", e);
        }
        if (!json.path("step").isIntegralNumber()) {
            throw new IOException(file + " is damaged: line " + number + " has no step");
        }
        long step = json.path("step").longValue();
        if (!json.has("blocks")) {
            return new Window(Metrics.line(json));
        }
        List<Metrics.BlockLine> blocks = new ArrayList<>();
        for (JsonNode block : json.path("blocks")) {
            blocks.add(new Metrics.BlockLine(block.path("block").asInt(), Metrics.number(block, "variance"),
                    Metrics.number(block, "max_abs"), block.path("beyond_fp16").asLong(), Metrics.number(block, "gradient_norm")));
        }
        return new Blocks(step, blocks);
    }
}
