package isonorm.inference;

import isonorm.architecture.Architecture;
import isonorm.layer.Batch;
import isonorm.layer.Result;
import isonorm.tensor.Compute;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.List;

/**
 * A model in memory, ready to run.
 *
 * <p>An instance is for one thread at a time, which it helps with threads of its own.
 */
public final class Inference implements AutoCloseable {

    private Inference() {}

    /**
     * Loads a model.
     *
     * @param compute F32 or BF16, for weights and activations; F16 for weights, with activations in float32
     * @param threads how many threads work, the caller's included
     */
    public static Inference load(Model model, Compute compute, int threads) throws IOException {
        throw new UnsupportedOperationException();
    }

    /** What it computes. */
    public Architecture architecture() {
        throw new UnsupportedOperationException();
    }

    /** The output of a batch of images, or of tokens without a mask; close it. */
    public Result run(Batch batch) throws IOException {
        throw new UnsupportedOperationException();
    }

    /**
     * An empty sequence, to be continued; close it.
     *
     * @throws IllegalArgumentException if the model does not predict the next word
     */
    public Sequence start() {
        throw new UnsupportedOperationException();
    }

    /**
     * Appends {@code tokens} to {@code sequences}, one list of one or more to each, and gives the logits of the word behind each
     * sequence, a row of the vocabulary's length for each. The rows are overwritten by the next call.
     *
     * @throws IllegalArgumentException if a sequence would become longer than the context, or a token is not in the vocabulary
     */
    public List<float[]> next(List<Sequence> sequences, List<int[]> tokens) throws IOException {
        throw new UnsupportedOperationException();
    }

    @Override
    public void close() {}
}
