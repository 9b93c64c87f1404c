package isonorm.bench.kernel;

import isonorm.kernel.Kernels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
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
 * Products of few vectors with weights stored (out, in) and (in, out), one matrix after the other out of memory, each cut along its
 * outputs for two threads. The figure called bytes is GB/s.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(1)
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
public class MatrixVectorBenchmark {

    /** Of every type and shape, so that they are too large for any cache. */
    private static final int BYTES = 3 << 26;

    @Param({"plain", "vector"})
    private String twin;

    @Param({"1", "2", "4"})
    private int vectors;

    @Param({"F32", "BF16", "F16"})
    private Type type;

    /** Inputs x outputs. */
    @Param({"768x2304", "768x3072", "3072x768", "4096x4096"})
    private String shape;

    private Kernels kernels;
    private int in;
    private int out;
    private Rows x;
    private Rows y;
    private Rows sums;
    private Rows outIn;
    private Rows inOut;

    @Setup
    public void make() {
        kernels = Benchmarks.twin(twin);
        in = Integer.parseInt(shape.split("x")[0]);
        out = Integer.parseInt(shape.split("x")[1]);
        x = Benchmarks.rows(Type.F32, vectors, in, in);
        y = Benchmarks.rows(Type.F32, vectors, out, out);
        sums = Benchmarks.rows(Type.F32, Benchmarks.THREADS * vectors, out, out);
        int matrices = BYTES / type.bytes() / (in * out);
        outIn = Benchmarks.rows(type, matrices * out, in, in);
        inOut = Rows.of(outIn.data(), type, matrices * in, out);
    }

    /** Bytes that were read. */
    @AuxCounters(AuxCounters.Type.OPERATIONS)
    @State(Scope.Thread)
    public static class Read {
        /** Of weights. */
        public long bytes;
    }

    @Benchmark
    public void storedOutIn(Read read) {
        int part = out / Benchmarks.THREADS;
        for (int first = 0; first < outIn.rows(); first += out) {
            Rows weights = outIn.slice(first, out);
            Benchmarks.parallel(thread ->
                    kernels.matrixVectors(weights.slice(thread * part, part), x, y.sliceColumns(thread * part, part)));
        }
        read.bytes += outIn.data().byteSize();
    }

    /** Shared out by inputs, as a forward pass does it; that it then adds up what the threads made is left out. */
    @Benchmark
    public void storedInOut(Read read) {
        int part = in / Benchmarks.THREADS;
        for (int first = 0; first < inOut.rows(); first += in) {
            Rows weights = inOut.slice(first, in);
            Benchmarks.parallel(thread -> kernels.vectorMatrices(
                    x.sliceColumns(thread * part, part), weights.slice(thread * part, part), sums.slice(thread * vectors, vectors)));
        }
        read.bytes += outIn.data().byteSize();
    }
}
