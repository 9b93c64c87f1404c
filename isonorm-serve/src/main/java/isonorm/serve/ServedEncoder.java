package isonorm.serve;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.convert.LoadedModel;
import isonorm.embed.SentenceEmbedder;
import isonorm.embed.SentenceSettings;
import isonorm.model.Progress;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.Semaphore;

/** An encoder in memory, which embeds texts as the files beside it say. */
final class ServedEncoder implements Served {

    /** As many as OpenAI's interface allows at the most. */
    private static final int MOST_INPUTS = 2048;

    private final String name;
    private final SentenceEmbedder embedder;
    private final Semaphore room;
    private final int waiting;
    private final long created = Instant.now().getEpochSecond();
    private volatile boolean closed;

    private ServedEncoder(String name, SentenceEmbedder embedder, int waiting) {
        this.name = name;
        this.embedder = embedder;
        this.waiting = waiting;
        this.room = new Semaphore(waiting + 1);
    }

    static ServedEncoder load(LoadedModel model, Server.Settings settings) throws IOException {
        SentenceSettings how = SentenceSettings.read(model.checkpoint().folder());
        return new ServedEncoder(settings.name(), SentenceEmbedder.open(model, how, settings.compute()), settings.waiting());
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public long created() {
        return created;
    }

    @Override
    public int context() {
        return embedder.longest();
    }

    ObjectNode embed(Fields fields) throws Refusal, IOException {
        requireModel(fields);
        String format = fields.text("encoding_format").orElse("float");
        if (!format.equals("float") && !format.equals("base64")) {
            throw Refusal.of("encoding_format", "encoding_format must be float or base64");
        }
        OptionalInt dimensions = fields.whole("dimensions", 1, Integer.MAX_VALUE);
        if (dimensions.isPresent() && dimensions.getAsInt() != embedder.width()) {
            throw Refusal.of("dimensions", "embeddings of this model have " + embedder.width() + " values, and none are left out");
        }
        List<String> texts = inputs(fields);
        fields.requireNoMore();
        List<SentenceEmbedder.Embedded> embedded = embedded(texts);
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("object", "list");
        ArrayNode data = json.putArray("data");
        int tokens = 0;
        for (int i = 0; i < embedded.size(); i++) {
            ObjectNode one = data.addObject();
            one.put("object", "embedding");
            one.put("index", i);
            put(one, embedded.get(i).vector(), format);
            tokens += embedded.get(i).tokens();
        }
        json.put("model", name);
        json.putObject("usage").put("prompt_tokens", tokens).put("total_tokens", tokens);
        return json;
    }

    private List<SentenceEmbedder.Embedded> embedded(List<String> texts) throws Refusal, IOException {
        if (closed) {
            throw Refusal.of(503, "closing", "the server is about to end");
        }
        if (!room.tryAcquire()) {
            throw Refusal.of(429, "queue_full", waiting + " requests wait already; try again in a moment");
        }
        try {
            List<SentenceEmbedder.Embedded> embedded = embedder.embed(texts, Progress.NONE);
            for (int i = 0; i < embedded.size(); i++) {
                if (embedded.get(i).cut()) {
                    throw Refusal.of(400, "context_length_exceeded", "this model reads " + embedder.longest() + " tokens, and input " + i + " has more");
                }
            }
            return embedded;
        } catch (IllegalArgumentException e) {
            throw Refusal.of("input", String.valueOf(e.getMessage()));
        } finally {
            room.release();
        }
    }

    /** A text, or several. */
    private static List<String> inputs(Fields fields) throws Refusal {
        Optional<JsonNode> input = fields.get("input");
        List<String> texts = new ArrayList<>();
        for (JsonNode each : input.isEmpty() || !input.get().isArray() ? List.of(input.orElse(JsonNodeFactory.instance.nullNode())) : input.get()) {
            if (!each.isTextual()) {
                throw Refusal.of("input", "input must be a text or a list of texts; token ids are not taken, since they are those of one tokenizer");
            }
            texts.add(each.textValue());
        }
        if (texts.isEmpty() || texts.size() > MOST_INPUTS) {
            throw Refusal.of("input", "input must have 1 to " + MOST_INPUTS + " texts, got " + texts.size());
        }
        return texts;
    }

    /** As numbers, or as the bytes of floats, the lowest first. */
    private static void put(ObjectNode into, double[] vector, String format) {
        if (format.equals("base64")) {
            ByteBuffer bytes = ByteBuffer.allocate(vector.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
            for (double value : vector) {
                bytes.putFloat((float) value);
            }
            into.put("embedding", Base64.getEncoder().encodeToString(bytes.array()));
            return;
        }
        ArrayNode values = into.putArray("embedding");
        for (double value : vector) {
            values.add((float) value);
        }
    }

    @Override
    public void close(Duration patience) {
        closed = true;
        embedder.close();
    }
}
