package isonorm.weights;

import static org.junit.jupiter.api.Assertions.assertTrue;

/** Whether two rows of numbers have nothing in common, also where one is moved. */
public final class Independence {

    private static final int SHIFTS = 8;

    private Independence() {}

    /** Refuses rows of which a correlation, moved by up to eight places, is above four of its standard deviations. */
    public static void require(String what, double[] a, double[] b) {
        for (int shift = -SHIFTS; shift <= SHIFTS; shift++) {
            int n = a.length - Math.abs(shift);
            int fromA = Math.max(0, shift);
            int fromB = Math.max(0, -shift);
            double correlation = correlation(a, fromA, b, fromB, n);
            assertTrue(Math.abs(correlation) < 4 / Math.sqrt(n), what + ", moved by " + shift + ": " + correlation + " of " + n + " values");
        }
    }

    private static double correlation(double[] a, int fromA, double[] b, int fromB, int n) {
        double meanA = 0;
        double meanB = 0;
        for (int i = 0; i < n; i++) {
            meanA += a[fromA + i] / n;
            meanB += b[fromB + i] / n;
        }
        double product = 0;
        double squaresA = 0;
        double squaresB = 0;
        for (int i = 0; i < n; i++) {
            double x = a[fromA + i] - meanA;
            double y = b[fromB + i] - meanB;
            product += x * y;
            squaresA += x * x;
            squaresB += y * y;
        }
        return product / Math.sqrt(squaresA * squaresB);
    }
}
