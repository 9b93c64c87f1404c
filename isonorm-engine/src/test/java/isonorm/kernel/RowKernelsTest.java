package isonorm.kernel;

import static isonorm.kernel.Sample.assertClose;
import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;

import isonorm.EveryProcessor;
import isonorm.architecture.Rotary.Pairing;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Test;

/** Rotary embeddings, gathered rows, and what is asked of a single row, of both twins. */
@EveryProcessor
class RowKernelsTest {

    @Test
    void rotaryTurnsPairs() {
        int heads = 3;
        int first = 2;
        try (Arena arena = Arena.ofConfined()) {
            for (Kernels kernels : Sample.twins()) {
                for (Pairing pairing : Pairing.values()) {
                    for (int pairs : new int[] {1, 3, 8, 16, 17, 32, 64}) {
                        for (int rest : new int[] {0, 5}) {
                            for (Type type : Sample.NARROW) {
                                int D = 2 * pairs + rest;
                                Rows x = Sample.rows(arena, type, 4, heads * D, heads * D + 3, pairs);
                                Rows before = Sample.copy(arena, x);
                                Turns turns = new Turns(pairing, angles(arena, pairs, true), angles(arena, pairs, false));
                                kernels.rotary(x, heads, turns, first);
                                for (int row = 0; row < 4; row++) {
                                    for (int c = 0; c < heads * D; c++) {
                                        assertTurned(before, row, c, D, pairs, pairing, first, x);
                                    }
                                }
                                Sample.assertGapsKept(x, heads * D, "rotary");
                            }
                        }
                    }
                }
            }
        }
    }

    private static double angle(int position, int pair) {
        return position * Math.pow(10, -pair / 8.0);
    }

    private static Rows angles(Arena arena, int pairs, boolean cosine) {
        Rows table = Rows.allocate(arena, Type.F32, 6, pairs, pairs + 1);
        for (int p = 0; p < 6; p++) {
            for (int i = 0; i < pairs; i++) {
                table.set(p, i, cosine ? Math.cos(angle(p, i)) : Math.sin(angle(p, i)));
            }
        }
        return table;
    }

    /** A pair as a complex number times e^(i angle). */
    private static void assertTurned(Rows before, int row, int column, int D, int pairs, Pairing pairing, int first, Rows x) {
        int at = column % D;
        if (at >= 2 * pairs) {
            assertEquals(before.get(row, column), x.get(row, column));
            return;
        }
        boolean second = pairing == Pairing.HALVES ? at >= pairs : at % 2 == 1;
        int pair = pairing == Pairing.HALVES ? at % pairs : at / 2;
        int distance = pairing == Pairing.HALVES ? pairs : 1;
        double real = before.get(row, second ? column - distance : column);
        double imaginary = before.get(row, second ? column : column + distance);
        double size = Math.hypot(real, imaginary);
        double turned = Math.atan2(imaginary, real) + angle(first + row, pair);
        double expected = size * (second ? Math.sin(turned) : Math.cos(turned));
        // The table, two products and their sum are rounded.
        assertClose(expected, x.get(row, column), 4 * Sample.F32 * size + Sample.rounding(x.type(), expected), pairing + " column " + column);
    }

    @Test
    void gatheredRows() {
        int[] ids = {3, 0, 3, 4};
        try (Arena arena = Arena.ofConfined()) {
            for (Kernels kernels : Sample.twins()) {
                for (int columns : Sample.SIZES) {
                    for (Type type : Sample.NARROW) {
                        for (Type tableType : Sample.NARROW) {
                            for (float scale : new float[] {1, 27.7f}) {
                                Rows table = Sample.rows(arena, tableType, 5, columns, columns + 1, 1);
                                Rows positions = Sample.rows(arena, tableType, 9, columns, columns + 2, 2);
                                Rows out = Sample.rows(arena, type, 4, columns, columns + 3, 3);
                                Rows placed = Sample.rows(arena, type, 4, columns, columns + 3, 3);
                                kernels.gather(table, ids, scale, out);
                                kernels.gather(table, ids, scale, positions, 5, placed);
                                for (int i = 0; i < 4; i++) {
                                    for (int c = 0; c < columns; c++) {
                                        double value = (double) scale * table.get(ids[i], c);
                                        double sum = value + positions.get(5 + i, c);
                                        assertClose(value, out.get(i, c), Sample.rounding(type, value) * 1.01, "gather");
                                        assertClose(sum, placed.get(i, c), Sample.rounding(type, sum) * 1.01, "gather with positions");
                                    }
                                }
                                Sample.assertGapsKept(out, columns, "gather");
                                Sample.assertGapsKept(placed, columns, "gather");
                            }
                        }
                    }
                }
            }
        }
    }

    @Test
    void copiesRoundOnce() {
        try (Arena arena = Arena.ofConfined()) {
            for (Kernels kernels : Sample.twins()) {
                for (int columns : Sample.SIZES) {
                    for (Type from : Sample.NARROW) {
                        for (Type to : Sample.NARROW) {
                            Rows x = Sample.rows(arena, from, 3, columns, columns + 1, columns, 100, 300);
                            Rows out = Sample.rows(arena, to, 3, columns, columns + 2, 3);
                            kernels.copy(x, out);
                            assertCopied(x, out);
                            Sample.assertGapsKept(out, columns, "copy");
                        }
                    }
                }
            }
        }
    }

    /** Every float16 and every bfloat16 there is: subnormal ones, infinities and NaN too. */
    @Test
    void copiesOfAllShortNumbers() {
        try (Arena arena = Arena.ofConfined()) {
            for (Kernels kernels : Sample.twins()) {
                for (Type from : new Type[] {Type.BF16, Type.F16}) {
                    for (Type to : Sample.NARROW) {
                        Rows x = Rows.allocate(arena, from, 1, 1 << 16, 1 << 16);
                        for (int i = 0; i < 1 << 16; i++) {
                            x.data().setAtIndex(ValueLayout.JAVA_SHORT, i, (short) i);
                        }
                        Rows out = Rows.allocate(arena, to, 1, 1 << 16, 1 << 16);
                        kernels.copy(x, out);
                        assertCopied(x, out);
                    }
                }
            }
        }
    }

    private static void assertCopied(Rows x, Rows out) {
        Rows expected = Rows.allocate(Arena.ofAuto(), out.type(), 1, 1, 1);
        for (int r = 0; r < x.rows(); r++) {
            for (int c = 0; c < x.columns(); c++) {
                expected.set(0, 0, x.get(r, c));
                assertEquals(expected.get(0, 0), out.get(r, c));
            }
        }
    }

    @Test
    void largest() {
        try (Arena arena = Arena.ofConfined()) {
            for (Kernels kernels : Sample.twins()) {
                for (int columns : Sample.SIZES) {
                    for (Type type : new Type[] {Type.F32, Type.BF16}) {
                        for (double mean : new double[] {0, 1e4, -1e18}) {
                            Rows x = Sample.rows(arena, type, 2, 3 * columns, 3 * columns + 1, columns, mean, mean == 0 ? 4 : 1);
                            double[] values = Sample.doubles(x, 1);
                            int best = 0;
                            for (int c = 0; c < values.length; c++) {
                                best = values[c] > values[best] ? c : best;
                            }
                            assertEquals(best, kernels.argmax(x, 1), type + " " + columns);
                        }
                    }
                }
            }
        }
    }

    @Test
    void unusualRows() {
        try (Arena arena = Arena.ofConfined()) {
            for (Kernels kernels : Sample.twins()) {
                for (int columns : new int[] {3, 40, 5000}) {
                    Rows x = Rows.allocate(arena, Type.F32, 1, columns, columns);
                    fill(x, Float.NaN);
                    assertEquals(0, kernels.argmax(x, 0));
                    x.set(0, 2, -5);
                    assertEquals(2, kernels.argmax(x, 0));
                    fill(x, Float.NEGATIVE_INFINITY);
                    assertEquals(0, kernels.argmax(x, 0));
                    x.set(0, columns - 1, 3);
                    assertEquals(columns - 1, kernels.argmax(x, 0));
                    x.set(0, 1, 3);
                    assertEquals(1, kernels.argmax(x, 0));
                }
            }
        }
    }

    private static void fill(Rows x, float value) {
        for (int c = 0; c < x.columns(); c++) {
            x.set(0, c, value);
        }
    }

    @Test
    void refusesWhatDoesNotFit() {
        try (Arena arena = Arena.ofConfined()) {
            Rows x = Rows.allocate(arena, Type.F32, 2, 8, 8);
            Turns turns = new Turns(Pairing.HALVES, angles(arena, 4, true), angles(arena, 4, false));
            for (Kernels kernels : Sample.twins()) {
                assertThrows(IllegalArgumentException.class, () -> kernels.rotary(x, 2, turns, 0));
                assertThrows(IllegalArgumentException.class, () -> kernels.rotary(x, 1, turns, 5));
                assertThrows(IllegalArgumentException.class, () -> kernels.gather(x, new int[] {0, 2}, 1, x));
                assertThrows(IllegalArgumentException.class, () -> kernels.gather(x, new int[] {-1, 1}, 1, x));
                assertThrows(IllegalArgumentException.class, () -> kernels.gather(x, new int[] {0, 1}, 1, x, 1, x));
                assertThrows(IllegalArgumentException.class, () -> kernels.copy(x, x.slice(0, 1)));
                assertThrows(IllegalArgumentException.class, () -> kernels.argmax(x, 2));
                assertThrows(IllegalArgumentException.class, () -> kernels.argmax(x.sliceColumns(0, 0), 0));
            }
        }
    }
}
