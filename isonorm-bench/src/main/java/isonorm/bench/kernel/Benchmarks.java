package isonorm.bench.kernel;

import isonorm.kernel.Gradients;
import isonorm.kernel.Kernels;
import isonorm.kernel.PlainGradients;
import isonorm.kernel.PlainKernels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.kernel.VectorKernels;
import isonorm.measure.Machine;
import isonorm.weights.Seed;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.SplittableRandom;
import java.util.function.IntConsumer;
import java.util.stream.IntStream;
import org.openjdk.jmh.Main;

/** Runs the benchmarks of this package; arguments are JMH's. */
public final class Benchmarks {

    /** As many as the machine that the documentation's figures come from has. */
    static final int THREADS = 2;

    static {
        System.out.println(Machine.here().line(THREADS)); // first in every JVM that measures: each can have options of its own
    }

    private Benchmarks() {}

    public static void main(String[] arguments) throws IOException {
        Main.main(arguments.length == 0 ? new String[] {"isonorm.bench.kernel"} : arguments);
    }

    /** The kernels called {@code plain} or {@code vector}. */
    static Kernels twin(String name) {
        if (name.equals("plain")) {
            return new PlainKernels();
        }
        if (!(Kernels.provider() instanceof VectorKernels)) {
            throw new IllegalStateException("the vector kernels are to be measured, got " + Kernels.reason());
        }
        return Kernels.provider();
    }

    /** The backward passes called {@code plain} or {@code vector}. */
    static Gradients gradientTwin(String name) {
        return twin(name) instanceof VectorKernels ? Gradients.of(Type.F32) : new PlainGradients();
    }

    /** Normally distributed values. */
    static Rows rows(Type type, int rows, int columns, int stride) {
        SplittableRandom random = Seed.of(1).random();
        Rows sample = Rows.allocate(Arena.ofAuto(), type, rows, columns, stride);
        for (int r = 0; r < rows; r++) {
            for (int c = 0; c < columns; c++) {
                sample.set(r, c, random.nextGaussian());
            }
        }
        return sample;
    }

    /** A task on each thread. */
    static void parallel(IntConsumer task) {
        IntStream.range(0, THREADS).parallel().forEach(task);
    }
}
