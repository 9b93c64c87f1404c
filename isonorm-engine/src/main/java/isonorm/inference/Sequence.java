package isonorm.inference;

import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.tensor.LargePages;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/** What a model has read so far: the keys and values of every token, in every block. */
public final class Sequence implements AutoCloseable {

    /** Room for so many tokens at first; twice as many whenever that is full. */
    private static final int FIRST = 64;

    /** One block's keys and values, the positions of a head together: head k's position p is row {@code k * capacity + p}. */
    record Cache(Rows keys, Rows values) {

        /** Touched first when something is kept: a long cache takes as long to clear as a tenth of a prompt to read. */
        private static Cache allocate(LargePages pages, Type type, Attention attention, int capacity) {
            int rows = attention.keyValueHeads() * capacity;
            long bytes = (long) rows * attention.headWidth() * type.bytes();
            return new Cache(
                    Rows.of(pages.allocate(bytes), type, rows, attention.headWidth()),
                    Rows.of(pages.allocate(bytes), type, rows, attention.headWidth()));
        }
    }

    private final Inference owner;
    private final List<Block> blocks;
    private final Type type;
    private final int context;
    private List<Cache> caches = List.of();
    private Arena arena;
    private int capacity;
    private int length;
    private boolean closed;

    Sequence(Inference owner, List<Block> blocks, Type type, int context) {
        this.owner = owner;
        this.blocks = blocks;
        this.type = type;
        this.context = context;
    }

    /** How many tokens it holds. */
    public int length() {
        return length;
    }

    /** Whether {@code inference} started it. */
    boolean of(Inference inference) {
        return owner == inference;
    }

    Cache cache(int l) {
        return caches.get(l);
    }

    int capacity() {
        return capacity;
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
        larger = Math.clamp(context, tokens, Math.max(tokens, larger));
        Arena opened = Arena.ofShared();
        LargePages pages = LargePages.of(opened);
        List<Cache> copies = new ArrayList<>();
        for (int l = 0; l < blocks.size(); l++) {
            Attention attention = blocks.get(l).attention();
            Cache copy = Cache.allocate(pages, type, attention, larger);
            for (int head = 0; head < attention.keyValueHeads() && length > 0; head++) {
                copy(caches.get(l).keys().slice(head * capacity, length), copy.keys(), head * larger);
                copy(caches.get(l).values().slice(head * capacity, length), copy.values(), head * larger);
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

    private void copy(Rows from, Rows to, int row) {
        long bytes = (long) length * from.columns() * type.bytes();
        MemorySegment.copy(from.data(), from.offset() * type.bytes(), to.data(), (to.offset() + (long) row * to.stride()) * type.bytes(), bytes);
    }

    /** Keeps the keys and values of tokens {@code position} on: (tokens, heads * head width) each. */
    void keep(int l, int position, Rows keys, Rows values) {
        Attention attention = blocks.get(l).attention();
        int D = attention.headWidth();
        for (int head = 0; head < attention.keyValueHeads(); head++) {
            for (int t = 0; t < keys.rows(); t++) {
                put(keys, t, head * D, caches.get(l).keys(), head * capacity + position + t, D);
                put(values, t, head * D, caches.get(l).values(), head * capacity + position + t, D);
            }
        }
    }

    private void put(Rows from, int row, int column, Rows to, int at, int count) {
        long size = type.bytes();
        MemorySegment.copy(from.data(), (from.offset() + (long) row * from.stride() + column) * size,
                to.data(), (to.offset() + (long) at * to.stride()) * size, count * size);
    }

    void extend(int tokens) {
        length += tokens;
    }

    @Override
    public void close() {
        closed = true;
        caches = List.of();
        if (arena != null) {
            arena.close();
            arena = null;
        }
    }
}
