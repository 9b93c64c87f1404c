package isonorm.generate;

import isonorm.generate.GeneratedTokens.Ending;
import isonorm.inference.Inference;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.random.RandomGenerator;

/**
 * Continues lists of token ids, without a tokenizer.
 *
 * <p>Prompts are read one by one; then each step adds a token to every row that goes on, all in one call of the model. What a row gets
 * does not depend on the others. For one thread, as the {@link Inference} is.
 */
final class TokenGenerator {

    private final LanguageModel<?> model;

    private TokenGenerator(LanguageModel<?> model) {
        this.model = model;
    }

    /** Continues with what a model says, which the caller closes. */
    public static TokenGenerator of(Inference inference) {
        return of(LanguageModel.of(inference));
    }

    static TokenGenerator of(LanguageModel<?> model) {
        return new TokenGenerator(model);
    }

    /**
     * Continues each prompt.
     *
     * @param maximum how many tokens a row gets at most, 1 or more
     * @param ends the ids that end a text, see {@link EndOfText}; with none, rows go on to the maximum
     * @throws IllegalArgumentException if a prompt is empty or longer than the context, if the model does not predict tokens, or its
     *     logits are not finite
     */
    public GeneratedTokens generate(List<long[]> prompts, int maximum, Sampling sampling, Set<Long> ends, TokenListener listener)
            throws IOException {
        Options.requireTokens(maximum);
        requireFitting(prompts, model.context());
        return new Run<>(model, maximum, new Sampler(sampling), ends, listener).of(prompts);
    }

    /** Checks that every prompt has a token and no more than a context of this length. */
    static void requireFitting(List<long[]> prompts, int context) {
        for (int row = 0; row < prompts.size(); row++) {
            String which = prompts.size() == 1 ? "the prompt" : "prompt " + (row + 1);
            int tokens = prompts.get(row).length;
            if (tokens == 0) {
                throw new IllegalArgumentException(which + " must have a token to be continued, got none; give it some text");
            }
            if (tokens > context) {
                throw new IllegalArgumentException(which + " must fit the model's context of " + context + " tokens, got " + tokens
                        + "; shorten it");
            }
            for (long id : prompts.get(row)) {
                if (id < 0 || id > Integer.MAX_VALUE) {
                    throw new IllegalArgumentException(which + " must consist of token ids, which are 0 or more, got " + id);
                }
            }
        }
    }

    /** One call of generate. */
    private record Run<S>(LanguageModel<S> model, int maximum, Sampler sampler, Set<Long> ends, TokenListener listener) {

        GeneratedTokens of(List<long[]> prompts) throws IOException {
            List<Row<S>> rows = new ArrayList<>();
            List<Row<S>> live = new ArrayList<>();
            try {
                long start = System.nanoTime();
                for (int number = 0; number < prompts.size(); number++) {
                    long[] prompt = prompts.get(number);
                    Row<S> row = new Row<>(number, model.start(), prompt, sampler.random(number));
                    rows.add(row);
                    live.add(row);
                    int[] tokens = Arrays.stream(prompt).mapToInt(Math::toIntExact).toArray();
                    take(row, model.next(List.of(row.sequence), List.of(tokens)).getFirst());
                    letGo(live);
                }
                long read = System.nanoTime();
                while (!live.isEmpty()) {
                    List<float[]> logits = model.next(live.stream().map(row -> row.sequence).toList(), live.stream().map(Row::last).toList());
                    for (int i = 0; i < live.size(); i++) {
                        take(live.get(i), logits.get(i));
                    }
                    letGo(live);
                }
                return new GeneratedTokens(rows.stream().map(Row::result).toList(),
                        Duration.ofNanos(read - start), Duration.ofNanos(System.nanoTime() - read));
            } finally {
                live.forEach(row -> model.end(row.sequence));
            }
        }

        /** Adds the next token to a row. */
        private void take(Row<S> row, float[] logits) throws IOException {
            int id = sampler.next(logits, row.seen, row.random);
            row.add(id);
            if (ends.contains((long) id)) {
                row.ending = Optional.of(Ending.END_OF_TEXT);
            } else if (!listener.token(row.number, id)) {
                row.ending = Optional.of(Ending.LISTENER);
            } else if (row.count == maximum) {
                row.ending = Optional.of(Ending.LENGTH);
            } else if (row.prompt + row.count > model.context()) { // the token that came cannot be read any more
                row.ending = Optional.of(Ending.CONTEXT);
            }
            if (row.ending.isPresent()) {
                listener.ended(row.number, row.ending.orElseThrow());
            }
        }

        /** Lets the memory of rows go that have ended. */
        private void letGo(List<Row<S>> live) {
            live.removeIf(row -> {
                if (row.ending.isPresent()) {
                    model.end(row.sequence);
                }
                return row.ending.isPresent();
            });
        }
    }

    /** A prompt and what has been added to it. */
    private static final class Row<S> {

        private final int number;
        private final S sequence;
        private final int prompt;
        private final BitSet seen = new BitSet();
        private final RandomGenerator random;
        private int[] ids = new int[16];
        private int count;
        private Optional<Ending> ending = Optional.empty();

        Row(int number, S sequence, long[] prompt, RandomGenerator random) {
            this.number = number;
            this.sequence = sequence;
            this.prompt = prompt.length;
            this.random = random;
            for (long id : prompt) {
                seen.set((int) id);
            }
        }

        void add(int id) {
            if (count == ids.length) {
                ids = Arrays.copyOf(ids, 2 * count);
            }
            ids[count++] = id;
            seen.set(id);
        }

        int[] last() {
            return new int[] {ids[count - 1]};
        }

        GeneratedTokens.Row result() {
            return new GeneratedTokens.Row(prompt, Arrays.stream(ids, 0, count).asLongStream().toArray(), ending.orElseThrow());
        }
    }
}
