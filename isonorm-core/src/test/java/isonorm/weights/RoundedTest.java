package isonorm.weights;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.checkpoint.Dtype;
import isonorm.weights.Matrix.Tile;
import java.io.IOException;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class RoundedTest {

    private static final int ROWS = 30;
    private static final int COLUMNS = 70;

    private static double[] values() {
        SplittableRandom random = new SplittableRandom(5);
        double[] values = new double[ROWS * COLUMNS];
        Arrays.setAll(values, i -> i % 50 == 0 ? 0 : random.nextGaussian() * Math.scalb(1d, random.nextInt(-20, 3)));
        return values;
    }

    private static double[] read(Matrix matrix) throws IOException {
        double[] read = new double[ROWS * COLUMNS];
        matrix.read(new Tile(0, ROWS, 0, COLUMNS), read);
        return read;
    }

    @ParameterizedTest
    @EnumSource(names = {"BF16", "F16", "F32"})
    void whatATypeDoesNotHoldIsRoundedToIt(Dtype dtype) throws IOException {
        double[] values = values();
        double[] rounded = new double[values.length];
        Numbers.round(values, values.length, dtype, rounded);
        assertArrayEquals(rounded, read(new Rounded(Dense.of(ROWS, COLUMNS, values), dtype, Seed.of(1))));
        for (int i = 0; i < values.length; i++) {
            assertTrue(Math.abs(values[i] - rounded[i]) <= Numbers.halfUnit(values[i], dtype), values[i] + " became " + rounded[i]);
        }
    }

    /** Moved values are spread evenly over what rounds back to where they were. */
    @ParameterizedTest
    @EnumSource(names = {"BF16", "F16", "F32"})
    void whatATypeHoldsIsMovedByUpToHalfAUnit(Dtype dtype) throws IOException {
        double[] held = new double[ROWS * COLUMNS];
        Numbers.round(values(), held.length, dtype, held);
        double[] moved = read(new Rounded(Dense.of(ROWS, COLUMNS, held), dtype, Seed.of(1)));
        double sum = 0;
        double squares = 0;
        int count = 0;
        for (int i = 0; i < held.length; i++) {
            if (held[i] == 0) {
                assertEquals(0, moved[i]);
                continue;
            }
            double part = (moved[i] - held[i]) / Numbers.halfUnit(held[i], dtype);
            assertTrue(Math.abs(part) <= 1 && part != 0, held[i] + " became " + moved[i]);
            sum += part;
            squares += part * part;
            count++;
        }
        assertEquals(0, sum / count, .05);
        assertEquals(1 / 3., squares / count, .02);
    }

    @Test
    void anErrorBelongsToItsPlaceAndSeed() throws IOException {
        double[] held = new double[ROWS * COLUMNS];
        Numbers.round(values(), held.length, Dtype.BF16, held);
        Rounded rounded = new Rounded(Dense.of(ROWS, COLUMNS, held), Dtype.BF16, Seed.of(1));
        double[] whole = read(rounded);
        double[] tile = new double[6];
        rounded.read(new Tile(4, 2, 9, 3), tile);
        for (int i = 0; i < tile.length; i++) {
            assertEquals(whole[(4 + i / 3) * COLUMNS + 9 + i % 3], tile[i]);
        }
        assertNotEquals(whole[1], read(new Rounded(Dense.of(ROWS, COLUMNS, held), Dtype.BF16, Seed.of(2)))[1]);
    }
}
