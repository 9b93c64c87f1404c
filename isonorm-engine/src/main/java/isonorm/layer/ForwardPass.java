package isonorm.layer;

import isonorm.architecture.Architecture;
import isonorm.architecture.Companion;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Result;
import isonorm.rewrite.Rewrite;
import isonorm.tensor.LargePages;
import isonorm.tensor.Team;
import isonorm.weights.Model;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;

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

    /** So many tokens a thread go through a block together: enough for products to be efficient, few enough for the memory. */
    private static final int TOKENS = 2048;

    private final Model model;
    private final Architecture architecture;
    private final Compute compute;
    private final Team team = Team.of(Runtime.getRuntime().availableProcessors());
    private final Space space = new Space(team);
    private final InputListener listener;
    private final Loader held;
    private final Optional<ForwardPass> companion;
    private Optional<Ends> ends = Optional.empty();
    private final List<BlockLayer> blocks = new ArrayList<>();

    /** The layers around the blocks. */
    private record Ends(EmbeddingLayer embedding, OutputLayer output) {}

    private ForwardPass(Model model, Compute compute, boolean resident, InputListener listener) {
        this.model = new Rewrite.OwnGates().applyToMain(model);
        this.architecture = this.model.architecture();
        this.compute = compute;
        this.listener = listener;
        this.held = new Loader(this.model, compute, resident, space, listener);
        this.companion = model.companion().map(other -> new ForwardPass(other, compute, resident, InputListener.NONE));
    }

    /** A pass that holds no more than one block's weights. */
    public static ForwardPass streaming(Model model, Compute compute) {
        return new ForwardPass(model, compute, false, InputListener.NONE);
    }

    /** A streaming pass of the main stack that shows what linear layers read: all batches of one block, and then of the next. */
    public static ForwardPass listening(Model model, Compute compute, InputListener listener) {
        return new ForwardPass(model, compute, false, listener);
    }

    /** A pass that loads all weights now. */
    public static ForwardPass resident(Model model, Compute compute) throws IOException {
        ForwardPass pass = new ForwardPass(model, compute, true, InputListener.NONE);
        try {
            pass.load();
            if (pass.companion.isPresent()) {
                pass.companion.get().load();
            }
            return pass;
        } catch (IOException | RuntimeException e) {
            pass.close();
            throw e;
        }
    }

    private void load() throws IOException {
        ends = Optional.of(ends(held, architecture));
        for (int l = 0; l < architecture.blocks().size(); l++) {
            blocks.add(BlockLayer.load(held, architecture, l));
        }
    }

    /** A pass that is resident where the weights take less than {@link #RESIDENT_BYTES}, else streaming. */
    public static ForwardPass fitting(Model model, Compute compute) throws IOException {
        return model.architecture().parameterCount() * compute.bytes() < RESIDENT_BYTES ? resident(model, compute) : streaming(model, compute);
    }

    private static Ends ends(Loader loader, Architecture architecture) throws IOException {
        EmbeddingLayer embedding = EmbeddingLayer.load(loader, architecture);
        return new Ends(embedding, OutputLayer.load(loader, architecture, embedding.tokens()));
    }

    @Override
    public Result run(Batch batch, IntPredicate some) throws IOException {
        return run(List.of(batch), some, Progress.NONE).getFirst();
    }

    @Override
    public List<Result> run(List<Batch> batches, Progress progress) throws IOException {
        return run(batches, _ -> true, progress);
    }

    private List<Result> run(List<Batch> batches, IntPredicate some, Progress progress) throws IOException {
        if (companion.isEmpty()) {
            return between((around, streams) -> run(around, batches, List.of(), some, progress, streams));
        }
        List<Batch> mains = batches.stream().map(batch -> both(batch).main()).toList();
        List<Result> others = companion.get().run(batches.stream().map(batch -> both(batch).companion()).toList(), progress);
        try {
            return this.<List<Result>>between((around, streams) -> switch (architecture.companion().orElseThrow()) {
                case Companion.Encoder _ -> {
                    List<Result> made = run(around, mains, encoded(batches, others), some, progress, streams);
                    yield IntStream.range(0, made.size()).<Result>mapToObj(i -> ((RowsResult) made.get(i)).withCompanion(others.get(i))).toList();
                }
                case Companion.ImageTower tower -> {
                    List<Result> texts = run(around, mains, List.of(), some, progress, streams);
                    Similarity similarity = Similarity.of(model, tower, compute);
                    List<Result> made = new ArrayList<>();
                    for (int i = 0; i < texts.size(); i++) {
                        made.add(similarity.of((RowsResult) texts.get(i), (RowsResult) others.get(i), space));
                    }
                    yield made;
                }
            });
        } catch (IOException | RuntimeException e) {
            others.forEach(Result::close);
            throw e;
        }
    }

    private static Batch.Both both(Batch batch) {
        if (batch instanceof Batch.Both both) {
            return both;
        }
        throw new IllegalArgumentException("this model has two stacks, an encoder or a tower of images beside the main one, got an input of one");
    }

    /** What an encoder gave, for the rows of each batch. */
    private List<Sight.Encoded> encoded(List<Batch> batches, List<Result> given) {
        List<Sight.Encoded> all = new ArrayList<>();
        for (int i = 0; i < given.size(); i++) {
            Batch.Both both = both(batches.get(i));
            if (both.companion().count() != both.main().count()) {
                throw new IllegalArgumentException("a decoder reads a row for each that its encoder reads, got " + both.main().count() + " and "
                        + both.companion().count());
            }
            Tensor rows = new Tensor(((RowsResult) given.get(i)).output(), space);
            all.add(new Sight.Encoded(rows, rows.count() / both.main().count(), both.companion(), 0));
        }
        return all;
    }

    /** Padding is shown too, and everything rounded to float32. */
    @Override
    public void observe(Batch batch, Observer observer, Observer beside) throws IOException {
        if (companion.isEmpty()) {
            between((around, streams) -> shown(around, batch, Optional.empty(), observer, streams));
            return;
        }
        Batch.Both both = both(batch);
        switch (architecture.companion().orElseThrow()) {
            case Companion.Encoder _ -> {
                try (Result given = companion.get().shown(both.companion(), beside)) {
                    Sight.Encoded encoded = encoded(List.of(batch), List.of(given)).getFirst();
                    between((around, streams) -> shown(around, both.main(), Optional.of(encoded), observer, streams));
                }
            }
            case Companion.ImageTower _ -> {
                companion.get().observe(both.companion(), beside);
                between((around, streams) -> shown(around, both.main(), Optional.empty(), observer, streams));
            }
        }
    }

    /** The output of a batch, of which an observer is shown what the blocks compute. */
    private Result shown(Batch batch, Observer observer) throws IOException {
        return between((around, streams) ->
                around.output.forward(List.of(shown(around, batch, Optional.empty(), observer, streams).whole), space).getFirst());
    }

    private Passages shown(Ends around, Batch batch, Optional<Sight.Encoded> encoded, Observer observer, LargePages streams) throws IOException {
        Passages passages = enter(batch, around.embedding, encoded, observer, streams);
        for (int l = 0; l < architecture.blocks().size(); l++) {
            through(l, passages.parts, true);
        }
        for (Passage part : passages.parts) {
            space.scoped(() -> part.watch.stream(architecture.blocks().size(),
                    architecture.dual() ? BlockLayer.stream(part.stream, 0) : part.stream));
        }
        return passages;
    }

    /** A row for each thread, whatever its length. */
    @Override
    public int together(int length) {
        return space.threads();
    }

    /** What is done between the layers around the blocks, with memory for the streams. */
    @FunctionalInterface
    private interface Between<T> {
        T run(Ends around, LargePages streams) throws IOException;
    }

    private <T> T between(Between<T> work) throws IOException {
        try (Arena arena = Arena.ofShared()) {
            LargePages streams = LargePages.of(arena);
            if (ends.isPresent()) {
                return work.run(ends.get(), streams);
            }
            try (Loader loader = new Loader(model, compute, false, space, listener)) {
                return work.run(ends(loader, architecture), streams);
            }
        }
    }

    private List<Result> run(Ends around, List<Batch> batches, List<Sight.Encoded> encoded, IntPredicate some, Progress progress, LargePages streams) throws IOException {
        int steps = architecture.blocks().size() + 2;
        List<Passages> all = new ArrayList<>();
        for (int i = 0; i < batches.size(); i++) {
            Optional<Sight.Encoded> beside = encoded.isEmpty() ? Optional.empty() : Optional.of(encoded.get(i));
            all.add(enter(batches.get(i), around.embedding, beside, Observer.NONE, streams));
        }
        progress.step("embedding", 1, steps);
        List<Passage> parts = all.stream().flatMap(passages -> passages.parts.stream()).toList();
        for (int l = 0; l < architecture.blocks().size(); l++) {
            if (some.test(l) || architecture.bases().skips()) {
                through(l, parts, some.test(l));
            }
            progress.step("block " + l, l + 2, steps);
        }
        List<Result> made = around.output.forward(all.stream().map(Passages::whole).toList(), space);
        progress.step("output", steps, steps);
        return made;
    }

    /** @param whole whether the block writes; without that the stream only passes it, from basis to basis */
    private void through(int l, List<Passage> passages, boolean whole) throws IOException {
        if (ends.isPresent()) {
            for (Passage passage : passages) {
                passage.through(blocks.get(l), space, whole);
            }
            return;
        }
        try (Loader loader = new Loader(model, compute, false, space, listener)) {
            BlockLayer block = BlockLayer.load(loader, architecture, l);
            for (Passage passage : passages) {
                passage.through(block, space, whole);
            }
        }
    }

    /** The stream of a batch, and its parts. */
    private record Passages(OutputLayer.Sequences whole, List<Passage> parts) {}

    /** A batch in parts of whole rows. */
    private Passages enter(Batch batch, EmbeddingLayer embedding, Optional<Sight.Encoded> encoded, Observer observer, LargePages streams)
            throws IOException {
        int length = Fit.require(architecture.embedding(), batch);
        int width = architecture.dual() ? 2 * architecture.streamWidth() : architecture.streamWidth();
        int tokens = Math.multiplyExact(batch.count(), length);
        Tensor whole = new Tensor(
                Rows.of(streams.allocate((long) tokens * width * compute.bytes()), Type.of(compute), tokens, width), space);
        space.scoped(() -> embedding.forward(batch, space).copyTo(whole.rows()));
        List<Passage> parts = new ArrayList<>();
        int together = Math.max(1, TOKENS * space.threads() / length);
        for (int first = 0; first < batch.count(); first += together) {
            int rows = Math.min(together, batch.count() - first);
            int from = first;
            parts.add(new Passage(whole.slice(first * length, rows * length),
                    new Sight(batch, first, rows, length, encoded.map(all -> all.rows(from, rows))), new Observation(observer, first * length)));
        }
        return new Passages(OutputLayer.Sequences.of(whole, length, batch), parts);
    }

    /** Some rows of one batch on their way through the blocks. */
    private record Passage(Tensor stream, Sight sight, Observation watch) {

        /** What comes out of a block takes the place of what went in. */
        void through(BlockLayer block, Space space, boolean whole) throws IOException {
            try {
                space.scoped(() -> (whole ? block.forward(stream, sight, watch) : block.pass(stream)).copyTo(stream.rows()));
            } catch (UncheckedIOException e) { // of an expert that was read as it was needed
                throw e.getCause();
            }
        }
    }

    @Override
    public void close() {
        companion.ifPresent(ForwardPass::close);
        held.close();
        space.close();
        team.close();
    }
}
