package isonorm.kernel;

/** The distribution function of the standard normal distribution, in float64, which {@link Math} has not. */
final class Gauss {

    /**
     * {@code P(t)} with {@code Phi(-a) = exp(-a² / 2) P(t) / (1 + a / 2)} and {@code t = (a - 5) / (a + 5)}, for a of zero or more, its highest
     * power first: the Chebyshev series to 24 terms, whose next one is below 2e-17. (Shepherd and Laframboise, Math. Comp. 36, 1981)
     */
    static final double[] TAIL = {
        -1.5980227577851759e-10, -2.0404148355928244e-10, 1.8097384310302738e-09, 2.5198238989906057e-09, -1.2475527377924791e-08,
        -1.8284833641270735e-08, 7.842696532841493e-08, 1.0213942080023287e-07, -5.319871293135886e-07, -3.724901683131459e-07,
        3.894855035110468e-06, -1.6259298649956592e-06, -2.6323134122601563e-05, 6.0953355810362386e-05, 7.103422012480023e-05,
        -0.0007282608076629279, 0.002071578155539655, -0.003089522425540394, 0.000561531377996088, 0.010727154658908876,
        -0.03544076243944917, 0.07354959015598395, -0.1175049185490105, 0.269217567412522};

    /** Where t is zero. */
    static final double MIDDLE = 5;

    /** Beyond this the tail is below the smallest number. */
    static final double END = 39;

    private Gauss() {}

    /** {@code Phi(x)}, its relative error below 1e-13 in both tails. */
    static double distribution(double x) {
        double a = Math.abs(x);
        if (Double.isNaN(x) || a > END) {
            return x > 0 ? 1 : x < 0 ? 0 : x;
        }
        double t = (a - MIDDLE) / (a + MIDDLE);
        double p = TAIL[0];
        for (int i = 1; i < TAIL.length; i++) {
            p = p * t + TAIL[i];
        }
        double tail = bell(a) * p / (1 + a / 2);
        return x > 0 ? 1 - tail : tail;
    }

    /** {@code exp(-a² / 2)}: the rounding of a² / 2 matters where it is large, and {@code exp(-(s + e)) = exp(-s)(1 - e)}. */
    private static double bell(double a) {
        double minus = -a / 2 * a;
        double density = Math.exp(minus);
        return density + density * Math.fma(-a / 2, a, -minus);
    }
}
