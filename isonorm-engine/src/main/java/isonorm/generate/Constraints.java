package isonorm.generate;

import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import isonorm.convert.LoadedModel;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * What a checkpoint's generation_config.json says of an encoder-decoder's next token beside the model itself, as Hugging Face transformers applies it
 * and in its order.
 *
 * @param ends the tokens that end a text
 * @param noRepeat no n-gram of so many tokens comes twice; 0 for any
 * @param noRepeatOfInput no n-gram of so many tokens comes that the input has; 0 for any
 * @param badWords sequences that are never completed
 * @param minimum before the text has so many tokens, the one it begins with included, none ends it
 * @param first what comes first, whatever the model says; none where that is left to it
 * @param last what comes where no more tokens may follow; none where that is left to the model
 * @param suppressed tokens that never come
 * @param suppressedFirst tokens that don't come first, behind the one that is forced
 */
record Constraints(
        Set<Long> ends,
        int noRepeat,
        int noRepeatOfInput,
        List<long[]> badWords,
        int minimum,
        List<Long> first,
        List<Long> last,
        List<Long> suppressed,
        List<Long> suppressedFirst) {

    /** Nothing beside the model. */
    static final Constraints NONE = new Constraints(Set.of(), 0, 0, List.of(), 0, List.of(), List.of(), List.of(), List.of());

    static Constraints of(LoadedModel model) throws IOException {
        Keys keys = Keys.of(model);
        List<long[]> badWords = new ArrayList<>();
        if (keys.find("bad_words_ids").orElse(List.of()) instanceof List<?> words) {
            for (Object word : words) {
                badWords.add(keys.ids("bad_words_ids", word).stream().mapToLong(Long::longValue).toArray());
            }
        }
        return new Constraints(EndOfText.of(model), keys.integer("no_repeat_ngram_size"), keys.integer("encoder_no_repeat_ngram_size"), badWords,
                keys.integer("min_length"), keys.ids("forced_bos_token_id"), keys.ids("forced_eos_token_id"), keys.ids("suppress_tokens"),
                keys.ids("begin_suppress_tokens"));
    }

    /** The same with another first token. */
    Constraints withFirst(long id) {
        return new Constraints(ends, noRepeat, noRepeatOfInput, badWords, minimum, List.of(id), last, suppressed, suppressedFirst);
    }

    /** The same for a text that nothing ends. */
    Constraints withoutEnds() {
        return new Constraints(Set.of(), noRepeat, noRepeatOfInput, badWords, minimum, first, List.of(), suppressed, suppressedFirst);
    }

    /**
     * Scores with minus infinity for what may not come: these, or others where anything is said.
     *
     * @param input what the encoder read; empty for none or what is no text
     * @param text all that was written, what it began with included
     * @param begun how many tokens it began with
     * @param ending whether no token may follow the next
     */
    float[] apply(float[] scores, long[] input, long[] text, int begun, boolean ending) {
        if (this == NONE) {
            return scores;
        }
        float[] allowed = scores.clone();
        if (noRepeat > 0) {
            forbidRepeated(allowed, text, text, noRepeat);
        }
        if (noRepeatOfInput > 0) {
            forbidRepeated(allowed, input, text, noRepeatOfInput);
        }
        for (long[] word : badWords) {
            if (endsWith(text, word, word.length - 1)) {
                forbid(allowed, word[word.length - 1]);
            }
        }
        if (text.length < minimum) {
            ends.forEach(id -> forbid(allowed, id));
        }
        if (!first.isEmpty() && text.length == begun) {
            force(allowed, first);
        }
        if (!last.isEmpty() && ending) {
            force(allowed, last);
        }
        suppressed.forEach(id -> forbid(allowed, id));
        if (text.length == begun + first.size()) {
            suppressedFirst.forEach(id -> forbid(allowed, id));
        }
        return allowed;
    }

    /** What would complete an n-gram that stands somewhere already. */
    private static void forbidRepeated(float[] scores, long[] where, long[] text, int n) {
        for (int at = 0; text.length >= n - 1 && at + n <= where.length; at++) {
            if (Arrays.equals(where, at, at + n - 1, text, text.length - (n - 1), text.length)) {
                forbid(scores, where[at + n - 1]);
            }
        }
    }

    private static boolean endsWith(long[] text, long[] word, int count) {
        return text.length >= count && Arrays.equals(text, text.length - count, text.length, word, 0, count);
    }

    private static void forbid(float[] scores, long id) {
        if (id >= 0 && id < scores.length) {
            scores[(int) id] = Float.NEGATIVE_INFINITY;
        }
    }

    private static void force(float[] scores, List<Long> ids) {
        Arrays.fill(scores, Float.NEGATIVE_INFINITY);
        for (long id : ids) {
            if (id < 0 || id >= scores.length) {
                throw new IllegalArgumentException("a forced token must be one of the model's " + scores.length + ", got " + id);
            }
            scores[(int) id] = 0;
        }
    }

    /** Where a checkpoint says how it writes: generation_config.json where it has one, else its config or the one that it came from. */
    record Keys(LoadedModel model, List<Config> configs) {

        static Keys of(LoadedModel model) throws IOException {
            Optional<Config> generation = model.checkpoint().generationConfig();
            return new Keys(model, generation.isPresent() ? List.of(generation.get()) : List.of(model.config(), model.config().object("source_config")));
        }

        Optional<Object> find(String key) {
            Optional<Object> value = Optional.empty();
            for (Config config : configs) {
                value = value.or(() -> config.find(key));
            }
            return value;
        }

        /** Zero where nothing is said. */
        int integer(String key) throws CheckpointException {
            Object value = find(key).orElse(0);
            if (!(value instanceof Integer number) || number < 0) {
                throw wrong(key, "a number of tokens", value);
            }
            return number;
        }

        double number(String key, double otherwise) throws CheckpointException {
            Object value = find(key).orElse(otherwise);
            if (!(value instanceof Number number)) {
                throw wrong(key, "a number", value);
            }
            return number.doubleValue();
        }

        /** One id or a list of them. */
        List<Long> ids(String key) throws CheckpointException {
            Optional<Object> value = find(key);
            return value.isPresent() ? ids(key, value.get()) : List.of();
        }

        List<Long> ids(String key, Object value) throws CheckpointException {
            List<Long> ids = new ArrayList<>();
            for (Object id : value instanceof List<?> list ? list : List.of(value)) {
                if (!(id instanceof Integer number) || number < 0) {
                    throw wrong(key, "a token's id or a list of them", value);
                }
                ids.add(number.longValue());
            }
            return ids;
        }

        CheckpointException wrong(String key, String wanted, Object value) throws CheckpointException {
            return new CheckpointException(CheckpointException.Reason.CONFIG_UNSUPPORTED,
                    model.checkpoint().folder() + ": " + key + " must be " + wanted + ", got " + value);
        }

        /** The token that a decoder's text begins with: {@code decoder_start_token_id}, else {@code bos_token_id}, of whichever file has it. */
        long start() throws CheckpointException {
            for (String key : List.of("decoder_start_token_id", "bos_token_id")) {
                Optional<Object> value = find(key).or(() -> model.config().find(key)).or(() -> model.config().object("source_config").find(key));
                if (value.isPresent()) {
                    List<Long> ids = ids(key, value.get());
                    if (ids.size() != 1) {
                        throw wrong(key, "one token's id", value.get());
                    }
                    return ids.getFirst();
                }
            }
            throw new CheckpointException(CheckpointException.Reason.CONFIG_UNSUPPORTED, model.checkpoint().folder()
                    + ": a decoder's text begins with decoder_start_token_id, which neither config.json nor generation_config.json has");
        }
    }
}
