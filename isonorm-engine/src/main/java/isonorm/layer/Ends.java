package isonorm.layer;

import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.architecture.Output;
import isonorm.kernel.Rows;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Result;
import isonorm.tensor.Team;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.List;
import java.util.Optional;

/** Layers around the blocks for those who run the blocks themselves: patches of images and frames of sounds before them, labels or hidden states behind. */
public final class Ends implements AutoCloseable {

    private final Space space;
    private final Loader loader;
    private final Optional<EmbeddingLayer> embedding;
    private final Optional<OutputLayer> output;

    private Ends(Space space, Loader loader, Optional<EmbeddingLayer> embedding, Optional<OutputLayer> output) {
        this.space = space;
        this.loader = loader;
        this.embedding = embedding;
        this.output = output;
    }

    /**
     * Loads those a model has, but for words, which are not of these.
     *
     * @param entered whether what stands before the blocks is wanted too
     * @param team who computes them; it stays the caller's
     */
    public static Ends load(Model model, Compute compute, boolean entered, Team team) throws IOException {
        Architecture architecture = model.architecture();
        Space space = new Space(team);
        Loader loader = new Loader(model, compute, true, space, InputListener.NONE);
        try {
            return new Ends(
                    space,
                    loader,
                    entered && !(architecture.embedding() instanceof Embedding.Tokens)
                            ? Optional.of(EmbeddingLayer.load(loader, architecture))
                            : Optional.empty(),
                    architecture.output() instanceof Output.Words
                            ? Optional.empty()
                            : Optional.of(OutputLayer.load(loader, architecture, Optional.empty())));
        } catch (IOException | RuntimeException e) {
            loader.close();
            space.close();
            throw e;
        }
    }

    /** Puts what enters the stream {@code into} rows, one for each token of each row of the batch, as wide as the stream. */
    public void enter(Batch batch, Rows into) throws IOException {
        space.scoped(() -> embedding.orElseThrow().forward(batch, space).copyTo(into));
    }

    /** The output of the stream behind the last block, {@code length} tokens for each row of the batch that was read. */
    public Result leave(Batch batch, Rows stream, int length) throws IOException {
        return output.orElseThrow().forward(List.of(OutputLayer.Sequences.of(new Tensor(stream, space), length, batch)), space).getFirst();
    }

    @Override
    public void close() {
        loader.close();
        space.close();
    }
}
