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
import java.util.function.IntPredicate;
import org.bytedeco.pytorch.Tensor;

/**
 * Runs a model: embedding, blocks, output, as its {@link Architecture} says.
 *
 * <p>A streaming pass loads a block, pushes every batch through it and lets it go; of a vocabulary's tables it reads the rows
 * it needs, some thousand at a time, so a model that is larger than memory runs. A resident pass loads everything once and
 * holds it until it is closed. Both compute the same values. A pass is for one thread at a time, and so is a model while it is
 * streamed.
 */
public final class ForwardPass implements Runner {

    /** Models up to this size are held in memory, larger ones are streamed. */
    public static final long RESIDENT_BYTES = 1L << 30;

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

    /** A pass that is resident where the weights take less than {@link #RESIDENT_BYTES}, else streaming. */
    public static ForwardPass fitting(Model model, Compute compute) throws IOException {
        return model.architecture().parameterCount() * compute.bytes() < RESIDENT_BYTES ? resident(model, compute) : streaming(model, compute);
    }

    private static Ends ends(Loader loader, Architecture architecture) throws IOException {
        EmbeddingLayer embedding = EmbeddingLayer.load(loader, architecture);
        Optional<Table> tokens = embedding instanceof EmbeddingLayer.Words words ? Optional.of(words.tokens()) : Optional.empty();
        return new Ends(embedding, OutputLayer.load(loader, architecture, tokens));
    }

    @Override
    public Result run(Batch batch, IntPredicate some) throws IOException {
        return between(around -> run(around, List.of(batch), some, Progress.NONE)).getFirst();
    }

    @Override
    public List<Result> run(List<Batch> batches, Progress progress) throws IOException {
        return between(around -> run(around, batches, _ -> true, progress));
    }

    /** Padding is shown too, and everything rounded to float32. */
    @Override
    public void observe(Batch batch, Observer observer) throws IOException {
        between(around -> {
            batch.requireFor(architecture.embedding());
            List<Passage> parts = Passage.enter(batch, around.embedding, batch.lengthIn(architecture.embedding()), compute, observer);
            try {
                for (int l = 0; l < architecture.blocks().size(); l++) {
                    through(l, parts);
                }
                for (Passage part : parts) {
                    Memory.scoped(() -> part.watch.stream(architecture.blocks().size(),
                            architecture.dual() ? BlockLayer.stream(part.stream, 0) : part.stream));
                }
                return null;
            } finally {
                parts.forEach(Passage::close);
            }
        });
    }

    /** A row for each thread, whatever its length. */
    @Override
    public int together(int length) {
        return Threads.share();
    }

    /** What is done between the layers around the blocks. */
    @FunctionalInterface
    private interface Between<T> {
        T run(Ends around) throws IOException;
    }

    private <T> T between(Between<T> work) throws IOException {
        if (ends.isPresent()) {
            return work.run(ends.get());
        }
        try (Loader loader = new Loader(model, compute, false)) {
            return work.run(ends(loader, architecture));
        }
    }

    private List<Result> run(Ends around, List<Batch> batches, IntPredicate some, Progress progress) throws IOException {
        batches.forEach(batch -> batch.requireFor(architecture.embedding()));
        int steps = architecture.blocks().size() + 2;
        List<List<Passage>> passages = new ArrayList<>();
        List<Tensor> streams = new ArrayList<>();
        try {
            for (Batch batch : batches) {
                int length = batch.lengthIn(architecture.embedding());
                passages.add(Passage.enter(batch, around.embedding, length, compute, Observer.NONE));
            }
            progress.step("embedding", 1, steps);
            List<Passage> parts = passages.stream().flatMap(List::stream).toList();
            for (int l = 0; l < architecture.blocks().size(); l++) {
                if (some.test(l)) {
                    through(l, parts);
                }
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
        private final Watch watch;
        private Tensor stream;

        private Passage(Sight sight, Watch watch, Tensor stream) {
            this.sight = sight;
            this.watch = watch;
            this.stream = stream;
        }

        /** A batch in as many parts as there are threads, where it has that many rows. */
        static List<Passage> enter(Batch batch, EmbeddingLayer embedding, int length, Compute compute, Observer observer)
                throws IOException {
            Tensor whole = Memory.kept(() -> embedding.forward(batch));
            List<Passage> parts = new ArrayList<>();
            try {
                int count = Math.min(batch.count(), Threads.share());
                for (int p = 0; p < count; p++) {
                    int first = (int) ((long) batch.count() * p / count);
                    int rows = (int) ((long) batch.count() * (p + 1) / count) - first;
                    Tensor part = Memory.kept(() -> whole.narrow(0, first, rows).contiguous());
                    parts.add(new Passage(new Sight(batch, first, rows, length, compute), new Watch(observer, first * length), part));
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
            stream = Memory.kept(() -> block.forward(before, sight, watch));
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
