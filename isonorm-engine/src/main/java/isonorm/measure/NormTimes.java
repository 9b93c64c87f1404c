package isonorm.measure;

import static java.util.Objects.requireNonNull;

import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.layer.Tolerance;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Result;
import isonorm.weights.Model;
import isonorm.weights.Seed;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.LongStream;

/**
 * What a model's norms cost: its variants timed in turn, in one process, on the same input.
 *
 * @param runs how often each variant is timed
 * @param warmUp how long each variant runs before that, so that what the JVM compiles is compiled
 * @param tokens how long a prompt is, for models of language
 */
public record NormTimes(Loaded.Engine engine, int threads, int runs, Duration warmUp, int tokens) {

    private static final int COMPARED = 1 << 18;

    private static final long SEED = 20230524;

    public NormTimes {
        if (runs < 1 || threads < 1 || tokens < 1) {
            throw new IllegalArgumentException("runs, threads and tokens must be 1 or more, got " + runs + ", " + threads + " and " + tokens);
        }
    }

    /**
     * How long one variant took.
     *
     * @param toPreLn each run's time as a part of the time that the Pre-LN model took in the same round
     */
    public record Time(String model, int batch, Compute compute, Variant variant, Quartiles milliseconds, Quartiles toPreLn) {}

    /** Refuses a shape that has too few positions for the prompts. */
    public void require(String name, Architecture shape) {
        if (shape.embedding() instanceof Embedding.Tokens && tokens > shape.context()) {
            throw new IllegalArgumentException(name + " has " + shape.context() + " positions, got prompts of " + tokens + " tokens");
        }
    }

    /**
     * Times all variants of one shape.
     *
     * @throws IOException also if the variants that must be one function are not
     */
    public List<Time> of(String name, Architecture shape, Compute compute, List<Integer> batches, Progress progress) throws IOException {
        require(name, shape);
        Architecture architecture = Variant.preLn(shape);
        Model preLn = RandomWeights.model(architecture, SEED);
        Map<Variant, Loaded> loaded = new EnumMap<>(Variant.class);
        try {
            for (Variant variant : Variant.values()) {
                progress.step("loading " + name + " in " + compute.label(), variant.ordinal(), Variant.values().length);
                loaded.put(variant, engine.load(variant.of(preLn), compute, threads));
            }
            List<Time> times = new ArrayList<>();
            for (int batch : batches) {
                times.addAll(times(name, loaded, compute, input(architecture, batch), progress));
            }
            return times;
        } finally {
            loaded.values().forEach(Loaded::close);
        }
    }

    private List<Time> times(String name, Map<Variant, Loaded> loaded, Compute compute, Batch batch, Progress progress) throws IOException {
        requireEqual(name, loaded, compute, batch);
        String what = name + " in " + compute.label() + ", batch " + batch.count();
        long[] warm = new long[Variant.values().length];
        for (int round = 0; round < 2 || least(warm) < warmUp.toNanos(); round++) {
            progress.step("warming up " + what, Math.min(least(warm), warmUp.toNanos()), Math.max(1, warmUp.toNanos()));
            for (Variant variant : Variant.values()) {
                warm[variant.ordinal()] += nanoseconds(requireNonNull(loaded.get(variant)), batch);
            }
        }
        double[][] milliseconds = new double[Variant.values().length][runs];
        for (int run = 0; run < runs; run++) {
            progress.step("timing " + what, run, runs);
            for (int v : order(run, Variant.values().length)) {
                milliseconds[v][run] = nanoseconds(requireNonNull(loaded.get(Variant.values()[v])), batch) / 1e6;
            }
        }
        List<Time> times = new ArrayList<>();
        for (Variant variant : Variant.values()) {
            times.add(new Time(name, batch.count(), compute, variant, Quartiles.of(milliseconds[variant.ordinal()]),
                    Quartiles.ofRatios(milliseconds[variant.ordinal()], milliseconds[Variant.PRE_LN.ordinal()])));
        }
        return times;
    }

    /**
     * Who runs when in a round of an even number: in as many rounds each is once at each place and once behind each other one (Williams,
     * 1949). What runs behind a larger model finds less of its own in the caches, and a machine's pace differs less from one run to the
     * next than from that to the one behind it.
     */
    static int[] order(int round, int count) {
        int[] order = new int[count];
        for (int turn = 0; turn < count; turn++) {
            int first = turn % 2 == 0 ? count - turn / 2 : (turn + 1) / 2;
            order[turn] = (first + round) % count;
        }
        return order;
    }

    private static long least(long[] values) {
        long least = Long.MAX_VALUE;
        for (long value : values) {
            least = Math.min(least, value);
        }
        return least;
    }

    private static long nanoseconds(Loaded loaded, Batch batch) throws IOException {
        long start = System.nanoTime();
        try (Result _ = loaded.run(batch)) {
            return System.nanoTime() - start;
        }
    }

    private static void requireEqual(String name, Map<Variant, Loaded> loaded, Compute compute, Batch batch) throws IOException {
        double[] expected = output(requireNonNull(loaded.get(Variant.PRE_LN)), batch);
        for (Variant variant : List.of(Variant.PRE_RMSNORM, Variant.PRE_CRMSNORM)) {
            double error = error(output(requireNonNull(loaded.get(variant)), batch), expected);
            double tolerance = Tolerance.sameFunctionRms(compute);
            if (!(error <= tolerance)) { // also NaN
                throw new IOException(String.format(Locale.ROOT,
                        "the %s form of %s must be the function of the pre-ln one, its outputs in %s are off by %.1e of their spread where %.0e is rounding; "
                                + "times of different functions say nothing",
                        variant.label(), name, compute.label(), error, tolerance));
            }
        }
    }

    /** The last values of the output, which depend on all that was read; all logits of a long batch would not fit the heap. */
    private static double[] output(Loaded loaded, Batch batch) throws IOException {
        try (Result result = loaded.run(batch)) {
            long all = LongStream.of(result.outputShape()).reduce(1, Math::multiplyExact);
            double[] last = new double[(int) Math.min(all, COMPARED)];
            result.readOutput(all - last.length, last.length, last);
            return last;
        }
    }

    /** The root of the mean squared difference, as a part of the standard deviation of what is expected. */
    static double error(double[] given, double[] expected) {
        double mean = 0;
        for (double value : expected) {
            mean += value / expected.length;
        }
        double differences = 0;
        double spread = 0;
        for (int i = 0; i < expected.length; i++) {
            differences += (given[i] - expected[i]) * (given[i] - expected[i]);
            spread += (expected[i] - mean) * (expected[i] - mean);
        }
        return Math.sqrt(differences / spread);
    }

    private Batch input(Architecture architecture, int count) {
        SplittableRandom random = Seed.of(SEED).random();
        return switch (architecture.embedding()) {
            case Embedding.Patches patches -> {
                float[] pixels = new float[count * patches.channels() * patches.height() * patches.width()];
                for (int i = 0; i < pixels.length; i++) {
                    pixels[i] = (float) random.nextGaussian();
                }
                yield new Batch.Images(pixels, count, patches.channels(), patches.height(), patches.width());
            }
            case Embedding.Sound _ -> throw new IllegalArgumentException("norms are timed in models of texts and images, got one of sounds");
            case Embedding.Tokens words -> {
                long[][] ids = new long[count][];
                for (int row = 0; row < count; row++) {
                    ids[row] = random.longs(tokens, 0, words.vocabulary()).toArray();
                }
                yield Batch.Tokens.of(ids);
            }
        };
    }
}
