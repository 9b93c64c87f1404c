package isonorm.inference;

import isonorm.inference.Workspace.Use;
import isonorm.kernel.Panels;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.tensor.Team;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
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
                MemorySegment panel = head.data().asSlice((long) (ids[i] / Panels.WIDTH) * head.depth() * Panels.WIDTH * head.type().bytes());
                MemorySegment row = found.slice(i, 1).data().asSlice((long) i * columns() * head.type().bytes());
                int column = ids[i] % Panels.WIDTH;
                if (head.type() == Type.F32) {
                    numbers(panel, column, row);
                } else {
                    pairs(panel, column, row);
                }
            }
        }

        private void numbers(MemorySegment panel, int column, MemorySegment row) {
            for (int c = 0; c < columns(); c++) {
                row.setAtIndex(ValueLayout.JAVA_INT_UNALIGNED, c, panel.getAtIndex(ValueLayout.JAVA_INT_UNALIGNED, (long) c * Panels.WIDTH + column));
            }
        }

        private void pairs(MemorySegment panel, int column, MemorySegment row) {
            for (int c = 0; c < columns(); c++) {
                long at = (long) (c & ~1) * Panels.WIDTH + 2L * column + (c & 1);
                row.setAtIndex(ValueLayout.JAVA_SHORT_UNALIGNED, c, panel.getAtIndex(ValueLayout.JAVA_SHORT_UNALIGNED, at));
            }
        }
    }
}
