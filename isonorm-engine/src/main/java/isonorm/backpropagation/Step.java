package isonorm.backpropagation;

import isonorm.kernel.Gradients;
import isonorm.kernel.Kernels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.tensor.Pad;
import isonorm.tensor.Team;
import isonorm.weights.Seed;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;

/**
 * One batch on its way through a model and back: who computes, with what kernels, and room for what lies in between. What a layer
 * puts off for the backward pass is run in reverse order.
 */
final class Step {

    /** Rows that go through several kernels together, so that they stay in a core's cache. */
    private static final int TOGETHER = 64;

    /** Sums over rows are taken over so many at a time, and these added in order: the same bits for any number of threads. */
    private static final int SUMMED = 256;

    private final Team team;
    private final Pad pad;
    private final Type type;
    private final Type wide;
    private final Sequences sequences;
    private final Seed seed;
    private final boolean learning;
    private final Kernels kernels;
    private final Gradients gradients;
    private final Deque<Runnable> wayBack = new ArrayDeque<>();
    private boolean forgetting;

    /**
     * What goes through the model.
     *
     * @param count of them
     * @param length of each
     * @param first the number of the first among those of the whole batch
     * @param stride of the next ones
     */
    record Sequences(int count, int length, int first, int stride) {

        /** The number of one of them in the whole batch. */
        int number(int sequence) {
            return first + sequence * stride;
        }
    }

    /**
     * @param type of activations
     * @param wide of the stream and its gradient
     * @param seed of what is drawn by chance
     * @param learning whether there is a backward pass; without one nothing is dropped by chance
     */
    Step(Team team, Pad pad, Type type, Type wide, Sequences sequences, Seed seed, boolean learning) {
        this.team = team;
        this.pad = pad;
        this.type = type;
        this.wide = wide;
        this.sequences = sequences;
        this.seed = seed;
        this.learning = learning;
        this.kernels = Kernels.of(type);
        this.gradients = Gradients.of(type);
    }

    Team team() {
        return team;
    }

    Pad pad() {
        return pad;
    }

    Type type() {
        return type;
    }

    Type wide() {
        return wide;
    }

    Kernels kernels() {
        return kernels;
    }

    Gradients gradients() {
        return gradients;
    }

    /** How many sequences there are. */
    int count() {
        return sequences.count;
    }

    /** How long each is. */
    int length() {
        return sequences.length;
    }

    Sequences sequences() {
        return sequences;
    }

    /** How many rows the stream has. */
    int rows() {
        return sequences.count * sequences.length;
    }

    Seed seed() {
        return seed;
    }

    boolean learning() {
        return learning;
    }

    /** Room for activations. */
    Rows room(int columns) {
        return pad.rows(type, rows(), columns);
    }

    /** Room for a stream. */
    Rows wideRoom(int columns) {
        return pad.rows(wide, rows(), columns);
    }

    /** Remembers what is to be done in the backward pass. */
    void back(Runnable action) {
        if (learning && !forgetting) {
            wayBack.push(action);
        }
    }

    /** Runs {@code forward} without remembering a backward pass. */
    void forgetting(Runnable forward) {
        forgetting = true;
        forward.run();
        forgetting = false;
    }

    /** Runs {@code forward} and at once what it has put off for the backward pass. */
    void thereAndBack(Runnable forward) {
        int before = wayBack.size();
        forward.run();
        goBack(before);
    }

    /** Runs all that is to be done in the backward pass; what an action asks for of the pad is free again behind it. */
    void goBack() {
        goBack(0);
    }

    private void goBack(int until) {
        while (wayBack.size() > until) {
            Pad.Mark mark = pad.mark();
            wayBack.pop().run();
            pad.release(mark);
        }
    }

    /** A share of the rows for each thread. */
    void split(int rows, Team.Slice slice) {
        team.split(rows, 1, slice);
    }

    /** Few rows at a time, for several kernels one after the other. */
    void each(int rows, Team.Slice slice) {
        int parts = Math.ceilDiv(rows, TOGETHER);
        team.each(parts, part -> slice.run(part * TOGETHER, Math.min(TOGETHER, rows - part * TOGETHER)));
    }

    /** What is done with some rows and the sums that belong to them. */
    @FunctionalInterface
    interface Summing {
        void run(int first, int rows, Rows[] sums);
    }

    /** Runs {@code body} on parts of the rows, each with sums of its own of the widths of {@code into}, and adds these up in order. */
    void summing(int rows, Rows[] into, Summing body) {
        Pad.Mark mark = pad.mark();
        int parts = Math.ceilDiv(rows, SUMMED);
        Rows[][] sums = new Rows[parts][into.length];
        for (Rows[] part : sums) {
            for (int i = 0; i < into.length; i++) {
                if (into[i] != null) {
                    part[i] = pad.rows(into[i].type() == Type.F64 ? Type.F64 : Type.F32, 1, into[i].columns());
                    Parameters.zero(part[i]);
                }
            }
        }
        team.each(parts, part -> body.run(part * SUMMED, Math.min(SUMMED, rows - part * SUMMED), sums[part]));
        for (int i = 0; i < into.length; i++) {
            for (Rows[] part : sums) {
                if (into[i] != null) {
                    gradients.add(part[i], 1, into[i]);
                }
            }
        }
        pad.release(mark);
    }

    /** {@code sums += column sums of x}. */
    void addColumnSums(Rows x, Rows sums) {
        summing(x.rows(), new Rows[] {sums}, (first, rows, part) -> gradients.addColumnSums(x.slice(first, rows), part[0]));
    }

    /** The same values in the type of activations; the rows themselves where they have it. */
    Rows narrow(Rows x) {
        return x.type() == type ? x : copied(x, type);
    }

    /** A copy in the type of activations. */
    Rows narrowCopy(Rows x) {
        return copied(x, type);
    }

    /** A copy. */
    Rows copied(Rows x) {
        return copied(x, x.type());
    }

    private Rows copied(Rows x, Type to) {
        Rows copy = pad.rows(to, x.rows(), x.columns());
        copy(x, copy);
        return copy;
    }

    /** {@code out = x}. */
    void copy(Rows x, Rows out) {
        split(x.rows(), (first, rows) -> kernels.copy(x.slice(first, rows), out.slice(first, rows)));
    }

    /** {@code y += factor * x}, all rows. */
    void add(Rows x, double factor, Rows y) {
        split(x.rows(), (first, rows) -> gradients.add(x.slice(first, rows), factor, y.slice(first, rows)));
    }

    /** {@code x *= factor}, all rows. */
    void scale(Rows x, double factor) {
        split(x.rows(), (first, rows) -> gradients.scale(x.slice(first, rows), factor));
    }

    /** The sum of the products of all values, in float64 and in one order. */
    double dot(Rows x, Rows y) {
        double[] sums = new double[Math.ceilDiv(x.rows(), SUMMED)];
        team.each(sums.length, part -> {
            for (int r = part * SUMMED; r < Math.min(x.rows(), (part + 1) * SUMMED); r++) {
                for (int c = 0; c < x.columns(); c++) {
                    sums[part] += x.get(r, c) * y.get(r, c);
                }
            }
        });
        return Arrays.stream(sums).sum();
    }
}
