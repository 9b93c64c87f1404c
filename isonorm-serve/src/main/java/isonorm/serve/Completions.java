package isonorm.serve;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.generate.Batcher;
import isonorm.generate.Batcher.Event;
import isonorm.generate.Batcher.Likely;
import isonorm.generate.GeneratedTokens.Ending;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.IntStream;

/** {@code POST /v1/completions}: prompts, texts or token ids, continued. */
final class Completions {

    private static final int DEFAULT_TOKENS = 16;

    private final ServedModel model;
    private final Metrics metrics;

    Completions(ServedModel model, Metrics metrics) {
        this.model = model;
        this.metrics = metrics;
    }

    /** A choice with what came of it so far. */
    private static final class Choice {
        private final int index;
        private final int[] prompt;
        private final Batcher.Text answer;
        private final StringBuilder text = new StringBuilder();
        private final List<Event.Token> tokens = new ArrayList<>();
        private Optional<Ending> ending = Optional.empty();

        Choice(int index, int[] prompt, Batcher.Text answer) {
            this.index = index;
            this.prompt = prompt;
            this.answer = answer;
        }

        Batcher.Piece next(Clock clock) throws IOException, InterruptedException {
            Batcher.Piece piece = answer.next();
            clock.came(piece.tokens().size());
            text.append(piece.text());
            tokens.addAll(piece.tokens());
            ending = piece.ending();
            return piece;
        }

        double meanLogProbability() {
            return tokens.stream().mapToDouble(Event.Token::logProbability).average().orElse(Double.NEGATIVE_INFINITY);
        }
    }

    /** Measures one request. */
    private final class Clock {
        private long last = System.nanoTime();
        private boolean first = true;

        void came(int tokens) {
            long now = System.nanoTime();
            for (int i = 0; i < tokens; i++) {
                if (first) {
                    metrics.firstToken((now - last) * 1e-9);
                } else {
                    metrics.nextToken((now - last) * 1e-9 / tokens);
                }
                first = false;
            }
            last = tokens > 0 ? now : last;
        }
    }

    /** What is asked for beyond what both endpoints have. */
    private record Asked(ServedModel.Wanted wanted, List<int[]> prompts, boolean echo, boolean none) {}

    void answer(Fields fields, Reply reply) throws Refusal, IOException, InterruptedException {
        Asked asked = asked(fields);
        List<Batcher.Answer> answers = model.submit(asked.prompts, asked.wanted, asked.echo && asked.wanted.likeliest() >= 0);
        List<Choice> choices = new ArrayList<>();
        for (int i = 0; i < answers.size(); i++) {
            choices.add(new Choice(i, asked.prompts.get(i / asked.wanted.best()), model.text(answers.get(i), asked.wanted)));
        }
        String id = model.id("cmpl");
        try {
            if (asked.wanted.streams()) {
                stream(asked, choices, id, reply);
            } else {
                whole(asked, choices, id, reply);
            }
        } finally {
            choices.forEach(choice -> choice.answer.close());
        }
    }

    private Asked asked(Fields fields) throws Refusal, IOException {
        OptionalInt maximum = fields.whole("max_tokens", 0, Integer.MAX_VALUE);
        int likeliest = fields.whole("logprobs", 0, ServedModel.mostLikeliest()).orElse(-1);
        ServedModel.Wanted wanted = model.wanted(fields, OptionalInt.of(maximum.orElse(DEFAULT_TOKENS)), likeliest);
        fields.refuse("suffix", "a text is only continued, and nothing stands behind it", "\"\"");
        boolean echo = fields.flag("echo", false);
        boolean special = fields.flag("add_special_tokens", true);
        List<int[]> prompts = prompts(fields, special);
        fields.requireNoMore();
        boolean none = wanted.maximum() == 0;
        if (none && !echo) {
            throw Refusal.of("max_tokens", "max_tokens must be 1 or more, or 0 with echo");
        }
        return new Asked(wanted, prompts, echo, none);
    }

    private List<int[]> prompts(Fields fields, boolean special) throws Refusal, IOException {
        JsonNode prompt = fields.get("prompt").orElseThrow(() -> Refusal.of("prompt", "a prompt is needed: a text, token ids, or a list of either"));
        if (prompt.isTextual()) {
            return List.of(ids(prompt.textValue(), special));
        }
        if (!prompt.isArray() || prompt.isEmpty()) {
            throw Refusal.of("prompt", "a prompt must be a text, token ids, or a list of either, none of them empty");
        }
        if (prompt.get(0).isNumber()) {
            return List.of(ServedModel.ids("prompt", prompt));
        }
        List<int[]> all = new ArrayList<>();
        for (JsonNode each : prompt) {
            all.add(each.isTextual() ? ids(each.textValue(), special) : ServedModel.ids("prompt", each));
        }
        return all;
    }

    private int[] ids(String text, boolean special) throws Refusal, IOException {
        long[] ids = special ? model.tokenizer().prompt(text) : model.tokenizer().ids(text);
        if (ids.length == 0) {
            throw Refusal.of("prompt", "a prompt must have a token, and this text has none");
        }
        return Arrays.stream(ids).mapToInt(Math::toIntExact).toArray();
    }

    private void whole(Asked asked, List<Choice> choices, String id, Reply reply) throws IOException, InterruptedException {
        for (Choice choice : choices) {
            Clock clock = new Clock();
            while (choice.ending.isEmpty()) {
                choice.next(clock);
            }
        }
        int best = asked.wanted.best();
        List<Choice> chosen = new ArrayList<>();
        for (int first = 0; first < choices.size(); first += best) {
            List<Choice> some = new ArrayList<>(choices.subList(first, first + best));
            if (best > asked.wanted.choices()) {
                some.sort(Comparator.comparingDouble(Choice::meanLogProbability).reversed());
            }
            chosen.addAll(some.subList(0, asked.wanted.choices()));
        }
        ObjectNode json = model.answer(id, "text_completion");
        ArrayNode list = json.putArray("choices");
        for (int i = 0; i < chosen.size(); i++) {
            Choice choice = chosen.get(i);
            ObjectNode one = list.addObject();
            String prompt = asked.echo ? decoded(choice.prompt) : "";
            one.put("text", prompt + (asked.none ? "" : choice.text.toString()));
            one.put("index", i);
            if (asked.wanted.likeliest() >= 0) {
                one.set("logprobs", logprobs(asked, choice, prompt.length()));
            } else {
                one.putNull("logprobs");
            }
            one.put("finish_reason", reason(choice.ending.orElseThrow()));
        }
        json.set("usage", usage(asked, choices));
        reply.json(200, json);
    }

    private String decoded(int[] prompt) throws IOException {
        return model.tokenizer().decode(Arrays.stream(prompt).asLongStream().toArray());
    }

    /** The prompt's tokens, if they are echoed, and those that came, up to the end of the text. */
    private ObjectNode logprobs(Asked asked, Choice choice, int promptLength) {
        Columns columns = new Columns();
        int offset = 0;
        if (asked.echo) {
            // How likely the first one is nobody knows. Rows of one prompt have it in common.
            List<Event.Token> read = choice.answer.prompt();
            columns.add(choice.prompt[0], Optional.empty(), offset);
            offset += model.text(choice.prompt[0]).length();
            for (int i = 1; i < choice.prompt.length; i++) {
                columns.add(choice.prompt[i], i <= read.size() ? Optional.of(read.get(i - 1)) : Optional.empty(), offset);
                offset += model.text(choice.prompt[i]).length();
            }
            offset = promptLength;
        }
        if (!asked.none) {
            int from = offset;
            for (Event.Token token : choice.tokens) {
                if (choice.ending.equals(Optional.of(Ending.STOP_STRING)) && offset - from >= choice.text.length()) {
                    break;
                }
                columns.add(token.id(), Optional.of(token), offset);
                offset += model.text(token.id()).length();
            }
        }
        return columns.json;
    }

    /** OpenAI's four lists. */
    private final class Columns {
        private final ObjectNode json = JsonNodeFactory.instance.objectNode();
        private final ArrayNode texts = json.putArray("tokens");
        private final ArrayNode logs = json.putArray("token_logprobs");
        private final ArrayNode tops = json.putArray("top_logprobs");
        private final ArrayNode offsets = json.putArray("text_offset");

        void add(int id, Optional<Event.Token> token, int offset) {
            texts.add(model.text(id));
            offsets.add(offset);
            if (token.isEmpty()) {
                logs.addNull();
                tops.addNull();
                return;
            }
            logs.add(token.get().logProbability());
            ObjectNode top = tops.addObject();
            List<Likely> likeliest = token.get().likeliest();
            // The likeliest comes last: of tokens with one text it is the one that stays.
            for (int i = likeliest.size() - 1; i >= 0; i--) {
                top.put(model.text(likeliest.get(i).id()), likeliest.get(i).logProbability());
            }
            String own = model.text(id);
            if (!top.has(own)) {
                top.put(own, token.get().logProbability());
            }
        }
    }

    static String reason(Ending ending) {
        return switch (ending) {
            case END_OF_TEXT, STOP_STRING -> "stop";
            case LENGTH, CONTEXT, LISTENER -> "length";
        };
    }

    private static ObjectNode usage(Asked asked, List<Choice> choices) {
        int prompts = asked.prompts.stream().mapToInt(prompt -> prompt.length).sum();
        int written = asked.none ? 0 : choices.stream().mapToInt(choice -> choice.tokens.size()).sum();
        return usage(prompts, written);
    }

    static ObjectNode usage(int prompts, int written) {
        ObjectNode usage = JsonNodeFactory.instance.objectNode();
        usage.put("prompt_tokens", prompts);
        usage.put("completion_tokens", written);
        usage.put("total_tokens", prompts + written);
        return usage;
    }

    /** Pieces of all choices as they come; each is waited for by a thread of its own. */
    private void stream(Asked asked, List<Choice> choices, String id, Reply reply) throws IOException, InterruptedException {
        reply.stream();
        Streaming.each(choices, choice -> {
            Clock clock = new Clock();
            if (asked.echo) {
                reply.event(chunk(asked, id, choice, decoded(choice.prompt), Optional.empty(), 0));
            }
            do {
                int from = choice.tokens.size();
                Batcher.Piece piece = choice.next(clock);
                reply.event(chunk(asked, id, choice, asked.none ? "" : piece.text(), piece.ending(), from));
            } while (choice.ending.isEmpty());
        });
        if (asked.wanted.usage()) {
            ObjectNode last = model.answer(id, "text_completion");
            last.putArray("choices");
            last.set("usage", usage(asked, choices));
            reply.event(last);
        }
        reply.done();
    }

    private ObjectNode chunk(Asked asked, String id, Choice choice, String text, Optional<Ending> ending, int from) {
        ObjectNode json = model.answer(id, "text_completion");
        ObjectNode one = json.putArray("choices").addObject();
        one.put("text", text);
        one.put("index", choice.index);
        if (asked.wanted.likeliest() >= 0) {
            Columns columns = new Columns();
            IntStream.range(from, choice.tokens.size()).mapToObj(choice.tokens::get).forEach(token -> columns.add(token.id(), Optional.of(token), 0));
            one.set("logprobs", columns.json);
        } else {
            one.putNull("logprobs");
        }
        if (ending.isPresent()) {
            one.put("finish_reason", reason(ending.get()));
        } else {
            one.putNull("finish_reason");
        }
        if (asked.wanted.usage()) {
            json.putNull("usage");
        }
        return json;
    }
}
