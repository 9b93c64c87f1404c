package isonorm.bench.kernel;

import isonorm.kernel.Kernels;
import isonorm.kernel.Reach;
import isonorm.kernel.Rows;
import isonorm.kernel.Scoring;
import isonorm.kernel.Type;
import isonorm.kernel.Values;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Warmup;

/** Softmax of 512 x 512 float32 scores into bfloat16 weights, on one thread. GB/s. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(1)
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
public class SoftmaxBenchmark {

    private static final int KEYS = 512;

    @Param({"plain", "vector"})
    private String twin;

    @Param({"0", "50"})
    private double softcap;

    private Kernels kernels;
    private Scoring scoring;
    private final Rows scores = Benchmarks.rows(Type.F32, KEYS, KEYS, KEYS);
    private final Rows weights = Benchmarks.rows(Type.BF16, KEYS, KEYS, KEYS);

    @Setup
    public void make() {
        kernels = Benchmarks.twin(twin);
        scoring = Scoring.of(0.125).withSoftcap(softcap);
    }

    @Benchmark
    @OperationsPerInvocation(KEYS * KEYS * (Float.BYTES + Short.BYTES))
    public void all() {
        kernels.softmax(scores, scoring, Values.NONE, Reach.all(), weights);
    }

    /** Half of the keys are seen; the bytes counted are still those of all. */
    @Benchmark
    @OperationsPerInvocation(KEYS * KEYS * (Float.BYTES + Short.BYTES))
    public void causal() {
        kernels.softmax(scores, scoring, Values.NONE, Reach.causal(0, KEYS), weights);
    }
}
