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
import isonorm.onnx.graph.ElementType;
import isonorm.onnx.graph.Encoder;
import isonorm.onnx.graph.OnnxModel;
import isonorm.weights.Model;
import isonorm.weights.Seed;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.LongStream;

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
    static double of(Model model, OnnxModel graph, Exporter.Options options, Path file, OnnxRuntime runtime) throws IOException {
        Dtype dtype = options.real() == ElementType.FLOAT16 ? Dtype.F16 : Dtype.F32;
        Batch batch = random(model.architecture());
        double worst = switch (options.part()) {
            case WHOLE -> whole(model, graph, batch, file, dtype, runtime);
            case ENCODER -> encoder(model, graph, (Batch.Both) batch, file, dtype, runtime);
            case DECODER, DECODER_WITH_PAST -> decoder(model, graph, options, (Batch.Both) batch, file, dtype, runtime);
        };
        double limit = dtype == Dtype.F16 ? Tolerance.SAME_FUNCTION_RMS_F16 : Tolerance.written(Dtype.F32, Compute.F32);
        if (!(worst <= limit)) { // also NaN
            throw new IOException(String.format(Locale.ROOT, "%s gives other outputs in ONNX Runtime %s than the checkpoint: they are off by %.1e of their spread"
                    + " where %.0e is rounding, so it was not kept", file.getFileName(), runtime.version(), worst, limit));
        }
        return worst;
    }

    private static OnnxRuntime.Session open(Path file, OnnxRuntime runtime) throws IOException {
        return runtime.open(file, Runtime.getRuntime().availableProcessors());
    }

    private static double[] expected(Model model, Batch batch) throws IOException {
        try (ForwardPass pass = ForwardPass.fitting(model, Compute.F64); Result result = pass.run(batch)) {
            return result.outputValues();
        }
    }

    private static double whole(Model model, OnnxModel graph, Batch batch, Path file, Dtype dtype, OnnxRuntime runtime) throws IOException {
        double[] expected = expected(model, batch);
        try (OnnxRuntime.Session session = open(file, runtime)) {
            double worst = error(expected, first(session.run(Feeds.of(graph, batch))), dtype);
            return Exporter.continues(model.architecture()) && batch instanceof Batch.Tokens tokens && tokens.length() > 1
                    ? Math.max(worst, error(expected, inTwo(session, graph, tokens), dtype)) : worst;
        }
    }

    private static double encoder(Model model, OnnxModel graph, Batch.Both batch, Path file, Dtype dtype, OnnxRuntime runtime) throws IOException {
        double[] expected = expected(model.companion().orElseThrow(), batch.companion());
        try (OnnxRuntime.Session session = open(file, runtime)) {
            return error(expected, first(session.run(Feeds.of(graph, batch))), dtype);
        }
    }

    /** A decoder by itself, beside what the encoder gives in float64; where it goes on, behind what one that begins gave of the first half of its tokens. */
    private static double decoder(Model model, OnnxModel graph, Exporter.Options options, Batch.Both batch, Path file, Dtype dtype, OnnxRuntime runtime)
            throws IOException {
        Batch.Tokens tokens = (Batch.Tokens) batch.main();
        double[] expected = expected(model, batch);
        Map<String, Values> given = new HashMap<>(encoded(model, batch, dtype));
        if (options.part() == OnnxExport.Part.DECODER) {
            try (OnnxRuntime.Session session = open(file, runtime)) {
                return error(expected, first(session.run(Feeds.decoder(graph, tokens.ids(), given))), dtype);
            }
        }
        int split = Math.ceilDiv(tokens.length(), 2);
        Path begins = file.resolveSibling("begins.onnx");
        OnnxModel beginning = Exporter.graph(model, new Exporter.Options(options.opset(), options.real(), true, OnnxExport.Part.DECODER));
        Encoder.write(beginning, begins, Encoder.tooLarge(beginning));
        try (OnnxRuntime.Session session = open(begins, runtime)) {
            given.putAll(session.run(Feeds.decoder(beginning, part(tokens, 0, split), given)));
        }
        try (OnnxRuntime.Session session = open(file, runtime)) {
            double[] rest = first(session.run(Feeds.decoder(graph, part(tokens, split, tokens.length()), given)));
            return error(behind(expected, tokens, split), rest, dtype);
        }
    }

    private static double[] behind(double[] all, Batch.Tokens tokens, int split) {
        int words = all.length / tokens.count() / tokens.length();
        int rest = tokens.length() - split;
        double[] some = new double[tokens.count() * rest * words];
        for (int row = 0; row < tokens.count(); row++) {
            System.arraycopy(all, (row * tokens.length() + split) * words, some, row * rest * words, rest * words);
        }
        return some;
    }

    /** What an encoder gives, as inputs of a decoder. */
    static Map<String, Values> encoded(Model model, Batch.Both batch, Dtype dtype) throws IOException {
        double[] states = expected(model.companion().orElseThrow(), batch.companion());
        int width = model.companion().orElseThrow().architecture().width();
        long[] shape = {batch.count(), states.length / batch.count() / width, width};
        float[] narrow = new float[states.length];
        for (int i = 0; i < states.length; i++) {
            narrow[i] = (float) states[i];
        }
        long[] mask = batch.companion() instanceof Batch.Tokens texts && texts.mask().isPresent()
                ? Arrays.stream(texts.mask().get()).flatMapToLong(Arrays::stream).toArray()
                : LongStream.generate(() -> 1).limit(shape[0] * shape[1]).toArray();
        return Map.of("encoder_hidden_states", new Values.Reals(narrow, shape, dtype == Dtype.F16),
                "encoder_attention_mask", new Values.Integers(mask, new long[] {shape[0], shape[1]}));
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
