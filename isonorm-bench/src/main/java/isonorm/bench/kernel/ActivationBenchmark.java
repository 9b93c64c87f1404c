package isonorm.bench.kernel;

import isonorm.architecture.Activation;
import isonorm.kernel.Kernels;
import isonorm.kernel.Rows;
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

/** An activation in place with its bias, 256 x 3072, on one thread; it reads a matrix and writes it. GB/s. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(1)
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
public class ActivationBenchmark {

    private static final int ROWS = 256;
    private static final int WIDTH = 3072;

    @Param({"plain", "vector"})
    private String twin;

    @Param({"GELU", "GELU_TANH", "SILU"})
    private Activation activation;

    private Kernels kernels;
    private Rows floats;
    private Rows brains;
    private final Values bias = Values.room(WIDTH);

    @Setup
    public void make() {
        kernels = Benchmarks.twin(twin);
        floats = Benchmarks.rows(Type.F32, ROWS, WIDTH, WIDTH);
        brains = Benchmarks.rows(Type.BF16, ROWS, WIDTH, WIDTH);
    }

    @Benchmark
    @OperationsPerInvocation(2 * ROWS * WIDTH * Float.BYTES)
    public void float32() {
        kernels.activate(floats, Values.NONE, bias, activation);
    }

    @Benchmark
    @OperationsPerInvocation(2 * ROWS * WIDTH * Short.BYTES)
    public void bfloat16() {
        kernels.activate(brains, Values.NONE, bias, activation);
    }
}
