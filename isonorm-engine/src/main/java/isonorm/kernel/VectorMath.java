package isonorm.kernel;

import static isonorm.kernel.Lanes.FLOATS;
import static isonorm.kernel.Lanes.INTS;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/**
 * Functions of every lane, without branches. The polynomials are minimax fits of the relative error (Lawson's algorithm, in
 * float64), below a quarter of a float32 rounding each; the largest errors of all, in units in the last place against float64:
 * {@link #exp} 0.97, {@link #tanh} 1.3, {@link #erf} 1.0, {@link #upperTail} 4.3.
 *
 * <p>Constants are vectors made beforehand, which leaves the compiler less to take in: where too much comes together it stops
 * inlining, and what is not inlined allocates its vectors.
 */
final class VectorMath {

    static final FloatVector ONE = all(1);
    private static final FloatVector TWO = all(2);
    private static final FloatVector ZERO = FloatVector.zero(FLOATS);

    private static final FloatVector LOWEST = all(-105);
    private static final FloatVector HIGHEST = all(89.5f);
    private static final FloatVector LOG2_E = all(1.4426950408889634f);
    /** The logarithm of 2 in two parts, the first with so few bits that its multiples are exact. */
    private static final FloatVector MINUS_LN_2_HIGH = all(-0x1.62e4p-1f);
    private static final FloatVector MINUS_LN_2_LOW = all(-1.4286068203094173e-6f);
    /** Adding it leaves the nearest integer in the last bits. */
    private static final FloatVector ROUNDER = all(0x1.8p23f);
    private static final IntVector ROUNDER_BITS = ROUNDER.reinterpretAsInts();
    private static final IntVector EXPONENT_BIAS = IntVector.broadcast(INTS, 127);
    /** {@code (e^r - 1 - r) / r²} for r within ln(2) / 2 of zero, highest power first, as all of these. */
    private static final FloatVector EXP_0 = all(0.0013814467f);
    private static final FloatVector EXP_1 = all(0.008368781f);
    private static final FloatVector EXP_2 = all(0.041668393f);
    private static final FloatVector EXP_3 = all(0.1666652f);
    private static final FloatVector EXP_4 = all(0.49999994f);

    private static final FloatVector TANH_SMALL = all(0.63f);
    /** Beyond this {@code tanh(x / 2)} is one. */
    private static final FloatVector TANH_END = all(20);
    /** {@code (tanh(x) - x) / x³} in x², below 0.63. */
    private static final FloatVector TANH_0 = all(-0.005666217f);
    private static final FloatVector TANH_1 = all(0.020605512f);
    private static final FloatVector TANH_2 = all(-0.05372981f);
    private static final FloatVector TANH_3 = all(0.13331328f);
    private static final FloatVector TANH_4 = all(-0.33333278f);

    /** {@code erf(x) / x - 1} in x², below 1. */
    private static final FloatVector ERF_0 = all(7.853195e-5f);
    private static final FloatVector ERF_1 = all(-0.00080100086f);
    private static final FloatVector ERF_2 = all(0.0051883087f);
    private static final FloatVector ERF_3 = all(-0.026853804f);
    private static final FloatVector ERF_4 = all(0.11283585f);
    private static final FloatVector ERF_5 = all(-0.37612626f);
    private static final FloatVector ERF_6 = all(0.12837917f);

    private static final FloatVector TAIL_END = all(10.1f);
    /** {@code exp(a²) erfc(a) (1 + 2a)} in (a - 2) / (a + 2). */
    private static final FloatVector TAIL_0 = all(-0.00039944716f);
    private static final FloatVector TAIL_1 = all(-0.0012279995f);
    private static final FloatVector TAIL_2 = all(0.0013133076f);
    private static final FloatVector TAIL_3 = all(0.008630094f);
    private static final FloatVector TAIL_4 = all(-0.008060142f);
    private static final FloatVector TAIL_5 = all(-0.054203883f);
    private static final FloatVector TAIL_6 = all(0.16405542f);
    private static final FloatVector TAIL_7 = all(-0.16603146f);
    private static final FloatVector TAIL_8 = all(-0.09276398f);
    private static final FloatVector TAIL_9 = all(1.2769784f);

    private VectorMath() {}

    private static FloatVector all(float value) {
        return FloatVector.broadcast(FLOATS, value);
    }

    /** {@code e^x}: zero below -104, infinite above 88.8; NaN stays. */
    static FloatVector exp(FloatVector x) {
        // Beyond these there are only zero and infinity, and the exponent n must not wrap around.
        FloatVector inside = x.blend(LOWEST, x.lt(LOWEST)).blend(HIGHEST, HIGHEST.lt(x));
        FloatVector shifted = inside.fma(LOG2_E, ROUNDER);
        FloatVector y = fraction(inside, shifted.sub(ROUNDER));
        // In two steps: 2^n alone can be too small or too large where the result is not.
        IntVector n = shifted.reinterpretAsInts().sub(ROUNDER_BITS);
        IntVector half = n.lanewise(VectorOperators.ASHR, 1);
        return y.mul(power(half)).mul(power(n.sub(half)));
    }

    /** {@code e^x} for x from -87 to 88. */
    private static FloatVector expInside(FloatVector x) {
        FloatVector shifted = x.fma(LOG2_E, ROUNDER);
        FloatVector y = fraction(x, shifted.sub(ROUNDER));
        return y.mul(power(shifted.reinterpretAsInts().sub(ROUNDER_BITS)));
    }

    /** {@code e^(x - k ln(2))} where that is within ln(2) / 2 of zero. */
    private static FloatVector fraction(FloatVector x, FloatVector k) {
        FloatVector r = k.fma(MINUS_LN_2_LOW, k.fma(MINUS_LN_2_HIGH, x));
        FloatVector p = r.fma(EXP_0, EXP_1);
        p = p.fma(r, EXP_2);
        p = p.fma(r, EXP_3);
        p = p.fma(r, EXP_4);
        return p.fma(r.mul(r), r).add(ONE);
    }

    private static FloatVector power(IntVector n) {
        return n.add(EXPONENT_BIAS).lanewise(VectorOperators.LSHL, 23).reinterpretAsFloats();
    }

    /** {@code tanh(x)}. */
    static FloatVector tanh(FloatVector x) {
        FloatVector size = x.abs();
        FloatVector twice = size.add(size);
        FloatVector e = expInside(twice.blend(TANH_END, TANH_END.lt(twice)));
        FloatVector large = ONE.sub(TWO.div(e.add(ONE)));
        FloatVector s = x.mul(x);
        FloatVector p = s.fma(TANH_0, TANH_1);
        p = p.fma(s, TANH_2);
        p = p.fma(s, TANH_3);
        p = p.fma(s, TANH_4);
        FloatVector small = p.fma(s.mul(x), x); // 1 - 2/(e^2x + 1) cancels here
        return large.blend(large.neg(), x.lt(ZERO)).blend(small, size.lt(TANH_SMALL));
    }

    /** {@code erf(x)}, twice the integral of the normal density from 0 to {@code sqrt(2) x}. */
    static FloatVector erf(FloatVector x) {
        FloatVector size = x.abs();
        FloatVector large = ONE.sub(upperTail(size));
        FloatVector s = x.mul(x);
        FloatVector p = s.fma(ERF_0, ERF_1);
        p = p.fma(s, ERF_2);
        p = p.fma(s, ERF_3);
        p = p.fma(s, ERF_4);
        p = p.fma(s, ERF_5);
        p = p.fma(s, ERF_6);
        return large.blend(large.neg(), x.lt(ZERO)).blend(p.fma(x, x), size.lt(ONE));
    }

    /**
     * {@code erfc(a) = 1 - erf(a)} for a of zero or more, as exact in the tail as elsewhere:
     * {@code exp(-a²) P((a - 2) / (a + 2)) / (1 + 2a)}.
     */
    static FloatVector upperTail(FloatVector a) {
        FloatVector inside = a.blend(TAIL_END, TAIL_END.lt(a)); // beyond this exp(-a²) is zero
        FloatVector t = inside.sub(TWO).div(inside.add(TWO));
        FloatVector p = t.fma(TAIL_0, TAIL_1);
        p = p.fma(t, TAIL_2);
        p = p.fma(t, TAIL_3);
        p = p.fma(t, TAIL_4);
        p = p.fma(t, TAIL_5);
        p = p.fma(t, TAIL_6);
        p = p.fma(t, TAIL_7);
        p = p.fma(t, TAIL_8);
        p = p.fma(t, TAIL_9);
        // The rounding of a² matters where a² is large: exp(-(s + e)) = exp(-s)(1 - e).
        FloatVector minus = inside.mul(inside).neg();
        FloatVector density = exp(minus);
        density = density.sub(density.mul(inside.fma(inside, minus)));
        return density.mul(p.div(inside.fma(TWO, ONE)));
    }

    /** {@code 1 / (1 + e^-x)}. */
    static FloatVector sigmoid(FloatVector x) {
        return ONE.div(exp(x.neg()).add(ONE));
    }

    /** The larger of the two; NaN in {@code candidate} does not count. */
    static FloatVector larger(FloatVector best, FloatVector candidate) {
        return best.blend(candidate, candidate.compare(VectorOperators.GT, best));
    }
}
