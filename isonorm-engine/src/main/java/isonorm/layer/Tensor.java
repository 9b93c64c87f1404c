package isonorm.layer;

import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.tensor.Products;
import isonorm.tensor.Team;
import isonorm.weights.Scratch;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * Numbers that layers compute with: a row for each token, or for each head of each token. What an operation makes of it is new and lies in
 * the {@code space}; nothing is changed in place.
 *
 * <p>Whatever the type, operations read it exactly, compute in float64 and round once. Their rows are shared out among threads.
 */
record Tensor(Rows rows, Space space) {

    /** Outputs that no two threads share: whole lines of the cache, and of what products are made of. */
    private static final int OUTPUTS = 64;

    /** Computes a row y of a row x; the arrays can be longer than the rows, and x may be overwritten. */
    @FunctionalInterface
    interface RowFunction {
        void apply(int row, double[] x, double[] y);
    }

    /** Computes {@code n} values y of as many values a and b. */
    @FunctionalInterface
    private interface PairFunction {
        void apply(double[] a, double[] b, double[] y, int n);
    }

    int count() {
        return rows.rows();
    }

    int width() {
        return rows.columns();
    }

    Type type() {
        return rows.type();
    }

    /** {@code f} of every row, {@code columns} values each. */
    Tensor map(Type type, int columns, RowFunction f) {
        Tensor y = space.empty(type, count(), columns);
        space.split(count(), (long) count() * Math.max(width(), columns), (first, some) -> {
            try (Scratch in = Scratch.borrow(width()); Scratch out = Scratch.borrow(columns)) {
                for (int row = first; row < first + some; row++) {
                    rows.read(row, 0, width(), in.values());
                    f.apply(row, in.values(), out.values());
                    y.rows.write(row, 0, columns, out.values());
                }
            }
        });
        return y;
    }

    /** {@code f} of every row, as wide as it and of the same type. */
    Tensor map(RowFunction f) {
        return map(type(), width(), f);
    }

    /** The same values in another type. */
    Tensor to(Type type) {
        return type == type() ? this : map(type, width(), (_, x, y) -> System.arraycopy(x, 0, y, 0, width()));
    }

    Tensor plus(Tensor other) {
        return with(other, (a, b, y, n) -> {
            for (int i = 0; i < n; i++) {
                y[i] = a[i] + b[i];
            }
        });
    }

    Tensor times(Tensor other) {
        return with(other, (a, b, y, n) -> {
            for (int i = 0; i < n; i++) {
                y[i] = a[i] * b[i];
            }
        });
    }

    Tensor times(double factor) {
        return map((_, x, y) -> {
            for (int i = 0; i < width(); i++) {
                y[i] = x[i] * factor;
            }
        });
    }

    /** {@code factor * this + other}, rounded once. */
    Tensor timesPlus(double factor, Tensor other) {
        if (factor == 1) {
            return plus(other);
        }
        return with(other, (a, b, y, n) -> {
            for (int i = 0; i < n; i++) {
                y[i] = factor * a[i] + b[i];
            }
        });
    }

    /**
     * {@code f} of both. The other one's rows repeat where it has fewer, so that one row meets all of ours and a row for each head meets every
     * token's; where it has one column, that meets all of ours.
     */
    private Tensor with(Tensor other, PairFunction f) {
        boolean wide = other.width() == width();
        if (other.type() != type() || !wide && other.width() != 1 || other.count() == 0 || count() % other.count() != 0) {
            throw new IllegalArgumentException("two tensors must be of one type, the rows of the second as wide or of one value, and as many or "
                    + "a part of the first's, got " + rows + " and " + other.rows);
        }
        Tensor y = space.empty(type(), count(), width());
        space.split(count(), (long) count() * width(), (first, some) -> {
            try (Scratch a = Scratch.borrow(width()); Scratch b = Scratch.borrow(width()); Scratch out = Scratch.borrow(width())) {
                for (int row = first; row < first + some; row++) {
                    rows.read(row, 0, width(), a.values());
                    if (row == first || other.count() > 1) {
                        read(other.rows, row % other.count(), wide, b.values());
                    }
                    f.apply(a.values(), b.values(), out.values(), width());
                    y.rows.write(row, 0, width(), out.values());
                }
            }
        });
        return y;
    }

    private void read(Rows other, int row, boolean wide, double[] into) {
        other.read(row, 0, other.columns(), into);
        if (!wide) {
            Arrays.fill(into, 1, width(), into[0]);
        }
    }

    /**
     * {@code x w^T} for w (out, in), of the same type. What there are more of is shared out, tokens or outputs: each thread's product copies all
     * of the other matrix into an order of its own.
     */
    Tensor product(Tensor w) {
        return product(w, space.empty(type(), count(), w.count()).rows);
    }

    /** The same in memory that is given. */
    Tensor product(Tensor w, Rows y) {
        long values = (long) count() * width() * w.count();
        if (count() >= w.count()) {
            space.split(count(), values, (first, some) -> Products.product(rows.slice(first, some), w.rows, true, y.slice(first, some)));
        } else {
            space.split(w.count(), OUTPUTS, values, (first, some) ->
                    Products.product(rows, w.rows.slice(first, some), true, y.sliceColumns(first, some)));
        }
        return new Tensor(y, space);
    }

    /** The sum of each row, (rows, 1). */
    Tensor sum() {
        return map(type(), 1, (_, x, y) -> y[0] = sum(x, width()));
    }

    /** Each row without its mean. */
    Tensor recentred() {
        return map((_, x, y) -> {
            double mean = sum(x, width()) / width();
            for (int i = 0; i < width(); i++) {
                y[i] = x[i] - mean;
            }
        });
    }

    /** The d values that the d - 1 given ones stand for: the last one is minus their sum. */
    Tensor expanded() {
        return map(type(), width() + 1, (_, x, y) -> {
            System.arraycopy(x, 0, y, 0, width());
            y[width()] = -sum(x, width());
        });
    }

    /** The sum of the first {@code n} values, in four parts, which is faster and more exact than one. */
    static double sum(double[] x, int n) {
        double a = 0;
        double b = 0;
        double c = 0;
        double d = 0;
        int i = 0;
        for (; i <= n - 4; i += 4) {
            a += x[i];
            b += x[i + 1];
            c += x[i + 2];
            d += x[i + 3];
        }
        for (; i < n; i++) {
            a += x[i];
        }
        return a + b + (c + d);
    }

    /** Columns {@code first} to {@code first + count - 1}; a view. */
    Tensor columns(int first, int count) {
        return new Tensor(rows.sliceColumns(first, count), space);
    }

    /** Rows {@code first} to {@code first + count - 1}; a view. */
    Tensor slice(int first, int count) {
        return new Tensor(rows.slice(first, count), space);
    }

    /** Row {@code first} and every {@code step}-th behind it, of a multiple of {@code step}; a view. */
    Tensor every(int step, int first) {
        return new Tensor(new Rows(rows.data(), type(), rows.offset() + (long) first * rows.stride(), count() / step, width(),
                Math.multiplyExact(rows.stride(), step)), space);
    }

    /** Each row cut into {@code parts} rows that follow each other, such as heads. */
    Tensor split(int parts) {
        return reshaped(Math.multiplyExact(count(), parts), width() / parts);
    }

    /** {@code parts} rows together as one, as before {@link #split}. */
    Tensor joined(int parts) {
        return reshaped(count() / parts, Math.multiplyExact(width(), parts));
    }

    private Tensor reshaped(int count, int columns) {
        Rows whole = withoutGaps().rows;
        return new Tensor(new Rows(whole.data(), type(), whole.offset(), count, columns, columns), space);
    }

    private Tensor withoutGaps() {
        if (rows.stride() == rows.columns()) {
            return this;
        }
        Tensor copy = space.empty(type(), count(), width());
        copyTo(copy.rows);
        return copy;
    }

    /** This one's columns and behind them the other's. */
    Tensor beside(Tensor other) {
        Tensor both = space.empty(type(), count(), width() + other.width());
        copyTo(both.rows.sliceColumns(0, width()));
        other.copyTo(both.rows.sliceColumns(width(), other.width()));
        return both;
    }

    /** Copies the values, each rounded once where {@code into} holds less, if they are not there already. */
    void copyTo(Rows into) {
        if (into.rows() != count() || into.columns() != width()) {
            throw new IllegalArgumentException("a copy has the shape of what is copied, got " + rows + " into " + into);
        }
        if (into == rows) {
            return;
        }
        Team.Slice slice = into.type() == type() ? (first, some) -> copyBytes(first, some, into) : (first, some) -> {
            try (Scratch scratch = Scratch.borrow(width())) {
                for (int row = first; row < first + some; row++) {
                    rows.read(row, 0, width(), scratch.values());
                    into.write(row, 0, width(), scratch.values());
                }
            }
        };
        space.split(count(), (long) count() * width(), slice);
    }

    private void copyBytes(int first, int some, Rows into) {
        long size = type().bytes();
        for (int row = first; row < first + some; row++) {
            MemorySegment.copy(rows.data(), (rows.offset() + (long) row * rows.stride()) * size,
                    into.data(), (into.offset() + (long) row * into.stride()) * size, width() * size);
        }
    }
}
