package isonorm.kernel;

import static isonorm.kernel.Lanes.ALL;
import static isonorm.kernel.Lanes.FLOATS;
import static isonorm.kernel.Lanes.FLOAT_VECTOR;
import static isonorm.kernel.Lanes.INTS;
import static isonorm.kernel.Lanes.INT_VECTOR;
import static isonorm.kernel.Lanes.L;
import static isonorm.kernel.Lanes.ORDER;
import static isonorm.kernel.QuantizedPanels.SCALES;
import static isonorm.kernel.QuantizedPanels.STEP;
import static isonorm.kernel.QuantizedPanels.WIDTH;
import static jdk.incubator.vector.VectorOperators.ASHR;
import static jdk.incubator.vector.VectorOperators.I2F;
import static jdk.incubator.vector.VectorOperators.LSHL;

import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;

/**
 * The vector twin of one row times a matrix of few bits, and of widening such a matrix to float32.
 *
 * <p>A code is masked where it stands in the highest bits of an int, converted, which is exact, and multiplied by its scale, which is smaller by as
 * much and exact again: 8 bits times 11. So a weight is the float32 that it stands for, and an output's sum adds products input by input
 * in the {@link Summation} of the panels, as several rows of {@link VectorPanels} do with what is widened here. Then the codes move up by one place.
 */
final class VectorQuantized {

    private static final Loop<VectorQuantized> BYTES_FOR_ONE = Loop.of(VectorQuantized::bytesForOne);
    private static final Loop<VectorQuantized> NIBBLES_FOR_ONE = Loop.of(VectorQuantized::nibblesForOne);
    private static final Loop<VectorQuantized> HALVES_FOR_ONE = Loop.of(VectorQuantized::halvesForOne);
    private static final Loop<VectorQuantized> SCALES_OF = Loop.of(VectorQuantized::scales);
    private static final Loop<VectorQuantized> WIDEN = Loop.of(VectorQuantized::widen);

    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED;

    /** The numbers of a line of scales. */
    private static final int LINE = 16;
    /** The bytes of a vector. */
    private static final int BYTES = 4 * L;
    /** The bytes of the upper half of a panel's outputs. */
    private static final int UPPER = 4 * LINE;
    /** A float16's sign, and its exponent and fraction where those of a float32 end and begin. */
    private static final IntVector HALF = IntVector.broadcast(INTS, 0x8fffe000);
    private static final IntVector UPPER_BYTE = IntVector.broadcast(INTS, 0xff000000);
    private static final IntVector UPPER_NIBBLE = IntVector.broadcast(INTS, 0xf0000000);

    /** What a thread needs for a product. */
    private static final class Room {
        private static final ThreadLocal<Room> OWN = ThreadLocal.withInitial(Room::new);

        private final float[] sums = new float[WIDTH];
        private final float[] totals = new float[WIDTH];
        private float[] x = {};
        private float[] scales = {};
    }

    private final QuantizedPanels weights;
    private final int perStep;
    private final int groupBytes;
    private final Loop<VectorQuantized> loop;
    /** The bits of a code, where they are in an int when they are converted, and what makes a float16 with its bits moved and a code up there the weight. */
    private final int bits;
    private final int mask;
    private final float unit;

    /** What the loops are for: groups from an address on, steps of each, and x from k on. */
    private long w;
    private int groups;
    private int steps;
    private int k;
    private float[] x = {};
    private float[] sums = {};
    private float[] scaleOf = {};
    /** Where the scales of the first group are. */
    private long scales;
    /** Where is widened to, and the bytes from an input to the next. */
    private long to;
    private long stride;

    private VectorQuantized(QuantizedPanels weights) {
        this.weights = weights;
        this.perStep = weights.perStep();
        this.groupBytes = weights.groupBytes();
        this.bits = weights.quantization().bits();
        this.loop = bits == 8 ? BYTES_FOR_ONE : NIBBLES_FOR_ONE;
        this.mask = -1 << Integer.SIZE - bits;
        this.unit = (float) Math.scalb(1.0, 112 - (Integer.SIZE - bits));
    }

    /** One row with all panels. */
    static void product(Rows x, QuantizedPanels weights, Rows y) {
        Room room = Room.OWN.get();
        int K = weights.inputs();
        room.x = room.x.length >= K ? room.x : new float[K];
        Lanes.read(x.type(), x.address(0), K, room.x);
        VectorQuantized product = new VectorQuantized(weights);
        product.x = room.x;
        product.sums = room.sums;
        int scales = weights.groups() * WIDTH;
        room.scales = room.scales.length >= scales ? room.scales : new float[scales];
        product.scaleOf = room.scales;
        int span = Math.min(weights.summation().span(), K);
        for (int panel = 0; panel < weights.count(); panel++) {
            Arrays.fill(room.totals, -0f); // to which a sum is added as it is
            for (int from = 0; from < K; from += span) {
                Arrays.fill(room.sums, 0);
                product.add(panel, from, Math.min(from + span, K));
                for (int i = 0; i < WIDTH; i++) {
                    room.totals[i] += room.sums[i];
                }
            }
            int output = panel * WIDTH;
            Lanes.write(y.type(), y.address(0) + (long) output * y.type().bytes(), Math.min(WIDTH, weights.outputs() - output), room.totals);
        }
    }

    /** Adds the products of some inputs to the sums: whole groups in a run, and parts of groups, where a span begins or ends in one, each by itself. */
    private void add(int panel, int from, int end) {
        int group = weights.quantization().group();
        for (int input = from; input < end; ) {
            int within = input % group;
            int whole = within == 0 ? (end - input) / group : 0;
            int inputs = whole > 0 ? whole * group : Math.min(group - within, end - input);
            w = weights.address(panel, input / group) + (long) (within / perStep) * STEP;
            groups = Math.max(1, whole);
            steps = whole > 0 ? group / perStep : inputs / perStep;
            k = input;
            scales = weights.address(panel, input / group);
            for (int output = 0; output < LINE && steps > 0; output += L) {
                (L == 8 ? SCALES_OF : HALVES_FOR_ONE).run(this, output);
            }
            if (L == 8 && steps > 0) {
                loop.run(this, 0);
            }
            for (int rest = input + inputs - inputs % perStep; rest < input + inputs; rest++) {
                for (int output = 0; output < WIDTH; output++) {
                    sums[output] = Math.fma(weights.get(rest, panel * WIDTH + output), x[rest], sums[output]);
                }
            }
            input += inputs;
        }
    }

    /** All outputs of a panel at eight lanes. It is more than the compiler inlines of other methods than the Vector API's own: so nothing else is called here. */
    private static float bytesForOne(VectorQuantized on, int ignored) {
        float[] scales = on.scaleOf;
        int from = 0;
        long step = on.w + SCALES;
        int groupBytes = on.groupBytes;
        int groups = on.groups;
        int steps = on.steps;
        float[] x = on.x;
        float[] sums = on.sums;
        int k = on.k;
        FloatVector a = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, sums, 0));
        FloatVector b = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, sums, L));
        FloatVector c = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, sums, 2 * L));
        FloatVector d = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, sums, 3 * L));
        for (int g = 0; g < groups; g++, step += groupBytes, from += WIDTH) {
            FloatVector sa = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, scales, from));
            FloatVector sb = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, scales, from + L));
            FloatVector sc = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, scales, from + 2 * L));
            FloatVector sd = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, scales, from + 3 * L));
            long end = step + (long) steps * STEP;
            for (long here = step; here != end; here += STEP) {
                FloatVector t = (FloatVector) FLOAT_VECTOR.cast(FloatVector.broadcast(FLOATS, x[k]));
                FloatVector u = (FloatVector) FLOAT_VECTOR.cast(FloatVector.broadcast(FLOATS, x[k + 1]));
                FloatVector v = (FloatVector) FLOAT_VECTOR.cast(FloatVector.broadcast(FLOATS, x[k + 2]));
                FloatVector w = (FloatVector) FLOAT_VECTOR.cast(FloatVector.broadcast(FLOATS, x[k + 3]));
                IntVector p;
                p = (IntVector) INT_VECTOR.cast(((IntVector) INT_VECTOR.cast(IntVector.fromMemorySegment(INTS, ALL, here, ORDER))));
                a = (FloatVector) FLOAT_VECTOR.cast(((FloatVector) FLOAT_VECTOR.cast(p.and(UPPER_BYTE).convertShape(I2F, FLOATS, 0))).mul(sa).fma(t, a));
                a = (FloatVector) FLOAT_VECTOR.cast(((FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 8).and(UPPER_BYTE).convertShape(I2F, FLOATS, 0))).mul(sa).fma(u, a));
                a = (FloatVector) FLOAT_VECTOR.cast(((FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 16).and(UPPER_BYTE).convertShape(I2F, FLOATS, 0))).mul(sa).fma(v, a));
                a = (FloatVector) FLOAT_VECTOR.cast(((FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 24).and(UPPER_BYTE).convertShape(I2F, FLOATS, 0))).mul(sa).fma(w, a));
                p = (IntVector) INT_VECTOR.cast(((IntVector) INT_VECTOR.cast(IntVector.fromMemorySegment(INTS, ALL, here + BYTES, ORDER))));
                b = (FloatVector) FLOAT_VECTOR.cast(((FloatVector) FLOAT_VECTOR.cast(p.and(UPPER_BYTE).convertShape(I2F, FLOATS, 0))).mul(sb).fma(t, b));
                b = (FloatVector) FLOAT_VECTOR.cast(((FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 8).and(UPPER_BYTE).convertShape(I2F, FLOATS, 0))).mul(sb).fma(u, b));
                b = (FloatVector) FLOAT_VECTOR.cast(((FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 16).and(UPPER_BYTE).convertShape(I2F, FLOATS, 0))).mul(sb).fma(v, b));
                b = (FloatVector) FLOAT_VECTOR.cast(((FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 24).and(UPPER_BYTE).convertShape(I2F, FLOATS, 0))).mul(sb).fma(w, b));
                p = (IntVector) INT_VECTOR.cast(((IntVector) INT_VECTOR.cast(IntVector.fromMemorySegment(INTS, ALL, here + 2 * BYTES, ORDER))));
                c = (FloatVector) FLOAT_VECTOR.cast(((FloatVector) FLOAT_VECTOR.cast(p.and(UPPER_BYTE).convertShape(I2F, FLOATS, 0))).mul(sc).fma(t, c));
                c = (FloatVector) FLOAT_VECTOR.cast(((FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 8).and(UPPER_BYTE).convertShape(I2F, FLOATS, 0))).mul(sc).fma(u, c));
                c = (FloatVector) FLOAT_VECTOR.cast(((FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 16).and(UPPER_BYTE).convertShape(I2F, FLOATS, 0))).mul(sc).fma(v, c));
                c = (FloatVector) FLOAT_VECTOR.cast(((FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 24).and(UPPER_BYTE).convertShape(I2F, FLOATS, 0))).mul(sc).fma(w, c));
                p = (IntVector) INT_VECTOR.cast(((IntVector) INT_VECTOR.cast(IntVector.fromMemorySegment(INTS, ALL, here + 3 * BYTES, ORDER))));
                d = (FloatVector) FLOAT_VECTOR.cast(((FloatVector) FLOAT_VECTOR.cast(p.and(UPPER_BYTE).convertShape(I2F, FLOATS, 0))).mul(sd).fma(t, d));
                d = (FloatVector) FLOAT_VECTOR.cast(((FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 8).and(UPPER_BYTE).convertShape(I2F, FLOATS, 0))).mul(sd).fma(u, d));
                d = (FloatVector) FLOAT_VECTOR.cast(((FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 16).and(UPPER_BYTE).convertShape(I2F, FLOATS, 0))).mul(sd).fma(v, d));
                d = (FloatVector) FLOAT_VECTOR.cast(((FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 24).and(UPPER_BYTE).convertShape(I2F, FLOATS, 0))).mul(sd).fma(w, d));
                k += 4;
            }
        }
        ((FloatVector) FLOAT_VECTOR.cast(a)).intoArray(sums, 0);
        ((FloatVector) FLOAT_VECTOR.cast(b)).intoArray(sums, L);
        ((FloatVector) FLOAT_VECTOR.cast(c)).intoArray(sums, 2 * L);
        ((FloatVector) FLOAT_VECTOR.cast(d)).intoArray(sums, 3 * L);
        return 0;
    }

    /** As {@link #bytesForOne}. */
    private static float nibblesForOne(VectorQuantized on, int ignored) {
        float[] scales = on.scaleOf;
        int from = 0;
        long step = on.w + SCALES;
        int groupBytes = on.groupBytes;
        int groups = on.groups;
        int steps = on.steps;
        float[] x = on.x;
        float[] sums = on.sums;
        int k = on.k;
        FloatVector a = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, sums, 0));
        FloatVector b = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, sums, L));
        FloatVector c = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, sums, 2 * L));
        FloatVector d = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, sums, 3 * L));
        for (int g = 0; g < groups; g++, step += groupBytes, from += WIDTH) {
            FloatVector sa = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, scales, from));
            FloatVector sb = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, scales, from + L));
            FloatVector sc = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, scales, from + 2 * L));
            FloatVector sd = (FloatVector) FLOAT_VECTOR.cast(FloatVector.fromArray(FLOATS, scales, from + 3 * L));
            long end = step + (long) steps * STEP;
            for (long here = step; here != end; here += STEP) {
                for (int shift = 0; shift != 32; shift += 8, k += 2) {
                    FloatVector t = (FloatVector) FLOAT_VECTOR.cast(FloatVector.broadcast(FLOATS, x[k]));
                    FloatVector o = (FloatVector) FLOAT_VECTOR.cast(FloatVector.broadcast(FLOATS, x[k + 1]));
                    IntVector p;
                    p = (IntVector) INT_VECTOR.cast(((IntVector) INT_VECTOR.cast(IntVector.fromMemorySegment(INTS, ALL, here, ORDER))).lanewise(LSHL, shift));
                    a = (FloatVector) FLOAT_VECTOR.cast(((FloatVector) FLOAT_VECTOR.cast(p.and(UPPER_NIBBLE).convertShape(I2F, FLOATS, 0))).mul(sa).fma(t, a));
                    a = (FloatVector) FLOAT_VECTOR.cast(((FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 4).and(UPPER_NIBBLE).convertShape(I2F, FLOATS, 0))).mul(sa).fma(o, a));
                    p = (IntVector) INT_VECTOR.cast(((IntVector) INT_VECTOR.cast(IntVector.fromMemorySegment(INTS, ALL, here + BYTES, ORDER))).lanewise(LSHL, shift));
                    b = (FloatVector) FLOAT_VECTOR.cast(((FloatVector) FLOAT_VECTOR.cast(p.and(UPPER_NIBBLE).convertShape(I2F, FLOATS, 0))).mul(sb).fma(t, b));
                    b = (FloatVector) FLOAT_VECTOR.cast(((FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 4).and(UPPER_NIBBLE).convertShape(I2F, FLOATS, 0))).mul(sb).fma(o, b));
                    p = (IntVector) INT_VECTOR.cast(((IntVector) INT_VECTOR.cast(IntVector.fromMemorySegment(INTS, ALL, here + 2 * BYTES, ORDER))).lanewise(LSHL, shift));
                    c = (FloatVector) FLOAT_VECTOR.cast(((FloatVector) FLOAT_VECTOR.cast(p.and(UPPER_NIBBLE).convertShape(I2F, FLOATS, 0))).mul(sc).fma(t, c));
                    c = (FloatVector) FLOAT_VECTOR.cast(((FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 4).and(UPPER_NIBBLE).convertShape(I2F, FLOATS, 0))).mul(sc).fma(o, c));
                    p = (IntVector) INT_VECTOR.cast(((IntVector) INT_VECTOR.cast(IntVector.fromMemorySegment(INTS, ALL, here + 3 * BYTES, ORDER))).lanewise(LSHL, shift));
                    d = (FloatVector) FLOAT_VECTOR.cast(((FloatVector) FLOAT_VECTOR.cast(p.and(UPPER_NIBBLE).convertShape(I2F, FLOATS, 0))).mul(sd).fma(t, d));
                    d = (FloatVector) FLOAT_VECTOR.cast(((FloatVector) FLOAT_VECTOR.cast(p.lanewise(LSHL, 4).and(UPPER_NIBBLE).convertShape(I2F, FLOATS, 0))).mul(sd).fma(o, d));
                }
            }
        }
        ((FloatVector) FLOAT_VECTOR.cast(a)).intoArray(sums, 0);
        ((FloatVector) FLOAT_VECTOR.cast(b)).intoArray(sums, L);
        ((FloatVector) FLOAT_VECTOR.cast(c)).intoArray(sums, 2 * L);
        ((FloatVector) FLOAT_VECTOR.cast(d)).intoArray(sums, 3 * L);
        return 0;
    }

    /** The scales of all groups in a run, in float32 and as they are multiplied with. */
    private static float scales(VectorQuantized on, int output) {
        long from = on.scales + 4L * output;
        float[] into = on.scaleOf;
        int at = output;
        for (int g = 0; g < on.groups; g++, from += on.groupBytes, at += WIDTH) {
            IntVector u = ints(from);
            lower(u).mul(on.unit).intoArray(into, at);
            upper(u).mul(on.unit).intoArray(into, at + LINE);
        }
        return 0;
    }

    /** Outputs {@code output} and on, and as many of the upper half. */
    private static float halvesForOne(VectorQuantized on, int output) {
        long scales = on.scales + 4L * output;
        long step = on.w + SCALES + 4L * output;
        int groupBytes = on.groupBytes;
        int groups = on.groups;
        int steps = on.steps;
        int perStep = on.perStep;
        int bits = on.bits;
        int mask = on.mask;
        float unit = on.unit;
        float[] x = on.x;
        float[] sums = on.sums;
        int k = on.k;
        FloatVector a = Lanes.floats(sums, output);
        FloatVector b = Lanes.floats(sums, LINE + output);
        for (int g = 0; g < groups; g++, scales += groupBytes, step += groupBytes) {
            IntVector u = ints(scales);
            FloatVector sa = lower(u).mul(unit);
            FloatVector sb = upper(u).mul(unit);
            long end = step + (long) steps * STEP;
            for (long here = step; here != end; here += STEP) {
                IntVector p = ints(here);
                IntVector q = ints(here + UPPER);
                for (int i = 0; i < perStep; i++) {
                    FloatVector t = Lanes.all(x[k++]);
                    a = Lanes.known(number(p, mask).mul(sa).fma(t, a));
                    b = Lanes.known(number(q, mask).mul(sb).fma(t, b));
                    p = Lanes.known(p.lanewise(LSHL, bits));
                    q = Lanes.known(q.lanewise(LSHL, bits));
                }
            }
        }
        Lanes.known(a).intoArray(sums, output);
        Lanes.known(b).intoArray(sums, LINE + output);
        return 0;
    }

    private static IntVector ints(long address) {
        return Lanes.known(IntVector.fromMemorySegment(INTS, ALL, address, ORDER));
    }

    private static FloatVector lower(IntVector scales) {
        return upper(Lanes.known(scales.lanewise(LSHL, 16)));
    }

    private static FloatVector upper(IntVector scales) {
        return Lanes.floats(scales.lanewise(ASHR, 3).and(HALF));
    }

    private static FloatVector number(IntVector codes, int mask) {
        return Lanes.known((FloatVector) codes.and(mask).convertShape(I2F, FLOATS, 0));
    }

    /**
     * Inputs of 64 outputs in float32, as {@link Panels} have them; of outputs that are not there, zeros.
     *
     * @param panel of {@link Panels#WIDTH} outputs
     * @param input the first, a multiple of a step's
     * @param count those behind the matrix are zeros too
     */
    static void widen(QuantizedPanels from, int panel, int input, int count, long to) {
        VectorQuantized widening = new VectorQuantized(from);
        widening.stride = 4L * Panels.WIDTH;
        for (int half = 0; half < 2; half++) {
            int each = 2 * panel + half;
            widening.to = to + half * (long) STEP;
            int there = each < from.count() ? Math.min(count, from.inputs() - input) : 0;
            if (there > 0) {
                widening.widen(each, input, there);
            }
            for (int i = Math.max(0, there); i < count; i++) {
                Lanes.clear(Type.F32, to + half * (long) STEP + i * widening.stride, WIDTH);
            }
        }
    }

    private void widen(int panel, int input, int count) {
        int group = weights.quantization().group();
        for (int done = 0; done < count; ) {
            int within = (input + done) % group;
            int inputs = Math.min(group - within, count - done);
            scales = weights.address(panel, (input + done) / group);
            w = scales + (long) (within / perStep) * STEP;
            steps = inputs / perStep;
            for (int output = 0; output < LINE && steps > 0; output += L) {
                WIDEN.run(this, output);
            }
            for (int rest = inputs - inputs % perStep; rest < inputs; rest++) {
                for (int output = 0; output < WIDTH; output++) {
                    ALL.set(FLOAT, to + rest * stride + 4L * output,
                            weights.get(input + done + rest, panel * WIDTH + output));
                }
            }
            to += inputs * stride;
            done += inputs;
        }
    }

    private static float widen(VectorQuantized on, int output) {
        long here = on.w + SCALES + 4L * output;
        long to = on.to + 4L * output;
        long stride = on.stride;
        int steps = on.steps;
        int perStep = on.perStep;
        int bits = on.bits;
        int mask = on.mask;
        IntVector u = ints(on.scales + 4L * output);
        FloatVector sa = lower(u).mul(on.unit);
        FloatVector sb = upper(u).mul(on.unit);
        for (int step = 0; step < steps; step++, here += STEP) {
            IntVector p = ints(here);
            IntVector q = ints(here + UPPER);
            for (int i = 0; i < perStep; i++, to += stride) {
                number(p, mask).mul(sa).intoMemorySegment(ALL, to, ORDER);
                number(q, mask).mul(sb).intoMemorySegment(ALL, to + UPPER, ORDER);
                p = Lanes.known(p.lanewise(LSHL, bits));
                q = Lanes.known(q.lanewise(LSHL, bits));
            }
        }
        return 0;
    }
}
