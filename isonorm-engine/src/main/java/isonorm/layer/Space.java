package isonorm.layer;

import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.tensor.Pad;
import isonorm.tensor.Team;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.function.Supplier;

/**
 * Where layers compute: memory for what they make and threads that share the work, the caller's among them. It is for one thread at a time.
 *
 * <p>A tensor made inside {@link #kept} or {@link #scoped} is gone at its end, but for the one that {@code kept} returns. Memory is kept for the
 * next tensors until this is closed.
 */
final class Space implements AutoCloseable {

    /** Fewer values are not worth another thread's while. */
    private static final long LEAST = 1 << 14;

    /** Uses tensors; may read files. */
    @FunctionalInterface
    interface Task {
        void run() throws IOException;
    }

    private final Team team;
    private final Pad pad = new Pad();

    /** @param team someone else's, who closes it */
    Space(Team team) {
        this.team = team;
    }

    /** How many threads work. */
    int threads() {
        return team.size();
    }

    /** A tensor without gaps of whatever its memory held. */
    Tensor empty(Type type, int rows, int columns) {
        return new Tensor(pad.rows(type, rows, columns), this);
    }

    /** Takes back everything that {@code body} made, but for the tensor it returns. */
    Tensor kept(Supplier<Tensor> body) {
        Pad.Mark mark = pad.mark();
        Rows made;
        try {
            made = body.get().rows();
        } finally {
            pad.release(mark);
        }
        return new Tensor(moved(made), this);
    }

    /** The same rows in the first memory that is free, which may be a part of where they are but never lies behind it. */
    private Rows moved(Rows made) {
        Rows moved = pad.rows(made.type(), made.rows(), made.columns());
        long bytes = (long) made.columns() * made.type().bytes();
        for (int row = 0; row < made.rows(); row++) {
            long from = (made.offset() + (long) row * made.stride()) * made.type().bytes();
            MemorySegment.copy(made.data(), from, moved.data(), row * bytes, bytes);
        }
        return moved;
    }

    /** Takes back everything that {@code task} made. */
    void scoped(Task task) throws IOException {
        Pad.Mark mark = pad.mark();
        try {
            task.run();
        } finally {
            pad.release(mark);
        }
    }

    /** Runs {@code slice} on all of {@code rows}, a share for each thread where there are so many {@code values} to compute that it pays. */
    void split(int rows, long values, Team.Slice slice) {
        split(rows, 1, values, slice);
    }

    /** The same on all of {@code total}, beginning at multiples of {@code step}. */
    void split(int total, int step, long values, Team.Slice slice) {
        if (values < LEAST) {
            slice.run(0, total);
        } else {
            team.split(total, step, slice);
        }
    }

    /** Runs parts 0 to {@code count - 1} on all threads. */
    void each(int count, Team.Part part) {
        team.each(count, part);
    }

    @Override
    public void close() {
        pad.close();
    }
}
