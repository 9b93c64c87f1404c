package isonorm.weights;

import java.io.IOException;
import java.util.Arrays;
import java.util.OptionalInt;
import java.util.SplittableRandom;

/**
 * A matrix Q of {@code from} rows and orthonormal columns, and columns of zeros behind them where it is padded, by which vectors of float64 are multiplied. It is made
 * when it is first {@linkplain #prepare prepared}, and kept.
 */
public final class Basis {

    /** How many vectors are made orthogonal to all that stand before them at once. */
    private static final int BAND = 64;

    private final Rotation rotation;
    private final int from;
    private final int to;
    private final int carried;
    private final boolean centred;
    private double[] rows = {};
    private double[] columns = {};
    private double[] signs = {};
    private Hadamard hadamard = new Hadamard(1, new byte[] {1}, 1);
    private boolean made;

    private Basis(Rotation rotation, int from, int to, int carried, boolean centred) {
        this.rotation = rotation;
        this.from = from;
        this.to = to;
        this.carried = carried;
        this.centred = centred;
    }

    /**
     * That of a rotation for a stream.
     *
     * @param centred whether every vector in the stream sums to zero, so that d - 1 columns that do are enough for it
     * @throws IllegalArgumentException where fewer columns than that would cut something off, or {@link Rotation#obstacle} says why there is none
     */
    public static Basis of(Rotation rotation, int stream, boolean centred) {
        int to = rotation.width(stream);
        int fewest = centred ? stream - 1 : stream;
        if (to < fewest || to > stream) {
            throw new IllegalArgumentException("a stream of " + fewest + " dimensions is carried in a basis of " + fewest + " to " + stream + " vectors, got " + to);
        }
        if (rotation.kind() == Rotation.Kind.PRINCIPAL) {
            throw new IllegalArgumentException("principal components come of data and are given");
        }
        rotation.obstacle(stream).ifPresent(why -> {
            throw new IllegalArgumentException(why);
        });
        return new Basis(rotation, stream, to, rotation.carried(stream), to < stream);
    }

    /** One whose columns are given, one behind the other; they need not be as many as the stream has dimensions. */
    public static Basis given(int stream, double[] columns) {
        int to = columns.length / stream;
        if (to < 1 || to > stream || columns.length != to * stream) {
            throw new IllegalArgumentException("a basis has 1 to " + stream + " vectors of " + stream + " values, got " + columns.length + " values");
        }
        Basis basis = new Basis(new Rotation(Rotation.Kind.PRINCIPAL, 0, OptionalInt.of(to)), stream, to, to, false);
        basis.columns = columns.clone();
        basis.rows = transposed(columns, to, stream);
        basis.made = true;
        return basis;
    }

    /** The same with zeros behind what it gives, so that this is so many values. */
    Basis padded(int values) {
        if (values < to) {
            throw new IllegalArgumentException("a basis of " + to + " vectors is padded to as many values or more, got " + values);
        }
        Basis basis = new Basis(rotation, from, to, values, centred);
        basis.rows = rows;
        basis.columns = columns;
        basis.signs = signs;
        basis.hadamard = hadamard;
        basis.made = made;
        return basis;
    }

    /** A given one as a rotation wants it padded. */
    public Basis as(Rotation wanted) {
        return padded(wanted.pad().orElse(to));
    }

    /** How many values a vector has before. */
    public int from() {
        return from;
    }

    /** How many it has behind, zeros included. */
    public int to() {
        return carried;
    }

    /** Makes it, if nobody has. */
    public synchronized void prepare() throws IOException {
        if (made) {
            return;
        }
        SplittableRandom random = Seed.of(rotation.seed()).at("rotation").random();
        switch (rotation.kind()) {
            case RANDOM -> {
                columns = orthonormal(random);
                rows = transposed(columns, to, from);
            }
            case HADAMARD -> {
                signs = new double[to];
                Arrays.setAll(signs, _ -> random.nextLong() < 0 ? -1 : 1);
                hadamard = Hadamard.find(to).orElseThrow();
            }
            case PRINCIPAL -> throw new IllegalStateException("principal components come of data and are given");
        }
        made = true;
    }

    /** The columns, one behind the other: drawn, and twice made orthogonal to those before. */
    private double[] orthonormal(SplittableRandom random) throws IOException {
        double[] all = new double[Math.multiplyExact(to, from)];
        for (int i = 0; i < all.length; i += 2) { // Box and Muller's way, whose numbers are the same in every Java
            double radius = Math.sqrt(-2 * StrictMath.log(1 - random.nextDouble()));
            double angle = 2 * Math.PI * random.nextDouble();
            all[i] = radius * StrictMath.cos(angle);
            if (i + 1 < all.length) {
                all[i + 1] = radius * StrictMath.sin(angle);
            }
        }
        for (int first = 0; first < to; first += BAND) {
            int count = Math.min(BAND, to - first);
            for (int time = 0; time < 2; time++) {
                takeOut(all, first, count);
                for (int v = first; v < first + count; v++) {
                    if (centred) {
                        add(all, v * from, -sum(all, v * from) / from);
                    }
                    for (int before = first; before < v; before++) {
                        subtract(all, v * from, before * from);
                    }
                    divide(all, v * from);
                }
            }
        }
        return all;
    }

    /** Takes out of {@code count} vectors from {@code first} on what they have of all before. */
    private void takeOut(double[] all, int first, int count) throws IOException {
        if (first == 0) {
            return;
        }
        double[] band = transposed(Arrays.copyOfRange(all, first * from, (first + count) * from), count, from);
        double[] shares = new double[first * count];
        Slabs.forEach(first, BAND, (at, some) -> {
            double[] part = new double[some * count];
            Product.multiply(all, at, some, from, band, count, part);
            System.arraycopy(part, 0, shares, at * count, part.length);
        });
        double[] ofEach = transposed(shares, first, count);
        Slabs.forEach(count, 8, (at, some) -> {
            double[] part = new double[some * from];
            Product.multiply(ofEach, at, some, first, all, from, part);
            for (int i = 0; i < part.length; i++) {
                all[(first + at) * from + i] -= part[i];
            }
        });
    }

    private double sum(double[] all, int at) {
        double sum = 0;
        for (int i = 0; i < from; i++) {
            sum += all[at + i];
        }
        return sum;
    }

    private void add(double[] all, int at, double term) {
        for (int i = 0; i < from; i++) {
            all[at + i] += term;
        }
    }

    private void subtract(double[] all, int at, int other) {
        double share = 0;
        for (int i = 0; i < from; i++) {
            share += all[at + i] * all[other + i];
        }
        for (int i = 0; i < from; i++) {
            all[at + i] -= share * all[other + i];
        }
    }

    private void divide(double[] all, int at) {
        double squares = 0;
        for (int i = 0; i < from; i++) {
            squares += all[at + i] * all[at + i];
        }
        double length = Math.sqrt(squares);
        for (int i = 0; i < from; i++) {
            all[at + i] /= length;
        }
    }

    static double[] transposed(double[] of, int rows, int columns) {
        double[] turned = new double[of.length];
        for (int r = 0; r < rows; r++) {
            for (int c = 0; c < columns; c++) {
                turned[c * rows + r] = of[r * columns + c];
            }
        }
        return turned;
    }

    /** {@code into = x Q}, x having {@code count} rows. */
    public void rows(double[] x, int count, double[] into) {
        if (carried == to) {
            turnedRows(x, count, into);
            return;
        }
        try (Scratch scratch = Scratch.borrow(to * count)) {
            turnedRows(x, count, scratch.values());
            for (int r = 0; r < count; r++) {
                System.arraycopy(scratch.values(), r * to, into, r * carried, to);
                Arrays.fill(into, r * carried + to, (r + 1) * carried, 0);
            }
        }
    }

    private void turnedRows(double[] x, int count, double[] into) {
        switch (rotation.kind()) {
            case RANDOM, PRINCIPAL -> Product.multiply(x, 0, count, from, rows, to, into);
            case HADAMARD -> {
                try (Scratch scratch = Scratch.borrow(from * count)) {
                    double[] turned = scratch.values();
                    for (int r = 0; r < count; r++) {
                        for (int i = 0; i < from; i++) {
                            turned[i * count + r] = x[r * from + i];
                        }
                    }
                    transform(turned, count);
                    for (int r = 0; r < count; r++) {
                        for (int i = 0; i < to; i++) {
                            into[r * to + i] = turned[i * count + r];
                        }
                    }
                }
            }
        }
    }

    /** Rows {@code first} to {@code first + count - 1} of {@code Q^T x}, x having {@code n} columns. */
    public void columns(double[] x, int n, int first, int count, double[] into) {
        int some = Math.clamp(to - first, 0, count);
        if (some > 0) {
            turnedColumns(x, n, first, some, into);
        }
        Arrays.fill(into, some * n, count * n, 0);
    }

    private void turnedColumns(double[] x, int n, int first, int count, double[] into) {
        switch (rotation.kind()) {
            case RANDOM, PRINCIPAL -> Product.multiply(columns, first, count, from, x, n, into);
            case HADAMARD -> {
                try (Scratch scratch = Scratch.borrow(from * n)) {
                    System.arraycopy(x, 0, scratch.values(), 0, from * n);
                    transform(scratch.values(), n);
                    System.arraycopy(scratch.values(), first * n, into, 0, count * n);
                }
            }
        }
    }

    /** {@code Q^T x} in place, x being (from, n), in its first {@code to} rows. */
    private void transform(double[] x, int n) {
        if (centred) {
            reflect(x, n);
        }
        for (int i = 0; i < to; i++) {
            for (int c = i * n; signs[i] < 0 && c < (i + 1) * n; c++) {
                x[c] = -x[c];
            }
        }
        hadamard.apply(x, n);
    }

    /**
     * The reflection that leads from the direction of all ones to that of the last value: its other columns are orthonormal and sum to zero.
     * {@code x - v (v x) 2 / |v|²}, v being {@code (1, ..., 1, 1 + sqrt(d))}.
     */
    private void reflect(double[] x, int n) {
        double last = 1 + Math.sqrt(from);
        double squares = from - 1 + last * last;
        for (int c = 0; c < n; c++) {
            double share = 0;
            for (int i = 0; i < from; i++) {
                share += (i == from - 1 ? last : 1) * x[i * n + c];
            }
            share *= 2 / squares;
            for (int i = 0; i < from; i++) {
                x[i * n + c] -= (i == from - 1 ? last : 1) * share;
            }
        }
    }
}
