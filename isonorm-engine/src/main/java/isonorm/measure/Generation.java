package isonorm.measure;

import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.architecture.Output;
import isonorm.architecture.Part;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Result;
import isonorm.tensor.ProcessMemory;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import isonorm.weights.Quantized;
import isonorm.weights.Seed;
import java.io.IOException;
import java.time.Duration;
import java.util.Arrays;
import java.util.OptionalLong;

/**
 * How fast a model reads a prompt and continues it, word after word, and how near the latter comes to what memory can give.
 *
 * <p>A step of decoding at batch 1 reads every matrix once and does little else, so the bytes of its weights, over the time it takes,
 * are a part of the memory's bandwidth: the share that is not lost to anything else.
 *
 * @param prompt how many tokens are read
 * @param tokens how many are generated
 * @param warmUp how long prompts are read, and then how long they are continued, before that counts: a peer that was compiled long ago needs
 *     none, the Java virtual machine compiles what it runs while it runs
 */
public record Generation(Loaded.Engine engine, int threads, int prompt, int tokens, Duration warmUp) {

    private static final int PREFILLS = 4;
    private static final int CONTINUATIONS = 3;

    /** What each continuation follows. */
    private static final int BEFORE = 32;

    public Generation {
        if (prompt < 1 || tokens < 1 || threads < 1) {
            throw new IllegalArgumentException("prompt, tokens and threads must be 1 or more, got " + prompt + ", " + tokens + " and " + threads);
        }
    }

    /**
     * The best of some runs each.
     *
     * @param first as {@code prefill}, of the first prompt of all, before anything was warmed up
     * @param prefill tokens a second of a prompt that is to be continued: the logits behind its last token
     * @param prefillAllLogits the same with the logits behind every token
     * @param decode tokens generated a second
     * @param bandwidth gigabytes a second that {@link Bandwidth} reads, right after decoding
     * @param bytesPerToken the bytes of weights that one step of decoding reads
     * @param peak the most bytes the process had in memory while it read prompts and continued them, where the system says it
     */
    public record Speed(double first, double prefill, double prefillAllLogits, double decode, double bandwidth, long bytesPerToken, OptionalLong peak) {

        /** Which part of the bandwidth decoding uses. */
        public double share() {
            return bytesPerToken * decode / (1e9 * bandwidth);
        }
    }

    /** Refuses a model that predicts no next token, or has too few positions. */
    public void require(Architecture architecture) {
        if (!(architecture.output() instanceof Output.Words) || !(architecture.embedding() instanceof Embedding.Tokens)) {
            throw new IllegalArgumentException("generation needs a model with a head over tokens, this one gives "
                    + (architecture.output() instanceof Output.Labels ? "scores" : "hidden states"));
        }
        if (!architecture.causal()) {
            throw new IllegalArgumentException("generation needs a model that predicts the next token, this one sees the tokens it would predict");
        }
        int needed = Math.max(prompt, before() + tokens);
        if (needed > architecture.context()) {
            throw new IllegalArgumentException("this model has " + architecture.context() + " positions, got a prompt of " + prompt + " tokens and "
                    + tokens + " tokens behind " + before());
        }
    }

    /** Measures a model. */
    public Speed of(Model model, Compute compute, Progress progress) throws IOException {
        require(model.architecture());
        int steps = 2 * PREFILLS + CONTINUATIONS;
        try (Loaded loaded = engine.load(model, compute, threads)) {
            int[] ids = ids(((Embedding.Tokens) model.architecture().embedding()).vocabulary());
            progress.step("warming up", 0, steps);
            long first = prefill(loaded, ids);
            warmUp(() -> prefill(loaded, ids));
            long read = Long.MAX_VALUE;
            for (int run = 0; run < PREFILLS; run++) {
                progress.step("reading " + prompt + " tokens", run, steps);
                read = Math.min(read, prefill(loaded, ids));
            }
            progress.step("warming up", PREFILLS, steps);
            warmUp(() -> decode(loaded, ids));
            long step = Long.MAX_VALUE;
            for (int run = 0; run < CONTINUATIONS; run++) {
                progress.step("writing " + tokens + " tokens", PREFILLS + run, steps);
                step = Math.min(step, decode(loaded, ids) / tokens);
            }
            OptionalLong peak = ProcessMemory.peak(); // before all logits and the probe, whose memory generating has no need of
            long readAll = Long.MAX_VALUE;
            for (int run = 0; run < PREFILLS; run++) {
                progress.step("reading " + prompt + " tokens, all logits", PREFILLS + CONTINUATIONS + run, steps);
                readAll = Math.min(readAll, prefillAllLogits(loaded, ids));
            }
            double bandwidth = Bandwidth.with(threads).gigabytesPerSecond();
            return new Speed(1e9 * prompt / first, 1e9 * prompt / read, 1e9 * prompt / readAll, 1e9 / step, bandwidth, bytesPerToken(model, compute), peak);
        }
    }

    private void warmUp(Run run) throws IOException {
        for (long start = System.nanoTime(); System.nanoTime() - start < warmUp.toNanos(); ) {
            run.run();
        }
    }

    @FunctionalInterface
    private interface Run {
        long run() throws IOException;
    }

    private int before() {
        return Math.min(BEFORE, prompt);
    }

    private int[] ids(int vocabulary) {
        return Seed.of(1).random().ints(prompt, Math.min(4, vocabulary - 1), vocabulary).toArray();
    }

    private static long prefill(Loaded loaded, int[] ids) throws IOException {
        try (Loaded.Text text = loaded.start()) {
            long start = System.nanoTime();
            text.next(ids);
            return System.nanoTime() - start;
        }
    }

    private static long prefillAllLogits(Loaded loaded, int[] ids) throws IOException {
        Batch batch = Batch.Tokens.of(Arrays.stream(ids).asLongStream().toArray());
        long start = System.nanoTime();
        try (Result _ = loaded.run(batch)) {
            return System.nanoTime() - start;
        }
    }

    /** Greedily; the choice of each token belongs to the work. */
    private long decode(Loaded loaded, int[] ids) throws IOException {
        try (Loaded.Text text = loaded.start()) {
            int word = likeliest(text.next(Arrays.copyOf(ids, before())));
            long start = System.nanoTime();
            for (int t = 0; t < tokens; t++) {
                word = likeliest(text.next(word));
            }
            return System.nanoTime() - start;
        }
    }

    private static int likeliest(float[] logits) {
        int best = 0;
        for (int i = 1; i < logits.length; i++) {
            if (logits[i] > logits[best]) {
                best = i;
            }
        }
        return best;
    }

    private static double bytes(Matrix matrix, Compute compute) {
        return matrix instanceof Quantized quantized ? quantized.quantization().bitsPerWeight() / Byte.SIZE : compute.bytes();
    }

    /** The bytes of all matrices, but for tables of which only a row is read, and experts that are not chosen. */
    static long bytesPerToken(Model model, Compute compute) {
        Architecture architecture = model.architecture();
        return (long) architecture.parameters().stream()
                .filter(parameter -> !parameter.isVector() && architecture.usedForToken(parameter.role()))
                .filter(parameter -> architecture.use(parameter.role().part()) != Part.Use.TABLE
                        || parameter.role().part() == Part.TOKEN_EMBEDDING && architecture.tied())
                .mapToDouble(parameter -> parameter.elements() * bytes(model.weight(parameter.role()), compute)).sum();
    }
}
