package isonorm.bench.kernel;

import isonorm.architecture.NormKind;
import isonorm.kernel.Kernels;
import isonorm.kernel.Normalization;
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

/**
 * The residual sum with the norm behind it, 512 rows, on one thread; it reads two matrices and writes two. Of a CRMSNorm the rows are
 * as wide and hold a value less. Nanoseconds a row.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(1)
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
public class NormBenchmark {

    private static final int ROWS = 512;

    @Param({"192", "768"})
    private int width;

    @Param({"plain", "vector"})
    private String twin;

    @Param({"LAYER", "RMS", "CRMS"})
    private NormKind kind;

    private Kernels kernels;
    private Rows[] floats;
    private Rows[] brains;
    private final Values scales = Values.room(ROWS);

    @Setup
    public void make() {
        kernels = Benchmarks.twin(twin);
        floats = three(Type.F32);
        brains = three(Type.BF16);
    }

    private Rows[] three(Type type) {
        int columns = kind == NormKind.CRMS ? width - 1 : width;
        Rows[] three = new Rows[3];
        for (int i = 0; i < 3; i++) {
            three[i] = Benchmarks.rows(type, ROWS, columns, width);
        }
        return three;
    }

    @Benchmark
    @OperationsPerInvocation(ROWS)
    public void addNormFloat32() {
        kernels.addNorm(floats[0], floats[1], Values.NONE, Normalization.of(kind, 1e-5), floats[2]);
    }

    @Benchmark
    @OperationsPerInvocation(ROWS)
    public void addNormBfloat16() {
        kernels.addNorm(brains[0], brains[1], Values.NONE, Normalization.of(kind, 1e-5), brains[2]);
    }

    /** What is left of an RMSNorm or CRMSNorm before a linear layer; LayerNorm has no such form and does all. */
    @Benchmark
    @OperationsPerInvocation(ROWS)
    public void addSquaresBfloat16() {
        if (kind == NormKind.LAYER) {
            addNormBfloat16();
        } else {
            kernels.addSquares(brains[0], brains[1], Values.NONE, kind, 1e-5, scales);
        }
    }
}
