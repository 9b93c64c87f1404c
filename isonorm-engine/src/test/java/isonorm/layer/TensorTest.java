package isonorm.layer;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import isonorm.EveryProcessor;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.tensor.Team;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

@EveryProcessor
class TensorTest {

    private final Arena arena = Arena.ofShared();
    private final Team team = Team.of(3);
    private final Space space = new Space(team);

    @AfterEach
    void close() {
        space.close();
        team.close();
        arena.close();
    }

    private Tensor tensor(Type type, int rows, double... values) {
        return NormLayerTest.tensor(arena, space, type, rows, values);
    }

    private static double[] values(Tensor tensor) {
        return NormLayerTest.values(tensor);
    }

    @Test
    void fewerRowsRepeatAndOneColumnMeetsAll() {
        Tensor x = tensor(Type.F64, 4, 1, 2, 3, 4, 5, 6, 7, 8);
        assertArrayEquals(new double[] {11, 22, 13, 24, 15, 26, 17, 28}, values(x.plus(tensor(Type.F64, 1, 10, 20))));
        assertArrayEquals(new double[] {10, 20, 6, 8, 50, 60, 14, 16}, values(x.times(tensor(Type.F64, 2, 10, 2))));
        assertThrows(IllegalArgumentException.class, () -> x.plus(tensor(Type.F64, 3, 1, 2, 3)));
        assertThrows(IllegalArgumentException.class, () -> x.plus(tensor(Type.F32, 1, 10, 20)));
    }

    /** 1 + 2^-8 is no bfloat16, and 3 (1 + 2^-7) + 2^-8 is rounded to another one than its parts would be. */
    @Test
    void resultsAreRoundedOnce() {
        Tensor x = tensor(Type.BF16, 1, 1 + 0x1p-7);
        Tensor y = tensor(Type.BF16, 1, 0x1p-7);
        assertArrayEquals(new double[] {3.03125}, values(x.timesPlus(3, y)));
        assertEquals(1, values(tensor(Type.F64, 1, 1 + 0x1p-9).to(Type.BF16))[0]);
    }

    @ParameterizedTest
    @EnumSource(Type.class)
    void aProductIsThatOfAllRowsWhoeverTakesThem(Type type) {
        double[] x = IntStream.range(0, 90 * 40).mapToDouble(i -> i * 7 % 5 - 2).toArray();
        double[] w = IntStream.range(0, 30 * 40).mapToDouble(i -> i * 11 % 3 - 1).toArray();
        double[] expected = new double[90 * 30];
        for (int i = 0; i < expected.length; i++) {
            for (int k = 0; k < 40; k++) {
                expected[i] += x[i / 30 * 40 + k] * w[i % 30 * 40 + k];
            }
        }
        assertArrayEquals(expected, values(tensor(type, 90, x).product(tensor(type, 30, w)))); // small whole numbers are exact
    }

    @Test
    void viewsSeeTheSameNumbers() {
        Tensor x = tensor(Type.F32, 4, IntStream.range(0, 24).asDoubleStream().toArray());
        assertArrayEquals(new double[] {2, 3, 8, 9, 14, 15, 20, 21}, values(x.columns(2, 2)));
        assertArrayEquals(new double[] {0, 1, 2, 3, 4, 5, 12, 13, 14, 15, 16, 17}, values(x.every(2, 0)));
        assertArrayEquals(new double[] {1, 2, 7, 8, 13, 14, 19, 20}, values(x.columns(1, 2).split(2).joined(2)));
        assertEquals(8, x.columns(1, 2).split(2).count());
        assertArrayEquals(new double[] {0, 5, 6, 11, 12, 17, 18, 23}, values(x.columns(0, 1).beside(x.columns(5, 1))));
    }

    @Test
    void sumsMeansAndTheImpliedValue() {
        Tensor x = tensor(Type.F64, 2, 1, 2, 3, 4, 6, -1, -2, -3, -4, -5);
        assertArrayEquals(new double[] {16, -15}, values(x.sum()));
        assertArrayEquals(new double[] {1, 2, 3, 4, 6, -16, -1, -2, -3, -4, -5, 15}, values(x.expanded()));
        assertArrayEquals(new double[] {-2.2, -1.2, -0.2, 0.8, 2.8, 2, 1, 0, -1, -2}, values(x.recentred()), 1e-15);
    }

    /** What is kept moves to where the memory that was taken back begins, over itself if it must. */
    @Test
    void whatIsKeptStaysWhatItIs() {
        double[] numbers = IntStream.range(0, 60_000).asDoubleStream().toArray();
        Tensor first = space.kept(() -> {
            Tensor between = space.empty(Type.F64, 10, 10);
            return tensor(Type.F64, 60, numbers).plus(tensor(Type.F64, 1, new double[1000])).columns(0, 999).times(between.count() / 10.0);
        });
        double[] before = values(first);
        Tensor second = space.kept(() -> first.times(2));
        assertArrayEquals(before, values(first));
        assertEquals(2 * numbers[2000], values(second)[2 * 999]);
        assertArrayEquals(Arrays.stream(before).map(value -> 2 * value).toArray(), values(second));
    }

    @Test
    void aCopyOfAnotherShapeIsRefused() {
        Rows into = Rows.allocate(arena, Type.F64, 2, 2, 2);
        assertThrows(IllegalArgumentException.class, () -> tensor(Type.F64, 1, 1, 2).copyTo(into));
    }
}
