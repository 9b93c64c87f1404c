package isonorm.depth;

import isonorm.kernel.Kernels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.stream.IntStream;

/**
 * The inputs of all blocks, and the output of the last, of all tokens of a batch, one block behind the other. The memory is used again
 * by batches that are not larger.
 */
final class Inputs implements AutoCloseable {

    private static final Kernels KERNELS = Kernels.provider();

    private final int count;
    private final int width;
    private Arena arena = Arena.ofShared();
    private Rows rows = Rows.allocate(arena, Type.F32, 0, 0, 0);
    private int tokens;

    /** Of {@code blocks} blocks. */
    Inputs(int blocks, int width) {
        this.count = blocks + 1;
        this.width = width;
    }

    /** A batch of so many tokens comes. */
    void begin(int tokens) {
        this.tokens = tokens;
        int needed = Math.multiplyExact(tokens, count);
        if (rows.rows() < needed) {
            arena.close();
            arena = Arena.ofShared();
            rows = Rows.allocate(arena, Type.F32, needed, width, width);
        }
    }

    /** Keeps what some tokens, {@code first} of the batch being before them, have before a block; what they imply too. */
    void hold(int block, Rows h, boolean implied, int first) {
        Rows into = of(block, first, h.rows());
        KERNELS.copy(h, into.sliceColumns(0, h.columns()));
        for (int r = 0; r < h.rows() && implied; r++) {
            double sum = 0;
            for (int c = 0; c < h.columns(); c++) {
                sum += into.get(r, c);
            }
            into.set(r, h.columns(), -sum);
        }
    }

    /** Some tokens before each block, and behind the last. */
    List<Rows> of(int first, int tokens) {
        return IntStream.range(0, count).mapToObj(block -> of(block, first, tokens)).toList();
    }

    private Rows of(int block, int first, int tokens) {
        return rows.slice(block * this.tokens + first, tokens);
    }

    @Override
    public void close() {
        arena.close();
    }
}
