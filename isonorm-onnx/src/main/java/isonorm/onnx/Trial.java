package isonorm.onnx;

import isonorm.architecture.Architecture;
import isonorm.architecture.Companion;
import isonorm.architecture.Embedding;
import isonorm.checkpoint.Dtype;
import isonorm.layer.ForwardPass;
import isonorm.layer.Noise;
import isonorm.layer.Tolerance;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Result;
import isonorm.onnx.OnnxRuntime.Values;
import isonorm.onnx.export.Exporter;
import isonorm.onnx.export.Feeds;
import isonorm.onnx.graph.OnnxModel;
import isonorm.weights.Model;
import isonorm.weights.Seed;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import java.util.Map;
import java.util.SplittableRandom;

/** Runs a graph that was written, on random inputs, beside the model that it was made of, in float64. */
final class Trial {

    private static final long SEED = 20260720;
    private static final int ROWS = 2;
    private static final int TOKENS = 24;

    private Trial() {}

    /**
     * How far what the graph gives is from what the model gives, as a part of its standard deviation: the largest error, or in float16, where single
     * values are not certain, the root of the mean square.
     *
     * @throws IOException if that is more than rounding explains
     */
    static double of(Model model, OnnxModel graph, Path file, Dtype dtype, OnnxRuntime runtime) throws IOException {
        Batch batch = random(model.architecture());
        double[] expected;
        try (ForwardPass pass = ForwardPass.fitting(model, Compute.F64); Result result = pass.run(batch)) {
            expected = result.outputValues();
        }
        double worst;
        try (OnnxRuntime.Session session = runtime.open(file, Runtime.getRuntime().availableProcessors())) {
            worst = error(expected, first(session.run(Feeds.of(graph, batch))), dtype);
            if (Exporter.continues(model.architecture()) && batch instanceof Batch.Tokens tokens && tokens.length() > 1) {
                worst = Math.max(worst, error(expected, inTwo(session, graph, tokens), dtype));
            }
        }
        double limit = dtype == Dtype.F16 ? Tolerance.SAME_FUNCTION_RMS_F16 : Tolerance.written(Dtype.F32, Compute.F32);
        if (!(worst <= limit)) { // also NaN
            throw new IOException(String.format(Locale.ROOT, "%s gives other outputs in ONNX Runtime %s than the checkpoint: they are off by %.1e of their spread"
                    + " where %.0e is rounding, so it was not kept", file.getFileName(), runtime.version(), worst, limit));
        }
        return worst;
    }

    /** The output of all tokens where the second part of them is read behind the first. */
    private static double[] inTwo(OnnxRuntime.Session session, OnnxModel graph, Batch.Tokens all) throws IOException {
        int split = all.length() / 2;
        Map<String, Values> before = session.run(Feeds.of(graph, Batch.Tokens.of(part(all, 0, split))));
        double[] one = first(before);
        double[] other = first(session.run(Feeds.next(graph, part(all, split, all.length()), split, before)));
        int words = one.length / all.count() / split;
        double[] both = new double[one.length + other.length];
        int rest = all.length() - split;
        for (int row = 0; row < all.count(); row++) {
            System.arraycopy(one, row * split * words, both, row * all.length() * words, split * words);
            System.arraycopy(other, row * rest * words, both, (row * all.length() + split) * words, rest * words);
        }
        return both;
    }

    private static long[][] part(Batch.Tokens all, int from, int to) {
        return Arrays.stream(all.ids()).map(row -> Arrays.copyOfRange(row, from, to)).toArray(long[][]::new);
    }

    private static double[] first(Map<String, Values> given) {
        float[] values = ((Values.Reals) given.values().iterator().next()).values();
        double[] wide = new double[values.length];
        for (int i = 0; i < values.length; i++) {
            wide[i] = values[i];
        }
        return wide;
    }

    private static double error(double[] expected, double[] given, Dtype dtype) {
        if (expected.length != given.length) {
            return Double.POSITIVE_INFINITY;
        }
        double mean = Arrays.stream(expected).average().orElse(0);
        double largest = 0;
        double squares = 0;
        double spread = 0;
        for (int i = 0; i < expected.length; i++) {
            double difference = given[i] - expected[i];
            largest = Double.isNaN(difference) ? Double.POSITIVE_INFINITY : Math.max(largest, Math.abs(difference));
            squares += difference * difference;
            spread += (expected[i] - mean) * (expected[i] - mean);
        }
        return dtype == Dtype.F16 ? Math.sqrt(squares / spread) : largest / Math.sqrt(spread / expected.length);
    }

    private static Batch random(Architecture architecture) {
        SplittableRandom random = Seed.of(SEED).random();
        Batch main = random(architecture, random);
        return architecture.companion().map(Companion::architecture).<Batch>map(beside -> new Batch.Both(random(beside, random), main)).orElse(main);
    }

    private static Batch random(Architecture stack, SplittableRandom random) {
        return switch (stack.embedding()) {
            case Embedding.Tokens tokens -> {
                long[][] ids = new long[ROWS][Math.min(TOKENS, stack.longestSequence())];
                for (long[] row : ids) {
                    Arrays.setAll(row, _ -> random.nextInt(tokens.vocabulary()));
                }
                yield Batch.Tokens.of(ids);
            }
            case Embedding.Patches patches -> Noise.images(patches, ROWS, random);
            case Embedding.Sound sound -> Noise.sounds(sound, ROWS, Math.min(TOKENS, stack.longestSequence()), random);
        };
    }
}
