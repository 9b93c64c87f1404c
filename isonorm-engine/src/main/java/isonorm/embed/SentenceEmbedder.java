package isonorm.embed;

import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.architecture.Output;
import isonorm.architecture.Parameter;
import isonorm.architecture.Role;
import isonorm.convert.LoadedModel;
import isonorm.fused.FusedModel;
import isonorm.kernel.Rows;
import isonorm.layer.RowsResult;
import isonorm.layer.Runner;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Result;
import isonorm.text.Tokenizer;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Sentence embeddings of an encoder: {@code pool(h)}, or {@code pool(h) / |pool(h)|}, h being the hidden states of a text's tokens and of those that the
 * tokenizer puts around them (Reimers and Gurevych, arXiv 1908.10084). Texts of different lengths go through the blocks together, without padding.
 *
 * <p>Many threads may use an instance; calls take turns.
 */
public final class SentenceEmbedder implements AutoCloseable {

    /** Less than this is no length to divide by. */
    private static final double SHORTEST = 1e-12;

    private final Runner runner;
    private final Tokenizer tokenizer;
    private final SentenceSettings settings;
    private final int width;
    private final int longest;
    private final ReentrantLock turn = new ReentrantLock();

    private SentenceEmbedder(Runner runner, Tokenizer tokenizer, SentenceSettings settings, int width, int longest) {
        this.runner = runner;
        this.tokenizer = tokenizer;
        this.settings = settings;
        this.width = width;
        this.longest = longest;
    }

    /**
     * A text's embedding.
     *
     * @param tokens how many were read
     * @param cut whether the text had more
     */
    public record Embedded(double[] vector, int tokens, boolean cut) {}

    /**
     * Loads the encoder and its tokenizer; close it.
     *
     * @param settings without a pooling, the mean is taken
     * @throws IOException if the checkpoint has no tokenizer that can be read
     * @throws IllegalArgumentException if the model is no encoder of texts
     */
    public static SentenceEmbedder open(LoadedModel model, SentenceSettings settings, Compute compute) throws IOException {
        Model encoder = encoder(model);
        Tokenizer tokenizer = Tokenizer.open(model.checkpoint().folder().resolve("tokenizer.json"));
        try {
            int room = encoder.architecture().longestSequence();
            return new SentenceEmbedder(FusedModel.orLayers(encoder, compute), tokenizer, settings, encoder.architecture().ending().width(),
                    Math.min(room, settings.longest().orElse(room)));
        } catch (IOException | RuntimeException e) {
            tokenizer.close();
            throw e;
        }
    }

    /** Whether a model is an encoder of texts, so that it can embed them. */
    public static boolean takes(LoadedModel model) {
        return reads(Model.of(model.model()).architecture());
    }

    private static boolean reads(Architecture architecture) {
        return architecture.companion().isEmpty() && architecture.embedding() instanceof Embedding.Tokens
                && architecture.blocks().stream().noneMatch(block -> block.mixer().causal());
    }

    /** What reads texts and gives hidden states: the model without what stands behind those. */
    private static Model encoder(LoadedModel model) {
        Model whole = Model.of(model.model());
        Architecture architecture = whole.architecture();
        if (!reads(architecture)) {
            throw new IllegalArgumentException("sentences are embedded by an encoder of texts, all of whose tokens see each other; this "
                    + architecture.family() + (architecture.companion().isPresent() ? " has two stacks" : architecture.embedding() instanceof Embedding.Tokens
                            ? "'s tokens see those before them" : " reads no texts"));
        }
        if (!(architecture.output() instanceof Output.Hidden) && model.config().textOr("", "model_type").equals("isonorm")) {
            throw new IllegalArgumentException("a converted checkpoint with a head may have a part of its last norm in that; embed with the one it was"
                    + " converted from, or convert that without its head");
        }
        Architecture bare = architecture.withOutput(new Output.Hidden(Output.Pooler.NONE));
        Map<Role, Matrix> weights = new LinkedHashMap<>();
        for (Parameter parameter : bare.parameters()) {
            weights.put(parameter.role(), whole.weight(parameter.role()));
        }
        return new Model(bare, weights);
    }

    /** How many values an embedding has. */
    public int width() {
        return width;
    }

    /** How many tokens of a text are read. */
    public int longest() {
        return longest;
    }

    /** How texts are embedded. */
    public SentenceSettings settings() {
        return settings;
    }

    /**
     * The embedding of each text.
     *
     * @throws IOException if a text cannot be tokenized
     * @throws IllegalArgumentException if a text has no tokens, nor the tokenizer any that it puts around them
     */
    public List<Embedded> embed(List<String> texts, Progress progress) throws IOException {
        List<long[]> ids = new ArrayList<>();
        List<Boolean> cut = new ArrayList<>();
        for (String text : texts) {
            long[] all = tokenizer.framed(prepared(text));
            if (all.length == 0) {
                throw new IllegalArgumentException("a text to embed must have tokens; number " + (ids.size() + 1) + " of " + texts.size() + " has none: leave it out");
            }
            cut.add(all.length > longest);
            ids.add(all.length > longest ? tokenizer.framed(prepared(text), longest) : all);
        }
        turn.lock();
        try {
            return embedded(ids, cut, progress);
        } finally {
            turn.unlock();
        }
    }

    /** As sentence-transformers does, whose texts have no space around them. */
    private String prepared(String text) {
        String whole = (settings.prompt() + text).strip();
        return settings.lowerCase() ? whole.toLowerCase(Locale.ROOT) : whole;
    }

    private List<Embedded> embedded(List<long[]> ids, List<Boolean> cut, Progress progress) throws IOException {
        List<Embedded> embedded = new ArrayList<>();
        int together = runner.together(1);
        for (int first = 0; first < ids.size(); ) {
            int last = first;
            int tokens = 0;
            while (last < ids.size() && (last == first || tokens + ids.get(last).length <= together)) {
                tokens += ids.get(last++).length;
            }
            List<double[]> vectors = pooled(ids.subList(first, last));
            for (double[] vector : vectors) {
                embedded.add(new Embedded(settings.normalizes() ? normalized(vector) : vector, ids.get(first).length, cut.get(first)));
                first++;
            }
            progress.step("embedding", first, ids.size());
        }
        return embedded;
    }

    /** The pooled vectors of texts that go through the blocks together. */
    private List<double[]> pooled(List<long[]> texts) throws IOException {
        List<double[]> vectors = new ArrayList<>();
        if (runner instanceof FusedModel fused) {
            try (RowsResult states = fused.states(texts)) {
                int first = 0;
                for (long[] text : texts) {
                    vectors.add(pooled(states.output().slice(first, text.length)));
                    first += text.length;
                }
            }
            return vectors;
        }
        List<Result> results = runner.run(texts.stream().<Batch>map(Batch.Tokens::of).toList(), Progress.NONE);
        try {
            results.forEach(result -> vectors.add(pooled(((RowsResult) result).output())));
        } finally {
            results.forEach(Result::close);
        }
        return vectors;
    }

    private double[] pooled(Rows states) {
        double[] vector = new double[width];
        double[] one = new double[width];
        int count = settings.pooling().orElse(Pooling.MEAN) == Pooling.CLS ? 1 : states.rows();
        for (int row = 0; row < count; row++) {
            states.read(row, 0, width, one);
            for (int c = 0; c < width; c++) {
                vector[c] += one[c];
            }
        }
        for (int c = 0; c < width; c++) {
            vector[c] /= count;
        }
        return vector;
    }

    private static double[] normalized(double[] vector) {
        double squares = 0;
        for (double value : vector) {
            squares += value * value;
        }
        double length = Math.max(Math.sqrt(squares), SHORTEST);
        double[] unit = new double[vector.length];
        for (int c = 0; c < unit.length; c++) {
            unit[c] = vector[c] / length;
        }
        return unit;
    }

    @Override
    public void close() {
        turn.lock();
        try {
            runner.close();
            tokenizer.close();
        } finally {
            turn.unlock();
        }
    }
}
