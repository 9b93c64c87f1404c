package isonorm.fused;

import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.kernel.Kernels;
import isonorm.kernel.Panels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.tensor.LargePages;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** The keys and values of every token that a model has read so far, in every block; for one thread at a time. */
public final class KvCache implements AutoCloseable {

    /** Room for so many tokens at first; twice as many whenever that is full. */
    private static final int FIRST = 64;

    private static final int WIDTH = Panels.WIDTH;

    /**
     * One block's keys and values in panels, as products read them: of each key-value head the keys are a matrix (head width, positions), and some
     * of the values' columns, as many as a panel has, one of (positions, columns).
     */
    record Cache(Type type, int capacity, int headWidth, MemorySegment keys, MemorySegment values) {

        /** Touched first when something is kept: a long cache takes as long to clear as a tenth of a prompt to read. */
        static Cache allocate(LargePages pages, Type type, Attention.Heads shape, int capacity) {
            int D = shape.width();
            int heads = shape.keyValue();
            return new Cache(type, capacity, D, pages.allocate(heads * keyBytes(type, D, capacity)), pages.allocate(heads * valueBytes(type, D, capacity)));
        }

        private static long keyBytes(Type type, int D, int capacity) {
            return Panels.bytes(type, D, capacity);
        }

        private static long valueBytes(Type type, int D, int capacity) {
            return Math.ceilDiv(D, WIDTH) * Panels.bytes(type, capacity, WIDTH);
        }

        /** Keys {@code from}, where a panel begins, to {@code from + count - 1} of a head. */
        Panels keys(int head, int from, int count) {
            long panel = Panels.bytes(type, headWidth, WIDTH);
            long at = head * keyBytes(type, headWidth, capacity) + from / WIDTH * panel;
            return new Panels(keys.asSlice(at, Math.ceilDiv(count, WIDTH) * panel), type, headWidth, count);
        }

        /** Columns {@code WIDTH * panel} on of values {@code from}, an even number, to {@code from + count - 1} of a head. */
        Panels values(int head, int panel, int from, int count) {
            return new Panels(values.asSlice(valuesAt(head, panel, from), Panels.bytes(type, count, WIDTH)), type, count,
                    Math.min(WIDTH, headWidth - WIDTH * panel));
        }

        private long valuesAt(int head, int panel, int from) {
            return head * valueBytes(type, headWidth, capacity) + panel * Panels.bytes(type, capacity, WIDTH) + (long) from * WIDTH * type.bytes();
        }

        /** The first {@code tokens} positions of another one, in whole panels. */
        private void copyTokens(Cache other, int heads, int tokens) {
            int positions = Math.ceilDiv(tokens, WIDTH) * WIDTH;
            long panels = Panels.bytes(type, headWidth, positions);
            for (int head = 0; head < heads; head++) {
                MemorySegment.copy(other.keys, head * keyBytes(type, headWidth, other.capacity), keys, head * keyBytes(type, headWidth, capacity), panels);
                for (int panel = 0; panel < Math.ceilDiv(headWidth, WIDTH); panel++) {
                    MemorySegment.copy(other.values, other.valuesAt(head, panel, 0), values, valuesAt(head, panel, 0), Panels.bytes(type, positions, WIDTH));
                }
            }
        }

        /** The first positions of another one, which has not more. */
        private void copy(Cache other, int heads) {
            for (int head = 0; head < heads; head++) {
                long bytes = keyBytes(type, headWidth, other.capacity);
                MemorySegment.copy(other.keys, head * bytes, keys, head * keyBytes(type, headWidth, capacity), bytes);
                for (int panel = 0; panel < Math.ceilDiv(headWidth, WIDTH); panel++) {
                    MemorySegment.copy(other.values, other.valuesAt(head, panel, 0), values, valuesAt(head, panel, 0),
                            Panels.bytes(type, other.capacity, WIDTH));
                }
            }
        }

        /** The keys and values of positions {@code position} on, (tokens, head width) each. */
        void keep(int head, int position, Rows someKeys, Rows someValues) {
            KERNELS.pack(someKeys, true, position, keys(head, 0, capacity));
            int n = someValues.rows();
            int from = Math.min(n, Math.ceilDiv(position, STEP) * STEP - position);
            int whole = (n - from) / STEP * STEP;
            for (int panel = 0; panel < Math.ceilDiv(headWidth, WIDTH); panel++) {
                int columns = Math.min(WIDTH, headWidth - WIDTH * panel);
                if (whole > 0) {
                    KERNELS.pack(someValues.slice(from, whole).sliceColumns(WIDTH * panel, columns), false, 0,
                            values(head, panel, position + from, whole));
                }
                for (int t = 0; t < n; t++) {
                    if (t < from || t >= from + whole) {
                        put(someValues, t, WIDTH * panel, columns, valuesAt(head, panel, position + t & ~1), position + t & 1);
                    }
                }
            }
        }

        /** One position, the first or the second of its pair. */
        private void put(Rows from, int row, int column, int count, long at, int second) {
            long first = (from.offset() + (long) row * from.stride() + column) * type.bytes();
            if (type == Type.F32) {
                MemorySegment.copy(from.data(), first, values, at + (long) second * WIDTH * Float.BYTES, (long) count * Float.BYTES);
                return;
            }
            for (int c = 0; c < count; c++) {
                values.set(SHORT, at + 2L * (2 * c + second), from.data().get(SHORT, first + 2L * c));
            }
        }
    }

    private static final Kernels KERNELS = Kernels.provider();

    /** So many positions are put into panels together, a multiple of what the depth of panels is one of. */
    private static final int STEP = 32;

    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED;

    private final List<Attention> blocks;
    private final Type type;
    private final int context;
    private final Optional<Encoded> encoded;
    private List<Cache> caches = List.of();
    private @Nullable Arena arena;
    private int capacity;
    private int length;
    private volatile boolean closed;

    /** @param encoded what the encoder beside the model gave; it is let go with this */
    KvCache(List<Block> blocks, Type type, int context, Optional<Encoded> encoded) {
        this(blocks.stream().map(block -> block.mixer().attention()).toList(), encoded, type, context);
    }

    private KvCache(List<Attention> blocks, Optional<Encoded> encoded, Type type, int context) {
        this.blocks = blocks;
        this.type = type;
        this.context = context;
        this.encoded = encoded;
    }

    /** Another sequence of the first tokens of this one, to be continued differently; close it too. */
    public KvCache copy(int tokens) {
        if (closed) {
            throw new IllegalStateException("this sequence was closed, and its memory freed");
        }
        if (tokens < 0 || tokens > length) {
            throw new IllegalArgumentException("of " + length + " tokens the first 0 to " + length + " can be copied, got " + tokens);
        }
        KvCache copy = new KvCache(blocks, encoded.map(Encoded::held), type, context);
        copy.reserve(Math.max(tokens, 1));
        for (int l = 0; l < blocks.size() && tokens > 0; l++) {
            copy.caches.get(l).copyTokens(caches.get(l), blocks.get(l).heads().keyValue(), tokens);
        }
        copy.length = tokens;
        return copy;
    }

    Optional<Encoded> encoded() {
        return encoded;
    }

    /** How many tokens it holds. */
    public int length() {
        return length;
    }

    Cache cache(int l) {
        return caches.get(l);
    }

    /** Makes room for a length. */
    void reserve(int tokens) {
        if (closed) {
            throw new IllegalStateException("this sequence was closed, and its memory freed");
        }
        if (tokens <= capacity) {
            return;
        }
        int larger = Math.max(FIRST, capacity);
        while (larger < tokens) {
            larger = Math.multiplyExact(larger, 2);
        }
        larger = Math.ceilDiv(Math.clamp(context, tokens, Math.max(tokens, larger)), WIDTH) * WIDTH;
        Arena opened = Arena.ofShared();
        LargePages pages = LargePages.of(opened);
        List<Cache> copies = new ArrayList<>();
        for (int l = 0; l < blocks.size(); l++) {
            Attention attention = blocks.get(l);
            Cache copy = Cache.allocate(pages, type, attention.heads(), larger);
            if (length > 0) {
                copy.copy(caches.get(l), attention.heads().keyValue());
            }
            copies.add(copy);
        }
        if (arena != null) {
            arena.close();
        }
        arena = opened;
        caches = copies;
        capacity = larger;
    }

    /** Keeps the keys and values of tokens {@code position} on: (tokens, heads * head width) each. */
    void keep(int l, int position, Rows keys, Rows values) {
        Attention attention = blocks.get(l);
        int D = attention.heads().width();
        for (int head = 0; head < attention.heads().keyValue(); head++) {
            caches.get(l).keep(head, position, keys.sliceColumns(head * D, D), values.sliceColumns(head * D, D));
        }
    }

    void extend(int tokens) {
        length += tokens;
    }

    @Override
    public void close() {
        if (!closed) {
            encoded.ifPresent(Encoded::close);
        }
        closed = true;
        caches = List.of();
        if (arena != null) {
            arena.close();
            arena = null;
        }
    }
}
