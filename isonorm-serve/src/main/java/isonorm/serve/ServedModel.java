package isonorm.serve;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.chat.ChatTemplate;
import isonorm.convert.LoadedModel;
import isonorm.generate.Batcher;
import isonorm.generate.Sampling;
import isonorm.inference.Inference;
import isonorm.text.Tokenizer;
import isonorm.verify.Verification;
import java.io.IOException;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/** A model in memory with its tokenizer, and what requests about it have in common. */
final class ServedModel implements Served {

    /** As many as OpenAI's interface allows at the most. */
    private static final int MOST_LIKELIEST = 20;

    private static final int MOST_CHOICES = 128;
    private static final int MOST_STOPS = 16;

    private final String name;
    private final Inference inference;
    private final Tokenizer tokenizer;
    private final Batcher batcher;
    private final Set<Long> ends;
    private final Optional<ChatTemplate> chat;
    private final JsonNode tokenizerConfig;
    private final long created = Instant.now().getEpochSecond();
    private final SecureRandom random = new SecureRandom();
    private final Map<Integer, String> texts = new ConcurrentHashMap<>();

    private ServedModel(String name, Inference inference, Tokenizer tokenizer, Batcher batcher, Set<Long> ends, Optional<ChatTemplate> chat, JsonNode tokenizerConfig) {
        this.name = name;
        this.inference = inference;
        this.tokenizer = tokenizer;
        this.batcher = batcher;
        this.ends = ends;
        this.chat = chat;
        this.tokenizerConfig = tokenizerConfig;
    }

    static ServedModel load(LoadedModel model, Server.Settings settings) throws IOException {
        Verification.requirePrediction(model.model(), 1);
        Path folder = model.checkpoint().folder();
        Optional<ChatTemplate> chat = ChatTemplate.of(folder);
        Set<Long> ends = Batcher.endsOf(model);
        Tokenizer tokenizer = Tokenizer.open(folder.resolve("tokenizer.json"));
        Inference inference = null;
        try {
            inference = Inference.load(model.model(), settings.compute(), settings.threads());
            int context = settings.context().orElse(inference.context());
            Batcher batcher = Batcher.of(inference, settings.sequences(), settings.waiting(), context);
            return new ServedModel(settings.name(), inference, tokenizer, batcher, ends, chat, ChatTemplate.config(folder));
        } catch (IOException | RuntimeException e) {
            tokenizer.close();
            if (inference != null) {
                inference.close();
            }
            throw e;
        }
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
        return batcher.context();
    }

    Tokenizer tokenizer() {
        return tokenizer;
    }

    Batcher.State state() {
        return batcher.state();
    }

    ChatTemplate chat() throws Refusal {
        return chat.orElseThrow(() -> Refusal.of("messages", "this checkpoint has no chat template, so it is not known how it writes a conversation; take /v1/completions"));
    }

    /** What all answers of an endpoint begin with. */
    ObjectNode answer(String id, String object) {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("id", id);
        json.put("object", object);
        json.put("created", Instant.now().getEpochSecond());
        json.put("model", name);
        return json;
    }

    String id(String prefix) {
        return prefix + "-" + String.format("%016x%08x", random.nextLong(), random.nextInt());
    }

    /** A token alone as text, which may be half a character. */
    String text(int id) {
        return texts.computeIfAbsent(id, _ -> {
            try {
                return tokenizer.decode(id);
            } catch (IOException e) {
                return "";
            }
        });
    }

    /** How answers are chosen, of one request. */
    record Wanted(int maximum, Sampling sampling, int choices, int best, List<String> stops, int likeliest, boolean streams, boolean usage, boolean ignoresEnd) {}

    /** What both endpoints read in the same way. {@code likeliest} is -1 for none. */
    Wanted wanted(Fields fields, OptionalInt maximum, int likeliest) throws Refusal {
        requireModel(fields);
        fields.refuse("frequency_penalty", "take repetition_penalty", "0", "0.0");
        fields.refuse("presence_penalty", "take repetition_penalty", "0", "0.0");
        fields.refuse("logit_bias", "no logit is changed by name", "{}");
        int choices = fields.whole("n", 1, MOST_CHOICES).orElse(1);
        int best = fields.whole("best_of", 1, MOST_CHOICES).orElse(choices);
        boolean streams = fields.flag("stream", false);
        if (best < choices || streams && best > choices) {
            throw Refusal.of("best_of", best < choices ? "best_of must be n or more, got " + best + " of " + choices : "best_of cannot be streamed, since the best is known at the end");
        }
        double temperature = fields.number("temperature", 0, 100).orElse(1);
        double topP = fields.number("top_p", 0, 1).orElse(1);
        if (topP == 0) {
            throw Refusal.of("top_p", "top_p must be above 0; for the likeliest token take a temperature of 0");
        }
        long seed = seed(fields);
        Sampling sampling = new Sampling(temperature, fields.whole("top_k", -1, Integer.MAX_VALUE).stream().map(k -> Math.max(0, k)).findFirst().orElse(0), topP,
                fields.number("min_p", 0, 1).orElse(0), Math.max(Double.MIN_NORMAL, fields.number("repetition_penalty", 1e-3, 1e3).orElse(1)), seed);
        boolean usage = false;
        Optional<JsonNode> options = fields.get("stream_options");
        if (options.isPresent()) {
            if (!streams || !options.get().isObject()) {
                throw Refusal.of("stream_options", "stream_options is an object beside stream: true");
            }
            Fields some = new Fields((ObjectNode) options.get());
            usage = some.flag("include_usage", false);
            some.flag("include_obfuscation", false);
            some.requireNoMore();
        }
        return new Wanted(maximum.orElse(Integer.MAX_VALUE), sampling, choices, best, fields.texts("stop", MOST_STOPS), likeliest, streams, usage, fields.flag("ignore_eos", false));
    }

    static int mostLikeliest() {
        return MOST_LIKELIEST;
    }

    private long seed(Fields fields) throws Refusal {
        Optional<JsonNode> seed = fields.get("seed");
        if (seed.isPresent() && !(seed.get().isIntegralNumber() && seed.get().canConvertToLong())) {
            throw Refusal.of("seed", "seed must be a whole number, got " + (seed.get().isNumber() ? seed.get().asText() : "none"));
        }
        return seed.map(JsonNode::longValue).orElseGet(random::nextLong);
    }

    /** Continues a prompt in as many ways as are wanted. */
    List<Batcher.Answer> submit(List<int[]> prompts, Wanted wanted, boolean readsPrompt) throws Refusal {
        List<Batcher.Request> requests = new ArrayList<>();
        for (int[] prompt : prompts) {
            if (prompt.length > context()) {
                throw Refusal.of(400, "context_length_exceeded", "this model's context is " + context() + " tokens, and the prompt has " + prompt.length);
            }
            for (int row = 0; row < wanted.best; row++) {
                requests.add(new Batcher.Request(prompt, Math.max(1, wanted.maximum), wanted.sampling, row, wanted.ignoresEnd ? Set.of() : ends,
                        wanted.best > wanted.choices ? Math.max(0, wanted.likeliest) : wanted.likeliest, readsPrompt && row == 0));
            }
        }
        try {
            return batcher.submit(requests);
        } catch (Batcher.Full e) {
            throw Refusal.of(429, "queue_full", String.valueOf(e.getMessage()));
        } catch (IllegalArgumentException e) {
            throw Refusal.of("prompt", String.valueOf(e.getMessage()));
        } catch (IllegalStateException e) {
            throw Refusal.of(503, "closing", "the server is about to end");
        }
    }

    /** An answer as text. */
    Batcher.Text text(Batcher.Answer answer, Wanted wanted) {
        return Batcher.Text.of(answer, tokenizer, wanted.stops);
    }

    ObjectNode tokenize(Fields fields) throws Refusal, IOException {
        fields.text("model");
        String prompt = fields.text("prompt").orElseThrow(() -> Refusal.of("prompt", "a prompt is needed, a text"));
        boolean special = fields.flag("add_special_tokens", true);
        fields.requireNoMore();
        long[] ids = special ? tokenizer.prompt(prompt) : tokenizer.ids(prompt);
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("count", ids.length);
        json.put("max_model_len", context());
        ArrayNode tokens = json.putArray("tokens");
        Arrays.stream(ids).forEach(tokens::add);
        return json;
    }

    ObjectNode detokenize(Fields fields) throws Refusal, IOException {
        fields.text("model");
        JsonNode tokens = fields.get("tokens").orElseThrow(() -> Refusal.of("tokens", "tokens are needed, a list of ids"));
        fields.requireNoMore();
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        return json.put("prompt", tokenizer.decode(Arrays.stream(ids("tokens", tokens)).asLongStream().toArray()));
    }

    /** A list of ids. */
    static int[] ids(String name, JsonNode list) throws Refusal {
        int[] ids = new int[list.size()];
        for (int i = 0; i < ids.length; i++) {
            JsonNode id = list.get(i);
            if (!list.isArray() || !id.isIntegralNumber() || !id.canConvertToInt() || id.intValue() < 0) {
                throw Refusal.of(name, name + " must be token ids, whole numbers of 0 or more");
            }
            ids[i] = id.intValue();
        }
        if (!list.isArray()) {
            throw Refusal.of(name, name + " must be a list of token ids");
        }
        return ids;
    }

    ObjectNode tokenizerInfo() {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        for (String token : List.of("bos_token", "eos_token", "unk_token", "pad_token")) {
            Optional<String> text = ChatTemplate.token(tokenizerConfig, token);
            if (text.isPresent()) {
                json.put(token, text.get());
            } else {
                json.putNull(token);
            }
        }
        if (chat.isPresent()) {
            json.put("chat_template", chat.get().text());
        } else {
            json.putNull("chat_template");
        }
        json.put("model_max_length", context());
        return json;
    }

    @Override
    public void close(Duration patience) {
        batcher.close(patience);
        inference.close();
        tokenizer.close();
    }
}
