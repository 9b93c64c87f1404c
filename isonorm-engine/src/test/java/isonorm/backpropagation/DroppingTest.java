package isonorm.backpropagation;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.tensor.Team;
import isonorm.weights.Independence;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

class DroppingTest {

    private static final int BLOCKS = 6;
    private static final int COUNT = 16;
    private static final int LENGTH = 128;

    /** Of 64 values each dropped or kept, so that a mask is a number. */
    private static final int WIDTH = 64;

    /** Two masks in twelve million would be the same by chance once in 250,000 runs of this. */
    @Test
    void noMaskOfARunComesTwice() {
        int steps = 450;
        long[] masks = new long[(steps + 10) * (2 * BLOCKS + 1) * COUNT * LENGTH];
        long[] pairs = new long[COUNT * LENGTH * WIDTH / 2];
        int at = 0;
        try (Arena arena = Arena.ofShared(); Team team = Team.of(1)) {
            MemorySegment ones = arena.allocate((long) COUNT * LENGTH * WIDTH * Float.BYTES, 64);
            for (long i = 0; i < ones.byteSize() / Float.BYTES; i++) {
                ones.setAtIndex(ValueLayout.JAVA_FLOAT, i, 1);
            }
            Rows x = Rows.allocate(arena, Type.F32, COUNT * LENGTH, WIDTH, WIDTH);
            for (int step = 1; step <= steps + 10; step++) {
                // The last ten are of another run.
                Step learning = step(team, step <= steps ? 1 : 2, step <= steps ? step : step - steps, LENGTH);
                for (int branch = -1; branch < 2 * BLOCKS; branch++) {
                    MemorySegment.copy(ones, 0, x.data(), 0, ones.byteSize());
                    new Scales.Dropping(branch, 0.5, 0).apply(x, learning);
                    MemorySegment.copy(x.data(), ValueLayout.JAVA_LONG_UNALIGNED, 0, pairs, 0, pairs.length);
                    for (int pair = 0; pair < pairs.length; at++) {
                        long mask = 0;
                        for (int end = pair + WIDTH / 2; pair < end; pair++) {
                            mask = mask << 2 | pairs[pair] >>> 61 & 2 | pairs[pair] >>> 30 & 1; // 2.0 has one bit, and 0.0 none
                        }
                        masks[at] = mask;
                    }
                }
            }
        }
        assertEquals(masks.length, at);
        Arrays.parallelSort(masks);
        long different = 1;
        for (int i = 1; i < at; i++) {
            different += masks[i] == masks[i - 1] ? 0 : 1;
        }
        assertEquals(at, different);
    }

    @Test
    void whatIsDroppedInOneRowStepBranchOrRunSaysNothingOfAnother() {
        double[] first = values(1, 1, 0);
        Independence.require("branches", first, values(1, 1, 1));
        Independence.require("the embedding and a branch", first, values(1, 1, -1));
        Independence.require("steps", first, values(1, 2, 0));
        Independence.require("runs", first, values(2, 1, 0));
        int row = WIDTH;
        Independence.require("rows", Arrays.copyOf(first, first.length - row), Arrays.copyOfRange(first, row, first.length));
    }

    @Test
    void sequencesAreLeftOutEachByItself() {
        double[] first = sequences(1, 0);
        assertEquals(0.5, Arrays.stream(first).filter(value -> value == 0).count() / (double) first.length, 0.03);
        Independence.require("branches", first, sequences(1, 1));
        Independence.require("runs", first, sequences(2, 0));
        Independence.require("steps", Arrays.copyOf(first, first.length - COUNT), Arrays.copyOfRange(first, COUNT, first.length));
        Independence.require("sequences", Arrays.copyOf(first, first.length - 9), Arrays.copyOfRange(first, 9, first.length));
    }

    @Test
    void nothingIsDroppedOutsideOfTraining() {
        try (Arena arena = Arena.ofConfined(); Team team = Team.of(1)) {
            Rows x = ones(arena, COUNT, 8);
            new Scales.Dropping(0, 0.5, 0.5).apply(x, new Step(team, null, Type.F32, Type.F32, new Step.Sequences(COUNT, 1, 0, 1), Network.chances(1, 1), false));
            for (int row = 0; row < COUNT; row++) {
                assertTrue(x.get(row, 0) == 1 && x.get(row, 7) == 1);
            }
        }
    }

    private static Step step(Team team, long run, long number, int length) {
        return new Step(team, null, Type.F32, Type.F32, new Step.Sequences(COUNT, length, 0, 1), Network.chances(run, number).at(0), true);
    }

    private static double[] values(long run, long number, int branch) {
        try (Arena arena = Arena.ofShared(); Team team = Team.of(1)) {
            Rows x = ones(arena, COUNT * LENGTH, WIDTH);
            new Scales.Dropping(branch, 0.5, 0).apply(x, step(team, run, number, LENGTH));
            double[] values = new double[x.rows() * WIDTH];
            Arrays.setAll(values, i -> x.get(i / WIDTH, i % WIDTH));
            return values;
        }
    }

    private static double[] sequences(long run, int branch) {
        double[] values = new double[450 * COUNT];
        try (Arena arena = Arena.ofShared(); Team team = Team.of(1)) {
            for (int number = 0; number < 450; number++) {
                Rows x = ones(arena, COUNT, 1);
                new Scales.Dropping(branch, 0, 0.5).apply(x, step(team, run, number + 1, 1));
                for (int sequence = 0; sequence < COUNT; sequence++) {
                    values[number * COUNT + sequence] = x.get(sequence, 0);
                }
            }
        }
        return values;
    }

    private static Rows ones(Arena arena, int rows, int columns) {
        Rows x = Rows.allocate(arena, Type.F32, rows, columns, columns);
        for (int r = 0; r < rows; r++) {
            for (int c = 0; c < columns; c++) {
                x.set(r, c, 1);
            }
        }
        return x;
    }
}
