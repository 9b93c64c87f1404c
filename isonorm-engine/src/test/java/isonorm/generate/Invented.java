package isonorm.generate;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.function.Function;

/**
 * LanguageModel of no model: logits that follow from what a sequence holds, and a strict reading of what a caller may do.
 *
 * @param logits of a whole sequence
 */
record Invented(int context, Function<List<Integer>, float[]> logits, List<String> calls, List<float[]> given, List<Object> open)
        implements LanguageModel<List<Integer>> {

    private Invented(int context, Function<List<Integer>, float[]> logits) {
        this(context, logits, new ArrayList<>(), new ArrayList<>(), new ArrayList<>());
    }

    /** Logits that look like chance, and are the same for the same sequence. */
    static Invented random(int context, int vocabulary) {
        return new Invented(context, sequence -> {
            Random random = new Random(sequence.hashCode());
            float[] logits = new float[vocabulary];
            for (int id = 0; id < vocabulary; id++) {
                logits[id] = (float) random.nextGaussian() * 3;
            }
            return logits;
        });
    }

    /** Says one script, whatever stands before: behind a prompt of n tokens, its tokens from the first on. */
    static Invented saying(int prompt, int vocabulary, long... script) {
        return new Invented(1000, sequence -> {
            float[] logits = new float[vocabulary];
            logits[(int) script[sequence.size() - prompt]] = 1;
            return logits;
        });
    }

    @Override
    public List<Integer> start(int row) {
        return copy(List.of());
    }

    @Override
    public List<Integer> copy(List<Integer> sequence) {
        List<Integer> other = new ArrayList<>(sequence);
        open.add(other);
        return other;
    }

    @Override
    public List<float[]> next(List<List<Integer>> sequences, List<int[]> tokens) {
        given.forEach(row -> Arrays.fill(row, Float.NaN)); // overwritten, as they may be
        given.clear();
        calls.add(tokens.stream().map(Arrays::toString).toList().toString());
        for (int i = 0; i < sequences.size(); i++) {
            List<Integer> sequence = sequences.get(i);
            Arrays.stream(tokens.get(i)).forEach(sequence::add);
            if (tokens.get(i).length == 0 || sequence.size() > context || open.stream().noneMatch(each -> each == sequence)) {
                throw new IllegalArgumentException("row " + i + " cannot go on with " + Arrays.toString(tokens.get(i)));
            }
            given.add(logits.apply(sequence));
        }
        return List.copyOf(given);
    }

    @Override
    public void end(List<Integer> sequence) {
        if (!open.removeIf(each -> each == sequence)) {
            throw new IllegalStateException("ended twice");
        }
    }
}
