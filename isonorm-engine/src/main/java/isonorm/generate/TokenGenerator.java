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
    private final List<long[]> inputs;
    private final Constraints constraints;
    private final Beams beams;

    private TokenGenerator(LanguageModel<?> model, List<long[]> inputs, Constraints constraints, Beams beams) {
        this.model = model;
        this.inputs = inputs;
        this.constraints = constraints;
        this.beams = beams;
    }

    /** Continues with what a model says, which the caller closes. */
    public static TokenGenerator of(Inference inference) {
        return of(LanguageModel.of(inference));
    }

    static TokenGenerator of(LanguageModel<?> model) {
        return new TokenGenerator(model, List.of(), Constraints.NONE, Beams.NONE);
    }

    /** The same where an encoder reads inputs, a row each; those that are no text are empty. */
    TokenGenerator about(List<long[]> read, Constraints others) {
        return new TokenGenerator(model, read, others, beams);
    }

    TokenGenerator constrained(Constraints others) {
        return new TokenGenerator(model, inputs, others, beams);
    }

    TokenGenerator beams(Beams others) {
        return new TokenGenerator(model, inputs, constraints, others);
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
        if (beams.count() == 1) {
            return new Run<>(model, inputs, maximum, new Sampler(sampling), constraints, ends, listener).of(prompts);
        }
        if (sampling.temperature() != 0) {
            throw new IllegalArgumentException("beams follow the likeliest texts and draw nothing, got a temperature of " + sampling.temperature()
                    + "; leave out one of the two");
        }
        return search(new BeamSearch<>(model, beams, maximum, sampling.repetitionPenalty(), constraints, ends), prompts, listener);
    }

    /** The rows' tokens come when their texts are known whole. */
    private GeneratedTokens search(BeamSearch<?> search, List<long[]> prompts, TokenListener listener) throws IOException {
        long start = System.nanoTime();
        List<GeneratedTokens.Row> rows = new ArrayList<>();
        for (int number = 0; number < prompts.size(); number++) {
            GeneratedTokens.Row row = search.search(number, inputs.isEmpty() ? new long[0] : inputs.get(number), prompts.get(number));
            Ending ending = row.ending();
            for (int i = 0; i < row.ids().length && ending != Ending.LISTENER; i++) {
                boolean end = ending == Ending.END_OF_TEXT && i == row.ids().length - 1;
                ending = end || listener.token(number, row.ids()[i]) ? ending : Ending.LISTENER;
            }
            listener.ended(number, ending);
            rows.add(new GeneratedTokens.Row(row.prompt(), row.ids(), ending));
        }
        return new GeneratedTokens(rows, Duration.ZERO, Duration.ofNanos(System.nanoTime() - start));
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
    private record Run<S>(
            LanguageModel<S> model, List<long[]> inputs, int maximum, Sampler sampler, Constraints constraints, Set<Long> ends, TokenListener listener) {

        GeneratedTokens of(List<long[]> prompts) throws IOException {
            List<Row<S>> rows = new ArrayList<>();
            List<Row<S>> live = new ArrayList<>();
            try {
                long start = System.nanoTime();
                for (int number = 0; number < prompts.size(); number++) {
                    long[] prompt = prompts.get(number);
                    Row<S> row = new Row<>(number, model.start(number), prompt, sampler.random(number));
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
            long[] input = inputs.isEmpty() ? new long[0] : inputs.get(row.number);
            float[] allowed = constraints.apply(logits, input, row.text(), row.prompt.length, row.count + 1 == maximum);
            int id = sampler.next(allowed, row.seen, row.random);
            row.add(id);
            if (ends.contains((long) id)) {
                row.ending = Optional.of(Ending.END_OF_TEXT);
            } else if (!listener.token(row.number, id)) {
                row.ending = Optional.of(Ending.LISTENER);
            } else if (row.count == maximum) {
                row.ending = Optional.of(Ending.LENGTH);
            } else if (row.prompt.length + row.count > model.context()) { // the token that came cannot be read any more
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
        private final long[] prompt;
        private final BitSet seen = new BitSet();
        private final RandomGenerator random;
        private int[] ids = new int[16];
        private int count;
        private Optional<Ending> ending = Optional.empty();

        Row(int number, S sequence, long[] prompt, RandomGenerator random) {
            this.number = number;
            this.sequence = sequence;
            this.prompt = prompt;
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

        /** The prompt and all behind it. */
        long[] text() {
            long[] all = Arrays.copyOf(prompt, prompt.length + count);
            for (int i = 0; i < count; i++) {
                all[prompt.length + i] = ids[i];
            }
            return all;
        }

        int[] last() {
            return new int[] {ids[count - 1]};
        }

        GeneratedTokens.Row result() {
            return new GeneratedTokens.Row(prompt.length, Arrays.stream(ids, 0, count).asLongStream().toArray(), ending.orElseThrow());
        }
    }
}
