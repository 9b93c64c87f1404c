package isonorm.layer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.Affine;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.model.Compute;
import isonorm.tensor.Team;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.Optional;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class NormLayerTest {

    private static final double EPSILON = 1e-3; // large enough that leaving it out shows

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 48, 769})
    void layerNormIsItsFormula(int width) {
        double[] x = random(width, 1);
        double mean = Arrays.stream(x).average().orElseThrow();
        double variance = Arrays.stream(x).map(v -> (v - mean) * (v - mean)).average().orElseThrow();
        double[] expected = Arrays.stream(x).map(v -> (v - mean) / Math.sqrt(variance + EPSILON)).toArray();
        assertArrayEquals(expected, normalized(NormKind.LAYER, x, Compute.F64), 1e-13);
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 48, 769})
    void rmsNormIsItsFormula(int width) {
        double[] x = random(width, 1);
        double square = Arrays.stream(x).map(v -> v * v).average().orElseThrow();
        double[] expected = Arrays.stream(x).map(v -> v / Math.sqrt(square + EPSILON)).toArray();
        assertArrayEquals(expected, normalized(NormKind.RMS, x, Compute.F64), 1e-13);
    }

    /** {@code CRMSNorm(x[:-1])}, the last value appended, is LayerNorm and RMSNorm of a zero-mean x. */
    @ParameterizedTest
    @ValueSource(ints = {2, 3, 48, 769})
    void theThreeAreOneOnZeroMean(int width) {
        double[] x = centred(random(width, 1));
        double[] layer = normalized(NormKind.LAYER, x, Compute.F64);
        double[] compressed = normalized(NormKind.CRMS, Arrays.copyOf(x, width - 1), Compute.F64);
        assertArrayEquals(layer, normalized(NormKind.RMS, x, Compute.F64), 1e-13);
        assertArrayEquals(Arrays.copyOf(layer, width - 1), compressed, 1e-13);
        assertEquals(layer[width - 1], -Arrays.stream(compressed).sum(), 1e-12);
    }

    /** A CRMSNorm with a gain appends the implied value first, then applies gain and bias to all. */
    @Test
    void crmsNormWithAffineGivesAllValues() {
        int width = 7;
        double[] x = centred(random(width, 1));
        double[] gain = random(width, 2);
        double[] bias = random(width, 3);
        Norm layer = Norm.of(NormKind.LAYER, EPSILON, Affine.GAIN_AND_BIAS);
        double[] expected = run(layer, x, gain, bias, Compute.F64);
        double[] actual = run(layer.withKind(NormKind.CRMS), Arrays.copyOf(x, width - 1), gain, bias, Compute.F64);
        assertArrayEquals(expected, actual, 1e-12);
    }

    /** The variance of a stream with a large mean must not cancel, in float32 with float32 statistics. */
    @Test
    void aLargeMeanDoesNotCancel() {
        double[] x = Arrays.stream(random(48, 1)).map(v -> (float) (v + 4096)).toArray();
        double[] exact = normalized(NormKind.LAYER, x, Compute.F64);
        double[] single = normalized(NormKind.LAYER, x, Compute.F32);
        assertArrayEquals(exact, single, 2e-3); // 4096 has a unit in the last place of 5e-4
    }

    @Test
    void sixteenBitsHaveFloat32Statistics() {
        double[] x = new double[4096];
        Arrays.fill(x, 300); // the sum of squares is far above float16's largest value
        double[] y = normalized(NormKind.RMS, x, Compute.F16);
        assertTrue(Arrays.stream(y).allMatch(v -> v == 1), () -> "got " + y[0]);
    }

    private static double[] normalized(NormKind kind, double[] x, Compute compute) {
        return run(Norm.of(kind, EPSILON, Affine.NONE), x, null, null, compute);
    }

    private static double[] run(Norm norm, double[] x, double[] gain, double[] bias, Compute compute) {
        try (Arena arena = Arena.ofConfined(); Team team = Team.of(1); Space space = new Space(team)) {
            Tensor y = new NormLayer(
                            norm,
                            1,
                            Optional.ofNullable(gain).map(values -> tensor(arena, space, Type.wide(compute), 1, values)),
                            Optional.ofNullable(bias).map(values -> tensor(arena, space, Type.wide(compute), 1, values)),
                            compute)
                    .forward(tensor(arena, space, Type.of(compute), 1, x));
            return values(y);
        }
    }

    /** Given values in rows. */
    static Tensor tensor(Arena arena, Space space, Type type, int rows, double... values) {
        int columns = values.length / rows;
        Rows made = Rows.allocate(arena, type, rows, columns, columns);
        for (int row = 0; row < rows; row++) {
            made.write(row, 0, columns, Arrays.copyOfRange(values, row * columns, (row + 1) * columns));
        }
        return new Tensor(made, space);
    }

    static double[] values(Tensor tensor) {
        double[] all = new double[tensor.count() * tensor.width()];
        double[] row = new double[tensor.width()];
        for (int r = 0; r < tensor.count(); r++) {
            tensor.rows().read(r, 0, row.length, row);
            System.arraycopy(row, 0, all, r * row.length, row.length);
        }
        return all;
    }

    static double[] random(int count, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        return random.doubles(count, -1, 1).toArray();
    }

    private static double[] centred(double[] x) {
        double mean = Arrays.stream(x).average().orElseThrow();
        return Arrays.stream(x).map(v -> v - mean).toArray();
    }
}
