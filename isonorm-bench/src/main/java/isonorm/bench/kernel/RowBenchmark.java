package isonorm.bench.kernel;

import isonorm.architecture.Activation;
import isonorm.architecture.Rotary.Pairing;
import isonorm.kernel.Kernels;
import isonorm.kernel.Rows;
import isonorm.kernel.Turns;
import isonorm.kernel.Type;
import isonorm.kernel.Values;
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

/** What is left of a step, on one thread, over rows that fit the cache. The figure called bytes is GB/s, read and written. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(1)
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
public class RowBenchmark {

    private static final int ROWS = 128;
    private static final int HIDDEN = 2048;
    private static final int HEADS = 12;
    private static final int WIDTH = 64;
    private static final int VOCABULARY = 50257;

    @Param({"plain", "vector"})
    private String twin;

    @Param({"F32", "BF16"})
    private Type type;

    private Kernels kernels;
    private Rows gate;
    private Rows up;
    private Rows gated;
    private Rows halfGate;
    private Rows heads;
    private Rows table;
    private Rows logits;
    private Turns halves;
    private Turns neighbours;
    private final int[] ids = new int[ROWS];

    @Setup
    public void make() {
        kernels = Benchmarks.twin(twin);
        gate = Benchmarks.rows(type, ROWS, HIDDEN, HIDDEN);
        up = Benchmarks.rows(type, ROWS, HIDDEN, HIDDEN);
        gated = Benchmarks.rows(type, ROWS, HIDDEN, HIDDEN);
        halfGate = Benchmarks.rows(Type.F16, ROWS, HIDDEN, HIDDEN);
        heads = Benchmarks.rows(type, ROWS, HEADS * WIDTH, HEADS * WIDTH);
        table = Benchmarks.rows(type, 4 * ROWS, HEADS * WIDTH, HEADS * WIDTH);
        logits = Benchmarks.rows(type, 1, VOCABULARY, VOCABULARY);
        Rows angles = Rows.allocate(Arena.ofAuto(), Type.F32, ROWS, WIDTH / 2, WIDTH / 2); // no turn at all
        Rows cosine = Benchmarks.rows(Type.F32, ROWS, WIDTH / 2, WIDTH / 2);
        for (int r = 0; r < ROWS; r++) {
            for (int i = 0; i < WIDTH / 2; i++) {
                cosine.set(r, i, 1);
            }
        }
        halves = new Turns(Pairing.HALVES, cosine, angles);
        neighbours = new Turns(Pairing.NEIGHBOURS, cosine, angles);
        for (int i = 0; i < ROWS; i++) {
            ids[i] = i * 37 % table.rows();
        }
    }

    /** Bytes that were read or written. */
    @AuxCounters(AuxCounters.Type.OPERATIONS)
    @State(Scope.Thread)
    public static class Moved {
        /** Of every matrix once. */
        public long bytes;
    }

    private long bytes(Rows rows) {
        return (long) rows.rows() * rows.columns() * type.bytes();
    }

    @Benchmark
    public void gate(Moved moved) {
        kernels.gate(gate, up, Values.NONE, Values.NONE, Values.NONE, Activation.SILU, gated);
        moved.bytes += 3 * bytes(gate);
    }

    @Benchmark
    public void rotaryHalves(Moved moved) {
        kernels.rotary(heads, HEADS, halves, 0);
        moved.bytes += 2 * bytes(heads);
    }

    @Benchmark
    public void rotaryNeighbours(Moved moved) {
        kernels.rotary(heads, HEADS, neighbours, 0);
        moved.bytes += 2 * bytes(heads);
    }

    @Benchmark
    public void gather(Moved moved) {
        kernels.gather(table, ids, 1, heads);
        moved.bytes += 2 * bytes(heads);
    }

    @Benchmark
    public void copyOfHalves(Moved moved) {
        kernels.copy(halfGate, gated);
        moved.bytes += bytes(gate) + (long) ROWS * HIDDEN * Short.BYTES;
    }

    @Benchmark
    public int argmax(Moved moved) {
        moved.bytes += bytes(logits);
        return kernels.argmax(logits, 0);
    }
}
