package isonorm.bench.kernel;

import isonorm.kernel.Kernels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
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

/** Products of 768 x 3072 weights with few vectors, one matrix after the other out of memory, on two threads. GB/s. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(value = 1, jvmArgsPrepend = {Benchmarks.VECTORS, Benchmarks.NATIVE})
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
public class MatrixVectorBenchmark {

    private static final int OUT = 768;
    private static final int IN = 3072;
    /** Together too large for any cache. */
    private static final int MATRICES = 27;

    @Param({"plain", "vector"})
    private String twin;

    @Param({"1", "2", "4"})
    private int vectors;

    private Kernels kernels;
    private Rows x;
    private Rows y;
    private final Rows floats = Benchmarks.rows(Type.F32, MATRICES * OUT, IN, IN);
    private final Rows brains = Benchmarks.rows(Type.BF16, MATRICES * OUT, IN, IN);

    @Setup
    public void make() {
        kernels = Benchmarks.twin(twin);
        x = Benchmarks.rows(Type.F32, vectors, IN, IN);
        y = Benchmarks.rows(Type.F32, vectors, OUT, OUT);
    }

    @Benchmark
    @OperationsPerInvocation(MATRICES * OUT * IN * Float.BYTES)
    public void float32() {
        products(floats);
    }

    @Benchmark
    @OperationsPerInvocation(MATRICES * OUT * IN * Short.BYTES)
    public void bfloat16() {
        products(brains);
    }

    private void products(Rows weights) {
        int part = OUT / Benchmarks.THREADS;
        for (int m = 0; m < MATRICES; m++) {
            int first = m * OUT;
            Benchmarks.parallel(thread ->
                    kernels.matrixVectors(weights.slice(first + thread * part, part), x, y.sliceColumns(thread * part, part)));
        }
    }
}
