package isonorm.kernel;

import static isonorm.kernel.Lanes.D;
import static isonorm.kernel.Lanes.DOUBLES;

import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.LongVector;
import jdk.incubator.vector.VectorOperators;

/**
 * {@link Exponentials} in vectors. All rest on {@code e^x = 2^n (1 + p)} with {@code p = e^r - 1} and {@code r = x - n ln(2)}, where p is a Taylor
 * series whose next term is below 2e-17. The last vector of an array overlaps the one before it.
 *
 * @param y what they give of x
 */
record VectorExponentials(double[] x, double[] y) {

    static final Loop<VectorExponentials> EXP = Loop.of((of, count) -> {
        for (int i = 0; i < count; i += D) {
            int at = Math.min(i, count - D);
            exp(Lanes.doubles(of.x, at)).intoArray(of.y, at);
        }
        return 0;
    });

    static final Loop<VectorExponentials> TANH = Loop.of((of, count) -> {
        for (int i = 0; i < count; i += D) {
            int at = Math.min(i, count - D);
            tanh(Lanes.doubles(of.x, at)).intoArray(of.y, at);
        }
        return 0;
    });

    static final Loop<VectorExponentials> DISTRIBUTION = Loop.of((of, count) -> {
        for (int i = 0; i < count; i += D) {
            int at = Math.min(i, count - D);
            distribution(Lanes.doubles(of.x, at)).intoArray(of.y, at);
        }
        return 0;
    });

    private static final DoubleVector ZERO = Lanes.wide(0);
    private static final DoubleVector HALF = Lanes.wide(0.5);
    private static final DoubleVector ONE = Lanes.wide(1);
    private static final DoubleVector TWO = Lanes.wide(2);

    private static final DoubleVector LOWEST = Lanes.wide(Exponentials.LOWEST);
    private static final DoubleVector HIGHEST = Lanes.wide(710);
    private static final DoubleVector LOG2_E = Lanes.wide(1.4426950408889634);
    /** The logarithm of 2 in two parts, the first with so few bits that its multiples are exact. */
    private static final DoubleVector MINUS_LN_2_HIGH = Lanes.wide(-0x1.62e42fefa3p-1);
    private static final DoubleVector MINUS_LN_2_LOW = Lanes.wide(-2.8235290563031577e-13);
    /** Adding it leaves the nearest integer in the last bits. */
    private static final DoubleVector ROUNDER = Lanes.wide(0x1.8p52);
    private static final long EXPONENT_BIAS = 1023;
    private static final int FRACTION = 52;

    /** Beyond this the tangent is one. */
    private static final DoubleVector TANH_END = Lanes.wide(40);

    private static final DoubleVector MIDDLE = Lanes.wide(Gauss.MIDDLE);
    private static final DoubleVector END = Lanes.wide(Gauss.END);

    private static DoubleVector exp(DoubleVector x) {
        DoubleVector inside = x.blend(LOWEST, x.lt(LOWEST)).blend(HIGHEST, HIGHEST.lt(x));
        DoubleVector shifted = inside.fma(LOG2_E, ROUNDER);
        DoubleVector y = fraction(inside, shifted).add(ONE);
        // Half of the power, for 2^1024 is infinite where the result is not.
        return y.add(y).mul(power(shifted, EXPONENT_BIAS - 1)).blend(ZERO, x.lt(LOWEST));
    }

    /** {@code u / (u + 2)} with {@code u = e^2|x| - 1}, which has all its digits near zero too. */
    private static DoubleVector tanh(DoubleVector x) {
        DoubleVector twice = x.abs().add(x.abs());
        DoubleVector inside = twice.blend(TANH_END, TANH_END.lt(twice));
        DoubleVector shifted = inside.fma(LOG2_E, ROUNDER);
        DoubleVector power = power(shifted, EXPONENT_BIAS);
        DoubleVector u = fraction(inside, shifted).fma(power, power.sub(ONE));
        DoubleVector size = u.div(u.add(TWO));
        return size.blend(size.neg(), x.lt(ZERO));
    }

    /** {@code e^(x - n ln(2)) - 1}, n being the nearest integer that {@code shifted} holds. */
    private static DoubleVector fraction(DoubleVector x, DoubleVector shifted) {
        DoubleVector n = shifted.sub(ROUNDER);
        DoubleVector r = n.fma(MINUS_LN_2_LOW, n.fma(MINUS_LN_2_HIGH, x));
        DoubleVector s = r.mul(r);
        DoubleVector even = s.fma(2.08767569878681e-09, 2.755731922398589e-07); // even and odd powers beside each other, which halves the wait
        even = s.fma(even, Lanes.wide(2.48015873015873e-05));
        even = s.fma(even, Lanes.wide(0.001388888888888889));
        even = s.fma(even, Lanes.wide(0.041666666666666664));
        even = s.fma(even, HALF);
        DoubleVector odd = s.fma(1.6059043836821613e-10, 2.505210838544172e-08);
        odd = s.fma(odd, Lanes.wide(2.7557319223985893e-06));
        odd = s.fma(odd, Lanes.wide(0.0001984126984126984));
        odd = s.fma(odd, Lanes.wide(0.008333333333333333));
        odd = s.fma(odd, Lanes.wide(0.16666666666666666));
        return odd.fma(r, even).fma(s, r);
    }

    /** {@code 2^n} for an exponent's bias, or a smaller power for a smaller one. */
    private static DoubleVector power(DoubleVector shifted, long bias) {
        LongVector n = shifted.reinterpretAsLongs().sub(ROUNDER.reinterpretAsLongs());
        return n.add(bias).lanewise(VectorOperators.LSHL, FRACTION).reinterpretAsDoubles();
    }

    private static DoubleVector distribution(DoubleVector x) {
        DoubleVector a = x.abs();
        DoubleVector inside = a.blend(END, END.lt(a));
        DoubleVector half = inside.mul(HALF).neg();
        DoubleVector minus = half.mul(inside);
        DoubleVector density = exp(minus);
        DoubleVector bell = density.fma(half.fma(inside, minus.neg()), density);
        DoubleVector tail = bell.mul(series(inside.sub(MIDDLE).div(inside.add(MIDDLE)))).div(inside.fma(HALF, ONE));
        return tail.blend(ONE.sub(tail), ZERO.lt(x));
    }

    private static DoubleVector series(DoubleVector t) {
        DoubleVector s = t.mul(t);
        DoubleVector odd = DoubleVector.broadcast(DOUBLES, Gauss.TAIL[0]);
        DoubleVector even = DoubleVector.broadcast(DOUBLES, Gauss.TAIL[1]);
        for (int i = 2; i < Gauss.TAIL.length; i += 2) {
            odd = odd.fma(s, DoubleVector.broadcast(DOUBLES, Gauss.TAIL[i]));
            even = even.fma(s, DoubleVector.broadcast(DOUBLES, Gauss.TAIL[i + 1]));
        }
        return odd.fma(t, even);
    }
}
