package isonorm.fused;

import isonorm.fused.Workspace.Use;
import isonorm.kernel.Panels;
import isonorm.kernel.QuantizedPanels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.tensor.Team;
import java.util.stream.IntStream;

/** A table whose rows are looked up, (rows, columns). */
sealed interface LookupTable {

    /** Where the rows that are looked up lie: row {@code ids[i]} of {@code rows} is what was asked for in place i. */
    record Found(Rows rows, int[] ids) {}

    int columns();

    Found find(int[] ids, Workspace room, Team team);

    /** Row by row. */
    record Stored(Rows rows) implements LookupTable {

        @Override
        public int columns() {
            return rows.columns();
        }

        @Override
        public Found find(int[] ids, Workspace room, Team team) {
            return new Found(rows, ids);
        }
    }

    /** The matrix of a tied head, which gives a logit for each row: a row of the table lies in it with gaps, and is copied out. */
    record OfHead(Panels head) implements LookupTable {

        @Override
        public int columns() {
            return head.inputs();
        }

        @Override
        public Found find(int[] ids, Workspace room, Team team) {
            Rows found = room.rows(Use.LOOKED_UP, head.type(), ids.length, columns());
            team.split(ids.length, 1, (first, count) -> copy(ids, first, count, found));
            return new Found(found, IntStream.range(0, ids.length).toArray());
        }

        private void copy(int[] ids, int first, int count, Rows found) {
            for (int i = first; i < first + count; i++) {
                head.copyInputs(ids[i], found, i);
            }
        }
    }

    /** A table of few bits, whose rows lie with gaps and are copied out. */
    record InGroups(QuantizedPanels table) implements LookupTable {

        @Override
        public int columns() {
            return table.inputs();
        }

        @Override
        public Found find(int[] ids, Workspace room, Team team) {
            Rows found = room.rows(Use.LOOKED_UP, Type.F32, ids.length, columns());
            team.split(ids.length, 1, (first, count) -> {
                for (int i = first; i < first + count; i++) {
                    table.copyInputs(ids[i], found, i);
                }
            });
            return new Found(found, IntStream.range(0, ids.length).toArray());
        }
    }
}
