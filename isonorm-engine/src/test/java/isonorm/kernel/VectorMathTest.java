package isonorm.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import isonorm.EveryProcessor;
import isonorm.weights.VectorSupport;
import java.util.SplittableRandom;
import java.util.function.DoubleUnaryOperator;
import java.util.function.UnaryOperator;
import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.FloatVector;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** The functions of vectors against float64, over numbers of every size; errors in units in the last place of the exact result. */
@EveryProcessor
class VectorMathTest {

    /** Where operations on vectors are no instructions this takes minutes, and nobody chooses them. */
    @BeforeAll
    static void vectorsAreFast() {
        assumeTrue(VectorSupport.obstacle().isEmpty());
    }


    /** {@code Phi(x)} by {@code mpmath.ncdf} with 30 digits. */
    private static final double[][] DISTRIBUTION = {
        {-37, 5.725571222524577e-300}, {-14, 7.7935368191928003e-45}, {-5, 2.8665157187919391e-7}, {-3, 0.0013498980316300945},
        {-1.25, 0.10564977366685526}, {-1, 0.15865525393145705}, {-0.75, 0.22662735237686820}, {-0.5, 0.3085375387259869},
        {-0.0078125, 0.49688329513915742}, {0, 0.5}, {0.5, 0.6914624612740131}, {1, 0.84134474606854295}, {1.5, 0.93319279873114193},
        {4, 0.99996832875816688}, {9, 1}};

    @Test
    void distribution() {
        for (double[] at : DISTRIBUTION) {
            assertEquals(at[1], Gauss.distribution(at[0]), 1e-13 * at[1], "Phi(" + at[0] + ")");
        }
        assertEquals(1, Gauss.distribution(Double.POSITIVE_INFINITY));
        assertEquals(0, Gauss.distribution(Double.NEGATIVE_INFINITY));
        assertTrue(Double.isNaN(Gauss.distribution(Double.NaN)));
    }

    @Test
    void exp() {
        assertWithin(1.1, VectorMath::exp, Math::exp, -103.9f, 88.72f);
        assertAt(VectorMath::exp, Float.NEGATIVE_INFINITY, 0);
        assertAt(VectorMath::exp, -1e30f, 0);
        assertAt(VectorMath::exp, 0, 1);
        assertAt(VectorMath::exp, 89, Float.POSITIVE_INFINITY);
        assertAt(VectorMath::exp, Float.POSITIVE_INFINITY, Float.POSITIVE_INFINITY);
        assertAt(VectorMath::exp, Float.NaN, Float.NaN);
        assertWithin(1.1, VectorMath::expBelow, Math::exp, -87, 0);
        assertAt(VectorMath::expBelow, Float.NEGATIVE_INFINITY, (float) Math.exp(-87));
        assertAt(VectorMath::expBelow, Float.NaN, Float.NaN);
    }

    @Test
    void tanh() {
        assertWithin(1.5, VectorMath::tanh, Math::tanh, -100, 100);
        assertAt(VectorMath::tanh, Float.NEGATIVE_INFINITY, -1);
        assertAt(VectorMath::tanh, 1e30f, 1);
        assertAt(VectorMath::tanh, -0f, 0); // the sign of zero is not kept
        assertAt(VectorMath::tanh, Float.NaN, Float.NaN);
    }

    @Test
    void gelu() {
        assertWithin(9, VectorMath::gelu, x -> x * Gauss.distribution(x), -12.9f, 40);
        assertEnds(VectorMath::gelu);
    }

    @Test
    void shortGelu() {
        assertWithin(0x1p11, VectorMath::shortGelu, x -> x * Gauss.distribution(x), -12.9f, 40);
        assertEnds(VectorMath::shortGelu);
    }

    @Test
    void gated() {
        assertWithin(3, Gates::gated, x -> x / (1 + Math.exp(-x)), -86.9f, 200);
        assertWithin(3, Gates::steep, x -> x / (1 + Math.exp(-2 * x)), -43.4f, 200);
        assertEnds(Gates::gated);
    }

    /** Apart from the tests, which are looked for where there are no vectors: no method among them may have one. */
    private static final class Gates {
        static FloatVector gated(FloatVector x) {
            return VectorMath.gated(x, x);
        }

        static FloatVector steep(FloatVector x) {
            return VectorMath.gated(x, x.mul(2));
        }
    }

    @Test
    void relu() {
        assertWithin(0, VectorMath::relu, x -> Math.max(x, 0), -100, 100);
        assertAt(VectorMath::relu, Float.NEGATIVE_INFINITY, 0);
        assertAt(VectorMath::relu, Float.NaN, Float.NaN);
    }

    /** Far below zero next to nothing, far above what is given; NaN stays NaN, of either sign. */
    private static void assertEnds(UnaryOperator<FloatVector> function) {
        assertEquals(0, function.apply(FloatVector.broadcast(Lanes.FLOATS, -1e3f)).lane(0), 1e-34);
        assertAt(function, 0, 0);
        assertAt(function, 1e30f, 1e30f);
        assertAt(function, Float.POSITIVE_INFINITY, Float.POSITIVE_INFINITY);
        assertAt(function, Float.NaN, Float.NaN);
        float negative = Float.intBitsToFloat(0xffc00000);
        assertTrue(Float.isNaN(function.apply(FloatVector.broadcast(Lanes.FLOATS, negative)).lane(0)));
    }

    /** {@code arccos(x)} by {@code mpmath.acos} with 30 digits. */
    private static final double[][] ARC_COSINES = {
        {-1.0, 3.1415926535897932385}, {-0.75, 2.4188584057763776273}, {-0.5, 2.0943951023931954923}, {-0.25, 1.8234765819369752727},
        {0.0, 1.5707963267948966192}, {0.125, 1.4454684956268312224}, {0.5, 1.0471975511965977462}, {0.625, 0.89566479385786497202},
        {0.9375, 0.35542120169022349274}, {0.9990234375, 0.044197771145715317927}, {0.9999999990686774, 0.000043158372878505019129}, {1.0, 0.0}
    };

    @Test
    void acos() {
        for (double[] at : ARC_COSINES) {
            assertEquals(at[1], acos(at[0]), 2 * Math.ulp(at[1]), "at " + at[0]);
        }
        SplittableRandom random = new SplittableRandom(7);
        for (int time = 0; time < 100_000; time++) {
            double x = time % 2 == 0 ? random.nextDouble(-1, 1) : Math.copySign(1 - Math.exp(-random.nextDouble(40)), random.nextDouble() - 0.5);
            double expected = Math.acos(x);
            assertEquals(expected, acos(x), 3 * Math.ulp(expected), "at " + x);
        }
        assertTrue(Double.isNaN(acos(Double.NaN)));
    }

    private static double acos(double x) {
        return VectorMath.acos(DoubleVector.broadcast(Lanes.DOUBLES, x)).lane(0);
    }

    private static void assertAt(UnaryOperator<FloatVector> function, float x, float expected) {
        assertEquals(expected, function.apply(FloatVector.broadcast(Lanes.FLOATS, x)).lane(0), "at " + x);
    }

    /** Every 1009th float between the two. */
    private static void assertWithin(
            double ulps, UnaryOperator<FloatVector> function, DoubleUnaryOperator exact, float from, float to) {
        float[] x = new float[Lanes.L];
        double worst = 0;
        float worstAt = 0;
        int compared = 0;
        for (int bits = 0; bits < Float.floatToRawIntBits(0x1p127f); bits += 1009 * x.length) {
            for (int sign = 0; sign < 2; sign++) {
                for (int i = 0; i < x.length; i++) {
                    float at = Float.intBitsToFloat(bits + 1009 * i);
                    x[i] = Math.clamp(sign == 0 ? at : -at, from, to);
                }
                FloatVector y = function.apply(FloatVector.fromArray(Lanes.FLOATS, x, 0));
                for (int i = 0; i < x.length; i++, compared++) {
                    double expected = exact.applyAsDouble(x[i]);
                    double error = Math.abs(y.lane(i) - expected) / Math.ulp((float) expected);
                    if (!(error <= worst)) {
                        worst = error;
                        worstAt = x[i];
                    }
                }
            }
        }
        assertTrue(compared > 1_000_000);
        assertTrue(worst <= ulps, "off by " + worst + " ulp at " + worstAt);
    }

    /** Halves added to halves, to the bit, whether it is compiled yet or not. */
    @Test
    void sumsOfLanesHaveOneOrder() {
        SplittableRandom random = new SplittableRandom(5);
        for (int time = 0; time < 20_000; time++) {
            float[] lanes = new float[Lanes.L];
            for (int i = 0; i < lanes.length; i++) {
                lanes[i] = (float) random.nextGaussian();
            }
            float sum = Lanes.sum(FloatVector.fromArray(Lanes.FLOATS, lanes, 0));
            for (int half = lanes.length / 2; half > 0; half /= 2) {
                for (int i = 0; i < half; i++) {
                    lanes[i] += lanes[i + half];
                }
            }
            assertEquals(lanes[0], sum);
        }
    }

    @Test
    void sumsOfLanesOfFloat64HaveOneOrder() {
        SplittableRandom random = new SplittableRandom(6);
        for (int time = 0; time < 20_000; time++) {
            double[] lanes = random.doubles(Lanes.D).map(value -> value - 0.4).toArray();
            double sum = Lanes.sum(DoubleVector.fromArray(Lanes.DOUBLES, lanes, 0));
            for (int half = lanes.length / 2; half > 0; half /= 2) {
                for (int i = 0; i < half; i++) {
                    lanes[i] += lanes[i + half];
                }
            }
            assertEquals(lanes[0], sum);
        }
    }
}
