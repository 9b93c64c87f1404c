package isonorm.generate;

import isonorm.inference.Inference;
import isonorm.inference.Sequence;
import isonorm.model.Batch;
import java.io.IOException;
import java.util.List;

/**
 * All that generating needs of a model.
 *
 * @param <S> a sequence, which is continued
 */
interface LanguageModel<S> {

    /** How many tokens a sequence may have. */
    int context();

    /** A sequence for a row, about that row's input where the model reads one. */
    S start(int row) throws IOException;

    /** Another sequence of the same tokens. */
    S copy(S sequence) throws IOException;

    /** Continues sequences by tokens, and gives the logits of what follows each; they last until the next call. */
    List<float[]> next(List<S> sequences, List<int[]> tokens) throws IOException;

    void end(S sequence);

    static LanguageModel<Sequence> of(Inference inference) {
        return of(inference, _ -> inference.start());
    }

    /** One that writes about inputs, a row about each. */
    static LanguageModel<Sequence> about(Inference inference, List<Batch> inputs) {
        return of(inference, row -> inference.start(inputs.get(row)));
    }

    /** What begins the sequence of a row. */
    @FunctionalInterface
    interface Start<S> {
        S of(int row) throws IOException;
    }

    private static LanguageModel<Sequence> of(Inference inference, Start<Sequence> start) {
        return new LanguageModel<>() {
            @Override
            public int context() {
                return inference.context();
            }

            @Override
            public Sequence start(int row) throws IOException {
                return start.of(row);
            }

            @Override
            public Sequence copy(Sequence sequence) {
                return sequence.copy();
            }

            @Override
            public List<float[]> next(List<Sequence> sequences, List<int[]> tokens) throws IOException {
                return inference.next(sequences, tokens);
            }

            @Override
            public void end(Sequence sequence) {
                sequence.close();
            }
        };
    }
}
