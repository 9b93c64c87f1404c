package isonorm.inference;

import isonorm.fused.FusedModel;
import isonorm.fused.KvCache;
import isonorm.layer.Runner;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Result;
import isonorm.model.Transformer;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * A model in memory, ready to run.
 *
 * <p>Every form of a model runs: as it was published, or rewritten to Pre-RMSNorm or Pre-CRMSNorm, which is the same function and
 * faster (Jiang et al., arXiv 2305.14858). Many threads may use an instance, which has threads of its own to compute with: calls take turns, and
 * sequences that wait to be continued go through the model together. What a sequence gets depends on its own tokens alone.
 */
public final class Inference implements AutoCloseable {

    private final FusedModel model;
    private final ReentrantLock turn = new ReentrantLock();
    private final Queue<Continuation> waiting = new ConcurrentLinkedQueue<>();

    private Inference(FusedModel model) {
        this.model = model;
    }

    /** Loads a model, to be run by as many threads as there are processors. */
    public static Inference load(Transformer model, Compute compute) throws IOException {
        return load(model, compute, Runtime.getRuntime().availableProcessors());
    }

    /**
     * Loads a model. Matrices are copied into the order in which they are read fastest; of a model above a gigabyte, those that are stored in
     * the type asked for are mapped instead, so that nothing is copied and processes share them.
     *
     * @param compute F32 or BF16, for weights and activations; F16 for weights, with activations in float32
     * @param threads how many threads work, the caller's included
     */
    public static Inference load(Transformer model, Compute compute, int threads) throws IOException {
        return new Inference(FusedModel.load(Model.of(model), compute, threads));
    }

    static Inference load(Transformer model, Compute compute, int threads, boolean packs) throws IOException {
        return new Inference(FusedModel.load(Model.of(model), compute, threads, packs));
    }

    /** The type of the weights. */
    public Compute compute() {
        return model.compute();
    }

    /** How many tokens a sequence can have. */
    public int context() {
        return model.architecture().steadySequence();
    }

    /**
     * How many words the model knows, whose logits {@link #next} gives.
     *
     * @throws IllegalArgumentException if the model does not predict words
     */
    public int vocabulary() {
        return model.vocabulary();
    }

    /** The output for images, or for tokens without a mask; close it. */
    public Result run(Batch batch) throws IOException {
        turn.lock();
        try {
            return model.run(batch);
        } finally {
            turn.unlock();
        }
    }

    /** The output of each batch; close them. */
    public List<Result> run(List<Batch> batches, Progress progress) throws IOException {
        return Runner.each(batches, this::run, progress);
    }

    /**
     * An empty sequence, to be continued; close it.
     *
     * @throws IllegalArgumentException if the model does not predict the next token
     */
    public Sequence start() {
        KvCache cache = model.start();
        return new Sequence(this, cache, model.vocabulary());
    }

    /**
     * An empty sequence about an input, which the model's encoder reads now: tokens without a mask, or a sound; to be continued, and closed.
     *
     * @throws IllegalArgumentException if the model is no encoder beside a decoder that predicts the next token, or there is not one input
     */
    public Sequence start(Batch input) throws IOException {
        turn.lock();
        try {
            return new Sequence(this, model.start(input), model.vocabulary());
        } finally {
            turn.unlock();
        }
    }

    /** Reads what a model says behind each token of a sequence, and not behind the last alone. */
    @FunctionalInterface
    public interface Reader {

        /** Hears nothing. */
        Reader NONE = (_, _) -> {};

        /**
         * Gets the logits of the token that follows.
         *
         * @param position of the token that was read, counted from the beginning of what the sequence is continued by now
         * @param logits a row of the vocabulary's length, which the next call overwrites
         */
        void read(int position, float[] logits);
    }

    /** What a caller waits for. */
    private static final class Continuation {
        private final List<Sequence> sequences;
        private final List<int[]> tokens;
        private final List<Reader> readers;
        private boolean done;
        private @Nullable Throwable failure;

        private Continuation(List<Sequence> sequences, List<int[]> tokens, List<Reader> readers) {
            this.sequences = sequences;
            this.tokens = tokens;
            this.readers = readers;
        }
    }

    /**
     * Appends {@code tokens} to {@code sequences}, one list of one or more to each, and gives the logits of the token behind each
     * sequence, a row of the vocabulary's length for each, which the sequence's next call overwrites. Calls of several threads go
     * through the model together.
     *
     * @throws IllegalArgumentException if a sequence would become longer than the context, or a token is not in the vocabulary
     * @throws IllegalStateException if a sequence is being continued by another thread
     */
    public List<float[]> next(List<Sequence> sequences, List<int[]> tokens) {
        return next(sequences, tokens, sequences.stream().map(_ -> Reader.NONE).toList());
    }

    /**
     * The same, and each sequence's reader is given the logits behind each of its tokens, in order, by whichever thread computes; {@link Reader#NONE}
     * where they are not wanted, which costs nothing.
     *
     * @throws IllegalArgumentException as above, or if there is not a reader for each sequence
     */
    public List<float[]> next(List<Sequence> sequences, List<int[]> tokens, List<Reader> readers) {
        if (readers.size() != sequences.size()) {
            throw new IllegalArgumentException("every sequence needs a reader or none, got " + sequences.size() + " sequences and " + readers.size() + " readers");
        }
        Continuation mine = new Continuation(List.copyOf(sequences), List.copyOf(tokens), List.copyOf(readers));
        int begun = 0;
        try {
            for (Sequence sequence : new LinkedHashSet<>(sequences)) {
                sequence.begin();
                begun++;
            }
            requireRoom(mine.sequences, mine.tokens);
            waiting.add(mine);
            turn.lock();
            try {
                if (!mine.done) {
                    continueAll();
                }
            } finally {
                turn.unlock();
            }
        } finally {
            new LinkedHashSet<>(sequences).stream().limit(begun).forEach(Sequence::end);
        }
        return switch (mine.failure) {
            case null -> mine.sequences.stream().map(Sequence::logits).toList();
            case RuntimeException e -> throw e;
            case Error e -> throw e;
            default -> throw new IllegalStateException(mine.failure);
        };
    }

    /** All that wait, whoever asked for it. */
    private void continueAll() {
        List<Continuation> all = new ArrayList<>();
        for (Continuation each = waiting.poll(); each != null; each = waiting.poll()) {
            all.add(each);
        }
        Throwable failure = null;
        try {
            advance(all.stream().flatMap(each -> each.sequences.stream()).toList(), all.stream().flatMap(each -> each.tokens.stream()).toList(),
                    all.stream().flatMap(each -> each.readers.stream()).toList());
        } catch (RuntimeException | Error e) {
            failure = e;
        }
        for (Continuation each : all) {
            each.failure = failure;
            each.done = true;
        }
    }

    private void advance(List<Sequence> sequences, List<int[]> tokens, List<Reader> readers) {
        model.advance(sequences.stream().map(Sequence::cache).toList(), tokens, sequences.stream().map(Sequence::logits).toList(),
                readers.stream().map(reader -> reader == Reader.NONE ? Optional.<FusedModel.Reader>empty() : Optional.<FusedModel.Reader>of(reader::read)).toList());
    }

    private void requireRoom(List<Sequence> sequences, List<int[]> tokens) {
        if (sequences.isEmpty() || sequences.size() != tokens.size()) {
            throw new IllegalArgumentException("every sequence needs its tokens, got " + sequences.size() + " sequences and "
                    + tokens.size() + " lists");
        }
        for (int i = 0; i < sequences.size(); i++) {
            if (!sequences.get(i).of(this)) {
                throw new IllegalArgumentException("a sequence can only be continued by the model that started it");
            }
            if (sequences.indexOf(sequences.get(i)) != i) {
                throw new IllegalArgumentException("a sequence can be continued once at a time, got it twice");
            }
            model.requireRoom(sequences.get(i).cache(), tokens.get(i));
        }
    }

    @Override
    public void close() {
        turn.lock();
        try {
            model.close();
        } finally {
            turn.unlock();
        }
    }
}
