package isonorm.bench.kernel;

import isonorm.kernel.Kernels;
import isonorm.kernel.Panels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import java.lang.foreign.Arena;
import java.util.concurrent.TimeUnit;
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

/** A matrix of 768 x 3072 into panels, stored (in, out) and (out, in), and from 16-bit panels to float32 ones, on one thread. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(1)
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
public class PackBenchmark {

    private static final int INPUTS = 768;
    private static final int OUTPUTS = 3072;

    @Param({"plain", "vector"})
    private String twin;

    @Param({"F32", "BF16", "F16"})
    private Type from;

    @Param({"F32", "BF16", "F16"})
    private Type to;

    private Kernels kernels;
    private Rows inOut;
    private Rows outIn;
    private Panels stored;
    private Panels into;

    @Setup
    public void make() {
        kernels = Benchmarks.twin(twin);
        inOut = Benchmarks.rows(from, INPUTS, OUTPUTS, OUTPUTS);
        outIn = Rows.of(inOut.data(), from, OUTPUTS, INPUTS);
        stored = Panels.allocate(Arena.ofAuto(), from, INPUTS, OUTPUTS);
        kernels.pack(inOut, false, 0, stored);
        into = Panels.allocate(Arena.ofAuto(), to, INPUTS, OUTPUTS);
    }

    @Benchmark
    public void storedInOut() {
        kernels.pack(inOut, false, 0, into);
    }

    @Benchmark
    public void storedOutIn() {
        kernels.pack(outIn, true, 0, into);
    }

    /** Of 16 bits to float32; of other types it is nothing. */
    @Benchmark
    public void widen() {
        if (from != Type.F32 && to == Type.F32) {
            kernels.widen(stored, into);
        }
    }
}
