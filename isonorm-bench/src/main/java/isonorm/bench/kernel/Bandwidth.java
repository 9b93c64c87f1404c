package isonorm.bench.kernel;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Warmup;

/** What memory can give: a plain sum over more of it than any cache holds, on two threads. The figure is GB/s. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(value = 1, jvmArgsPrepend = {Benchmarks.VECTORS, Benchmarks.NATIVE})
@Warmup(iterations = 2, time = 1)
@Measurement(iterations = 5, time = 1)
public class Bandwidth {

    private static final int BYTES = 256 << 20;
    private static final VectorSpecies<Integer> INTS = IntVector.SPECIES_PREFERRED;

    private final MemorySegment data = Arena.ofAuto().allocate(BYTES, 64).fill((byte) 1);

    public static void main(String[] arguments) {
        Bandwidth probe = new Bandwidth();
        double best = 0;
        for (int i = 0; i < 50; i++) {
            long start = System.nanoTime();
            probe.sum();
            best = Math.max(best, BYTES / (double) (System.nanoTime() - start));
        }
        System.out.printf("%.1f GB/s%n", best);
    }

    @Benchmark
    @OperationsPerInvocation(BYTES)
    public int sum() {
        AtomicInteger sum = new AtomicInteger(); // gives the parts something to be computed for
        long part = BYTES / Benchmarks.THREADS;
        Benchmarks.parallel(thread -> sum.addAndGet(sum(data.asSlice(thread * part, part))));
        return sum.get();
    }

    private static int sum(MemorySegment part) {
        int step = INTS.vectorByteSize();
        IntVector a = IntVector.zero(INTS);
        IntVector b = IntVector.zero(INTS);
        IntVector c = IntVector.zero(INTS);
        IntVector d = IntVector.zero(INTS);
        for (long at = 0; at <= part.byteSize() - 4L * step; at += 4L * step) {
            a = a.add(IntVector.fromMemorySegment(INTS, part, at, ByteOrder.nativeOrder()));
            b = b.add(IntVector.fromMemorySegment(INTS, part, at + step, ByteOrder.nativeOrder()));
            c = c.add(IntVector.fromMemorySegment(INTS, part, at + 2L * step, ByteOrder.nativeOrder()));
            d = d.add(IntVector.fromMemorySegment(INTS, part, at + 3L * step, ByteOrder.nativeOrder()));
        }
        return a.add(b).add(c.add(d)).reduceLanes(VectorOperators.ADD);
    }
}
