package isonorm.layer;

import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.architecture.Output;
import isonorm.tensor.Compute;
import isonorm.tensor.Memory;
import isonorm.tensor.Ops;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.List;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;

/** Layers around the blocks for those who run the blocks themselves: patches of images before them, labels or hidden states behind. */
public final class Ends implements AutoCloseable {

    private final Loader loader;
    private final Compute compute;
    private final Optional<EmbeddingLayer> embedding;
    private final Optional<OutputLayer> output;

    private Ends(Loader loader, Optional<EmbeddingLayer> embedding, Optional<OutputLayer> output) {
        this.loader = loader;
        this.compute = loader.compute();
        this.embedding = embedding;
        this.output = output;
    }

    /**
     * Loads those a model has, but for words, which are not of these.
     *
     * @param patches whether the patches are wanted too
     */
    public static Ends load(Model model, Compute compute, boolean patches) throws IOException {
        Architecture architecture = model.architecture();
        Loader loader = new Loader(model, compute, true);
        try {
            return new Ends(
                    loader,
                    patches && architecture.embedding() instanceof Embedding.Patches
                            ? Optional.of(EmbeddingLayer.load(loader, architecture))
                            : Optional.empty(),
                    architecture.output() instanceof Output.Words
                            ? Optional.empty()
                            : Optional.of(OutputLayer.load(loader, architecture, Optional.empty())));
        } catch (IOException | RuntimeException e) {
            loader.close();
            throw e;
        }
    }

    /** What enters the stream, (rows, tokens, stream width). */
    public Tensor enter(Batch batch) throws IOException {
        return embedding.orElseThrow().forward(batch);
    }

    /** The output of the streams behind the last block, each (rows, tokens, stream width). */
    public Result leave(List<Tensor> streams) throws IOException {
        Tensor all = Memory.kept(() -> Ops.concatenate(0, streams.toArray(Tensor[]::new)));
        try {
            return new Result(compute, output.orElseThrow().forward(List.of(all)).getFirst());
        } finally {
            Memory.free(all);
        }
    }

    @Override
    public void close() {
        loader.close();
    }
}
