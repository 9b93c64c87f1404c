package isonorm.kernel;

import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.Played;
import isonorm.weights.VectorSupport;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.SplittableRandom;

/** What the tests of this package share: sizes, random rows, and how far results may be off. */
final class Sample {

    /** Around one vector of 16, around rows of models, and one that fills no vector, and is longer than what is taken at once. */
    static final int[] SIZES = Played.sample(new int[] {1, 7, 15, 16, 17, 31, 33, 191, 192, 767, 768, 4097}, new int[] {1, 15, 17, 33, 192, 1041});

    /** The types that both twins read and write. */
    static final List<Type> NARROW = List.of(Type.F32, Type.BF16, Type.F16);

    /** What lies between rows; kernels must leave it alone. */
    static final float GAP = 1536;

    /** Half of the distance between two bfloat16 next to each other, at most, relative to them. */
    static final double BF16 = 0x1p-8;

    /** The same of float16, but of its smallest numbers. */
    static final double F16 = 0x1p-11;

    /** The same of float32. */
    static final double F32 = 0x1p-24;

    /** How much further sums may be off where vectors have fewer lanes than eight: each of them adds up more numbers. */
    static final double LANES = Math.max(1, 8.0 * Float.SIZE / VectorKernels.bits());

    private Sample() {}

    /** Both, but where vectors are so slow that they are never chosen. */
    static List<Kernels> twins() {
        return VectorSupport.obstacle().isEmpty() ? List.of(new PlainKernels(), new VectorKernels()) : List.of(new PlainKernels());
    }

    static List<Gradients> gradientTwins() {
        return VectorSupport.obstacle().isEmpty() ? List.of(new PlainGradients(), new VectorGradients()) : List.of(new PlainGradients());
    }

    /** Normally distributed values around {@code mean}. */
    static Rows rows(Arena arena, Type type, int rows, int columns, int stride, long seed, double mean, double spread) {
        SplittableRandom random = new SplittableRandom(seed);
        Rows sample = Rows.allocate(arena, type, rows, columns, stride);
        Rows whole = Rows.of(sample.data(), type, rows, stride);
        for (int r = 0; r < rows; r++) {
            for (int c = 0; c < stride; c++) {
                whole.set(r, c, c < columns ? mean + spread * random.nextGaussian() : GAP);
            }
        }
        return sample;
    }

    static Rows rows(Arena arena, Type type, int rows, int columns, int stride, long seed) {
        return rows(arena, type, rows, columns, stride, seed, 0, 1);
    }

    static Values values(int count, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        float[] values = new float[count + 3];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return Values.of(values).slice(2, count); // not at the array's start
    }

    static Rows copy(Arena arena, Rows rows) {
        Rows copy = new Rows(arena.allocate(rows.data().byteSize(), 64), rows.type(), rows.offset(), rows.rows(), rows.columns(), rows.stride());
        copy.data().copyFrom(rows.data());
        return copy;
    }

    /** One row in float64. */
    static double[] doubles(Rows rows, int row) {
        double[] values = new double[rows.columns()];
        for (int c = 0; c < values.length; c++) {
            values[c] = rows.get(row, c);
        }
        return values;
    }

    /** Half the distance between the numbers of a type around {@code value}. */
    static double rounding(Type type, double value) {
        return switch (type) {
            case BF16 -> Math.abs(value) * BF16;
            case F16 -> Math.max(Math.abs(value) * F16, 0x1p-25);
            case F32, F64 -> Math.abs(value) * F32;
        };
    }

    static void assertClose(double expected, double actual, double tolerance, String what) {
        assertTrue(Math.abs(expected - actual) <= tolerance,
                () -> what + ": expected " + expected + ", got " + actual + ", off by " + Math.abs(expected - actual) + ", allowed " + tolerance);
    }

    /** That nothing was written between the rows, from {@code width} on. */
    static void assertGapsKept(Rows rows, int width, String what) {
        Rows whole = Rows.of(rows.data(), rows.type(), rows.rows(), rows.stride());
        for (int r = 0; r < rows.rows(); r++) {
            for (int c = width; c < rows.stride(); c++) {
                assertTrue(whole.get(r, c) == GAP, what + ": wrote behind a row");
            }
        }
    }
}
