package isonorm.verify;

import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.architecture.Output;
import isonorm.architecture.Output.Pooler;
import isonorm.architecture.Stream;
import isonorm.convert.Comparison;
import isonorm.convert.Verifier;
import isonorm.fused.FusedModel;
import isonorm.layer.Chunks;
import isonorm.layer.ForwardPass;
import isonorm.layer.Runner;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Result;
import isonorm.model.Transformer;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.function.IntPredicate;
import java.util.function.IntToLongFunction;
import java.util.stream.IntStream;

/**
 * Runs two models on the same inputs and compares what they give.
 *
 * <p>The inputs are a text, given batches, or else {@value #PROMPTS} prompts of up to {@value #PROMPT} random tokens or
 * {@value #IMAGES} random images, always the same. They are run in chunks whose outputs fit {@value Chunks#BYTES} bytes a model:
 * A on all of a chunk, B on all of it, then both outputs are compared and let go.
 */
public final class Verification {

    private static final int PROMPTS = 4;
    private static final int PROMPT = 128;
    private static final int IMAGES = 2;
    private static final long SEED = 20_230_524;

    private final Model a;
    private final Model b;
    private final Compute computeA;
    private final Compute computeB;
    private final Optional<TokenizedText> text;
    private final List<Batch> inputs;

    private Verification(Model a, Model b, Compute computeA, Compute computeB, Optional<TokenizedText> text, List<Batch> inputs) {
        this.a = a;
        this.b = b;
        this.computeA = computeA;
        this.computeB = computeB;
        this.text = text;
        this.inputs = inputs;
    }

    /** What a conversion or a pruning is verified by before it appears: both models run on inputs that are always the same. */
    public static Verifier verifier() {
        return new ModelVerifier(Optional.empty());
    }

    /** The same on a text, in float64 alone. */
    public static Verifier verifier(TokenizedText text) {
        return new ModelVerifier(Optional.of(text));
    }

    /** Of two models with the same inputs and outputs, both computed in float32. */
    public static Verification of(Transformer one, Transformer other) {
        Model a = Model.of(one);
        Model b = Model.of(other);
        requireComparable(a.architecture(), b.architecture());
        return new Verification(a, b, Compute.F32, Compute.F32, Optional.empty(), List.of());
    }

    private static void requireComparable(Architecture a, Architecture b) {
        if (!inputs(a).equals(inputs(b)) || !outputs(a).equals(outputs(b))) {
            throw new IllegalArgumentException("models that are compared must read and give the same: one reads " + inputs(a)
                    + " and gives " + outputs(a) + ", the other reads " + inputs(b) + " and gives " + outputs(b));
        }
    }

    private static String inputs(Architecture architecture) {
        return switch (architecture.embedding()) {
            case Embedding.Tokens tokens -> "tokens of a vocabulary of " + tokens.vocabulary();
            case Embedding.Patches patches -> "images of " + patches.channels() + " x " + patches.height() + " x " + patches.width();
        };
    }

    private static String outputs(Architecture architecture) {
        return switch (architecture.output()) {
            case Output.Words _ -> "logits";
            case Output.Labels labels -> "scores of " + labels.labels() + " labels";
            case Output.Hidden hidden -> "hidden states of width " + architecture.width() + " with pooler " + hidden.pooler().label();
        };
    }

    /** The same on a text, which also gives both perplexities where attention is causal. */
    public Verification withText(TokenizedText words) {
        if (!(a.architecture().embedding() instanceof Embedding.Tokens)) {
            throw new IllegalArgumentException("a model that reads images cannot be verified on a text");
        }
        return new Verification(a, b, computeA, computeB, Optional.of(words), List.of());
    }

    /** The same on given inputs. */
    public Verification withInputs(List<Batch> batches) {
        if (batches.isEmpty()) {
            throw new IllegalArgumentException("a verification needs an input");
        }
        return new Verification(a, b, computeA, computeB, Optional.empty(), List.copyOf(batches));
    }

    /** The same, computed in other types. */
    public Verification compute(Compute ofA, Compute ofB) {
        return new Verification(a, b, ofA, ofB, text, inputs);
    }

    /** Runs both models and compares them. */
    public Comparison run(Progress progress) throws IOException {
        List<List<Batch>> chunks = chunks();
        Outcome outcome = Outcome.of(a.architecture(), b.architecture());
        Targets targets = Targets.of(causal(a.architecture()) ? text : Optional.empty());
        try (ForwardPass first = pass(a, computeA, resident()); ForwardPass second = pass(b, computeB, resident())) {
            int stepsA = a.architecture().blocks().size() + 2;
            int stepsB = b.architecture().blocks().size() + 2;
            int total = chunks.size() * (stepsA + stepsB);
            for (int c = 0; c < chunks.size(); c++) {
                int before = c * (stepsA + stepsB);
                List<Result> results = new ArrayList<>();
                try {
                    List<Batch> chunk = chunks.get(c);
                    results.addAll(first.run(chunk, (what, done, _) -> progress.step("original, " + what, before + done, total)));
                    results.addAll(second.run(chunk, (what, done, _) -> progress.step("converted, " + what, before + stepsA + done, total)));
                    for (int i = 0; i < chunk.size(); i++) {
                        outcome.add(chunk.get(i), results.get(i), results.get(chunk.size() + i), targets.of(chunk.get(i)));
                    }
                } finally {
                    results.forEach(Result::close);
                }
            }
        }
        return outcome.comparison();
    }

    /**
     * A model's perplexity on a text.
     *
     * @throws IllegalArgumentException as {@link #likelihood} does
     */
    public static double perplexity(Transformer model, TokenizedText text, Compute compute, Progress progress) throws IOException {
        return likelihood(model, text, compute, progress).perplexity();
    }

    /**
     * How likely a model finds a text. Windows are run in chunks whose outputs fit the memory.
     *
     * @throws IllegalArgumentException if {@link #requirePrediction} does
     */
    public static Likelihood likelihood(Transformer transformer, TokenizedText text, Compute compute, Progress progress) throws IOException {
        requirePrediction(transformer, text.window());
        Model model = Model.of(transformer);
        Targets targets = Targets.of(Optional.of(text));
        long bytes = Chunks.outputValues(Batch.Tokens.of(text.window(0)), model.architecture()) * compute.bytes();
        int step = Math.clamp(Chunks.BYTES / bytes, 1, text.windows());
        int total = Math.ceilDiv(text.windows(), step);
        double sum = 0;
        try (Runner runner = FusedModel.orLayers(model, compute)) {
            int before = 0;
            for (int first = 0; first < text.windows(); first += step) {
                List<Batch> windows = rows(text, first, Math.min(step, text.windows() - first));
                for (List<Batch> chunk : Chunks.of(windows, model.architecture(), compute)) {
                    sum += sum(Chunks.logProbabilities(runner, chunk, targets::of, Chunks.part(progress, before, total)));
                    before++;
                }
            }
        }
        return new Likelihood(text.predicted(), sum, text.bytes());
    }


    private static double sum(List<double[]> all) {
        double sum = 0;
        for (double[] values : all) {
            for (double value : values) {
                sum += value;
            }
        }
        return sum;
    }


    /**
     * Refuses what cannot predict the tokens of a text.
     *
     * @throws IllegalArgumentException if the model gives no logits over tokens, sees the tokens it would predict, or has fewer
     *     positions than {@code window}
     */
    public static void requirePrediction(Transformer model, int window) {
        Architecture architecture = Model.of(model).architecture();
        if (!(architecture.output() instanceof Output.Words) || !causal(architecture)) {
            throw new IllegalArgumentException("predicting tokens needs causal attention and logits over tokens; this model "
                    + (architecture.output() instanceof Output.Words ? "sees the tokens it would predict" : "gives " + outputs(architecture)));
        }
        if (architecture.embedding() instanceof Embedding.Tokens tokens && tokens.positions() > 0) {
            int room = tokens.positions() - tokens.positionOffset();
            if (window > room) {
                throw new IllegalArgumentException("this model has " + room + " positions, got a window of " + window
                        + " tokens; take a shorter one");
            }
        }
    }

    private static boolean causal(Architecture architecture) {
        return architecture.blocks().stream().allMatch(block -> block.mixer().causal());
    }

    private boolean resident() {
        return a.architecture().parameterCount() * computeA.bytes() + b.architecture().parameterCount() * computeB.bytes()
                < ForwardPass.RESIDENT_BYTES;
    }

    private List<List<Batch>> chunks() {
        Compute larger = computeA.bytes() > computeB.bytes() ? computeA : computeB;
        List<Batch> batches = text.isPresent() ? rows(text.get(), 0, text.get().windows()) : inputs.isEmpty() ? List.of(random()) : inputs;
        return Chunks.of(batches, a.architecture(), larger);
    }

    /** Batches of one row each. */
    private static List<Batch> rows(TokenizedText text, int first, int count) {
        return IntStream.range(first, first + count).<Batch>mapToObj(w -> Batch.Tokens.of(text.window(w))).toList();
    }


    private Batch random() {
        SplittableRandom random = new SplittableRandom(SEED);
        return switch (a.architecture().embedding()) {
            case Embedding.Tokens tokens -> {
                int length = Math.min(Math.min(PROMPT, a.architecture().longestSequence()), b.architecture().longestSequence());
                long[][] ids = new long[PROMPTS][length];
                for (long[] row : ids) {
                    Arrays.setAll(row, _ -> random.nextInt(tokens.vocabulary()));
                }
                yield Batch.Tokens.of(ids);
            }
            case Embedding.Patches patches -> {
                float[] pixels = new float[IMAGES * patches.channels() * patches.height() * patches.width()];
                for (int i = 0; i < pixels.length; i++) {
                    pixels[i] = (float) random.nextGaussian();
                }
                yield new Batch.Images(pixels, IMAGES, patches.channels(), patches.height(), patches.width());
            }
        };
    }

    /** What comes true behind each token of a text, batch after batch in the text's order. */
    private static final class Targets {
        private final Optional<TokenizedText> text;
        private int windows;

        private Targets(Optional<TokenizedText> text) {
            this.text = text;
        }

        static Targets of(Optional<TokenizedText> text) {
            return new Targets(text);
        }

        /** The next token of each row of the output, or {@link Tally#NO_TARGET}. */
        IntToLongFunction of(Batch batch) {
            if (text.isEmpty() || !(batch instanceof Batch.Tokens tokens)) {
                return _ -> Tally.NO_TARGET;
            }
            int first = windows;
            windows += tokens.count();
            int length = tokens.length();
            return row -> text.get().target(first + row / length, row % length);
        }
    }

    private static void addOutput(Tally tally, Batch batch, Result a, Result b, IntToLongFunction targets) throws IOException {
        long[] shape = a.outputShape();
        if (!Arrays.equals(shape, b.outputShape())) {
            throw new IllegalArgumentException("the models give outputs of different shapes: " + Arrays.toString(shape) + " and "
                    + Arrays.toString(b.outputShape()));
        }
        int width = (int) shape[shape.length - 1];
        int rows = 1;
        for (int d = 0; d < shape.length - 1; d++) {
            rows *= (int) shape[d];
        }
        IntPredicate counted = _ -> true;
        if (batch instanceof Batch.Tokens tokens && shape.length == 3) {
            int length = tokens.length();
            counted = row -> tokens.seen(row / length, row % length);
        }
        tally.add(rows, width, a::readOutput, b::readOutput, counted, targets);
    }

    private static ForwardPass pass(Model model, Compute compute, boolean resident) throws IOException {
        return resident ? ForwardPass.resident(model, compute) : ForwardPass.streaming(model, compute);
    }

    /**
     * Which outputs are compared, and their tallies. An output that is the bare stream (CLIP's) differs by each token's mean
     * once a model is centred, and its pooled vectors do not; so those are compared in its place.
     */
    private record Outcome(Optional<Tally> output, Optional<Tally> pooled, String compared) {

        static Outcome of(Architecture a, Architecture b) {
            return switch (a.output()) {
                case Output.Words _ -> new Outcome(Optional.of(new Tally(true)), Optional.empty(), "logits");
                case Output.Labels _ -> new Outcome(Optional.of(new Tally(true)), Optional.empty(), "scores");
                case Output.Hidden(Pooler pooler) -> {
                    boolean stream = pooler == Pooler.NORMED_FIRST && (a.stream() != Stream.FREE || b.stream() != Stream.FREE);
                    if (stream) {
                        yield new Outcome(Optional.empty(), Optional.of(new Tally(false)),
                                "pooled vectors, because the hidden states are the stream itself, whose mean a conversion takes out");
                    }
                    boolean both = pooler != Pooler.NONE;
                    yield new Outcome(Optional.of(new Tally(false)), both ? Optional.of(new Tally(false)) : Optional.empty(),
                            both ? "hidden states and pooled vectors" : "hidden states");
                }
            };
        }

        void add(Batch batch, Result a, Result b, IntToLongFunction targets) throws IOException {
            if (output.isPresent()) {
                addOutput(output.get(), batch, a, b, targets);
            }
            if (pooled.isPresent()) {
                long[] shape = a.pooledShape().orElseThrow();
                pooled.get().add((int) shape[0], (int) shape[1], a::readPooled, b::readPooled, _ -> true, _ -> Tally.NO_TARGET);
            }
        }

        Comparison comparison() {
            Tally main = output.or(() -> pooled).orElseThrow();
            Tally other = pooled.orElse(main);
            return new Comparison(
                    Math.max(main.largestError(), other.largestError()),
                    Math.max(main.meanError(), other.meanError()),
                    main.kl(), main.top1Agreement(), main.perplexityA(), main.perplexityB(),
                    main.positions(), main.deviation(), compared);
        }
    }
}
