package isonorm.verify;

import isonorm.architecture.Architecture;
import isonorm.architecture.Companion;
import isonorm.architecture.Embedding;
import isonorm.architecture.Output;
import isonorm.architecture.Output.Pooler;
import isonorm.architecture.Stream;
import isonorm.convert.Comparison;
import isonorm.convert.Conversion;
import isonorm.convert.Evidence;
import isonorm.convert.LoadedModel;
import isonorm.convert.Verifier;
import isonorm.fused.FusedModel;
import isonorm.layer.Chunks;
import isonorm.layer.ForwardPass;
import isonorm.layer.Noise;
import isonorm.layer.Runner;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Result;
import isonorm.model.Transformer;
import isonorm.weights.Model;
import isonorm.weights.Seed;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.SplittableRandom;
import java.util.function.IntPredicate;
import java.util.function.IntToLongFunction;
import java.util.stream.IntStream;

/**
 * Runs models on the same inputs and compares what they give with what the first of them, A, gives.
 *
 * <p>The inputs are a text, given batches, or else {@value #PROMPTS} prompts of up to {@value #PROMPT} random tokens or
 * {@value #IMAGES} random images or sounds, always the same. They are run in chunks whose outputs fit {@value Chunks#BYTES} bytes a model:
 * A on all of a chunk, then each of the others on all of it, whose outputs are compared and let go.
 */
public final class Verification {

    private static final int PROMPTS = 4;
    private static final int PROMPT = 128;
    private static final int IMAGES = 2;
    private static final long SEED = 20_230_524;

    /** A model and the type it is computed in. */
    private record Run(Model model, Compute compute) {

        ForwardPass pass(boolean resident) throws IOException {
            return resident ? ForwardPass.resident(model, compute) : ForwardPass.streaming(model, compute);
        }

        long bytes() {
            return model.architecture().parameterCount() * compute.bytes();
        }

        int steps() {
            return model.architecture().blocks().size() + 2;
        }
    }

    private final Run a;
    private final List<Run> others;
    private final Optional<TokenizedText> text;
    private final List<Batch> inputs;

    private Verification(Run a, List<Run> others, Optional<TokenizedText> text, List<Batch> inputs) {
        this.a = a;
        this.others = others;
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

    /**
     * Whether a checkpoint B is the function of a checkpoint A but for rounding, and what shows it.
     *
     * @param equal whether it is, or whether the largest error is within a tolerance that was given
     * @param remade what came of making B again, where B says that it was converted
     * @param where from which block on the models differ, in words, where they are not equal
     */
    public record Judgement(boolean equal, Evidence evidence, Optional<Conversion.Remade> remade, Optional<String> where) {}

    /**
     * Compares two checkpoints. Where B says how it was converted and A is what it was made from, B is made again, and each of its values must be
     * the rounding of what A gives. The outputs of both must be near to each other: of types of 16 bits about as near as A is to itself with its
     * weights rounded to them once, of wider types within a fixed tolerance.
     *
     * @param compute the type both are computed in
     * @param text what they are run on; empty for random inputs
     * @param tolerance the largest error that is accepted, in place of all that is said above
     * @throws IllegalArgumentException if they do not read or give the same
     */
    public static Judgement judge(LoadedModel a, LoadedModel b, Compute compute, Optional<TokenizedText> text, OptionalDouble tolerance, Progress progress)
            throws IOException {
        return Judging.judge(a, b, compute, text, tolerance, progress);
    }

    /** Of two models with the same inputs and outputs, both computed in float32. */
    public static Verification of(Transformer one, Transformer other) {
        Model a = Model.of(one);
        Model b = Model.of(other);
        requireComparable(a.architecture(), b.architecture());
        return new Verification(new Run(a, Compute.F32), List.of(new Run(b, Compute.F32)), Optional.empty(), List.of());
    }

    /** The same with one more model that is compared with A. */
    public Verification and(Transformer another, Compute compute) {
        Model other = Model.of(another);
        requireComparable(a.model.architecture(), other.architecture());
        List<Run> more = new ArrayList<>(others);
        more.add(new Run(other, compute));
        return new Verification(a, List.copyOf(more), text, inputs);
    }

    private static void requireComparable(Architecture a, Architecture b) {
        if (!inputs(a).equals(inputs(b)) || !outputs(a).equals(outputs(b))) {
            throw new IllegalArgumentException("models that are compared must read and give the same: one reads " + inputs(a)
                    + " and gives " + outputs(a) + ", the other reads " + inputs(b) + " and gives " + outputs(b));
        }
    }

    private static String inputs(Architecture architecture) {
        return architecture.companion().map(beside -> inputs(beside.architecture()) + " and ").orElse("") + switch (architecture.embedding()) {
            case Embedding.Tokens tokens -> "tokens of a vocabulary of " + tokens.vocabulary();
            case Embedding.Patches patches -> "images of " + patches.channels() + " x " + patches.height() + " x " + patches.width();
            case Embedding.Sound sound -> "sounds of " + sound.lines() + " lines";
        };
    }

    private static String outputs(Architecture architecture) {
        if (architecture.comparesTowers()) {
            return "how near images and texts are";
        }
        return switch (architecture.output()) {
            case Output.Words _ -> "logits";
            case Output.Labels labels -> "scores of " + labels.labels() + " labels";
            case Output.Hidden(Output.Pooler pooler, _, _) -> "hidden states of width " + architecture.ending().width() + (pooler == Output.Pooler.FIRST || pooler == Output.Pooler.NONE
                    ? "" // the first of them, at most
                    : " with pooler " + pooler.label());
        };
    }

    /** The same on a text, which also gives both perplexities where attention is causal. */
    public Verification withText(TokenizedText words) {
        if (architecture().companion().isPresent()) {
            throw new IllegalArgumentException("a model of two stacks reads two inputs and cannot be verified on one text");
        }
        if (!(architecture().embedding() instanceof Embedding.Tokens)) {
            throw new IllegalArgumentException("a model that reads images or sounds cannot be verified on a text");
        }
        return new Verification(a, others, Optional.of(words), List.of());
    }

    /** The same on given inputs. */
    public Verification withInputs(List<Batch> batches) {
        if (batches.isEmpty()) {
            throw new IllegalArgumentException("a verification needs an input");
        }
        return new Verification(a, others, Optional.empty(), List.copyOf(batches));
    }

    /** The same, computed in other types: A and what it is compared with so far. */
    public Verification compute(Compute ofA, Compute ofB) {
        return new Verification(new Run(a.model, ofA), others.stream().map(other -> new Run(other.model, ofB)).toList(), text, inputs);
    }

    private Architecture architecture() {
        return a.model.architecture();
    }

    /** Runs both models and compares them. */
    public Comparison run(Progress progress) throws IOException {
        return runAll(progress).getFirst();
    }

    /** Runs A once and every other model, and compares each with it, in their order. */
    public List<Comparison> runAll(Progress progress) throws IOException {
        List<List<Batch>> chunks = chunks();
        List<Outcome> outcomes = others.stream().map(other -> Outcome.of(architecture(), other.model.architecture())).toList();
        Targets targets = Targets.of(causal(architecture()) ? text : Optional.empty());
        boolean resident = resident();
        long total = (long) chunks.size() * (a.steps() + others.stream().mapToInt(Run::steps).sum());
        long done = 0;
        List<ForwardPass> passes = new ArrayList<>();
        try (ForwardPass reference = a.pass(resident)) {
            for (List<Batch> chunk : chunks) {
                List<Result> expected = reference.run(chunk, steps("original, ", done, total, progress));
                try {
                    done += a.steps();
                    List<IntToLongFunction> next = chunk.stream().map(targets::of).toList();
                    for (int i = 0; i < others.size(); i++) {
                        if (passes.size() == i) {
                            passes.add(others.get(i).pass(resident));
                        }
                        String name = others.size() == 1 ? "converted, " : "model " + (i + 1) + ", ";
                        compare(passes.get(i).run(chunk, steps(name, done, total, progress)), expected, chunk, next, outcomes.get(i));
                        done += others.get(i).steps();
                    }
                } finally {
                    expected.forEach(Result::close);
                }
            }
        } finally {
            passes.forEach(ForwardPass::close);
        }
        return outcomes.stream().map(Outcome::comparison).toList();
    }

    private static Progress steps(String name, long before, long total, Progress progress) {
        return (what, done, _) -> progress.step(name + what, before + done, total);
    }

    private static void compare(List<Result> given, List<Result> expected, List<Batch> chunk, List<IntToLongFunction> next, Outcome outcome)
            throws IOException {
        try {
            for (int i = 0; i < chunk.size(); i++) {
                outcome.add(chunk.get(i), expected.get(i), given.get(i), next.get(i));
            }
        } finally {
            given.forEach(Result::close);
        }
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
        Optional<String> why = whyNot(architecture);
        if (why.isPresent()) {
            throw new IllegalArgumentException("predicting tokens of a text needs causal attention and logits over tokens; this " + architecture.family()
                    + " model " + why.get());
        }
        if (architecture.embedding() instanceof Embedding.Tokens tokens && tokens.positions() > 0) {
            int room = tokens.positions() - tokens.positionOffset();
            if (window > room) {
                throw new IllegalArgumentException("this model has " + room + " positions, got a window of " + window
                        + " tokens; take a shorter one");
            }
        }
    }

    /** Why a model predicts no text, and what it can be asked for; nothing where it does. */
    private static Optional<String> whyNot(Architecture architecture) {
        boolean words = architecture.output() instanceof Output.Words;
        if (architecture.comparesTowers()) {
            return Optional.of("is a tower of texts beside one of images and gives how near these are, and the vector of each: take isonorm forward or depth");
        }
        if (architecture.companion().isPresent()) {
            return Optional.of("is an encoder beside a decoder, which " + (words ? "writes about an input: take isonorm generate, forward or depth"
                    : "has no head over words: take isonorm forward or depth"));
        }
        if (words) {
            return causal(architecture) ? Optional.empty() : Optional.of("sees the tokens it would predict: take isonorm forward or depth");
        }
        return Optional.of(switch (architecture.embedding()) {
            case Embedding.Tokens _ -> "gives " + outputs(architecture) + ": take isonorm forward or depth";
            case Embedding.Patches _ -> "reads images and gives " + outputs(architecture) + ": take isonorm forward";
            case Embedding.Sound _ -> "reads sounds and gives " + outputs(architecture) + ": take isonorm forward";
        });
    }

    private static boolean causal(Architecture architecture) {
        return architecture.causal();
    }

    private boolean resident() {
        return a.bytes() + others.stream().mapToLong(Run::bytes).sum() < ForwardPass.RESIDENT_BYTES;
    }

    private List<List<Batch>> chunks() {
        Compute largest = others.stream().map(Run::compute).reduce(a.compute, (one, other) -> other.bytes() > one.bytes() ? other : one);
        return Chunks.of(inputs(), architecture(), largest);
    }

    /** What the models are run on. */
    List<Batch> inputs() {
        return text.isPresent() ? rows(text.get(), 0, text.get().windows()) : inputs.isEmpty() ? List.of(random()) : inputs;
    }

    /** Batches of one row each. */
    private static List<Batch> rows(TokenizedText text, int first, int count) {
        return IntStream.range(first, first + count).<Batch>mapToObj(w -> Batch.Tokens.of(text.window(w))).toList();
    }


    private Batch random() {
        SplittableRandom random = Seed.of(SEED).random();
        Optional<Architecture> beside = architecture().companion().map(Companion::architecture);
        int rows = beside.map(stack -> Math.min(enough(stack), enough(architecture()))).orElse(enough(architecture()));
        Batch main = random(architecture(), rows, random);
        return beside.<Batch>map(stack -> new Batch.Both(random(stack, rows, random), main)).orElse(main);
    }

    /** How many prompts, images or sounds are enough. */
    private static int enough(Architecture stack) {
        return switch (stack.embedding()) {
            case Embedding.Tokens _ -> PROMPTS;
            case Embedding.Patches _, Embedding.Sound _ -> IMAGES;
        };
    }

    private Batch random(Architecture stack, int rows, SplittableRandom random) {
        return switch (stack.embedding()) {
            case Embedding.Tokens tokens -> {
                int length = Math.min(PROMPT, stack.longestSequence());
                for (Run other : others) {
                    length = Math.min(length, other.model.architecture().longestSequence());
                }
                long[][] ids = new long[rows][length];
                for (long[] row : ids) {
                    Arrays.setAll(row, _ -> random.nextInt(tokens.vocabulary()));
                }
                yield Batch.Tokens.of(ids);
            }
            case Embedding.Patches patches -> Noise.images(patches, rows, random);
            case Embedding.Sound sound -> Noise.sounds(sound, rows, Math.min(PROMPT, stack.longestSequence()), random);
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
        if ((batch instanceof Batch.Both both ? both.main() : batch) instanceof Batch.Tokens tokens && shape.length == 3) {
            int length = tokens.length();
            counted = row -> tokens.seen(row / length, row % length);
        }
        tally.add(rows, width, a::readOutput, b::readOutput, counted, targets);
    }

    /**
     * Which outputs are compared, and their tallies. An output that is the bare stream (CLIP's) differs by each token's mean
     * once a model is centred, and its pooled vectors do not; so those are compared in its place.
     */
    private record Outcome(Optional<Tally> output, Optional<Tally> pooled, String compared) {

        static Outcome of(Architecture a, Architecture b) {
            if (a.comparesTowers()) {
                return new Outcome(Optional.of(new Tally(false)), Optional.of(new Tally(false)), "how near images and texts are, and the texts' vectors");
            }
            return switch (a.output()) {
                case Output.Words _ -> new Outcome(Optional.of(new Tally(true)), Optional.empty(), "logits");
                case Output.Labels _ -> new Outcome(Optional.of(new Tally(true)), Optional.empty(), "scores");
                case Output.Hidden hidden -> {
                    Pooler pooler = hidden.pooler();
                    boolean stream = pooler.bareStream() && (losesMean(a) || losesMean(b));
                    if (stream) {
                        yield new Outcome(Optional.empty(), Optional.of(new Tally(false)),
                                "pooled vectors, because the hidden states are the stream itself, whose mean a conversion takes out");
                    }
                    boolean both = pooler != Pooler.NONE && b.output() instanceof Output.Hidden(Pooler given, _, _) && given == pooler;
                    yield new Outcome(Optional.of(new Tally(false)), both ? Optional.of(new Tally(false)) : Optional.empty(),
                            both ? "hidden states and pooled vectors" : "hidden states");
                }
            };
        }

        /** Whether a stream has no mean, or one in another basis need not have the one that it had. */
        private static boolean losesMean(Architecture architecture) {
            return architecture.stream() != Stream.FREE || architecture.bases().exit().isPresent();
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
                    Math.max(main.rootMeanSquareError(), other.rootMeanSquareError()),
                    Math.max(main.meanError(), other.meanError()),
                    main.kl(), main.top1Agreement(), main.perplexityA(), main.perplexityB(),
                    main.positions(), main.deviation(), compared);
        }
    }
}
