package isonorm.kernel;

/**
 * Exponential functions of many float64 values, which {@link Math} takes one by one: by vectors where this JVM computes with them, and by
 * {@link Math} where it does not. Infinity and NaN give what the functions say. No x may be the array of its y.
 */
public final class Exponentials {

    /** Below it the exponential has less than all its digits, and is taken to be zero. */
    static final double LOWEST = -708;

    private Exponentials() {}

    /** {@code y = e^x} for the first {@code count} values, to an ulp or two; zero below -708. */
    public static void exp(double[] x, double[] y, int count) {
        if (vectors(count)) {
            VectorExponentials.EXP.run(new VectorExponentials(x, y), count);
            return;
        }
        for (int i = 0; i < count; i++) {
            y[i] = x[i] < LOWEST ? 0 : Math.exp(x[i]);
        }
    }

    /** {@code y = tanh(x)} for the first {@code count} values, to a few ulps. */
    public static void tanh(double[] x, double[] y, int count) {
        if (vectors(count)) {
            VectorExponentials.TANH.run(new VectorExponentials(x, y), count);
            return;
        }
        for (int i = 0; i < count; i++) {
            y[i] = Math.tanh(x[i]);
        }
    }

    /** {@code y = Phi(x)} for the first {@code count} values, the distribution function of the standard normal distribution, to 1e-13 in both tails. */
    public static void distribution(double[] x, double[] y, int count) {
        if (vectors(count)) {
            VectorExponentials.DISTRIBUTION.run(new VectorExponentials(x, y), count);
            return;
        }
        for (int i = 0; i < count; i++) {
            y[i] = Gauss.distribution(x[i]);
        }
    }

    private static boolean vectors(int count) {
        return Kernels.vectorized() && count >= Lanes.D;
    }
}
