package isonorm.inference;

import isonorm.kernel.Rows;
import isonorm.kernel.Values;
import java.util.List;

/** One forward pass on its way: who computes, which rows belong to which sequence, and room for what lies in between. */
record Pass(Team team, List<Span> spans, Workspace room, Angles angles) {

    /** How many rows there are. */
    int rows() {
        Span last = spans.getLast();
        return last.first() + last.count();
    }

    /** Finishes a tile of a product: {@code count} columns from {@code column} on, of the rows that {@code scales} are for. */
    @FunctionalInterface
    interface Finish {
        void run(Rows tile, Values scales, int column);
    }

    /** {@code y = finish(x W^T)}, the columns in multiples of {@code step}. */
    void linear(Residual.Read read, Weight weight, Rows y, int step, Finish finish) {
        team.grid(y.rows(), y.columns(), step, (row, rows, column, columns) -> {
            Residual.Read some = read.slice(row, rows);
            Rows tile = y.slice(row, rows).sliceColumns(column, columns);
            weight.multiply(some.x(), column, tile);
            finish.run(tile, some.scales(), column);
        });
    }

    /** {@code y = x W^T}. */
    void linear(Rows x, Weight weight, Rows y) {
        linear(new Residual.Read(x, Values.NONE), weight, y, 16, (_, _, _) -> {});
    }
}
