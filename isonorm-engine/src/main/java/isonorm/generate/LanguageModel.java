package isonorm.generate;

import isonorm.inference.Inference;
import isonorm.inference.Sequence;
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

    S start();

    /** Continues sequences by tokens, and gives the logits of what follows each; they last until the next call. */
    List<float[]> next(List<S> sequences, List<int[]> tokens) throws IOException;

    void end(S sequence);

    static LanguageModel<Sequence> of(Inference inference) {
        return new LanguageModel<>() {
            @Override
            public int context() {
                return inference.context();
            }

            @Override
            public Sequence start() {
                return inference.start();
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
