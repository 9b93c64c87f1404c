package isonorm.bench.kernel;

import isonorm.architecture.Activation;
import isonorm.architecture.NormKind;
import isonorm.kernel.Gradients;
import isonorm.kernel.Gradients.NormSums;
import isonorm.kernel.Normalization;
import isonorm.kernel.Reach;
import isonorm.kernel.Rows;
import isonorm.kernel.Scoring;
import isonorm.kernel.Type;
import isonorm.kernel.Values;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Warmup;

/**
 * The backward passes, and a step of AdamW, on one thread. The figure called bytes is GB/s, read and written. Those that work in place are
 * given what they leave as it is, or nearly, so that every run has as much to do.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(1)
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
public class GradientBenchmark {

    private static final int ROWS = 256;
    private static final int WIDTH = 384;
    private static final int HIDDEN = 1536;
    private static final int KEYS = 256;
    private static final int VOCABULARY = 4096;
    private static final int PARAMETERS = 1 << 20;

    @Param({"plain", "vector"})
    private String twin;

    @Param({"F32", "BF16"})
    private Type type;

    private Gradients gradients;
    private Rows stream;
    private Rows branch;
    private Rows streamGradient;
    private Rows hidden;
    private Rows hiddenGradient;
    private Rows hiddenResult;
    private Rows weights;
    private Rows weightsGradient;
    private Rows logits;
    private Rows parameters;
    private Rows parametersGradient;
    private Rows first;
    private Rows second;
    private final Values gain = Values.room(WIDTH);
    private final Rows gainSums = Benchmarks.rows(Type.F32, 1, WIDTH, WIDTH);
    private final int[] targets = new int[ROWS];
    private final double[] losses = new double[ROWS];

    @Setup
    public void make() {
        gradients = Benchmarks.gradientTwin(twin);
        stream = Benchmarks.rows(Type.F32, ROWS, WIDTH, WIDTH);
        branch = Benchmarks.rows(type, ROWS, WIDTH, WIDTH);
        streamGradient = Benchmarks.rows(Type.F32, ROWS, WIDTH, WIDTH);
        hidden = Benchmarks.rows(type, ROWS, HIDDEN, HIDDEN);
        hiddenGradient = Benchmarks.rows(type, ROWS, HIDDEN, HIDDEN);
        hiddenResult = Benchmarks.rows(type, ROWS, HIDDEN, HIDDEN);
        weights = Benchmarks.rows(type, KEYS, KEYS, KEYS);
        for (int r = 0; r < KEYS; r++) {
            for (int c = 0; c < KEYS; c++) {
                weights.set(r, c, 1.0 / KEYS);
            }
        }
        weightsGradient = Benchmarks.rows(type, KEYS, KEYS, KEYS);
        logits = Benchmarks.rows(type, ROWS, VOCABULARY, VOCABULARY);
        parameters = Benchmarks.rows(Type.F32, 1, PARAMETERS, PARAMETERS);
        parametersGradient = Benchmarks.rows(type, 1, PARAMETERS, PARAMETERS);
        first = Benchmarks.rows(Type.F32, 1, PARAMETERS, PARAMETERS);
        second = Benchmarks.rows(Type.F32, 1, PARAMETERS, PARAMETERS);
        gradients.scale(second, 0);
        for (int i = 0; i < WIDTH; i++) {
            gain.set(i, 1);
        }
        for (int i = 0; i < ROWS; i++) {
            targets[i] = i * 37 % VOCABULARY;
        }
    }

    /** Bytes that were read or written. */
    @AuxCounters(AuxCounters.Type.OPERATIONS)
    @State(Scope.Thread)
    public static class Moved {
        /** Of every matrix once. */
        public long bytes;

        private void add(int times, Rows rows) {
            bytes += (long) times * rows.rows() * rows.columns() * rows.type().bytes();
        }
    }

    /** Through a norm with a gain, into the gradient of a float32 stream. */
    @Benchmark
    public void addNorm(Moved moved) {
        gradients.addNorm(stream, Normalization.of(NormKind.RMS, 1e-5).withGain(gain), branch, streamGradient, new NormSums(gainSums, null));
        moved.add(3, stream);
        moved.add(1, branch);
    }

    @Benchmark
    public void geluTanh(Moved moved) {
        gradients.activation(hidden, Values.NONE, Activation.GELU_TANH, hiddenGradient, hiddenResult, null);
        moved.add(3, hidden);
    }

    @Benchmark
    public void silu(Moved moved) {
        gradients.activation(hidden, Values.NONE, Activation.SILU, hiddenGradient, hiddenResult, null);
        moved.add(3, hidden);
    }

    /** Half of the keys are seen; the bytes counted are those of all. */
    @Benchmark
    public void causalSoftmax(Moved moved) {
        gradients.softmax(weights, null, Scoring.of(KEYS), Reach.causal(0, KEYS), weightsGradient);
        moved.add(3, weights);
    }

    @Benchmark
    public void crossEntropy(Moved moved) {
        gradients.crossEntropy(logits, targets, 1, losses);
        moved.add(2, logits);
    }

    /** Weights and moments are float32. */
    @Benchmark
    public void adamW(Moved moved) {
        gradients.adamW(parameters, parametersGradient, first, second, new Gradients.AdamW(1e-6, 0.9, 0.95, 1e-8, 0.1, 10, 1));
        moved.add(6, parameters);
        moved.add(1, parametersGradient);
    }
}
