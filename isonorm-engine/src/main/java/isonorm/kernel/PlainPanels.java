package isonorm.kernel;

import static isonorm.kernel.Panels.WIDTH;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.ref.Reference;
import java.util.Arrays;

/**
 * The plain twin of rows times a matrix in panels, in float64. It is what large products are computed with where there are neither
 * vectors nor a native library: a panel is read in blocks that all rows are multiplied by, in loops over its outputs that the
 * compiler makes vectors of by itself.
 */
final class PlainPanels {

    /** The inputs of a block: 32 KB of float64. */
    private static final int BLOCK = 64;
    /** So many values of x are read at once: 16 MB. */
    private static final int ROOM = 1 << 21;

    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED;
    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED;
    private static final ValueLayout.OfDouble DOUBLE = ValueLayout.JAVA_DOUBLE_UNALIGNED;

    private final Panels weights;
    private final double[] block = new double[BLOCK * WIDTH];
    private final float[] floats = new float[BLOCK * WIDTH];
    private final short[] halves = new short[BLOCK * WIDTH];

    private PlainPanels(Panels weights) {
        this.weights = weights;
    }

    static void product(Rows x, Panels weights, Rows y) {
        PlainPanels product = new PlainPanels(weights);
        int most = Math.max(1, ROOM / weights.inputs());
        for (int row = 0; row < x.rows(); row += most) {
            int count = Math.min(most, x.rows() - row);
            product.product(x.slice(row, count), y.slice(row, count));
        }
        Reference.reachabilityFence(weights.data());
    }

    /** Some outputs after the other, widened, which is exact. */
    static void product(Rows x, QuantizedPanels weights, Rows y) {
        try (Arena arena = Arena.ofConfined()) {
            Panels wide = Panels.allocate(arena, Type.F32, weights.inputs(), Math.min(WIDTH, weights.outputs()));
            for (int output = 0; output < weights.outputs(); output += WIDTH) {
                int count = Math.min(WIDTH, weights.outputs() - output);
                Panels some = new Panels(wide.data(), Type.F32, weights.inputs(), count);
                widen(weights.outputs(output, count), some);
                product(x, some, y.sliceColumns(output, count));
            }
        }
    }

    private void product(Rows x, Rows y) {
        int n = x.rows();
        double[][] values = new double[n][];
        for (int row = 0; row < n; row++) {
            values[row] = values(x, row);
        }
        double[][] sums = new double[n][WIDTH];
        for (int panel = 0; panel < weights.count(); panel++) {
            for (double[] each : sums) {
                Arrays.fill(each, 0);
            }
            for (int input = 0; input < weights.inputs(); input += BLOCK) {
                int count = Math.min(BLOCK, weights.inputs() - input);
                read(panel, input, count);
                for (int row = 0; row < n; row++) {
                    add(values[row], input, count, block, sums[row]);
                }
            }
            int output = panel * WIDTH;
            int count = Math.min(WIDTH, weights.outputs() - output);
            for (int row = 0; row < n; row++) {
                for (int c = 0; c < count; c++) {
                    y.set(row, output + c, sums[row][c]);
                }
            }
        }
    }

    private static double[] values(Rows x, int row) {
        double[] values = new double[x.columns()];
        for (int c = 0; c < values.length; c++) {
            values[c] = x.get(row, c);
        }
        return values;
    }

    /** Some inputs of a panel, in float64 and one behind the other. */
    private void read(int panel, int input, int count) {
        long at = ((long) panel * weights.depth() + input) * WIDTH * weights.type().bytes();
        int n = count * WIDTH;
        switch (weights.type()) {
            case F64 -> MemorySegment.copy(weights.data(), DOUBLE, at, block, 0, n);
            case F32 -> {
                MemorySegment.copy(weights.data(), FLOAT, at, floats, 0, n);
                for (int i = 0; i < n; i++) {
                    block[i] = floats[i];
                }
            }
            case BF16 -> {
                readHalves(at, count);
                for (int i = 0; i < count; i++) {
                    for (int c = 0; c < WIDTH; c++) {
                        block[i * WIDTH + c] = Float.intBitsToFloat(halves[at(i, c)] << 16);
                    }
                }
            }
            case F16 -> {
                readHalves(at, count);
                for (int i = 0; i < count; i++) {
                    for (int c = 0; c < WIDTH; c++) {
                        block[i * WIDTH + c] = Float.float16ToFloat(halves[at(i, c)]);
                    }
                }
            }
        }
    }

    private void readHalves(long at, int count) {
        MemorySegment.copy(weights.data(), SHORT, at, halves, 0, Math.ceilDiv(count, 2) * 2 * WIDTH);
    }

    private static int at(int input, int output) {
        return (input & ~1) * WIDTH + 2 * output + (input & 1);
    }

    /** Four inputs at once, each added by itself, so that sums are loaded and stored less often. */
    private static void add(double[] x, int input, int count, double[] block, double[] sums) {
        int i = 0;
        for (; i <= count - 4; i += 4) {
            double a = x[input + i];
            double b = x[input + i + 1];
            double c = x[input + i + 2];
            double d = x[input + i + 3];
            int at = i * WIDTH;
            for (int o = 0; o < WIDTH; o++) {
                sums[o] = sums[o] + a * block[at + o] + b * block[at + WIDTH + o] + c * block[at + 2 * WIDTH + o] + d * block[at + 3 * WIDTH + o];
            }
        }
        for (; i < count; i++) {
            double a = x[input + i];
            int at = i * WIDTH;
            for (int o = 0; o < WIDTH; o++) {
                sums[o] += a * block[at + o];
            }
        }
    }

    static void pack(Rows w, boolean transposed, int firstOutput, Panels into) {
        int count = transposed ? w.rows() : w.columns();
        for (int o = 0; o < count; o++) {
            for (int i = 0; i < into.inputs(); i++) {
                into.set(i, firstOutput + o, transposed ? w.get(o, i) : w.get(i, o));
            }
            clear(into, into.inputs(), firstOutput + o);
        }
        if (firstOutput + count == into.outputs() && count > 0) {
            for (int o = into.outputs(); o < into.count() * WIDTH; o++) {
                clear(into, 0, o);
            }
        }
    }

    private static void clear(Panels into, int firstInput, int output) {
        for (int i = firstInput; i < into.depth(); i++) {
            into.set(i, output, 0);
        }
    }

    static void widen(Panels from, Panels into) {
        for (int o = 0; o < into.count() * WIDTH; o++) {
            for (int i = 0; i < into.depth(); i++) {
                into.set(i, o, from.get(i, o));
            }
        }
    }

    static void widen(QuantizedPanels from, Panels into) {
        for (int o = 0; o < into.count() * WIDTH; o++) {
            for (int i = 0; i < into.depth(); i++) {
                into.set(i, o, i < from.inputs() && o < from.outputs() ? from.get(i, o) : 0);
            }
        }
    }
}
