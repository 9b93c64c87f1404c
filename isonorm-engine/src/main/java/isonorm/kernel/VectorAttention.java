package isonorm.kernel;

import static isonorm.kernel.Lanes.ALL;
import static isonorm.kernel.Lanes.FLOATS;
import static isonorm.kernel.Lanes.L;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/**
 * The vector twin of attention of one query per head.
 *
 * <p>The heads of a group take turns on a chunk of positions, so that keys and values come from memory once and then from a cache.
 * 16-bit keys and values are taken as pairs in ints, as in {@link VectorProducts}.
 */
final class VectorAttention {

    /** Positions of a chunk: 64 KB of keys for heads of 128 bfloat16. */
    private static final int CHUNK = 256;

    private static final Loop<VectorAttention> FLOAT_PRODUCTS = Loop.of(VectorAttention::floatProducts);
    private static final Loop<VectorAttention> BRAIN_PRODUCTS = Loop.of(VectorAttention::brainProducts);
    private static final Loop<VectorAttention> FLOAT_SUMS = Loop.of(VectorAttention::floatSums);
    private static final Loop<VectorAttention> BRAIN_SUMS = Loop.of(VectorAttention::brainSums);

    private final long keyAddress;
    private final long keyStep;
    private final Rows values;
    private final Type type;
    private final int D;
    private final int W;
    private final int blocks;
    /** What the loops are for: a split query, its scores or weights, its sums, and where in scores and cache a chunk begins. */
    private float[] query;
    private float[] s;
    private float[] sums;
    private int at;
    private int first;

    private VectorAttention(Rows keys, Rows values) {
        this.keyAddress = keys.address(0);
        this.keyStep = (long) keys.stride() * keys.type().bytes();
        this.values = values;
        this.type = keys.type();
        this.D = keys.columns();
        this.W = VectorProducts.block(type);
        this.blocks = Math.ceilDiv(D, W);
    }

    static void attendOne(
            Rows queries, Rows keys, Rows values, int keyValueHeads, Scoring scoring, int from, int to, Values slopes, Rows out) {
        if (keys.columns() < VectorProducts.block(keys.type())) {
            attendNarrow(queries, keys, values, keyValueHeads, scoring, from, to, slopes, out);
            return;
        }
        VectorAttention attention = new VectorAttention(keys, values);
        int G = queries.rows() / keyValueHeads;
        int capacity = keys.rows() / keyValueHeads;
        int D = queries.columns();
        int n = to - from;
        float[] row = Lanes.room(D);
        float[][] q = new float[G][];
        float[][] s = new float[G][Lanes.whole(n + 3)];
        float[][] sums = new float[G][attention.blocks * attention.W];
        for (int head = 0; head < keyValueHeads; head++) {
            for (int g = 0; g < G; g++) {
                Lanes.read(queries.type(), queries.address(head * G + g), D, row);
                q[g] = attention.split(row);
                Arrays.fill(sums[g], 0);
            }
            int first = head * capacity + from;
            attention.products(q, first, n, s);
            for (int g = 0; g < G; g++) {
                weights(scoring, slopes.present() ? (float) slopes.get(head * G + g) : 0, s[g], n);
            }
            attention.weigh(s, first, n, sums);
            for (int g = 0; g < G; g++) {
                attention.join(sums[g], row);
                Lanes.write(out.type(), out.address(head * G + g), D, row);
            }
        }
    }

    /** Heads that fill no block are filled up with zeros, which add nothing to a product, in memory for one of them. */
    private static void attendNarrow(
            Rows queries, Rows keys, Rows values, int keyValueHeads, Scoring scoring, int from, int to, Values slopes, Rows out) {
        int G = queries.rows() / keyValueHeads;
        int capacity = keys.rows() / keyValueHeads;
        int D = queries.columns();
        int n = to - from;
        int W = VectorProducts.block(keys.type());
        float[] row = Lanes.room(W);
        try (Arena arena = Arena.ofConfined()) {
            Rows wideQueries = Rows.allocate(arena, Type.F32, G, W, W);
            Rows wideKeys = Rows.allocate(arena, keys.type(), n, W, W);
            Rows wideValues = Rows.allocate(arena, keys.type(), n, W, W);
            Rows wideOut = Rows.allocate(arena, Type.F32, G, W, W);
            for (int head = 0; head < keyValueHeads; head++) {
                for (int g = 0; g < G; g++) {
                    Lanes.read(queries.type(), queries.address(head * G + g), D, row);
                    Lanes.write(Type.F32, wideQueries.address(g), D, row);
                }
                copy(keys, head * capacity + from, wideKeys);
                copy(values, head * capacity + from, wideValues);
                attendOne(wideQueries, wideKeys, wideValues, 1, scoring, 0, n, slopes.slice(head * G, G), wideOut);
                for (int g = 0; g < G; g++) {
                    Lanes.read(Type.F32, wideOut.address(g), D, row);
                    Lanes.write(out.type(), out.address(head * G + g), D, row);
                }
            }
        }
    }

    private static void copy(Rows narrow, int first, Rows wide) {
        long bytes = (long) narrow.columns() * narrow.type().bytes();
        for (int p = 0; p < wide.rows(); p++) {
            MemorySegment.copy(ALL, narrow.address(first + p), ALL, wide.address(p), bytes);
        }
    }

    private void products(float[][] q, int first, int n, float[][] s) {
        Loop<VectorAttention> products = type == Type.F32 ? FLOAT_PRODUCTS : BRAIN_PRODUCTS;
        for (int chunk = 0; chunk < n; chunk += CHUNK) {
            for (int g = 0; g < q.length; g++) {
                this.query = q[g];
                take(s[g], chunk, first + chunk);
                products.run(this, Math.min(CHUNK, n - chunk));
            }
        }
    }

    private void weigh(float[][] s, int first, int n, float[][] sums) {
        Loop<VectorAttention> weighted = type == Type.F32 ? FLOAT_SUMS : BRAIN_SUMS;
        for (int chunk = 0; chunk < n; chunk += CHUNK) {
            for (int g = 0; g < s.length; g++) {
                this.sums = sums[g];
                take(s[g], chunk, first + chunk);
                weighted.run(this, Math.min(CHUNK, n - chunk));
            }
        }
    }

    private void take(float[] s, int at, int first) {
        this.s = s;
        this.at = at;
        this.first = first;
    }

    private static void weights(Scoring scoring, float slope, float[] s, int n) {
        VectorSoftmax.score(scoring, s, n);
        if (slope != 0) {
            slope(slope, s, n);
        }
        VectorSoftmax.times(1 / VectorSoftmax.exponentials(s, n), s, n);
    }

    /** Counts back from the last position, so that the biases of the nearest keys are the most exact. */
    private static void slope(float slope, float[] s, int n) {
        for (int i = 0; i < n; i++) {
            s[i] += slope * (i - (n - 1));
        }
    }

    private int start(int block) {
        return Math.min(block * W, D - W);
    }

    /** Blocks as the keys have them, zero where a block overlaps the one before. */
    private float[] split(float[] x) {
        float[] split = new float[blocks * W];
        for (int b = 0; b < blocks; b++) {
            int start = start(b);
            for (int i = b * W - start; i < W; i++) {
                split[b * W + place(i)] = x[start + i];
            }
        }
        return split;
    }

    /** The reverse; where blocks overlap they hold the same. */
    private void join(float[] split, float[] x) {
        for (int b = 0; b < blocks; b++) {
            int start = start(b);
            for (int i = 0; i < W; i++) {
                x[start + i] = split[b * W + place(i)];
            }
        }
    }

    private int place(int i) {
        return type == Type.F32 ? i : i / 2 + (i % 2) * L;
    }

    /** {@code s[at + i] = query · key(first + i)}, four keys side by side. */
    private static float floatProducts(VectorAttention on, int count) {
        int last = on.first + count - 1;
        for (int i = 0; i < count; i += 4) {
            // Fewer than four are left: the last one again, and the scores behind it are written over or not used.
            int key = on.first + i;
            on.float32(on.query, on.key(key), on.key(Math.min(key + 1, last)), on.key(Math.min(key + 2, last)),
                    on.key(Math.min(key + 3, last)), on.s, on.at + i);
        }
        return 0;
    }

    private static float brainProducts(VectorAttention on, int count) {
        int last = on.first + count - 1;
        for (int i = 0; i < count; i += 4) {
            int key = on.first + i;
            on.brain(on.query, on.key(key), on.key(Math.min(key + 1, last)), on.key(Math.min(key + 2, last)),
                    on.key(Math.min(key + 3, last)), on.s, on.at + i);
        }
        return 0;
    }

    private long key(int row) {
        return keyAddress + row * keyStep;
    }

    private void float32(float[] q, long k0, long k1, long k2, long k3, float[] s, int at) {
        FloatVector a = FloatVector.zero(FLOATS);
        FloatVector b = FloatVector.zero(FLOATS);
        FloatVector c = FloatVector.zero(FLOATS);
        FloatVector d = FloatVector.zero(FLOATS);
        for (int i = 0; i < blocks; i++) {
            long offset = (long) start(i) * Float.BYTES;
            FloatVector v = FloatVector.fromArray(FLOATS, q, i * L);
            a = Lanes.floats(k0 + offset).fma(v, a);
            b = Lanes.floats(k1 + offset).fma(v, b);
            c = Lanes.floats(k2 + offset).fma(v, c);
            d = Lanes.floats(k3 + offset).fma(v, d);
        }
        s[at] = Lanes.sum(a);
        s[at + 1] = Lanes.sum(b);
        s[at + 2] = Lanes.sum(c);
        s[at + 3] = Lanes.sum(d);
    }

    private void brain(float[] q, long k0, long k1, long k2, long k3, float[] s, int at) {
        FloatVector a = FloatVector.zero(FLOATS);
        FloatVector b = FloatVector.zero(FLOATS);
        FloatVector c = FloatVector.zero(FLOATS);
        FloatVector d = FloatVector.zero(FLOATS);
        for (int i = 0; i < blocks; i++) {
            long offset = (long) start(i) * Short.BYTES;
            FloatVector v = FloatVector.fromArray(FLOATS, q, 2 * i * L);
            FloatVector w = FloatVector.fromArray(FLOATS, q, (2 * i + 1) * L);
            IntVector p = VectorProducts.pairs(k0 + offset);
            a = VectorProducts.odd(p).fma(w, VectorProducts.even(p).fma(v, a));
            p = VectorProducts.pairs(k1 + offset);
            b = VectorProducts.odd(p).fma(w, VectorProducts.even(p).fma(v, b));
            p = VectorProducts.pairs(k2 + offset);
            c = VectorProducts.odd(p).fma(w, VectorProducts.even(p).fma(v, c));
            p = VectorProducts.pairs(k3 + offset);
            d = VectorProducts.odd(p).fma(w, VectorProducts.even(p).fma(v, d));
        }
        s[at] = Lanes.sum(a);
        s[at + 1] = Lanes.sum(b);
        s[at + 2] = Lanes.sum(c);
        s[at + 3] = Lanes.sum(d);
    }

    /** {@code sums += s[at + i] * value(first + i)}, block by block, so that the sums stay in registers. */
    private static float floatSums(VectorAttention on, int count) {
        long step = (long) on.values.stride() * Float.BYTES;
        long address = on.values.address(on.first);
        for (int b = 0; b < on.blocks; b++) {
            float32(on.s, on.at, address + (long) on.start(b) * Float.BYTES, step, count, on.sums, b * L);
        }
        return 0;
    }

    private static float brainSums(VectorAttention on, int count) {
        long step = (long) on.values.stride() * Short.BYTES;
        long address = on.values.address(on.first);
        for (int b = 0; b < on.blocks; b++) {
            brain(on.s, on.at, address + (long) on.start(b) * Short.BYTES, step, count, on.sums, 2 * b * L);
        }
        return 0;
    }

    private static void float32(float[] s, int at, long address, long step, int count, float[] sums, int block) {
        FloatVector a = FloatVector.fromArray(FLOATS, sums, block);
        FloatVector b = FloatVector.zero(FLOATS);
        FloatVector c = FloatVector.zero(FLOATS);
        FloatVector d = FloatVector.zero(FLOATS);
        int i = 0;
        for (; i + 3 < count; i += 4) {
            long value = address + i * step;
            a = Lanes.floats(value).fma(FloatVector.broadcast(FLOATS, s[at + i]), a);
            b = Lanes.floats(value + step).fma(FloatVector.broadcast(FLOATS, s[at + i + 1]), b);
            c = Lanes.floats(value + 2 * step).fma(FloatVector.broadcast(FLOATS, s[at + i + 2]), c);
            d = Lanes.floats(value + 3 * step).fma(FloatVector.broadcast(FLOATS, s[at + i + 3]), d);
        }
        for (; i < count; i++) {
            a = Lanes.floats(address + i * step).fma(FloatVector.broadcast(FLOATS, s[at + i]), a);
        }
        a.add(b).add(c.add(d)).intoArray(sums, block);
    }

    private static void brain(float[] s, int at, long address, long step, int count, float[] sums, int block) {
        FloatVector a = FloatVector.fromArray(FLOATS, sums, block);
        FloatVector b = FloatVector.fromArray(FLOATS, sums, block + L);
        FloatVector c = FloatVector.zero(FLOATS);
        FloatVector d = FloatVector.zero(FLOATS);
        int i = 0;
        for (; i + 1 < count; i += 2) {
            long value = address + i * step;
            IntVector pairs = VectorProducts.pairs(value);
            FloatVector weight = FloatVector.broadcast(FLOATS, s[at + i]);
            a = VectorProducts.even(pairs).fma(weight, a);
            b = VectorProducts.odd(pairs).fma(weight, b);
            pairs = VectorProducts.pairs(value + step);
            weight = FloatVector.broadcast(FLOATS, s[at + i + 1]);
            c = VectorProducts.even(pairs).fma(weight, c);
            d = VectorProducts.odd(pairs).fma(weight, d);
        }
        if (i < count) {
            IntVector pairs = VectorProducts.pairs(address + i * step);
            FloatVector weight = FloatVector.broadcast(FLOATS, s[at + i]);
            a = VectorProducts.even(pairs).fma(weight, a);
            b = VectorProducts.odd(pairs).fma(weight, b);
        }
        a.add(c).intoArray(sums, block);
        b.add(d).intoArray(sums, block + L);
    }
}
