package isonorm.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.EveryProcessor;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.function.DoubleUnaryOperator;
import org.junit.jupiter.api.Test;

/** Functions of many values against {@link Math}'s, or our own, of one; errors are parts of the exact result. */
@EveryProcessor
class ExponentialsTest {

    /** A function of the first values of an array. */
    private interface Function {
        void apply(double[] x, double[] y, int count);
    }

    @Test
    void exponential() {
        assertWithin(4e-16, Exponentials::exp, Math::exp, -708, 709.7);
        assertWithin(4e-16, Exponentials::exp, Math::exp, -1, 1);
        assertEach(Exponentials::exp, new double[] {Double.NEGATIVE_INFINITY, -1e300, -709, 0, 710, 1e300, Double.POSITIVE_INFINITY, Double.NaN},
                new double[] {0, 0, 0, 1, Double.POSITIVE_INFINITY, Double.POSITIVE_INFINITY, Double.POSITIVE_INFINITY, Double.NaN});
    }

    @Test
    void tangent() {
        assertWithin(8e-16, Exponentials::tanh, Math::tanh, -25, 25);
        assertWithin(8e-16, Exponentials::tanh, Math::tanh, -1e-3, 1e-3);
        assertEach(Exponentials::tanh, new double[] {Double.NEGATIVE_INFINITY, -1e300, 0, 1e300, Double.POSITIVE_INFINITY, Double.NaN},
                new double[] {-1, -1, 0, 1, 1, Double.NaN});
    }

    @Test
    void distribution() {
        assertWithin(4e-15, Exponentials::distribution, Gauss::distribution, -37, 9);
        assertEach(Exponentials::distribution, new double[] {Double.NEGATIVE_INFINITY, -1e300, 0, 1e300, Double.POSITIVE_INFINITY, Double.NaN},
                new double[] {0, 0, 0.5, 1, 1, Double.NaN});
    }

    /** Where vectors end must not matter, nor what lies behind the values. */
    @Test
    void everyCountIsComputedAndNothingBehindItIsTouched() {
        for (int count = 0; count < 40; count++) {
            double[] x = new SplittableRandom(count).doubles(40, -3, 3).toArray();
            double[] y = new double[40];
            Arrays.fill(y, 7);
            Exponentials.exp(x, y, count);
            for (int i = 0; i < 40; i++) {
                assertEquals(i < count ? Math.exp(x[i]) : 7, y[i], 1e-14, i + " of " + count);
            }
        }
    }

    private static void assertWithin(double tolerance, Function function, DoubleUnaryOperator exact, double from, double to) {
        double[] x = new SplittableRandom(5).doubles(20_001, from, to).toArray();
        double[] y = new double[x.length];
        function.apply(x, y, x.length);
        for (int i = 0; i < x.length; i++) {
            double expected = exact.applyAsDouble(x[i]);
            double error = Math.abs(y[i] - expected) / Math.abs(expected);
            assertTrue(error <= tolerance, "f(" + x[i] + ") = " + y[i] + " is " + error + " away from " + expected);
        }
    }

    private static void assertEach(Function function, double[] x, double[] expected) {
        double[] many = Arrays.copyOf(x, 16); // more than a vector has lanes
        double[] y = new double[many.length];
        function.apply(many, y, many.length);
        for (int i = 0; i < x.length; i++) {
            assertEquals(expected[i], y[i], 1e-15, "f(" + x[i] + ")");
        }
    }
}
