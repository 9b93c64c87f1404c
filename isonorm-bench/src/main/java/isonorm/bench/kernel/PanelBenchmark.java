package isonorm.bench.kernel;

import isonorm.kernel.Kernels;
import isonorm.kernel.Panels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import java.lang.foreign.Arena;
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
 * Products of rows with weights in panels, one matrix after the other out of memory, on one thread. The figure called bytes is GB/s
 * of weights, that called operations is GFLOP/s.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(1)
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
public class PanelBenchmark {

    /** So that matrices are too large for any cache. */
    private static final int BYTES = 3 << 26;

    @Param({"plain", "vector"})
    private String twin;

    @Param({"1", "2", "4", "64", "256"})
    private int rows;

    @Param({"F32", "BF16", "F16"})
    private Type type;

    /** Inputs x outputs. */
    @Param({"768x3072", "3072x768"})
    private String shape;

    private Kernels kernels;
    private Rows x;
    private Rows y;
    private Panels[] weights;
    private int next;

    @Setup
    public void make() {
        kernels = Benchmarks.twin(twin);
        int in = Integer.parseInt(shape.split("x")[0]);
        int out = Integer.parseInt(shape.split("x")[1]);
        x = Benchmarks.rows(Type.F32, rows, in, in);
        y = Benchmarks.rows(Type.F32, rows, out, out);
        weights = new Panels[(int) (BYTES / Panels.bytes(type, in, out))];
        Rows matrix = Benchmarks.rows(type, in, out, out);
        for (int i = 0; i < weights.length; i++) {
            weights[i] = Panels.allocate(Arena.ofAuto(), type, in, out);
            kernels.pack(matrix, false, 0, weights[i]);
        }
    }

    /** What was read and done. */
    @AuxCounters(AuxCounters.Type.OPERATIONS)
    @State(Scope.Thread)
    public static class Done {
        /** Of weights. */
        public long bytes;
        /** Two for a weight and a row. */
        public long operations;
    }

    @Benchmark
    public void product(Done done) {
        Panels each = weights[next];
        next = (next + 1) % weights.length;
        kernels.product(x, each, y);
        done.bytes += each.data().byteSize();
        done.operations += 2L * rows * each.inputs() * each.outputs();
    }
}
