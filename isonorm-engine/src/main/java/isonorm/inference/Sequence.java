package isonorm.inference;

import isonorm.fused.KvCache;
import java.util.concurrent.atomic.AtomicBoolean;

/** What a model has read so far, to be continued by one thread at a time. */
public final class Sequence implements AutoCloseable {

    private final Inference owner;
    private final KvCache cache;
    private final float[] logits;
    private final AtomicBoolean continued = new AtomicBoolean();

    Sequence(Inference owner, KvCache cache, int vocabulary) {
        this.owner = owner;
        this.cache = cache;
        this.logits = new float[vocabulary];
    }

    /** How many tokens it holds. */
    public int length() {
        return cache.length();
    }

    /** Another sequence of the same tokens, to be continued differently; close it too. */
    public Sequence copy() {
        return copy(length());
    }

    /**
     * Another sequence of the first {@code tokens} tokens, such as those that two texts begin with; close it too.
     *
     * @throws IllegalArgumentException if it holds fewer
     */
    public Sequence copy(int tokens) {
        begin();
        try {
            return new Sequence(owner, cache.copy(tokens), logits.length);
        } finally {
            end();
        }
    }

    /** Says how many tokens it is going to hold, so that memory for as many is got at once; it may hold more or fewer. */
    public void expect(int tokens) {
        begin();
        try {
            cache.expect(tokens);
        } finally {
            end();
        }
    }

    /** One thread at a time continues a sequence. */
    void begin() {
        if (!continued.compareAndSet(false, true)) {
            throw new IllegalStateException("a sequence is continued by one thread at a time, and another one is at it; give each thread its own");
        }
    }

    void end() {
        continued.set(false);
    }

    /** The keys and values of its tokens. */
    KvCache cache() {
        return cache;
    }

    /** The logits behind its last token, the same array after every call. */
    float[] logits() {
        return logits;
    }

    /** Whether {@code inference} started it. */
    boolean of(Inference inference) {
        return owner == inference;
    }

    @Override
    public void close() {
        cache.close();
    }
}
