package isonorm.serve;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.chat.ChatTemplate;
import isonorm.generate.Batcher;
import isonorm.generate.Batcher.Event;
import isonorm.generate.GeneratedTokens.Ending;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;

/** {@code POST /v1/chat/completions}: a conversation, written as the checkpoint's template says, continued. */
final class Chat {

    private final ServedModel model;
    private final Metrics metrics;

    Chat(ServedModel model, Metrics metrics) {
        this.model = model;
        this.metrics = metrics;
    }

    void answer(Fields fields, Reply reply) throws Refusal, IOException, InterruptedException {
        OptionalInt maximum = fields.whole("max_completion_tokens", 1, Integer.MAX_VALUE);
        OptionalInt old = fields.whole("max_tokens", 1, Integer.MAX_VALUE);
        boolean logs = fields.flag("logprobs", false);
        int likeliest = fields.whole("top_logprobs", 0, ServedModel.mostLikeliest()).orElse(0);
        ServedModel.Wanted wanted = model.wanted(fields, maximum.isPresent() ? maximum : old, logs ? likeliest : -1);
        for (String tools : List.of("tools", "tool_choice", "functions", "function_call")) {
            fields.refuse(tools, "a model here only writes texts, and calls nothing", "[]", "\"none\"");
        }
        fields.refuse("parallel_tool_calls", "a model here only writes texts, and calls nothing", "false", "true");
        fields.refuse("response_format", "answers are texts of any form", "{\"type\":\"text\"}");
        fields.refuse("modalities", "answers are texts", "[\"text\"]");
        boolean continues = fields.flag("add_generation_prompt", true);
        JsonNode messages = fields.get("messages").orElseThrow(() -> Refusal.of("messages", "messages are needed, a list"));
        fields.requireNoMore();
        long[] prompt = model.tokenizer().ids(rendered(messages(messages), continues));
        if (prompt.length == 0) {
            throw Refusal.of("messages", "these messages have no token");
        }
        List<Batcher.Answer> answers = model.submit(List.of(Arrays.stream(prompt).mapToInt(Math::toIntExact).toArray()), wanted, false);
        List<Batcher.Text> texts = answers.stream().map(answer -> model.text(answer, wanted)).toList();
        try {
            if (wanted.streams()) {
                stream(wanted, prompt.length, texts, reply);
            } else {
                whole(wanted, prompt.length, texts, reply);
            }
        } finally {
            texts.forEach(Batcher.Text::close);
        }
    }

    private String rendered(List<Map<String, Object>> messages, boolean continues) throws Refusal {
        try {
            return model.chat().render(messages, continues);
        } catch (ChatTemplate.Refused e) {
            throw Refusal.of("messages", String.valueOf(e.getMessage()));
        }
    }

    private static List<Map<String, Object>> messages(JsonNode list) throws Refusal {
        if (!list.isArray() || list.isEmpty()) {
            throw Refusal.of("messages", "messages must be a list of one or more");
        }
        List<Map<String, Object>> all = new ArrayList<>();
        for (JsonNode message : list) {
            if (!message.path("role").isTextual()) {
                throw Refusal.of("messages", "each message must have a role and a content");
            }
            Map<String, Object> one = new LinkedHashMap<>();
            one.put("role", message.path("role").textValue());
            one.put("content", content(message.path("content")));
            if (message.path("name").isTextual()) {
                one.put("name", message.path("name").textValue());
            }
            if (message.has("tool_calls") && !message.path("tool_calls").isNull() && !message.path("tool_calls").isEmpty()) {
                throw Refusal.of("messages", "tool_calls are not to be had here: a model here only writes texts, and calls nothing");
            }
            all.add(one);
        }
        return all;
    }

    /** A text, or parts that are texts, put together. */
    private static String content(JsonNode content) throws Refusal {
        if (content.isTextual()) {
            return content.textValue();
        }
        StringBuilder text = new StringBuilder();
        for (JsonNode part : content) {
            if (!part.path("type").asText().equals("text") || !part.path("text").isTextual()) {
                throw Refusal.of("messages", "parts of a content must be texts, got one of type " + part.path("type").asText("none").replaceAll("\\W", "?"));
            }
            text.append(part.path("text").textValue());
        }
        if (!content.isArray()) {
            throw Refusal.of("messages", "a content must be a text or a list of them");
        }
        return text.toString();
    }

    private void whole(ServedModel.Wanted wanted, int prompt, List<Batcher.Text> texts, Reply reply) throws IOException, InterruptedException {
        ObjectNode json = model.answer(model.id("chatcmpl"), "chat.completion");
        ArrayNode choices = json.putArray("choices");
        int written = 0;
        List<Ranked> all = new ArrayList<>();
        for (Batcher.Text each : texts) {
            StringBuilder text = new StringBuilder();
            List<Event.Token> tokens = new ArrayList<>();
            long from = System.nanoTime();
            Optional<Ending> ending = Optional.empty();
            while (ending.isEmpty()) {
                Batcher.Piece piece = each.next();
                if (tokens.isEmpty()) {
                    metrics.firstToken((System.nanoTime() - from) * 1e-9);
                }
                text.append(piece.text());
                tokens.addAll(piece.tokens());
                ending = piece.ending();
            }
            written += tokens.size();
            all.add(new Ranked(text.toString(), tokens, ending.get()));
        }
        if (wanted.best() > wanted.choices()) {
            all.sort((a, b) -> Double.compare(b.mean(), a.mean()));
        }
        for (int i = 0; i < wanted.choices(); i++) {
            Ranked one = all.get(i);
            ObjectNode choice = choices.addObject();
            choice.put("index", i);
            choice.putObject("message").put("role", "assistant").put("content", one.text);
            if (wanted.likeliest() >= 0) {
                choice.putObject("logprobs").set("content", logprobs(one.tokens, wanted.likeliest()));
            } else {
                choice.putNull("logprobs");
            }
            choice.put("finish_reason", Completions.reason(one.ending));
        }
        json.set("usage", Completions.usage(prompt, written));
        reply.json(200, json);
    }

    private record Ranked(String text, List<Event.Token> tokens, Ending ending) {
        double mean() {
            return tokens.stream().mapToDouble(Event.Token::logProbability).average().orElse(Double.NEGATIVE_INFINITY);
        }
    }

    private ArrayNode logprobs(List<Event.Token> tokens, int likeliest) {
        ArrayNode list = JsonNodeFactory.instance.arrayNode();
        for (Event.Token token : tokens) {
            ObjectNode one = list.addObject();
            put(one, token.id(), token.logProbability());
            ArrayNode tops = one.putArray("top_logprobs");
            token.likeliest().stream().limit(likeliest).forEach(top -> put(tops.addObject(), top.id(), top.logProbability()));
        }
        return list;
    }

    private void put(ObjectNode into, int id, double logProbability) {
        String text = model.text(id);
        into.put("token", text);
        into.put("logprob", logProbability);
        ArrayNode bytes = into.putArray("bytes");
        for (byte each : text.getBytes(StandardCharsets.UTF_8)) {
            bytes.add(each & 0xff);
        }
    }

    private void stream(ServedModel.Wanted wanted, int prompt, List<Batcher.Text> texts, Reply reply) throws IOException, InterruptedException {
        String id = model.id("chatcmpl");
        AtomicInteger written = new AtomicInteger();
        reply.stream();
        Streaming.each(IntStream.range(0, texts.size()).boxed().toList(), index -> {
            ObjectNode first = chunk(wanted, id, index);
            ((ObjectNode) first.path("choices").get(0)).putObject("delta").put("role", "assistant").put("content", "");
            reply.event(first);
            Optional<Ending> ending = Optional.empty();
            while (ending.isEmpty()) {
                Batcher.Piece piece = texts.get(index).next();
                written.addAndGet(piece.tokens().size());
                ending = piece.ending();
                ObjectNode json = chunk(wanted, id, index);
                ObjectNode choice = (ObjectNode) json.path("choices").get(0);
                ObjectNode delta = choice.putObject("delta");
                if (!piece.text().isEmpty()) {
                    delta.put("content", piece.text());
                }
                if (wanted.likeliest() >= 0) {
                    choice.putObject("logprobs").set("content", logprobs(piece.tokens(), wanted.likeliest()));
                }
                ending.ifPresent(last -> choice.put("finish_reason", Completions.reason(last)));
                reply.event(json);
            }
        });
        if (wanted.usage()) {
            ObjectNode last = model.answer(id, "chat.completion.chunk");
            last.putArray("choices");
            last.set("usage", Completions.usage(prompt, written.get()));
            reply.event(last);
        }
        reply.done();
    }

    private ObjectNode chunk(ServedModel.Wanted wanted, String id, int index) {
        ObjectNode json = model.answer(id, "chat.completion.chunk");
        ObjectNode choice = json.putArray("choices").addObject();
        choice.put("index", index);
        choice.putNull("finish_reason");
        if (wanted.usage()) {
            json.putNull("usage");
        }
        return json;
    }
}
