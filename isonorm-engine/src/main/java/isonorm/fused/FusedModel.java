package isonorm.fused;

import com.sun.management.OperatingSystemMXBean;
import isonorm.architecture.Architecture;
import isonorm.architecture.Companion;
import isonorm.architecture.Embedding;
import isonorm.architecture.Output;
import isonorm.fused.Workspace.Use;
import isonorm.kernel.Kernels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.layer.Ends;
import isonorm.layer.Fit;
import isonorm.layer.ForwardPass;
import isonorm.layer.Observer;
import isonorm.layer.RowsResult;
import isonorm.layer.Runner;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Result;
import isonorm.rewrite.Rewrite;
import isonorm.tensor.Team;
import isonorm.weights.Model;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;

/**
 * A model in memory whose blocks run fused, for one caller at a time; it has threads of its own to compute with.
 *
 * <p>Every form of a model runs: as it was published, or rewritten to Pre-RMSNorm or Pre-CRMSNorm, which is the same function and
 * faster (Jiang et al., arXiv 2305.14858). What a sequence gets depends on its own tokens alone.
 */
public final class FusedModel implements Runner {

    /** So many tokens go through the blocks together: enough for products to be efficient, few enough for the caches. */
    private static final int TOKENS = 512;

    /** Of so many tokens the logits are computed together for who wants them all. */
    private static final int HEARD = 32;

    private static final Kernels KERNELS = Kernels.provider();

    private final Architecture architecture;
    private final Compute compute;
    private final Arena arena;
    private final Team team;
    private final Workspace room;
    private final Angles angles;
    private final List<BlockStep> blocks;
    private final Optional<TokenEmbedding> words;
    private final Optional<PatchEmbedding> patches;
    private final Optional<Head> head;
    private final Optional<Ends> ends;
    private final Optional<FusedModel> encoder;
    private volatile boolean closed;

    private FusedModel(
            Architecture architecture, Compute compute, Arena arena, Team team, List<BlockStep> blocks, Optional<TokenEmbedding> words,
            Optional<PatchEmbedding> patches, Optional<Head> head, Optional<Ends> ends, Optional<FusedModel> encoder) {
        this.architecture = architecture;
        this.compute = compute;
        this.arena = arena;
        this.team = team;
        this.room = new Workspace(compute == Compute.BF16 ? Type.BF16 : Type.F32);
        this.angles = new Angles(arena);
        this.blocks = blocks;
        this.words = words;
        this.patches = patches;
        this.head = head;
        this.ends = ends;
        this.encoder = encoder;
    }

    /**
     * Loads a model. Matrices are copied into the order in which they are read fastest; of a model above a gigabyte, those that are stored in
     * the type asked for are mapped instead, so that nothing is copied and processes share them.
     *
     * @param compute F32 or BF16, for weights and activations; F16 for weights, with activations in float32
     * @param threads how many threads work, the caller's included
     */
    public static FusedModel load(Model model, Compute compute, int threads) throws IOException {
        return load(model, compute, threads, Weights.packs(model.architecture(), compute));
    }

    /** The same; {@code packs} says whether matrices are copied. */
    public static FusedModel load(Model given, Compute compute, int threads, boolean packs) throws IOException {
        Model model = new Rewrite.OwnGates().applyToMain(given);
        Architecture architecture = model.architecture();
        Arena arena = Arena.ofShared();
        Team team = null;
        Optional<FusedModel> encoder = Optional.empty();
        try {
            if (!runs(architecture)) {
                throw new IllegalArgumentException("two towers run by their layers, this model has one of " + architecture.companion().get().stack().label()
                        + "s beside its main one");
            }
            if (architecture.companion().isPresent()) {
                encoder = Optional.of(load(model.companion().orElseThrow(), compute, threads, packs));
            }
            Weights from = new Weights(model, compute, arena, packs);
            List<BlockStep> blocks = new ArrayList<>();
            for (int l = 0; l < architecture.blocks().size(); l++) {
                blocks.add(BlockStep.load(from, architecture, l));
            }
            Optional<TokenEmbedding> words = architecture.embedding() instanceof Embedding.Tokens tokens
                    ? Optional.of(TokenEmbedding.load(from, architecture, tokens))
                    : Optional.empty();
            Optional<PatchEmbedding> patches = architecture.embedding() instanceof Embedding.Patches shape && PatchEmbedding.fit(shape)
                    ? Optional.of(PatchEmbedding.load(from, architecture, shape, arena))
                    : Optional.empty();
            Optional<Head> head = architecture.output() instanceof Output.Words shape
                    ? Optional.of(Head.load(from, architecture, shape))
                    : Optional.empty();
            team = Team.of(threads);
            Optional<Ends> ends = words.isPresent() && head.isPresent()
                    ? Optional.empty()
                    : Optional.of(Ends.load(model, compute == Compute.F16 ? Compute.F32 : compute, patches.isEmpty(), team));
            return new FusedModel(architecture, compute, arena, team, blocks, words, patches, head, ends, encoder);
        } catch (IOException | RuntimeException e) {
            encoder.ifPresent(FusedModel::close);
            arena.close();
            if (team != null) {
                team.close();
            }
            throw e;
        }
    }

    /** The faster of the ways to run a model: fused, or by the layers for float64 and for a model that memory has no room for; close it. */
    public static Runner orLayers(Model model, Compute compute) throws IOException {
        return orLayers(model, compute, Runtime.getRuntime().availableProcessors());
    }

    /** The same; {@code threads} are those of the fused runtime. */
    public static Runner orLayers(Model model, Compute compute, int threads) throws IOException {
        long memory = ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class).getTotalMemorySize();
        return fits(model.architecture().parameterCount(), compute, memory) && runs(model.architecture())
                ? load(model, compute, threads)
                : ForwardPass.fitting(model, compute);
    }

    /** Whether a model has one stack, or an encoder beside a decoder. */
    private static boolean runs(Architecture architecture) {
        return architecture.companion().isEmpty() || switch (architecture.companion().get()) {
            case Companion.Encoder _ -> true;
            case Companion.ImageTower _ -> false;
        };
    }

    /** Whether a model can be run fused: its weights may all become copies, and take half of the machine's memory at most. */
    static boolean fits(long parameters, Compute compute, long memory) {
        return compute != Compute.F64 && parameters * compute.bytes() <= memory / 2;
    }

    /**
     * Whether every token sees only those before it, and is embedded for itself, so that text can be continued token by token. What a decoder beside
     * an encoder writes has no padding before it, whose tokens would not count as positions.
     */
    private static boolean continues(Architecture architecture) {
        return architecture.causal()
                && architecture.embedding() instanceof Embedding.Tokens tokens
                && (tokens.special().equals(Embedding.Special.NONE) || architecture.companion().isPresent() && tokens.special().hidden().isEmpty());
    }

    /** What it computes. */
    public Architecture architecture() {
        return architecture;
    }

    /** The type of the weights. */
    public Compute compute() {
        return compute;
    }

    @Override
    public List<Result> run(List<Batch> batches, Progress progress) throws IOException {
        return Runner.each(batches, this::run, progress);
    }

    /** Of images and sounds, or of tokens without a mask. */
    @Override
    public Result run(Batch batch, IntPredicate some) throws IOException {
        requireOpen();
        if (encoder.isEmpty()) {
            return run(batch, List.of(), some);
        }
        Batch.Both both = both(batch);
        require(both.main());
        RowsResult given = (RowsResult) encoder.get().run(both.companion());
        try {
            List<Encoded> encoded = encoded(given, both.count());
            try {
                return run(both.main(), encoded, some).withCompanion(given);
            } finally {
                encoded.forEach(Encoded::close);
            }
        } catch (IOException | RuntimeException e) {
            given.close();
            throw e;
        }
    }

    private static Batch.Both both(Batch batch) {
        if (!(batch instanceof Batch.Both both)) {
            throw new IllegalArgumentException("this model has two stacks, an encoder beside a decoder, got an input of one");
        }
        if (both.companion().count() != both.main().count()) {
            throw new IllegalArgumentException("a decoder reads a row for each that its encoder reads, got " + both.main().count() + " and "
                    + both.companion().count());
        }
        return both;
    }

    /** What the blocks read of what the encoder gave, for each of its rows. */
    private List<Encoded> encoded(RowsResult given, int count) {
        Rows rows = given.output();
        int length = rows.rows() / count;
        List<Encoded> all = new ArrayList<>();
        for (int r = 0; r < count; r++) {
            all.add(new Encoded(architecture.blocks(), room.type(), length));
        }
        for (BlockStep block : blocks) {
            block.crossStep().ifPresent(cross -> {
                Rows keyValues = cross.keyValues(rows, pass(spans(count, length)));
                for (int r = 0; r < count; r++) {
                    all.get(r).keep(block.number(), cross.attention(), keyValues.slice(r * length, length));
                }
            });
        }
        return all;
    }

    private RowsResult run(Batch batch, List<Encoded> encoded, IntPredicate some) throws IOException {
        int length = require(batch);
        int count = batch.count();
        try (Arena keep = Arena.ofShared()) {
            Optional<RowsResult> logits = head.map(words -> RowsResult.empty(activations(), count, length, words.vocabulary()));
            Optional<Rows> all = head.isPresent() ? Optional.empty() : Optional.of(Rows.allocate(keep, room.type(), count * length, carried(), carried()));
            try {
                int together = together(length);
                for (int first = 0; first < count; first += together) {
                    int rows = Math.min(together, count - first);
                    Rows stream = through(batch, first, spans(rows, length, encoded, first), length, some, Observer.NONE);
                    if (logits.isPresent()) {
                        head.orElseThrow().logits(stream, pass(spans(rows, length)), logits.get().output().slice(first * length, rows * length));
                    } else {
                        KERNELS.copy(stream.sliceColumns(0, carried()), all.orElseThrow().slice(first * length, rows * length));
                    }
                }
                return logits.isPresent() ? logits.get() : (RowsResult) ends.orElseThrow().leave(batch, all.orElseThrow(), length);
            } catch (IOException | RuntimeException e) {
                logits.ifPresent(RowsResult::close);
                throw e;
            }
        }
    }

    @Override
    public int together(int length) {
        return Math.max(1, TOKENS / length * team.size());
    }

    /**
     * Of images and sounds, or of tokens without a mask. The whole batch goes through the blocks together: {@link #together} says how many rows are
     * enough.
     */
    @Override
    public void observe(Batch batch, Observer observer, Observer companion) throws IOException {
        requireOpen();
        if (encoder.isEmpty()) {
            int length = require(batch);
            through(batch, 0, spans(batch.count(), length), length, _ -> true, observer);
            return;
        }
        Batch.Both both = both(batch);
        int length = require(both.main());
        try (RowsResult given = encoder.get().shown(both.companion(), companion)) {
            List<Encoded> encoded = encoded(given, both.count());
            try {
                through(both.main(), 0, spans(both.count(), length, encoded, 0), length, _ -> true, observer);
            } finally {
                encoded.forEach(Encoded::close);
            }
        }
    }

    /** What it gives for a batch that goes through the blocks together, which an observer is shown. */
    private RowsResult shown(Batch batch, Observer observer) throws IOException {
        int length = require(batch);
        return left(batch, through(batch, 0, spans(batch.count(), length), length, _ -> true, observer), length);
    }

    /**
     * The hidden states of texts of any lengths, all of which go through the blocks together, text behind text, (1, tokens of all, width); close them.
     *
     * @throws IllegalArgumentException if the model gives more than hidden states, or does not read texts alone
     */
    public RowsResult states(List<long[]> texts) throws IOException {
        requireOpen();
        if (words.isEmpty() || encoder.isPresent() || !architecture.output().equals(new Output.Hidden(Output.Pooler.NONE))) {
            throw new IllegalArgumentException("texts of several lengths run together in a model that gives their hidden states and nothing else, this "
                    + architecture.family() + " has " + (words.isEmpty() || encoder.isPresent() ? "another input" : "more behind its blocks"));
        }
        List<Span> spans = new ArrayList<>();
        int rows = 0;
        for (long[] text : texts) {
            Fit.require((Embedding.Tokens) architecture.embedding(), text, text.length);
            spans.add(Span.whole(rows, text.length));
            rows += text.length;
        }
        Rows stream = stream(rows);
        for (int t = 0; t < texts.size(); t++) {
            words.get().enter(narrow(texts.get(t)), 0, stream.slice(spans.get(t).first(), spans.get(t).count()), team, room);
        }
        Batch all = Batch.Tokens.of(texts.stream().flatMapToLong(Arrays::stream).toArray());
        return left(all, through(stream, pass(spans), _ -> true), rows);
    }

    /** What leaves the model behind the blocks. */
    private RowsResult left(Batch batch, Rows settled, int length) throws IOException {
        Rows stream = settled.sliceColumns(0, carried());
        try (Arena keep = Arena.ofShared()) {
            Rows all = Rows.allocate(keep, room.type(), stream.rows(), carried(), carried());
            KERNELS.copy(stream, all);
            return (RowsResult) ends.orElseThrow().leave(batch, all, length);
        }
    }

    /** Refuses what cannot be run; gives how many tokens a row has in the stream. */
    private int require(Batch batch) {
        requireOpen();
        if (batch instanceof Batch.Tokens tokens && tokens.mask().isPresent()) {
            throw new IllegalArgumentException("rows of one length without padding are needed, got a mask; take ForwardPass, or Sequences");
        }
        return Fit.require(architecture.embedding(), batch);
    }

    /** The stream behind the last block for some rows of a batch. */
    private Rows through(Batch batch, int first, List<Span> spans, int length, IntPredicate some, Observer observer) throws IOException {
        int rows = spans.size();
        Rows stream = stream(rows * length);
        if (words.isPresent()) {
            for (int r = 0; r < rows; r++) {
                words.get().enter(narrow(((Batch.Tokens) batch).ids()[first + r]), 0, stream.slice(r * length, length), team, room);
            }
        } else if (patches.isPresent()) {
            patches.get().enter((Batch.Images) batch, first, rows, stream, team, room);
        } else {
            ends.orElseThrow().enter(slice(batch, first, rows), stream.sliceColumns(0, carried()));
        }
        return through(stream, new Pass(team, spans, room, angles, observer), some);
    }

    private static Batch slice(Batch batch, int first, int rows) {
        return switch (batch) {
            case Batch.Images images -> images.slice(first, rows);
            case Batch.Sounds sounds -> sounds.slice(first, rows);
            case Batch.Tokens _, Batch.Both _ -> throw new IllegalStateException("tokens are embedded otherwise");
        };
    }

    private Rows stream(int rows) {
        Rows stream = room.rows(Use.STREAM, rows, columns());
        if (architecture.streamWidth() < architecture.width()) {
            for (int r = 0; r < rows; r++) {
                stream.set(r, architecture.streamWidth(), 0);
            }
        }
        return stream;
    }

    /** How many values of a row there is room for; two streams lie side by side. */
    private int columns() {
        return architecture.dual() ? 2 * architecture.width() : architecture.width();
    }

    /** How many of them are the stream's, or both streams'. */
    private int carried() {
        return architecture.dual() ? columns() : architecture.streamWidth();
    }

    private Rows through(Rows stream, Pass pass, IntPredicate some) {
        int d = architecture.width();
        Rows first = stream.sliceColumns(0, d);
        Optional<Rows> second = architecture.dual() ? Optional.of(stream.sliceColumns(d, d)) : Optional.empty();
        second.ifPresent(y -> KERNELS.copy(first, y));
        Residual h = new Residual(pass, first, second, room.rows(Use.NORMALIZED, stream.rows(), d), architecture.streamWidth());
        for (BlockStep block : blocks) {
            if (some.test(block.number())) {
                block.forward(h, pass);
            } else {
                block.pass(h);
            }
        }
        h.settled();
        h.showStream(blocks.size());
        pass.settle();
        return stream;
    }

    private Pass pass(List<Span> spans) {
        return new Pass(team, spans, room, angles, Observer.NONE);
    }

    private static List<Span> spans(int rows, int length) {
        List<Span> spans = new ArrayList<>();
        for (int r = 0; r < rows; r++) {
            spans.add(Span.whole(r * length, length));
        }
        return spans;
    }

    private static List<Span> spans(int rows, int length, List<Encoded> encoded, int first) {
        List<Span> spans = spans(rows, length);
        return encoded.isEmpty() ? spans : IntStream.range(0, rows).mapToObj(r -> spans.get(r).beside(encoded.get(first + r))).toList();
    }

    private Compute activations() {
        return room.type() == Type.BF16 ? Compute.BF16 : Compute.F32;
    }

    private static int[] narrow(long[] ids) {
        int[] narrow = new int[ids.length];
        for (int i = 0; i < ids.length; i++) {
            narrow[i] = Math.toIntExact(ids[i]);
        }
        return narrow;
    }

    /**
     * Keys and values of no token, to be continued; close them.
     *
     * @throws IllegalArgumentException if the model does not predict the next word
     */
    public KvCache start() {
        requireContinuing();
        if (encoder.isPresent()) {
            throw new IllegalArgumentException("a decoder beside an encoder writes about an input; give it one");
        }
        return new KvCache(architecture.blocks(), room.type(), architecture.steadySequence(), Optional.empty());
    }

    /**
     * The same beside what the encoder gives for an input of one row, which is read now.
     *
     * @throws IllegalArgumentException if the model is no encoder beside a decoder
     */
    public KvCache start(Batch input) throws IOException {
        requireContinuing();
        if (encoder.isEmpty() || input.count() != 1) {
            throw new IllegalArgumentException(encoder.isEmpty() ? "a model of one stack has no encoder that could read an input; start it without"
                    : "a sequence is written about one input, got " + input.count());
        }
        try (RowsResult given = (RowsResult) encoder.get().run(input)) {
            return new KvCache(architecture.blocks(), room.type(), architecture.steadySequence(), Optional.of(encoded(given, 1).getFirst()));
        }
    }

    private void requireContinuing() {
        requireOpen();
        if (words.isEmpty() || head.isEmpty()) {
            throw new IllegalArgumentException("only a model with a language head can continue a text; this " + architecture.family()
                    + " has none");
        }
        if (!continues(architecture)) {
            throw new IllegalArgumentException("only a model whose tokens do not see later ones can continue a text; this "
                    + architecture.family() + " sees all");
        }
    }

    /** How many words it knows, whose logits {@link #advance} gives. */
    public int vocabulary() {
        return head.orElseThrow().vocabulary();
    }

    /** Refuses tokens that cannot stand behind those a sequence has. */
    public void requireRoom(KvCache sequence, int[] tokens) {
        int end = sequence.length() + tokens.length;
        if (tokens.length == 0) {
            throw new IllegalArgumentException("a sequence needs a token to go on from, got none");
        }
        if (end > architecture.context()) {
            throw new IllegalArgumentException("this model has a context of " + architecture.context() + " tokens, got " + end);
        }
        if (end > architecture.steadySequence() && architecture.steadySequence() < architecture.longestSequence()) {
            throw new IllegalArgumentException("this model turns every position anew in texts of more than " + architecture.steadySequence()
                    + " tokens, so a sequence can't grow beyond, got " + end + "; take a shorter one, or run it whole");
        }
        Fit.require((Embedding.Tokens) architecture.embedding(), Arrays.stream(tokens).asLongStream().toArray(), end);
    }

    /** Reads the logits behind each token of a sequence. */
    @FunctionalInterface
    public interface Reader {
        /**
         * Gets the logits of the token that follows one.
         *
         * @param position of that, among the tokens that are appended
         */
        void read(int position, float[] logits);
    }

    /**
     * Appends tokens to sequences that have {@link #requireRoom room} for them, and fills in the logits of the word behind each; a reader, where a
     * sequence has one, is given those behind every token.
     */
    public void advance(List<KvCache> sequences, List<int[]> tokens, List<float[]> logits, List<Optional<Reader>> readers) {
        requireOpen();
        int[] done = new int[sequences.size()];
        int at = 0;
        while (at < sequences.size()) {
            List<Span> spans = new ArrayList<>();
            List<int[]> ids = new ArrayList<>();
            List<Integer> finished = new ArrayList<>();
            List<Heard> heard = new ArrayList<>();
            for (int rows = 0; at < sequences.size(); ) {
                KvCache sequence = sequences.get(at);
                int[] all = tokens.get(at);
                int count = Math.min(TOKENS, all.length - done[at]);
                if (rows > 0 && rows + count > TOKENS) {
                    break;
                }
                spans.add(Span.next(rows, count, sequence));
                if (readers.get(at).isPresent()) {
                    heard.add(new Heard(rows, count, done[at], readers.get(at).get()));
                }
                ids.add(Arrays.copyOfRange(all, done[at], done[at] + count));
                rows += count;
                done[at] += count;
                if (done[at] < all.length) {
                    break;
                }
                finished.add(spans.size() - 1);
                at++;
            }
            int firstFinished = at - finished.size();
            advance(spans, ids, finished, logits.subList(firstFinished, at), heard);
        }
    }

    /** Rows {@code first} on of a stream, whose tokens are those from {@code position} on, and who reads what follows each. */
    private record Heard(int first, int count, int position, Reader reader) {}

    /** Reads the tokens of some spans; fills in the logits behind those that {@code finished} names, and lets readers hear theirs. */
    private void advance(List<Span> spans, List<int[]> ids, List<Integer> finished, List<float[]> into, List<Heard> heard) {
        Pass pass = pass(spans);
        Rows stream = stream(pass.rows());
        for (int s = 0; s < spans.size(); s++) {
            Span span = spans.get(s);
            span.sequence().orElseThrow().reserve(span.end());
            words.orElseThrow().enter(ids.get(s), span.position(), stream.slice(span.first(), span.count()), team, room);
        }
        Rows settled = through(stream, pass, _ -> true);
        for (Span span : spans) {
            span.sequence().orElseThrow().extend(span.count());
        }
        if (!finished.isEmpty()) {
            logitsBehind(settled, spans, finished, into);
        }
        for (Heard each : heard) {
            hear(each, settled);
        }
    }

    private void logitsBehind(Rows settled, List<Span> spans, List<Integer> finished, List<float[]> into) {
        Rows last = room.rows(Use.LAST, finished.size(), columns());
        for (int i = 0; i < finished.size(); i++) {
            Span span = spans.get(finished.get(i));
            KERNELS.copy(settled.slice(span.first() + span.count() - 1, 1), last.slice(i, 1));
        }
        Rows logits = room.rows(Use.LOGITS, Type.F32, finished.size(), head.orElseThrow().vocabulary());
        head.orElseThrow().logits(last, pass(List.of(Span.whole(0, finished.size()))), logits);
        for (int i = 0; i < finished.size(); i++) {
            read(logits, i, into.get(i));
        }
    }

    /** Some rows at a time: a vocabulary's logits for each are much memory. */
    private void hear(Heard heard, Rows settled) {
        float[] values = new float[vocabulary()];
        for (int first = 0; first < heard.count; first += HEARD) {
            int count = Math.min(HEARD, heard.count - first);
            Rows some = room.rows(Use.LAST, count, columns());
            KERNELS.copy(settled.slice(heard.first + first, count), some);
            Rows logits = room.rows(Use.LOGITS, Type.F32, count, values.length);
            head.orElseThrow().logits(some, pass(List.of(Span.whole(0, count))), logits);
            for (int i = 0; i < count; i++) {
                read(logits, i, values);
                heard.reader.read(heard.position + first + i, values);
            }
        }
    }

    private static void read(Rows rows, int row, float[] values) {
        if (rows.type() == Type.F32) {
            long first = (rows.offset() + (long) row * rows.stride()) * Float.BYTES;
            MemorySegment.copy(rows.data(), ValueLayout.JAVA_FLOAT_UNALIGNED, first, values, 0, values.length);
        } else {
            for (int c = 0; c < values.length; c++) {
                values[c] = (float) rows.get(row, c);
            }
        }
    }

    /** Kernels address memory absolutely: on what was freed they would end the process. */
    private void requireOpen() {
        if (closed) {
            throw new IllegalStateException("this model was closed, and its memory freed");
        }
    }

    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        encoder.ifPresent(FusedModel::close);
        team.close();
        room.close();
        ends.ifPresent(Ends::close);
        arena.close();
    }
}
