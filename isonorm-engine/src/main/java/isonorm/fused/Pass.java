package isonorm.fused;

import isonorm.kernel.Kernels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.kernel.Values;
import isonorm.layer.Choice;
import isonorm.layer.Observer;
import isonorm.tensor.Finish;
import isonorm.tensor.Team;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;

/**
 * One forward pass on its way: who computes, which rows belong to which sequence, and room for what lies in between.
 *
 * <p>Most steps treat every row by itself. Where there are rows enough for everyone, such steps are not run at once: each thread
 * later takes its rows through all of them, without waiting for the others, and while they are in its cache. Only attention,
 * which looks at other rows, waits for all ({@link #each}). With few rows every step is run at once, its columns shared out.
 */
final class Pass {

    private static final Kernels KERNELS = Kernels.provider();

    /** Fewer rows than these a thread make a matrix product slower than the columns of more rows. */
    private static final int ROWS = 48;

    /** So many rows go through the steps together. */
    private static final int TOGETHER = 256;

    private final Team team;
    private final List<Span> spans;
    private final Workspace room;
    private final Angles angles;
    private final Observer observer;
    private final int rows;
    private final boolean apart;
    private final List<Team.Slice> waiting = new ArrayList<>();

    /** @param observer who is shown what the blocks compute; {@link Observer#NONE} costs nothing */
    Pass(Team team, List<Span> spans, Workspace room, Angles angles, Observer observer) {
        this.team = team;
        this.spans = spans;
        this.room = room;
        this.angles = angles;
        this.observer = observer;
        this.rows = spans.getLast().first() + spans.getLast().count();
        this.apart = rows >= ROWS * team.size();
    }

    List<Span> spans() {
        return spans;
    }

    Workspace room() {
        return room;
    }

    Angles angles() {
        return angles;
    }

    int threads() {
        return team.size();
    }

    /** How many rows there are. */
    int rows() {
        return rows;
    }

    /** Shows some rows to an observer. */
    @FunctionalInterface
    interface Showing {
        void run(Observer observer, int first, int count);
    }

    /** Shows the rows as the steps before leave them, if anybody looks. */
    void show(Showing showing) {
        if (observer != Observer.NONE) {
            rows((first, count) -> showing.run(observer, first, count));
        }
    }

    /** Shows what each row chose, if anybody looks. */
    void showChosen(int block, Choice[] choices) {
        for (int row = 0; observer != Observer.NONE && row < choices.length; row++) {
            observer.chosen(block, row, choices[row]);
        }
    }

    /** A step that treats every row by itself. */
    void rows(Team.Slice step) {
        if (apart) {
            waiting.add(step);
        } else {
            team.split(rows, 1, step);
        }
    }

    /** What is done with a part of the rows and a part of the columns. */
    @FunctionalInterface
    interface Tile {
        void run(int row, int rows, int column, int columns);
    }

    /** A step that treats every row by itself, and some columns by themselves, in multiples of {@code step}. */
    void grid(int columns, int step, Tile tile) {
        if (apart) {
            waiting.add((first, count) -> tile.run(first, count, 0, columns));
        } else {
            team.deal(columns, step, (first, count) -> tile.run(0, rows, first, count));
        }
    }

    /** Parts of a step that look at all rows, as the steps before have left them. */
    void each(int count, Team.Part part) {
        settle();
        team.each(count, part);
    }

    /** Runs what waits. */
    void settle() {
        if (waiting.isEmpty()) {
            return;
        }
        team.split(rows, 1, (first, count) -> {
            int parts = Math.ceilDiv(count, TOGETHER);
            for (int part = 0; part < parts; part++) {
                int from = (int) ((long) count * part / parts);
                int some = (int) ((long) count * (part + 1) / parts) - from;
                waiting.forEach(step -> step.run(first + from, some));
            }
        });
        waiting.clear();
    }

    /** {@code y = finish(scales * (x W^T))}. */
    void linear(Residual.Read read, Weight weight, Rows y, Finish finish) {
        if (rows <= Weight.FEW && team.size() > 1 && weight instanceof Weight.Mapped mapped && mapped.transposed()) {
            byInputs(read, mapped, y, finish);
            return;
        }
        grid(y.columns(), weight.step(), (row, count, column, columns) -> {
            Rows tile = y.slice(row, count).sliceColumns(column, columns);
            weight.multiply(read.x().slice(row, count), column, tile,
                    finish.scaled(read.scales()).rows(row, count).columns(column, columns));
        });
    }

    /**
     * The same for a matrix stored as (in, out), of which columns would be short runs of memory: each thread reads whole rows,
     * and what they make is added up.
     */
    private void byInputs(Residual.Read read, Weight.Mapped weight, Rows y, Finish finish) {
        int shares = team.size();
        int inputs = weight.inputs();
        Rows partial = room.rows(Workspace.Use.PARTIAL, Type.F32, shares * rows, weight.outputs());
        team.each(shares, share -> {
            int first = (int) ((long) inputs * share / shares);
            int count = (int) ((long) inputs * (share + 1) / shares) - first;
            weight.multiplyInputs(read.x().sliceColumns(first, count), first, partial.slice(share * rows, rows));
        });
        int[] each = IntStream.range(0, rows).toArray();
        team.split(y.columns(), weight.step(), (column, columns) -> {
            Rows some = partial.sliceColumns(column, columns);
            Rows sum = some.slice(0, rows);
            for (int share = 1; share < shares - 1; share++) {
                KERNELS.gather(some.slice(share * rows, rows), each, 1, sum, 0, sum);
            }
            Rows tile = y.sliceColumns(column, columns);
            KERNELS.gather(some.slice((shares - 1) * rows, rows), each, 1, sum, 0, tile);
            finish.scaled(read.scales()).columns(column, columns).apply(tile);
        });
    }

    /** {@code y = x W^T}. */
    void linear(Rows x, Weight weight, Rows y) {
        linear(new Residual.Read(x, Values.NONE), weight, y, Finish.NOTHING);
    }
}
