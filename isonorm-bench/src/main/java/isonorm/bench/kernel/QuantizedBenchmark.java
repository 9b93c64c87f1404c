package isonorm.bench.kernel;

import isonorm.kernel.Kernels;
import isonorm.kernel.QuantizedPanels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.weights.Quantization;
import isonorm.weights.Seed;
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

/** {@link PanelBenchmark} with weights of few bits. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(1)
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
public class QuantizedBenchmark {

    private static final int BYTES = 3 << 26;

    @Param({"plain", "vector"})
    private String twin;

    @Param({"1", "2", "4", "16"})
    private int rows;

    @Param({"8", "4"})
    private int bits;

    /** Inputs x outputs. */
    @Param({"768x3072", "3072x768"})
    private String shape;

    private Kernels kernels;
    private Rows x;
    private Rows y;
    private QuantizedPanels[] weights;
    private int next;

    @Setup
    public void make() {
        kernels = Benchmarks.twin(twin);
        int in = Integer.parseInt(shape.split("x")[0]);
        int out = Integer.parseInt(shape.split("x")[1]);
        x = Benchmarks.rows(Type.F32, rows, in, in);
        y = Benchmarks.rows(Type.F32, rows, out, out);
        Quantization quantization = Quantization.of(bits);
        weights = new QuantizedPanels[(int) (BYTES / QuantizedPanels.bytes(quantization, in, out))];
        byte[] codes = new byte[in];
        short[] scales = new short[quantization.groups(in)];
        double[] values = Seed.of(1).random().doubles(in, -1, 1).toArray();
        quantization.round(values, 0, in, codes, 0, scales, 0);
        for (int i = 0; i < weights.length; i++) {
            weights[i] = QuantizedPanels.allocate(Arena.ofAuto(), quantization, in, out);
            for (int output = 0; output < out; output++) {
                weights[i].set(output, codes, 0, scales, 0);
            }
        }
    }

    @Benchmark
    public void product(PanelBenchmark.Done done) {
        QuantizedPanels each = weights[next];
        next = (next + 1) % weights.length;
        kernels.product(x, each, y);
        done.bytes += each.data().byteSize();
        done.operations += 2L * rows * each.inputs() * each.outputs();
    }
}
