package isonorm.depth;

import static java.util.Objects.requireNonNull;

import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.fused.FusedModel;
import isonorm.layer.LogProbabilities;
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
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.Optional;
import java.util.function.IntPredicate;
import java.util.stream.IntStream;

/**
 * Measures how a model uses its depth while it reads.
 *
 * <p>Results depend on the rows of tokens alone, but for rounding: not on how these come in batches, nor on padding, which is taken out
 * before they are read, nor on threads. Memory is the model's and that of the rows that go through it together, however many there are.
 */
public final class DepthSurvey implements AutoCloseable {

    private final Model model;
    private final Architecture architecture;
    private final Compute compute;
    private final Runner runner;
    private final Inputs inputs;

    private DepthSurvey(Model model, Compute compute, Runner runner) {
        this.model = model;
        this.architecture = model.architecture();
        this.compute = compute;
        this.runner = runner;
        this.inputs = new Inputs(architecture.blocks().size(), architecture.width());
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
        return new DepthSurvey(model, compute, FusedModel.orLayers(model, compute, threads));
    }

    /** Refuses a model without blocks, or one that reads no tokens. */
    public static void require(Transformer model) {
        Architecture architecture = Model.of(model).architecture();
        if (architecture.blocks().isEmpty()) {
            throw new IllegalArgumentException("depth is measured between blocks; this " + architecture.family() + " model has none");
        }
        if (!(architecture.embedding() instanceof Embedding.Tokens)) {
            throw new IllegalArgumentException("depth is measured on text; this " + architecture.family() + " model reads images");
        }
        if (architecture.companion().isPresent()) {
            throw new IllegalArgumentException("depth is measured on one text; this " + architecture.family() + " model has two stacks, which read two");
        }
    }

    /** Measures on the whole windows of a text. */
    public Depth measure(TokenizedText text, Progress progress) throws IOException {
        Iterator<Batch.Tokens> windows = IntStream.range(0, text.windows()).mapToObj(w -> Batch.Tokens.of(text.window(w))).iterator();
        return measure(windows, text.tokens(), progress);
    }

    /**
     * Measures on batches, whose padding is left out.
     *
     * @param total how many tokens there are in all, for progress alone
     */
    public Depth measure(Iterator<Batch.Tokens> batches, long total, Progress progress) throws IOException {
        Survey survey = new Survey(architecture, inputs);
        read(batches, rows -> {
            survey.begin(rows);
            runner.observe(Batch.Tokens.of(rows), survey);
            survey.end();
            progress.step("reading in " + compute.label(), survey.tokens(), total);
        });
        if (survey.tokens() == 0) {
            throw new IllegalArgumentException("depth is measured on tokens, got none");
        }
        return depth(survey);
    }

    /** Reads batches as {@link #measure} does and measures nothing, which is what the time of measuring is compared with. */
    public void readOnly(Iterator<Batch.Tokens> batches) throws IOException {
        read(batches, rows -> runner.observe(Batch.Tokens.of(rows), Observer.NONE));
    }

    /** What is done with rows of one length. */
    @FunctionalInterface
    private interface Reading {
        void read(long[][] rows) throws IOException;
    }

    /** Takes out padding and puts as many rows together as go through a model well. */
    private void read(Iterator<Batch.Tokens> batches, Reading reading) throws IOException {
        List<long[]> together = new ArrayList<>();
        while (batches.hasNext()) {
            for (long[] row : rows(batches.next())) {
                if (!together.isEmpty() && (together.getFirst().length != row.length || together.size() == runner.together(row.length))) {
                    reading.read(together.toArray(long[][]::new));
                    together.clear();
                }
                together.add(row);
            }
        }
        if (!together.isEmpty()) {
            reading.read(together.toArray(long[][]::new));
        }
    }

    /** The rows of a batch without their padding; those that were nothing else are gone. */
    private static List<long[]> rows(Batch.Tokens batch) {
        return IntStream.range(0, batch.count())
                .mapToObj(r -> IntStream.range(0, batch.length()).filter(t -> batch.seen(r, t)).mapToLong(t -> batch.ids()[r][t]).toArray())
                .filter(row -> row.length > 0)
                .toList();
    }

    private Depth depth(Survey survey) {
        var activations = survey.activations();
        double[] variances = activations.stream().mapToDouble(block -> requireNonNull(block.get(Position.BLOCK_OUTPUT)).variance()).toArray();
        Distances distances = survey.distances();
        return new Depth(architecture.width(), survey.tokens(), compute, activations, distances.angular(), distances.cosine(), survey.similarity().cka(),
                distances.without(), survey.massiveActivations(), Growth.of(variances), survey.experts(), Optional.empty(),
                Optional.empty());
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
        return new Sensitivity(text.predicted(), perplexities[0], removals);
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
        inputs.close();
        runner.close();
    }
}
