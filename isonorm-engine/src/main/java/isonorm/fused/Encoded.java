package isonorm.fused;

import isonorm.architecture.Block;
import isonorm.architecture.CrossAttention;
import isonorm.fused.KvCache.Cache;
import isonorm.kernel.Panels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.tensor.LargePages;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;

/** What the cross-attention of each block reads of an encoder's output for one sequence: keys and values, computed once. Whoever holds it lets it go. */
final class Encoded implements AutoCloseable {

    private final Arena arena = Arena.ofShared();
    private final List<Optional<Cache>> caches = new ArrayList<>();
    private final int length;
    private final AtomicInteger holders = new AtomicInteger(1);

    /** Room for {@code length} tokens, zero where nothing is kept. */
    Encoded(List<Block> blocks, Type type, int length) {
        this.length = length;
        LargePages pages = LargePages.of(arena);
        for (Block block : blocks) {
            caches.add(block.cross().map(cross -> Cache.allocate(pages, type, cross.heads(), capacity())));
        }
    }

    /** How many tokens the encoder read. */
    int length() {
        return length;
    }

    /** For how many there is room: whole panels. */
    int capacity() {
        return Math.ceilDiv(length, Panels.WIDTH) * Panels.WIDTH;
    }

    Cache cache(int l) {
        return caches.get(l).orElseThrow();
    }

    /** Keeps a block's keys, head after head, and then its values: (length, key-value width). */
    void keep(int l, CrossAttention attention, Rows keyValues) {
        int D = attention.heads().width();
        int K = attention.heads().keyValue();
        for (int head = 0; head < K; head++) {
            cache(l).keep(head, 0, keyValues.sliceColumns(head * D, D), keyValues.sliceColumns((K + head) * D, D));
        }
    }

    /** The same for one more holder. */
    Encoded held() {
        holders.incrementAndGet();
        return this;
    }

    @Override
    public void close() {
        if (holders.decrementAndGet() == 0) {
            arena.close();
        }
    }
}
