package isonorm.bench.kernel;

import isonorm.kernel.Kernels;
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
 * Attention of one query for 12 heads of 64, on one thread, over so many caches, one after the other, that they come from memory.
 * The figure called bytes is GB/s of keys and values.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(1)
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
public class AttentionBenchmark {

    private static final int HEADS = 12;
    private static final int WIDTH = 64;
    private static final int BYTES = 1 << 27;

    @Param({"plain", "vector"})
    private String twin;

    @Param({"32", "512", "2048"})
    private int positions;

    @Param({"F32", "BF16"})
    private Type type;

    private Kernels kernels;
    private Rows queries;
    private Rows out;
    private Rows caches;
    private int next;

    @Setup
    public void make() {
        kernels = Benchmarks.twin(twin);
        queries = Benchmarks.rows(type, HEADS, WIDTH, WIDTH);
        out = Benchmarks.rows(type, HEADS, WIDTH, WIDTH);
        int size = HEADS * positions * WIDTH * type.bytes();
        caches = Benchmarks.rows(type, BYTES / size * HEADS * positions, WIDTH, WIDTH);
    }

    /** Bytes that were read. */
    @AuxCounters(AuxCounters.Type.OPERATIONS)
    @State(Scope.Thread)
    public static class Read {
        /** Of keys and values. */
        public long bytes;
    }

    @Benchmark
    public void attendOne(Read read) {
        Rows keys = cache();
        Rows values = cache();
        kernels.attendOne(queries, keys, values, HEADS, Scoring.of(0.125), 0, positions, Values.NONE, out);
        read.bytes += 2L * HEADS * positions * WIDTH * type.bytes();
    }

    private Rows cache() {
        int rows = HEADS * positions;
        next = next + rows > caches.rows() - rows ? 0 : next + rows;
        return caches.slice(next, rows);
    }
}
