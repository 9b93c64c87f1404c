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
import java.util.concurrent.atomic.AtomicInteger;

/**
 * The keys and values of every token that a model has read so far, in every block; for one thread at a time. They lie in pages, of which those that
 * are full are never written again: sequences that begin alike share them.
 */
public final class KvCache implements AutoCloseable {

    /** A page has room for so many tokens at first; twice as many whenever that is full, up to a whole page. */
    private static final int FIRST = 64;

    /** The tokens of a page: sums over keys begin anew at its end. */
    static final int PAGE = 512;

    private static final int WIDTH = Panels.WIDTH;

    /** One block's keys and values, read in parts none of which goes on behind a multiple of {@value #PAGE}. */
    sealed interface KeysAndValues {

        /** Keys {@code from}, where a panel begins, to {@code from + count - 1} of a head. */
        Panels keys(int head, int from, int count);

        /** Columns {@code WIDTH * panel} on of values {@code from}, an even number, to {@code from + count - 1} of a head. */
        Panels values(int head, int panel, int from, int count);
    }

    /** Those of block {@code l} in pages. */
    private record Paged(List<Page> pages, int l) implements KeysAndValues {

        @Override
        public Panels keys(int head, int from, int count) {
            return pages.get(from / PAGE).caches.get(l).keys(head, from % PAGE, count);
        }

        @Override
        public Panels values(int head, int panel, int from, int count) {
            return pages.get(from / PAGE).caches.get(l).values(head, panel, from % PAGE, count);
        }
    }

    /** A page of all blocks; whoever holds it lets it go. */
    private record Page(Arena arena, int capacity, List<Cache> caches, AtomicInteger holders) {

        static Page allocate(List<Attention> blocks, Type type, int capacity) {
            Arena arena = Arena.ofShared();
            LargePages pages = LargePages.of(arena);
            return new Page(arena, capacity, blocks.stream().map(attention -> Cache.allocate(pages, type, attention.heads(), capacity)).toList(), new AtomicInteger(1));
        }

        /** The same for one more holder. */
        Page held() {
            holders.incrementAndGet();
            return this;
        }

        void close() {
            if (holders.decrementAndGet() == 0) {
                arena.close();
            }
        }
    }

    /**
     * One block's keys and values in panels, as products read them: of each key-value head the keys are a matrix (head width, positions), and some
     * of the values' columns, as many as a panel has, one of (positions, columns).
     */
    record Cache(Type type, int capacity, int headWidth, MemorySegment keys, MemorySegment values) implements KeysAndValues {

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

        @Override
        public Panels keys(int head, int from, int count) {
            long panel = Panels.bytes(type, headWidth, WIDTH);
            long at = head * keyBytes(type, headWidth, capacity) + from / WIDTH * panel;
            return new Panels(keys.asSlice(at, Math.ceilDiv(count, WIDTH) * panel), type, headWidth, count);
        }

        @Override
        public Panels values(int head, int panel, int from, int count) {
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
    private final List<Page> pages = new ArrayList<>();
    private int length;
    private int expected;
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

    /** Another sequence of the first tokens of this one, to be continued differently, which shares its full pages; close it too. */
    public KvCache copy(int tokens) {
        if (closed) {
            throw new IllegalStateException("this sequence was closed, and its memory freed");
        }
        if (tokens < 0 || tokens > length) {
            throw new IllegalArgumentException("of " + length + " tokens the first 0 to " + length + " can be copied, got " + tokens);
        }
        KvCache copy = new KvCache(blocks, encoded.map(Encoded::held), type, context);
        int full = tokens / PAGE;
        pages.subList(0, full).forEach(page -> copy.pages.add(page.held()));
        copy.expected = expected; // so that what goes on like this one is not copied again
        copy.reserve(tokens);
        if (tokens % PAGE > 0) {
            copy(pages.get(full), copy.pages.get(full), tokens % PAGE);
        }
        copy.length = tokens;
        return copy;
    }

    /** The first positions of a page into another. */
    private void copy(Page from, Page to, int tokens) {
        for (int l = 0; l < blocks.size(); l++) {
            to.caches.get(l).copyTokens(from.caches.get(l), blocks.get(l).heads().keyValue(), tokens);
        }
    }

    /** How many of its pages are another's too. */
    int shared() {
        return (int) pages.stream().filter(page -> page.holders.get() > 1).count();
    }

    Optional<Encoded> encoded() {
        return encoded;
    }

    /** How many tokens it holds. */
    public int length() {
        return length;
    }

    KeysAndValues cache(int l) {
        return new Paged(pages, l);
    }

    /** Says how long it is going to be, so that its memory is got at once and not again and again, with copies of what there is. */
    public void expect(int tokens) {
        expected = tokens;
    }

    /** How many tokens it has memory for. */
    int room() {
        return pages.stream().mapToInt(Page::capacity).sum();
    }

    /** Makes room for a length. */
    void reserve(int tokens) {
        if (closed) {
            throw new IllegalStateException("this sequence was closed, and its memory freed");
        }
        for (int first = length / PAGE * PAGE; first < tokens; first += PAGE) {
            int index = first / PAGE;
            int wanted = Math.min(PAGE, tokens - first);
            if (index == pages.size()) {
                pages.add(Page.allocate(blocks, type, capacity(first, wanted)));
            } else if (pages.get(index).capacity < wanted) { // not full, so that nobody else holds it
                Page old = pages.get(index);
                Page larger = Page.allocate(blocks, type, capacity(first, wanted));
                if (length > first) {
                    copy(old, larger, length - first);
                }
                pages.set(index, larger);
                old.close();
            }
        }
    }

    /** The capacity of a page from token {@code first} on, in whole panels; none has room behind the context. */
    private int capacity(int first, int wanted) {
        int larger = Math.clamp(expected - first, FIRST, PAGE);
        while (larger < wanted) {
            larger *= 2;
        }
        return Math.ceilDiv(Math.clamp(context - first, wanted, Math.min(PAGE, larger)), WIDTH) * WIDTH;
    }

    /** Keeps the keys and values of tokens {@code position} on: (tokens, heads * head width) each. */
    void keep(int l, int position, Rows keys, Rows values) {
        Attention attention = blocks.get(l);
        int D = attention.heads().width();
        for (int done = 0; done < keys.rows(); ) {
            int at = position + done;
            int count = Math.min(keys.rows() - done, PAGE - at % PAGE);
            Cache cache = pages.get(at / PAGE).caches.get(l);
            for (int head = 0; head < attention.heads().keyValue(); head++) {
                cache.keep(head, at % PAGE, keys.slice(done, count).sliceColumns(head * D, D), values.slice(done, count).sliceColumns(head * D, D));
            }
            done += count;
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
        pages.forEach(Page::close);
        pages.clear();
    }
}
