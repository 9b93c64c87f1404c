package isonorm.kernel;

import static isonorm.kernel.Lanes.ALL;
import static isonorm.kernel.Lanes.FLOATS;
import static isonorm.kernel.Lanes.FLOAT_VECTOR;
import static isonorm.kernel.Lanes.INTS;
import static isonorm.kernel.Lanes.INT_VECTOR;
import static isonorm.kernel.Lanes.L;
import static isonorm.kernel.Lanes.ORDER;
import static isonorm.kernel.Panels.WIDTH;
import static isonorm.kernel.VectorProducts.HALF;
import static isonorm.kernel.VectorProducts.UPPER;
import static isonorm.kernel.VectorProducts.even;
import static isonorm.kernel.VectorProducts.evenHalf;
import static isonorm.kernel.VectorProducts.odd;
import static isonorm.kernel.VectorProducts.oddHalf;
import static isonorm.kernel.VectorProducts.pairs;
import static jdk.incubator.vector.VectorOperators.ASHR;
import static jdk.incubator.vector.VectorOperators.LSHL;

import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;

/**
 * The vector twin of rows times a matrix in panels.
 *
 * <p>An output has one sum, to which products are added input by input, as the panels' {@link Summation} says. So its bits
 * do not depend on how many rows or outputs are beside it, and lanes are never added to each other. A loop takes a tile: some rows
 * times some vectors of outputs, whose sums stay in registers. Four rows by two vectors are eight sums, as many as two units that each
 * need four steps keep under way; of more, with 16 registers, the compiler keeps some in memory.
 *
 * <p>Memory is read in its own order, or it gives half as much. One row takes a panel as it lies there, at eight lanes and more. Several rows take
 * a block that fits into the nearest cache, some of its outputs after the other; few of them read ahead meanwhile. Weights of 16
 * bits are float32 first there, each block once. One row takes them as pairs in ints, as in {@link VectorProducts}: float16 is too
 * small by {@code 2^-112} then, and x made larger by as much, which changes no bit of a product. A row whose values leave no room for that
 * takes the way of several.
 */
final class VectorPanels {

    private static final Loop<VectorPanels> FLOATS_FOR_ONE = Loop.of(L > 8 ? VectorPanels::float32ForOneWide : VectorPanels::float32ForOne);
    private static final Loop<VectorPanels> FLOATS_FOR_TWO = Loop.of(VectorPanels::float32ForTwo);
    private static final Loop<VectorPanels> FLOATS_FOR_FOUR = Loop.of(VectorPanels::float32ForFour);
    private static final Loop<VectorPanels> FLOATS_FOR_FOUR_AHEAD = Loop.of(VectorPanels::float32ForFourAhead);
    private static final Loop<VectorPanels> BRAINS_FOR_ONE = Loop.of(VectorPanels::brainForOne);
    private static final Loop<VectorPanels> BRAINS_FOR_ONE_SECOND_FIRST = Loop.of(VectorPanels::brainForOneSecondFirst);
    private static final Loop<VectorPanels> WHOLE_BRAINS_FOR_ONE = Loop.of(VectorPanels::wholeBrainsForOne);
    private static final Loop<VectorPanels> WHOLE_HALVES_FOR_ONE = Loop.of(VectorPanels::wholeHalvesForOne);
    private static final Loop<VectorPanels> HALVES_FOR_ONE = Loop.of(VectorPanels::halfForOne);

    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED;

    /** The bytes of a step. */
    private static final int STEP = 4 * WIDTH;
    /** So many steps are half of the nearest cache. */
    private static final int BLOCK = 64;
    /** The bytes of a line of cache. */
    private static final int LINE = 64;
    /** The bytes of a vector. */
    private static final int BYTES = 4 * L;
    /** The rows of a tile where there are many. */
    private static final int TILE = 4;
    /** So many rows share what is read of the weights, and so many values of them: 8 MB. */
    private static final int MOST = 512;
    private static final int ROOM = 1 << 21;
    /** Finite values from here on leave no room for {@code 2^112}; as bits, which are ordered as sizes are. */
    private static final int LARGE = Float.floatToRawIntBits(0x1p16f);

    /** What a thread needs for a product. Made once, since a product with one row takes some microseconds. */
    private static final class Room {
        private static final ThreadLocal<Room> OWN = ThreadLocal.withInitial(Room::new);

        private final Panels widened = Panels.allocate(Arena.ofAuto(), Type.F32, BLOCK, WIDTH);
        private final float[] outputs = new float[WIDTH];
        private float[] row = {};
        private float[] x = {};
        private float[] sums = {};
        private float[] totals = {};

        private void reserve(int columns, int rows, int values) {
            row = row.length >= columns ? row : new float[columns];
            x = x.length >= values ? x : new float[values];
            sums = sums.length >= rows * WIDTH ? sums : new float[rows * WIDTH];
            totals = totals.length >= rows * WIDTH ? totals : new float[rows * WIDTH];
        }
    }

    /** A matrix as several rows read it: some inputs of a panel at once. */
    private sealed interface Source {
        /** The type it is stored in. */
        Type type();

        int inputs();

        int outputs();

        Summation summation();

        /** Where inputs of a panel lie; of what is widened only the block that is multiplied. */
        long block(int panel, int input, int count, boolean widens, Room room);

        /** Where it ends in memory. */
        long end();

        /** Of 32 bits, or of 16. */
        record Whole(Panels panels) implements Source {
            @Override
            public Type type() {
                return panels.type();
            }

            @Override
            public int inputs() {
                return panels.inputs();
            }

            @Override
            public int outputs() {
                return panels.outputs();
            }

            @Override
            public Summation summation() {
                return panels.summation();
            }

            @Override
            public long block(int panel, int input, int count, boolean widens, Room room) {
                long address = panels.address(panel) + (long) input * WIDTH * type().bytes();
                if (!widens) {
                    return address;
                }
                VectorPacking.widen(type(), summation().secondFirst(), address, Math.ceilDiv(count, 2), room.widened.address(0));
                return room.widened.address(0);
            }

            @Override
            public long end() {
                return panels.data().address() + panels.data().byteSize();
            }
        }

        /** Of few bits, which are always widened. */
        record Quantized(QuantizedPanels panels) implements Source {
            @Override
            public Type type() {
                return Type.F32;
            }

            @Override
            public int inputs() {
                return panels.inputs();
            }

            @Override
            public int outputs() {
                return panels.outputs();
            }

            @Override
            public Summation summation() {
                return panels.summation();
            }

            @Override
            public long block(int panel, int input, int count, boolean widens, Room room) {
                VectorQuantized.widen(panels, panel, input, count, room.widened.address(0));
                return room.widened.address(0);
            }

            @Override
            public long end() {
                return panels.data().address() + panels.data().byteSize();
            }
        }
    }

    private final Room room = Room.OWN.get();
    private final Source weights;
    /** Whether the weights are widened before they are multiplied. */
    private final boolean widens;
    /** Whether the second input of a pair is added first. */
    private final boolean secondFirst;
    /** After so many inputs the sums are added to the totals. */
    private final int span;
    /** The rows of a tile, the vectors of outputs it takes, and what multiplies it. */
    private final int R;
    private final int V;
    private final Loop<VectorPanels> loop;
    /** The inputs of a step, and all of them in whole steps. */
    private final int inputs;
    private final int K;
    /** The inputs that are multiplied at once. */
    private final int block;

    /** What the loops are for: weights, steps, and x from the first on as {@link #read} puts it. */
    private long w;
    private int steps;
    private int first;
    /** What is read ahead. */
    private long ahead;
    private float[] x;
    private float[] sums;

    private VectorPanels(Source weights, int rows) {
        this.weights = weights;
        this.widens = weights instanceof Source.Quantized || rows > 1 && weights.type() != Type.F32;
        this.secondFirst = weights.summation().secondFirst();
        this.R = rows > 2 ? TILE : rows;
        Type type = widens ? Type.F32 : weights.type();
        boolean whole = L == 8 && !secondFirst || L < 8 && type == Type.F32;
        this.V = R == 1 && whole ? 8 : R <= 2 ? 4 : 2;
        this.loop = switch (type) {
            case F64 -> throw Lanes.wide();
            case F32 -> R == 1 ? FLOATS_FOR_ONE : R == 2 ? FLOATS_FOR_TWO : rows <= TILE ? FLOATS_FOR_FOUR_AHEAD : FLOATS_FOR_FOUR;
            case BF16 -> secondFirst ? BRAINS_FOR_ONE_SECOND_FIRST : whole ? WHOLE_BRAINS_FOR_ONE : BRAINS_FOR_ONE;
            case F16 -> whole ? WHOLE_HALVES_FOR_ONE : HALVES_FOR_ONE;
        };
        this.inputs = type == Type.F32 ? 1 : 2;
        int together = secondFirst ? 2 : inputs;
        this.K = Math.ceilDiv(weights.inputs(), together) * together;
        this.span = Math.min(weights.summation().span(), K);
        this.block = R == 1 && type == Type.F32 ? span : BLOCK * inputs;
    }

    static void product(Rows x, Panels weights, Rows y) {
        Source source = new Source.Whole(weights);
        if (x.rows() != 1 || !new VectorPanels(source, 1).product(x, y)) {
            several(x, source, y);
        }
    }

    static void product(Rows x, QuantizedPanels weights, Rows y) {
        if (x.rows() == 1) {
            VectorQuantized.product(x, weights, y);
        } else {
            several(x, new Source.Quantized(weights), y);
        }
    }

    private static void several(Rows x, Source weights, Rows y) {
        int n = x.rows();
        VectorPanels product = new VectorPanels(weights, Math.max(2, n));
        int most = Math.clamp(ROOM / product.K / TILE * TILE, TILE, MOST);
        for (int row = 0; row < n; row += most) {
            int count = Math.min(most, n - row);
            product.product(x.slice(row, count), y.slice(row, count));
        }
    }

    /** @return false if these rows need their weights widened, and nothing was done */
    private boolean product(Rows from, Rows y) {
        int tiles = Math.ceilDiv(from.rows(), R);
        room.reserve(weights.inputs(), tiles * R, tiles * R * K);
        x = room.x;
        sums = room.sums;
        for (int row = 0; row < tiles * R; row++) {
            if (!read(from, row)) {
                return false;
            }
        }
        for (int panel = 0; panel < Math.ceilDiv(weights.outputs(), WIDTH); panel++) {
            multiply(panel, tiles);
            int output = panel * WIDTH;
            int count = Math.min(WIDTH, weights.outputs() - output);
            for (int row = 0; row < from.rows(); row++) {
                System.arraycopy(room.totals, row * WIDTH, room.outputs, 0, count);
                Lanes.write(y.type(), y.address(row) + (long) output * y.type().bytes(), count, room.outputs);
            }
        }
        return true;
    }

    /**
     * The rows of a tile input by input, one tile behind the other. Behind the inputs is minus zero: times the zero that weights have
     * there it changes no sum, not the sign of a zero either. Behind the last row there are zeros, of which nothing is kept.
     *
     * @return false if the row has not the room that float16 needs
     */
    private boolean read(Rows from, int row) {
        int C = weights.inputs();
        int at = row / R * R * K + row % R;
        if (row >= from.rows()) {
            for (int c = 0; c < K; c++) {
                x[at + c * R] = 0;
            }
            return true;
        }
        float[] values = room.row;
        Lanes.read(from.type(), from.address(row), C, values);
        float factor = 1;
        if (weights.type() == Type.F16 && !widens) {
            if (!hasRoom(values, C)) {
                return false;
            }
            factor = 0x1p112f;
        }
        if (widens && secondFirst) {
            for (int c = 0; c < C; c++) {
                x[at + (c ^ 1) * R] = values[c];
            }
        } else {
            for (int c = 0; c < C; c++) {
                x[at + c * R] = values[c] * factor;
            }
        }
        if (C < K) {
            x[at + (widens && secondFirst ? C - 1 : C) * R] = -0f;
        }
        return true;
    }

    private static boolean hasRoom(float[] values, int n) {
        int largest = 0;
        for (int i = 0; i < n; i++) {
            largest = Math.max(largest, Float.floatToRawIntBits(values[i]) & Integer.MAX_VALUE);
        }
        return largest < LARGE;
    }

    /** All rows with one panel, into the totals. */
    private void multiply(int panel, int tiles) {
        int n = tiles * R * WIDTH;
        Arrays.fill(room.totals, 0, n, -0f); // to which a sum is added as it is
        for (int from = 0; from < K; from += span) {
            Arrays.fill(sums, 0, n, 0);
            int end = Math.min(from + span, K);
            for (int input = from; input < end; input += block) {
                multiply(panel, input, Math.min(block, end - input), tiles);
            }
            addTo(room.totals, sums, n);
        }
    }

    private void multiply(int panel, int input, int count, int tiles) {
        long address = weights.block(panel, input, count, widens, room);
        steps = count / inputs;
        for (int tile = 0; tile < tiles; tile++) {
            first = (tile * K + input) * R;
            for (int output = 0; output < WIDTH; output += V * L) {
                w = address + (long) output * 4;
                ahead = widens ? address : ahead(address, output);
                loop.run(this, tile * R * WIDTH + output);
            }
        }
    }

    /** Where the part of the next block begins that is read while some outputs of this one are computed; behind the last it is the last. */
    private long ahead(long address, int output) {
        long next = address + (long) BLOCK * (STEP + output * 4);
        return Math.min(next, weights.end() - (long) steps * V * BYTES);
    }

    /** Numbers of as many lines of cache as two vectors are. */
    private static int touch2(long at) {
        int number = ALL.get(INT, at);
        return L == 16 ? number + ALL.get(INT, at + LINE) : number;
    }

    private static int touch4(long at) {
        return touch2(at) + touch2(at + 2 * BYTES);
    }

    /** A plain loop, which is fast long before the compiler's last word on whoever calls it; vectors would be objects until then. */
    private static void addTo(float[] totals, float[] sums, int n) {
        for (int i = 0; i < n; i++) {
            totals[i] += sums[i];
        }
    }

    /** A panel's row in a run. A counted loop the compiler would unroll, and then read some rows across. */
    private static float float32ForOne(VectorPanels on, int at) {
        long w = on.w;
        int steps = on.steps;
        float[] x = on.x;
        float[] sums = on.sums;
        FloatVector a = Lanes.all(0);
        FloatVector b = Lanes.all(0);
        FloatVector c = Lanes.all(0);
        FloatVector d = Lanes.all(0);
        FloatVector e = Lanes.all(0);
        FloatVector f = Lanes.all(0);
        FloatVector g = Lanes.all(0);
        FloatVector h = Lanes.all(0);
        int k = on.first;
        long end = w + (long) steps * STEP;
        for (long here = w; here != end; here += STEP, k++) {
            FloatVector s = Lanes.all(x[k]);
            a = Lanes.floats(here).fma(s, a);
            b = Lanes.floats(here + BYTES).fma(s, b);
            c = Lanes.floats(here + 2 * BYTES).fma(s, c);
            d = Lanes.floats(here + 3 * BYTES).fma(s, d);
            e = Lanes.floats(here + 4 * BYTES).fma(s, e);
            f = Lanes.floats(here + 5 * BYTES).fma(s, f);
            g = Lanes.floats(here + 6 * BYTES).fma(s, g);
            h = Lanes.floats(here + 7 * BYTES).fma(s, h);
        }
        Lanes.known(a).intoArray(sums, at);
        Lanes.known(b).intoArray(sums, at + L);
        Lanes.known(c).intoArray(sums, at + 2 * L);
        Lanes.known(d).intoArray(sums, at + 3 * L);
        Lanes.known(e).intoArray(sums, at + 4 * L);
        Lanes.known(f).intoArray(sums, at + 5 * L);
        Lanes.known(g).intoArray(sums, at + 6 * L);
        Lanes.known(h).intoArray(sums, at + 7 * L);
        return 0;
    }

    /** {@link #float32ForOne} at 16 lanes. */
    private static float float32ForOneWide(VectorPanels on, int at) {
        long w = on.w;
        int steps = on.steps;
        float[] x = on.x;
        float[] sums = on.sums;
        FloatVector a = Lanes.all(0);
        FloatVector b = Lanes.all(0);
        FloatVector c = Lanes.all(0);
        FloatVector d = Lanes.all(0);
        int k = on.first;
        long end = w + (long) steps * STEP;
        for (long here = w; here != end; here += STEP, k++) {
            FloatVector s = Lanes.all(x[k]);
            a = Lanes.floats(here).fma(s, a);
            b = Lanes.floats(here + BYTES).fma(s, b);
            c = Lanes.floats(here + 2 * BYTES).fma(s, c);
            d = Lanes.floats(here + 3 * BYTES).fma(s, d);
        }
        Lanes.known(a).intoArray(sums, at);
        Lanes.known(b).intoArray(sums, at + L);
        Lanes.known(c).intoArray(sums, at + 2 * L);
        Lanes.known(d).intoArray(sums, at + 3 * L);
        return 0;
    }

    /** Reads ahead: a number of each line of the next block, in the order that memory gives fastest. */
    private static float float32ForTwo(VectorPanels on, int at) {
        long w = on.w;
        int steps = on.steps;
        float[] x = on.x;
        float[] sums = on.sums;
        long ahead = on.ahead;
        int touched = 0;
        FloatVector a = Lanes.floats(sums, at);
        FloatVector b = Lanes.floats(sums, at + WIDTH);
        FloatVector c = Lanes.floats(sums, at + L);
        FloatVector d = Lanes.floats(sums, at + WIDTH + L);
        FloatVector e = Lanes.floats(sums, at + 2 * L);
        FloatVector f = Lanes.floats(sums, at + WIDTH + 2 * L);
        FloatVector g = Lanes.floats(sums, at + 3 * L);
        FloatVector h = Lanes.floats(sums, at + WIDTH + 3 * L);
        int k = on.first;
        for (int i = 0; i < steps; i++, k += 2) {
            long here = w + (long) i * STEP;
            FloatVector s = Lanes.all(x[k]);
            FloatVector t = Lanes.all(x[k + 1]);
            FloatVector p = Lanes.floats(here);
            a = p.fma(s, a);
            b = p.fma(t, b);
            p = Lanes.floats(here + BYTES);
            c = p.fma(s, c);
            d = p.fma(t, d);
            p = Lanes.floats(here + 2 * BYTES);
            e = p.fma(s, e);
            f = p.fma(t, f);
            p = Lanes.floats(here + 3 * BYTES);
            g = p.fma(s, g);
            h = p.fma(t, h);
            touched += touch4(ahead + (long) i * (4 * BYTES));
        }
        Lanes.known(a).intoArray(sums, at);
        Lanes.known(b).intoArray(sums, at + WIDTH);
        Lanes.known(c).intoArray(sums, at + L);
        Lanes.known(d).intoArray(sums, at + WIDTH + L);
        Lanes.known(e).intoArray(sums, at + 2 * L);
        Lanes.known(f).intoArray(sums, at + WIDTH + 2 * L);
        Lanes.known(g).intoArray(sums, at + 3 * L);
        Lanes.known(h).intoArray(sums, at + WIDTH + 3 * L);
        return touched; // so that the compiler does not leave them out
    }

    private static float float32ForFour(VectorPanels on, int at) {
        long w = on.w;
        int steps = on.steps;
        float[] x = on.x;
        float[] sums = on.sums;
        FloatVector a = Lanes.floats(sums, at);
        FloatVector b = Lanes.floats(sums, at + WIDTH);
        FloatVector c = Lanes.floats(sums, at + 2 * WIDTH);
        FloatVector d = Lanes.floats(sums, at + 3 * WIDTH);
        FloatVector e = Lanes.floats(sums, at + L);
        FloatVector f = Lanes.floats(sums, at + WIDTH + L);
        FloatVector g = Lanes.floats(sums, at + 2 * WIDTH + L);
        FloatVector h = Lanes.floats(sums, at + 3 * WIDTH + L);
        int k = on.first;
        for (int i = 0; i < steps; i++, k += 4) {
            long here = w + (long) i * STEP;
            FloatVector p = Lanes.floats(here);
            FloatVector q = Lanes.floats(here + BYTES);
            FloatVector s = Lanes.all(x[k]);
            a = p.fma(s, a);
            e = q.fma(s, e);
            s = Lanes.all(x[k + 1]);
            b = p.fma(s, b);
            f = q.fma(s, f);
            s = Lanes.all(x[k + 2]);
            c = p.fma(s, c);
            g = q.fma(s, g);
            s = Lanes.all(x[k + 3]);
            d = p.fma(s, d);
            h = q.fma(s, h);
        }
        Lanes.known(a).intoArray(sums, at);
        Lanes.known(b).intoArray(sums, at + WIDTH);
        Lanes.known(c).intoArray(sums, at + 2 * WIDTH);
        Lanes.known(d).intoArray(sums, at + 3 * WIDTH);
        Lanes.known(e).intoArray(sums, at + L);
        Lanes.known(f).intoArray(sums, at + WIDTH + L);
        Lanes.known(g).intoArray(sums, at + 2 * WIDTH + L);
        Lanes.known(h).intoArray(sums, at + 3 * WIDTH + L);
        return 0;
    }

    /** {@link #float32ForFour} that reads ahead as {@link #float32ForTwo} does. */
    private static float float32ForFourAhead(VectorPanels on, int at) {
        long w = on.w;
        int steps = on.steps;
        float[] x = on.x;
        float[] sums = on.sums;
        long ahead = on.ahead;
        int touched = 0;
        FloatVector a = Lanes.floats(sums, at);
        FloatVector b = Lanes.floats(sums, at + WIDTH);
        FloatVector c = Lanes.floats(sums, at + 2 * WIDTH);
        FloatVector d = Lanes.floats(sums, at + 3 * WIDTH);
        FloatVector e = Lanes.floats(sums, at + L);
        FloatVector f = Lanes.floats(sums, at + WIDTH + L);
        FloatVector g = Lanes.floats(sums, at + 2 * WIDTH + L);
        FloatVector h = Lanes.floats(sums, at + 3 * WIDTH + L);
        int k = on.first;
        for (int i = 0; i < steps; i++, k += 4) {
            long here = w + (long) i * STEP;
            FloatVector p = Lanes.floats(here);
            FloatVector q = Lanes.floats(here + BYTES);
            FloatVector s = Lanes.all(x[k]);
            a = p.fma(s, a);
            e = q.fma(s, e);
            s = Lanes.all(x[k + 1]);
            b = p.fma(s, b);
            f = q.fma(s, f);
            s = Lanes.all(x[k + 2]);
            c = p.fma(s, c);
            g = q.fma(s, g);
            s = Lanes.all(x[k + 3]);
            d = p.fma(s, d);
            h = q.fma(s, h);
            touched += touch2(ahead + (long) i * (2 * BYTES));
        }
        Lanes.known(a).intoArray(sums, at);
        Lanes.known(b).intoArray(sums, at + WIDTH);
        Lanes.known(c).intoArray(sums, at + 2 * WIDTH);
        Lanes.known(d).intoArray(sums, at + 3 * WIDTH);
        Lanes.known(e).intoArray(sums, at + L);
        Lanes.known(f).intoArray(sums, at + WIDTH + L);
        Lanes.known(g).intoArray(sums, at + 2 * WIDTH + L);
        Lanes.known(h).intoArray(sums, at + 3 * WIDTH + L);
        return touched; // so that the compiler does not leave them out
    }

    private static float brainForOne(VectorPanels on, int at) {
        long w = on.w;
        int steps = on.steps;
        float[] x = on.x;
        float[] sums = on.sums;
        long ahead = on.ahead;
        int touched = 0;
        FloatVector a = Lanes.floats(sums, at);
        FloatVector b = Lanes.floats(sums, at + L);
        FloatVector c = Lanes.floats(sums, at + 2 * L);
        FloatVector d = Lanes.floats(sums, at + 3 * L);
        int k = on.first;
        for (int i = 0; i < steps; i++, k += 2) {
            long here = w + (long) i * STEP;
            FloatVector s = Lanes.all(x[k]);
            FloatVector t = Lanes.all(x[k + 1]);
            IntVector p = pairs(here);
            a = odd(p).fma(t, even(p).fma(s, a));
            p = pairs(here + BYTES);
            b = odd(p).fma(t, even(p).fma(s, b));
            p = pairs(here + 2 * BYTES);
            c = odd(p).fma(t, even(p).fma(s, c));
            p = pairs(here + 3 * BYTES);
            d = odd(p).fma(t, even(p).fma(s, d));
            if (4 * L < WIDTH) { // or they are in order
                touched += touch4(ahead + (long) i * (4 * BYTES));
            }
        }
        Lanes.known(a).intoArray(sums, at);
        Lanes.known(b).intoArray(sums, at + L);
        Lanes.known(c).intoArray(sums, at + 2 * L);
        Lanes.known(d).intoArray(sums, at + 3 * L);
        return touched; // so that the compiler does not leave them out
    }

    /** {@link #brainForOne} in the order of processors that multiply pairs: a choice inside the loop would keep vectors from staying in registers. */
    private static float brainForOneSecondFirst(VectorPanels on, int at) {
        long w = on.w;
        int steps = on.steps;
        float[] x = on.x;
        float[] sums = on.sums;
        long ahead = on.ahead;
        int touched = 0;
        FloatVector a = Lanes.floats(sums, at);
        FloatVector b = Lanes.floats(sums, at + L);
        FloatVector c = Lanes.floats(sums, at + 2 * L);
        FloatVector d = Lanes.floats(sums, at + 3 * L);
        int k = on.first;
        for (int i = 0; i < steps; i++, k += 2) {
            long here = w + (long) i * STEP;
            FloatVector s = Lanes.all(x[k]);
            FloatVector t = Lanes.all(x[k + 1]);
            IntVector p = pairs(here);
            a = even(p).fma(s, odd(p).fma(t, a));
            p = pairs(here + BYTES);
            b = even(p).fma(s, odd(p).fma(t, b));
            p = pairs(here + 2 * BYTES);
            c = even(p).fma(s, odd(p).fma(t, c));
            p = pairs(here + 3 * BYTES);
            d = even(p).fma(s, odd(p).fma(t, d));
            if (4 * L < WIDTH) { // or they are in order
                touched += touch4(ahead + (long) i * (4 * BYTES));
            }
        }
        Lanes.known(a).intoArray(sums, at);
        Lanes.known(b).intoArray(sums, at + L);
        Lanes.known(c).intoArray(sums, at + 2 * L);
        Lanes.known(d).intoArray(sums, at + 3 * L);
        return touched; // so that the compiler does not leave them out
    }

    /**
     * A panel's row at eight lanes, in a run. It is more than the compiler inlines of other methods than the Vector API's own: so nothing
     * else is called here.
     */
    private static float wholeBrainsForOne(VectorPanels on, int at) {
        long w = on.w;
        int steps = on.steps;
        float[] x = on.x;
        float[] sums = on.sums;
        FloatVector a = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, sums, at));
        FloatVector b = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, sums, at + L));
        FloatVector c = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, sums, at + 2 * L));
        FloatVector d = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, sums, at + 3 * L));
        FloatVector e = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, sums, at + 4 * L));
        FloatVector f = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, sums, at + 5 * L));
        FloatVector g = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, sums, at + 6 * L));
        FloatVector h = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, sums, at + 7 * L));
        int k = on.first;
        long end = w + (long) steps * STEP;
        for (long here = w; here != end; here += STEP, k += 2) {
            FloatVector s = (FloatVector) FLOAT_VECTOR.cast(FloatVector.broadcast(FLOATS, x[k]));
            FloatVector t = (FloatVector) FLOAT_VECTOR.cast(FloatVector.broadcast(FLOATS, x[k + 1]));
            IntVector p;
            p = (IntVector) INT_VECTOR.cast(IntVector.fromMemorySegment(INTS, ALL, here, ORDER));
            a = (FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 16).reinterpretAsFloats().fma(s, a));
            a = (FloatVector) FLOAT_VECTOR.cast(p.and(UPPER).reinterpretAsFloats().fma(t, a));
            p = (IntVector) INT_VECTOR.cast(IntVector.fromMemorySegment(INTS, ALL, here + BYTES, ORDER));
            b = (FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 16).reinterpretAsFloats().fma(s, b));
            b = (FloatVector) FLOAT_VECTOR.cast(p.and(UPPER).reinterpretAsFloats().fma(t, b));
            p = (IntVector) INT_VECTOR.cast(IntVector.fromMemorySegment(INTS, ALL, here + 2 * BYTES, ORDER));
            c = (FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 16).reinterpretAsFloats().fma(s, c));
            c = (FloatVector) FLOAT_VECTOR.cast(p.and(UPPER).reinterpretAsFloats().fma(t, c));
            p = (IntVector) INT_VECTOR.cast(IntVector.fromMemorySegment(INTS, ALL, here + 3 * BYTES, ORDER));
            d = (FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 16).reinterpretAsFloats().fma(s, d));
            d = (FloatVector) FLOAT_VECTOR.cast(p.and(UPPER).reinterpretAsFloats().fma(t, d));
            p = (IntVector) INT_VECTOR.cast(IntVector.fromMemorySegment(INTS, ALL, here + 4 * BYTES, ORDER));
            e = (FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 16).reinterpretAsFloats().fma(s, e));
            e = (FloatVector) FLOAT_VECTOR.cast(p.and(UPPER).reinterpretAsFloats().fma(t, e));
            p = (IntVector) INT_VECTOR.cast(IntVector.fromMemorySegment(INTS, ALL, here + 5 * BYTES, ORDER));
            f = (FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 16).reinterpretAsFloats().fma(s, f));
            f = (FloatVector) FLOAT_VECTOR.cast(p.and(UPPER).reinterpretAsFloats().fma(t, f));
            p = (IntVector) INT_VECTOR.cast(IntVector.fromMemorySegment(INTS, ALL, here + 6 * BYTES, ORDER));
            g = (FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 16).reinterpretAsFloats().fma(s, g));
            g = (FloatVector) FLOAT_VECTOR.cast(p.and(UPPER).reinterpretAsFloats().fma(t, g));
            p = (IntVector) INT_VECTOR.cast(IntVector.fromMemorySegment(INTS, ALL, here + 7 * BYTES, ORDER));
            h = (FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 16).reinterpretAsFloats().fma(s, h));
            h = (FloatVector) FLOAT_VECTOR.cast(p.and(UPPER).reinterpretAsFloats().fma(t, h));
        }
        ((FloatVector) FLOAT_VECTOR.cast(a)).intoArray(sums, at);
        ((FloatVector) FLOAT_VECTOR.cast(b)).intoArray(sums, at + L);
        ((FloatVector) FLOAT_VECTOR.cast(c)).intoArray(sums, at + 2 * L);
        ((FloatVector) FLOAT_VECTOR.cast(d)).intoArray(sums, at + 3 * L);
        ((FloatVector) FLOAT_VECTOR.cast(e)).intoArray(sums, at + 4 * L);
        ((FloatVector) FLOAT_VECTOR.cast(f)).intoArray(sums, at + 5 * L);
        ((FloatVector) FLOAT_VECTOR.cast(g)).intoArray(sums, at + 6 * L);
        ((FloatVector) FLOAT_VECTOR.cast(h)).intoArray(sums, at + 7 * L);
        return 0;
    }

    /** As {@link #wholeBrainsForOne}. */
    private static float wholeHalvesForOne(VectorPanels on, int at) {
        long w = on.w;
        int steps = on.steps;
        float[] x = on.x;
        float[] sums = on.sums;
        FloatVector a = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, sums, at));
        FloatVector b = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, sums, at + L));
        FloatVector c = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, sums, at + 2 * L));
        FloatVector d = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, sums, at + 3 * L));
        FloatVector e = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, sums, at + 4 * L));
        FloatVector f = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, sums, at + 5 * L));
        FloatVector g = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, sums, at + 6 * L));
        FloatVector h = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, sums, at + 7 * L));
        int k = on.first;
        long end = w + (long) steps * STEP;
        for (long here = w; here != end; here += STEP, k += 2) {
            FloatVector s = (FloatVector) FLOAT_VECTOR.cast(FloatVector.broadcast(FLOATS, x[k]));
            FloatVector t = (FloatVector) FLOAT_VECTOR.cast(FloatVector.broadcast(FLOATS, x[k + 1]));
            IntVector p;
            p = (IntVector) INT_VECTOR.cast(IntVector.fromMemorySegment(INTS, ALL, here, ORDER));
            a = (FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 16).lanewise(ASHR, 3).and(HALF).reinterpretAsFloats().fma(s, a));
            a = (FloatVector) FLOAT_VECTOR.cast(p.lanewise(ASHR, 3).and(HALF).reinterpretAsFloats().fma(t, a));
            p = (IntVector) INT_VECTOR.cast(IntVector.fromMemorySegment(INTS, ALL, here + BYTES, ORDER));
            b = (FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 16).lanewise(ASHR, 3).and(HALF).reinterpretAsFloats().fma(s, b));
            b = (FloatVector) FLOAT_VECTOR.cast(p.lanewise(ASHR, 3).and(HALF).reinterpretAsFloats().fma(t, b));
            p = (IntVector) INT_VECTOR.cast(IntVector.fromMemorySegment(INTS, ALL, here + 2 * BYTES, ORDER));
            c = (FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 16).lanewise(ASHR, 3).and(HALF).reinterpretAsFloats().fma(s, c));
            c = (FloatVector) FLOAT_VECTOR.cast(p.lanewise(ASHR, 3).and(HALF).reinterpretAsFloats().fma(t, c));
            p = (IntVector) INT_VECTOR.cast(IntVector.fromMemorySegment(INTS, ALL, here + 3 * BYTES, ORDER));
            d = (FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 16).lanewise(ASHR, 3).and(HALF).reinterpretAsFloats().fma(s, d));
            d = (FloatVector) FLOAT_VECTOR.cast(p.lanewise(ASHR, 3).and(HALF).reinterpretAsFloats().fma(t, d));
            p = (IntVector) INT_VECTOR.cast(IntVector.fromMemorySegment(INTS, ALL, here + 4 * BYTES, ORDER));
            e = (FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 16).lanewise(ASHR, 3).and(HALF).reinterpretAsFloats().fma(s, e));
            e = (FloatVector) FLOAT_VECTOR.cast(p.lanewise(ASHR, 3).and(HALF).reinterpretAsFloats().fma(t, e));
            p = (IntVector) INT_VECTOR.cast(IntVector.fromMemorySegment(INTS, ALL, here + 5 * BYTES, ORDER));
            f = (FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 16).lanewise(ASHR, 3).and(HALF).reinterpretAsFloats().fma(s, f));
            f = (FloatVector) FLOAT_VECTOR.cast(p.lanewise(ASHR, 3).and(HALF).reinterpretAsFloats().fma(t, f));
            p = (IntVector) INT_VECTOR.cast(IntVector.fromMemorySegment(INTS, ALL, here + 6 * BYTES, ORDER));
            g = (FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 16).lanewise(ASHR, 3).and(HALF).reinterpretAsFloats().fma(s, g));
            g = (FloatVector) FLOAT_VECTOR.cast(p.lanewise(ASHR, 3).and(HALF).reinterpretAsFloats().fma(t, g));
            p = (IntVector) INT_VECTOR.cast(IntVector.fromMemorySegment(INTS, ALL, here + 7 * BYTES, ORDER));
            h = (FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 16).lanewise(ASHR, 3).and(HALF).reinterpretAsFloats().fma(s, h));
            h = (FloatVector) FLOAT_VECTOR.cast(p.lanewise(ASHR, 3).and(HALF).reinterpretAsFloats().fma(t, h));
        }
        ((FloatVector) FLOAT_VECTOR.cast(a)).intoArray(sums, at);
        ((FloatVector) FLOAT_VECTOR.cast(b)).intoArray(sums, at + L);
        ((FloatVector) FLOAT_VECTOR.cast(c)).intoArray(sums, at + 2 * L);
        ((FloatVector) FLOAT_VECTOR.cast(d)).intoArray(sums, at + 3 * L);
        ((FloatVector) FLOAT_VECTOR.cast(e)).intoArray(sums, at + 4 * L);
        ((FloatVector) FLOAT_VECTOR.cast(f)).intoArray(sums, at + 5 * L);
        ((FloatVector) FLOAT_VECTOR.cast(g)).intoArray(sums, at + 6 * L);
        ((FloatVector) FLOAT_VECTOR.cast(h)).intoArray(sums, at + 7 * L);
        return 0;
    }

    private static float halfForOne(VectorPanels on, int at) {
        long w = on.w;
        int steps = on.steps;
        float[] x = on.x;
        float[] sums = on.sums;
        long ahead = on.ahead;
        int touched = 0;
        FloatVector a = Lanes.floats(sums, at);
        FloatVector b = Lanes.floats(sums, at + L);
        FloatVector c = Lanes.floats(sums, at + 2 * L);
        FloatVector d = Lanes.floats(sums, at + 3 * L);
        int k = on.first;
        for (int i = 0; i < steps; i++, k += 2) {
            long here = w + (long) i * STEP;
            FloatVector s = Lanes.all(x[k]);
            FloatVector t = Lanes.all(x[k + 1]);
            IntVector p = pairs(here);
            a = oddHalf(p).fma(t, evenHalf(p).fma(s, a));
            p = pairs(here + BYTES);
            b = oddHalf(p).fma(t, evenHalf(p).fma(s, b));
            p = pairs(here + 2 * BYTES);
            c = oddHalf(p).fma(t, evenHalf(p).fma(s, c));
            p = pairs(here + 3 * BYTES);
            d = oddHalf(p).fma(t, evenHalf(p).fma(s, d));
            if (4 * L < WIDTH) { // or they are in order
                touched += touch4(ahead + (long) i * (4 * BYTES));
            }
        }
        Lanes.known(a).intoArray(sums, at);
        Lanes.known(b).intoArray(sums, at + L);
        Lanes.known(c).intoArray(sums, at + 2 * L);
        Lanes.known(d).intoArray(sums, at + 3 * L);
        return touched; // so that the compiler does not leave them out
    }
}
