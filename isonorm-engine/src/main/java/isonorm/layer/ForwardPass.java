package isonorm.layer;

import isonorm.architecture.Architecture;
import isonorm.tensor.Compute;
import isonorm.tensor.Memory;
import isonorm.tensor.Ops;
import isonorm.tensor.Threads;
import isonorm.weights.Model;
import isonorm.weights.Progress;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.bytedeco.pytorch.Tensor;

/**
 * Runs a model: embedding, blocks, output, as its {@link Architecture} says.
 *
 * <p>A streaming pass loads a block, pushes every batch through it and lets it go; of a vocabulary's tables it reads the rows
 * it needs, some thousand at a time, so a model that is larger than memory runs. A resident pass loads everything once and
 * holds it until it is closed. Both compute the same values. A pass is for one thread at a time, and so is a model while it is
 * streamed.
 */
public final class ForwardPass implements AutoCloseable {

    private final Model model;
    private final Architecture architecture;
    private final Compute compute;
    private final Loader held;
    private final Optional<Ends> ends;
    private final List<BlockLayer> blocks;

    /** The layers around the blocks. */
    private record Ends(EmbeddingLayer embedding, OutputLayer output) {}

    private ForwardPass(Model model, Compute compute, Loader held, Optional<Ends> ends, List<BlockLayer> blocks) {
        this.model = model;
        this.architecture = model.architecture();
        this.compute = compute;
        this.held = held;
        this.ends = ends;
        this.blocks = blocks;
    }

    /** A pass that holds no more than one block's weights. */
    public static ForwardPass streaming(Model model, Compute compute) {
        return new ForwardPass(model, compute, new Loader(model, compute, false), Optional.empty(), List.of());
    }

    /** A pass that loads all weights now. */
    public static ForwardPass resident(Model model, Compute compute) throws IOException {
        Loader loader = new Loader(model, compute, true);
        try {
            Ends ends = ends(loader, model.architecture());
            List<BlockLayer> blocks = new ArrayList<>();
            for (int l = 0; l < model.architecture().blocks().size(); l++) {
                blocks.add(BlockLayer.load(loader, model.architecture(), l));
            }
            return new ForwardPass(model, compute, loader, Optional.of(ends), blocks);
        } catch (IOException | RuntimeException e) {
            loader.close();
            throw e;
        }
    }

    private static Ends ends(Loader loader, Architecture architecture) throws IOException {
        EmbeddingLayer embedding = EmbeddingLayer.load(loader, architecture);
        Optional<Table> tokens = embedding instanceof EmbeddingLayer.Words words ? Optional.of(words.tokens()) : Optional.empty();
        return new Ends(embedding, OutputLayer.load(loader, architecture, tokens));
    }

    /** The output of one batch; close it. */
    public Result run(Batch batch) throws IOException {
        return run(List.of(batch), Progress.NONE).getFirst();
    }

    /** The output of each batch, which may differ in length; close them. */
    public List<Result> run(List<Batch> batches, Progress progress) throws IOException {
        if (ends.isPresent()) {
            return run(ends.get(), batches, progress);
        }
        try (Loader loader = new Loader(model, compute, false)) {
            return run(ends(loader, architecture), batches, progress);
        }
    }

    private List<Result> run(Ends around, List<Batch> batches, Progress progress) throws IOException {
        batches.forEach(batch -> batch.requireFor(architecture.embedding()));
        int steps = architecture.blocks().size() + 2;
        List<List<Passage>> passages = new ArrayList<>();
        List<Tensor> streams = new ArrayList<>();
        try {
            for (Batch batch : batches) {
                passages.add(Passage.enter(batch, around.embedding, batch.lengthIn(architecture.embedding()), compute));
            }
            progress.step("embedding", 1, steps);
            List<Passage> parts = passages.stream().flatMap(List::stream).toList();
            for (int l = 0; l < architecture.blocks().size(); l++) {
                through(l, parts);
                progress.step("block " + l, l + 2, steps);
            }
            for (List<Passage> batch : passages) {
                streams.add(Passage.leave(batch));
            }
            List<OutputLayer.Made> made = around.output.forward(streams);
            progress.step("output", steps, steps);
            return made.stream().map(one -> new Result(compute, one)).toList();
        } finally {
            streams.forEach(Memory::free);
            passages.forEach(batch -> batch.forEach(Passage::close));
        }
    }

    private void through(int l, List<Passage> passages) throws IOException {
        if (ends.isPresent()) {
            Threads.parallel(passages.size(), p -> passages.get(p).through(blocks.get(l)));
            return;
        }
        try (Loader loader = new Loader(model, compute, false)) {
            BlockLayer block = BlockLayer.load(loader, architecture, l);
            Threads.parallel(passages.size(), p -> passages.get(p).through(block));
        }
    }

    /** Some rows of one batch on their way through the blocks. */
    private static final class Passage implements AutoCloseable {

        private final Sight sight;
        private Tensor stream;

        private Passage(Sight sight, Tensor stream) {
            this.sight = sight;
            this.stream = stream;
        }

        /** A batch in as many parts as there are threads, where it has that many rows. */
        static List<Passage> enter(Batch batch, EmbeddingLayer embedding, int length, Compute compute) throws IOException {
            Tensor whole = Memory.kept(() -> embedding.forward(batch));
            List<Passage> parts = new ArrayList<>();
            try {
                int count = Math.min(batch.count(), Threads.share());
                for (int p = 0; p < count; p++) {
                    int first = (int) ((long) batch.count() * p / count);
                    int rows = (int) ((long) batch.count() * (p + 1) / count) - first;
                    Tensor part = Memory.kept(() -> whole.narrow(0, first, rows).contiguous());
                    parts.add(new Passage(new Sight(batch, first, rows, length, compute), part));
                }
                return parts;
            } finally {
                Memory.free(whole);
            }
        }

        /** The stream of all parts. */
        static Tensor leave(List<Passage> parts) throws IOException {
            return Memory.kept(() -> Ops.concatenate(0, parts.stream().map(part -> part.stream).toArray(Tensor[]::new)));
        }

        void through(BlockLayer block) throws IOException {
            Tensor before = stream;
            stream = Memory.kept(() -> block.forward(before, sight));
            Memory.free(before);
        }

        @Override
        public void close() {
            Memory.free(stream);
            sight.close();
        }
    }

    @Override
    public void close() {
        held.close();
    }
}
