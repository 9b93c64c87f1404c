package isonorm.depth;

import static java.util.Objects.requireNonNull;

import isonorm.architecture.Architecture;
import isonorm.architecture.Companion;
import isonorm.architecture.Embedding;
import isonorm.fused.FusedModel;
import isonorm.layer.Fit;
import isonorm.layer.LogProbabilities;
import isonorm.layer.Noise;
import isonorm.layer.Observer;
import isonorm.layer.Runner;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Result;
import isonorm.model.Transformer;
import isonorm.verify.TokenizedText;
import isonorm.verify.Verification;
import isonorm.weights.Model;
import isonorm.weights.Seed;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;

/**
 * Measures how a model uses its depth while it reads.
 *
 * <p>Results depend on the rows of tokens alone, but for rounding: not on how these come in batches, nor on padding, which is taken out
 * before they are read, nor on threads. Memory is the model's and that of the rows that go through it together, however many there are.
 *
 * <p>Of a model of two stacks each is measured, the second as {@link Depth#companion}: an encoder and the decoder beside it while they read together,
 * a tower of images and one of texts each by itself.
 */
public final class DepthSurvey implements AutoCloseable {

    /** Where noise begins that is read in the place of images and sounds. */
    private static final long SEED = 0;

    private final Model model;
    private final Architecture architecture;
    private final Compute compute;
    private final Runner runner;
    private final Inputs inputs;
    /** Those of the blocks of an encoder. */
    private final Optional<Inputs> encoderInputs;
    private final Optional<DepthSurvey> imageTower;

    private DepthSurvey(Model model, Compute compute, Runner runner, Optional<DepthSurvey> imageTower) {
        this.model = model;
        this.architecture = model.architecture();
        this.compute = compute;
        this.runner = runner;
        this.inputs = inputs(architecture);
        this.encoderInputs = encoder().map(DepthSurvey::inputs);
        this.imageTower = imageTower;
    }

    private static Inputs inputs(Architecture architecture) {
        return new Inputs(architecture.blocks().size(), architecture.width());
    }

    private Optional<Architecture> encoder() {
        return architecture.companion().map(Companion::architecture);
    }

    /** Loads a model, to be read with by as many threads as there are processors; close it. */
    public static DepthSurvey of(Transformer model, Compute compute) throws IOException {
        return of(model, compute, Runtime.getRuntime().availableProcessors());
    }

    /**
     * Loads a model; close it.
     *
     * @param compute F32 or BF16, by the fused runtime; F64, by the layers, of which statistics see float32
     * @param threads how many threads of the fused runtime work, the caller's included
     * @throws IllegalArgumentException if {@link #require} does
     */
    public static DepthSurvey of(Transformer transformer, Compute compute, int threads) throws IOException {
        require(transformer);
        Model model = Model.of(transformer);
        if (!model.architecture().comparesTowers()) {
            return new DepthSurvey(model, compute, FusedModel.orLayers(model, compute, threads), Optional.empty());
        }
        Model images = model.companion().orElseThrow();
        DepthSurvey tower = new DepthSurvey(images, compute, FusedModel.orLayers(images, compute, threads), Optional.empty());
        try {
            Model texts = model.textTower();
            return new DepthSurvey(texts, compute, FusedModel.orLayers(texts, compute, threads), Optional.of(tower));
        } catch (IOException | RuntimeException e) {
            tower.close();
            throw e;
        }
    }

    /** Refuses a model without blocks, or one that reads no tokens. */
    public static void require(Transformer model) {
        Architecture architecture = Model.of(model).architecture();
        if (architecture.bases().skips()) {
            throw new IllegalArgumentException("depth is measured along one stream; this model's goes from basis to basis, where distances mean nothing: measure the model that it"
                    + " was rotated from");
        }
        if (architecture.blocks().isEmpty() || architecture.companion().filter(beside -> beside.architecture().blocks().isEmpty()).isPresent()) {
            throw new IllegalArgumentException("depth is measured between blocks; this " + architecture.family() + " model has none");
        }
        if (!(architecture.embedding() instanceof Embedding.Tokens)) {
            throw new IllegalArgumentException("depth is measured on text; this " + architecture.family() + " model reads "
                    + (architecture.embedding() instanceof Embedding.Patches ? "images" : "sounds"));
        }
    }

    /**
     * Measures on the whole windows of a text.
     *
     * <p>A decoder beside an encoder reads these windows, and the encoder the same text: what a window has of it, without the tokens that
     * {@linkplain TokenizedText#beginning begin} one. Where the second stack reads images or sounds it is given noise, normal numbers, of which it is told
     * no more than how it treats noise: a sound for each window, or images of as many patches as there are tokens.
     */
    public Depth measure(TokenizedText text, Progress progress) throws IOException {
        Measurement measurement = new Measurement(text.tokens(), progress);
        SplittableRandom random = Seed.of(SEED).random();
        for (int w = 0; w < text.windows(); w++) {
            Batch.Tokens window = Batch.Tokens.of(text.window(w));
            measurement.add(encoder().isPresent() ? new Batch.Both(beside(window, text.beginning().length, random), window) : window);
        }
        if (imageTower.isPresent() && imageTower.get().architecture.embedding() instanceof Embedding.Patches shape) {
            for (int images = Math.ceilDiv(text.tokens(), shape.tokens()); images > 0; images--) {
                measurement.ofImages.orElseThrow().add(Noise.images(shape, 1, random));
            }
        }
        return measurement.depth();
    }

    /** What an encoder reads beside a window. */
    private Batch beside(Batch.Tokens window, int beginning, SplittableRandom random) {
        Architecture encoder = encoder().orElseThrow();
        return switch (encoder.embedding()) {
            case Embedding.Tokens _ -> Batch.Tokens.of(Arrays.copyOfRange(window.ids()[0], beginning, window.length()));
            case Embedding.Sound shape -> Noise.sounds(shape, 1, Math.min(window.length(), encoder.longestSequence()), random);
            case Embedding.Patches shape -> Noise.images(shape, 1, random);
        };
    }

    /**
     * Measures on batches, whose padding is left out.
     *
     * @param batches tokens; of an encoder beside a decoder what both read; of two towers images and texts, or texts alone, and then nothing is said of
     *     images
     * @param total how many tokens there are in all, for progress alone
     */
    public Depth measure(Iterator<? extends Batch> batches, long total, Progress progress) throws IOException {
        Measurement measurement = new Measurement(total, progress);
        while (batches.hasNext()) {
            measurement.add(batches.next());
        }
        return measurement.depth();
    }

    /** Reads batches as {@link #measure} does and measures nothing, which is what the time of measuring is compared with. */
    public void readOnly(Iterator<? extends Batch> batches) throws IOException {
        Gathered gathered = new Gathered(batch -> runner.observe(batch, Observer.NONE));
        while (batches.hasNext()) {
            gathered.add(batches.next());
        }
        gathered.end();
    }

    /** What is done with rows of one length. */
    @FunctionalInterface
    private interface Reading {
        void read(Batch batch) throws IOException;
    }

    /** Takes out padding and puts as many rows together as go through a model well. */
    private final class Gathered {
        private final Reading reading;
        private final List<Batch> together = new ArrayList<>();

        Gathered(Reading reading) {
            this.reading = reading;
        }

        void add(Batch batch) throws IOException {
            for (Optional<Batch> row : Together.rows(batch)) {
                if (row.isPresent()) {
                    if (!together.isEmpty() && (!Together.fit(together.getFirst(), row.get()) || together.size() == runner.together(longest(row.get())))) {
                        end();
                    }
                    together.add(row.get());
                }
            }
        }

        void end() throws IOException {
            if (!together.isEmpty()) {
                reading.read(Together.of(together));
                together.clear();
            }
        }
    }

    private int longest(Batch row) {
        return row instanceof Batch.Both both
                ? Math.max(Fit.require(architecture.embedding(), both.main()), Fit.require(encoder().orElseThrow().embedding(), both.companion()))
                : Fit.require(architecture.embedding(), row);
    }

    /** Batches on their way to a {@link Depth}. */
    private final class Measurement {
        private final Survey survey = new Survey(architecture, inputs);
        private final Optional<Survey> ofEncoder = encoder().map(stack -> new Survey(stack, encoderInputs.orElseThrow()));
        private final Optional<Measurement> ofImages;
        private final Gathered gathered = new Gathered(this::read);
        private final long total;
        private final Progress progress;

        Measurement(long total, Progress progress) {
            this.total = total;
            this.progress = progress;
            this.ofImages = imageTower.map(tower -> tower.new Measurement(total, progress));
        }

        void add(Batch batch) throws IOException {
            if (ofImages.isPresent() && batch instanceof Batch.Both both) {
                ofImages.get().add(both.companion());
                gathered.add(both.main());
            } else {
                gathered.add(batch);
            }
        }

        private void read(Batch batch) throws IOException {
            if (ofEncoder.isPresent()) {
                if (!(batch instanceof Batch.Both both)) {
                    throw new IllegalArgumentException("this " + architecture.family() + " model has two stacks, an encoder beside a decoder, got an input of one");
                }
                begin(ofEncoder.get(), encoder().orElseThrow(), both.companion());
                begin(survey, architecture, both.main());
                runner.observe(batch, survey, ofEncoder.get());
                ofEncoder.get().end();
            } else {
                begin(survey, architecture, batch);
                runner.observe(batch, survey);
            }
            survey.end();
            progress.step("reading in " + compute.label(), Math.min(survey.tokens(), total), total);
        }

        private static void begin(Survey survey, Architecture stack, Batch batch) {
            survey.begin(batch, Fit.require(stack.embedding(), batch));
        }

        Depth depth() throws IOException {
            gathered.end();
            if (survey.tokens() == 0) {
                throw new IllegalArgumentException("depth is measured on tokens, got none");
            }
            Optional<Depth> companion = ofEncoder.map(encoder -> DepthSurvey.this.depth(encoder, encoder().orElseThrow(), Optional.empty()));
            if (ofImages.isPresent()) {
                ofImages.get().gathered.end();
                companion = ofImages.get().survey.tokens() == 0 ? Optional.empty() : Optional.of(ofImages.get().depth());
            }
            return DepthSurvey.this.depth(survey, architecture, companion);
        }
    }

    private Depth depth(Survey survey, Architecture stack, Optional<Depth> companion) {
        var activations = survey.activations();
        double[] variances = activations.stream().mapToDouble(block -> requireNonNull(block.get(Position.BLOCK_OUTPUT)).variance()).toArray();
        Distances distances = survey.distances();
        boolean normalized = stack.blocks().stream().allMatch(block -> block.mlpPlacement().normalizesSum());
        return new Depth(stack.width(), survey.tokens(), compute, activations, distances.angular(), distances.lastToken(), distances.cosine(), survey.similarity().cka(),
                distances.without(), survey.massiveActivations(), normalized ? Growth.normalized(variances) : Growth.of(variances), survey.experts(), Optional.empty(),
                Optional.empty(), companion);
    }

    /**
     * The perplexity of a text without blocks: without each single one, and without each range of the given lengths.
     *
     * @param spans lengths of ranges; those of 1 are measured anyway, and those of all blocks or more are left out
     * @throws IllegalArgumentException if the model cannot predict a text
     */
    public Sensitivity sensitivity(TokenizedText text, List<Integer> spans, Progress progress) throws IOException {
        Verification.requirePrediction(model, text.window());
        List<Range> ranges = ranges(spans);
        double[] sums = new double[ranges.size()];
        int together = runner.together(text.window());
        long done = 0;
        long total = (long) Math.ceilDiv(text.windows(), together) * ranges.size();
        for (int first = 0; first < text.windows(); first += together) {
            int from = first;
            int count = Math.min(together, text.windows() - first);
            Batch batch = Batch.Tokens.of(IntStream.range(first, first + count).mapToObj(text::window).toArray(long[][]::new));
            for (int r = 0; r < sums.length; r++) {
                try (Result result = runner.run(batch, ranges.get(r).others())) {
                    sums[r] += Arrays.stream(LogProbabilities.of(result,
                            position -> text.target(from + position / text.window(), position % text.window()))).sum();
                }
                progress.step("removing blocks", ++done, total);
            }
        }
        double[] perplexities = Arrays.stream(sums).map(sum -> Math.exp(-sum / text.predicted())).toArray();
        List<Sensitivity.Removal> removals = IntStream.range(1, sums.length)
                .mapToObj(r -> new Sensitivity.Removal(ranges.get(r).first, ranges.get(r).count, perplexities[r])).toList();
        return new Sensitivity(text.predicted(), perplexities[0], removals, Optional.empty());
    }

    /** Blocks that follow each other; none of them first. */
    private record Range(int first, int count) {
        IntPredicate others() {
            return l -> l < first || l >= first + count;
        }
    }

    private List<Range> ranges(List<Integer> spans) {
        int blocks = architecture.blocks().size();
        List<Range> ranges = new ArrayList<>(List.of(new Range(0, 0)));
        IntStream.concat(IntStream.of(1), spans.stream().mapToInt(Integer::intValue)).distinct().sorted()
                .filter(span -> span == 1 || span > 1 && span < blocks)
                .forEach(span -> IntStream.rangeClosed(0, blocks - span).forEach(first -> ranges.add(new Range(first, span))));
        return ranges;
    }

    @Override
    public void close() {
        imageTower.ifPresent(DepthSurvey::close);
        encoderInputs.ifPresent(Inputs::close);
        inputs.close();
        runner.close();
    }
}
