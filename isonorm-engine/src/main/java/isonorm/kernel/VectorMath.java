package isonorm.kernel;

import static isonorm.kernel.Lanes.FLOATS;
import static isonorm.kernel.Lanes.INTS;

import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * Functions of every lane, without branches. The polynomials are minimax fits of the relative error (Lawson's algorithm, in
 * float64), below a quarter of a float32 rounding each; the largest errors of all, in units in the last place against float64:
 * {@link #exp} 0.97, {@link #tanh} 1.3, {@link #gelu} below 9, as its test has it. {@link #acos} is of float64, to 2.
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
    private static final IntVector ROUNDER_BITS = Lanes.bits(ROUNDER);
    /** The same with an exponent's bias added: what is left in the last bits is a power's exponent as a float32 has it. */
    private static final FloatVector POWER_ROUNDER = all(0x1.8p23f + 127);
    private static final IntVector EXPONENT_BIAS = IntVector.broadcast(INTS, 127);
    /** {@code (e^r - 1 - r) / r²} for r within ln(2) / 2 of zero, highest power first, as all of these. */
    private static final FloatVector EXP_0 = all(0.0013814467f);
    private static final FloatVector EXP_1 = all(0.008368781f);
    private static final FloatVector EXP_2 = all(0.041668393f);
    private static final FloatVector EXP_3 = all(0.1666652f);
    private static final FloatVector EXP_4 = all(0.49999994f);

    private static final FloatVector SHORT_LOWEST = all(-87);
    private static final FloatVector MINUS_LN_2 = all(-0.6931472f);
    /** {@code e^r}, with a relative error of 7e-5. */
    private static final FloatVector SHORT_EXP_0 = all(0.16566738f);
    private static final FloatVector SHORT_EXP_1 = all(0.5049664f);
    private static final FloatVector SHORT_EXP_2 = all(1.0001644f);
    private static final FloatVector SHORT_EXP_3 = all(0.999928f);

    private static final IntVector SIGN = IntVector.broadcast(INTS, 0x80000000);
    /** Here, below the smallest normal number, {@link #expInside} is zero. */
    private static final IntVector MINUS_SIGMOID_END = Lanes.bits(all(-88));

    private static final FloatVector TANH_SMALL = all(0.63f);
    /** Beyond this {@code tanh(x / 2)} is one. */
    private static final FloatVector TANH_END = all(20);
    /** {@code (tanh(x) - x) / x³} in x², below 0.63. */
    private static final FloatVector TANH_0 = all(-0.005666217f);
    private static final FloatVector TANH_1 = all(0.020605512f);
    private static final FloatVector TANH_2 = all(-0.05372981f);
    private static final FloatVector TANH_3 = all(0.13331328f);
    private static final FloatVector TANH_4 = all(-0.33333278f);

    /** Beyond this the density stays what it is, next to nothing. */
    private static final FloatVector TAIL_END = all(13.1f);
    private static final IntVector MINUS_TAIL_END = Lanes.bits(TAIL_END.neg());
    private static final FloatVector MINUS_HALF = all(-0.5f);
    /** {@code exp(a² / 2) Phi(-a) / t} in {@code t = 1 / (1 + 0.21 a)}. */
    private static final FloatVector TAIL_SCALE = all(0.21f);
    private static final FloatVector MINUS_TAIL_SCALE = TAIL_SCALE.neg();
    private static final FloatVector TAIL_0 = all(-0.071294315f);
    private static final FloatVector TAIL_1 = all(0.28180224f);
    private static final FloatVector TAIL_2 = all(-0.32648844f);
    private static final FloatVector TAIL_3 = all(0.34498113f);
    private static final FloatVector TAIL_4 = all(-0.09076878f);
    private static final FloatVector TAIL_5 = all(0.123470455f);
    private static final FloatVector TAIL_6 = all(0.06957018f);
    private static final FloatVector TAIL_7 = all(0.08501238f);
    private static final FloatVector TAIL_8 = all(0.083715156f);
    /** The same in {@code t = 1 / (1 + 0.38 a)}, with a relative error of 4e-5. */
    private static final FloatVector SHORT_SCALE = all(0.38f);
    private static final FloatVector MINUS_SHORT_SCALE = SHORT_SCALE.neg();
    private static final FloatVector SHORT_0 = all(-0.08992695f);
    private static final FloatVector SHORT_1 = all(0.18887347f);
    private static final FloatVector SHORT_2 = all(0.09198199f);
    private static final FloatVector SHORT_3 = all(0.1578288f);
    private static final FloatVector SHORT_4 = all(0.15122521f);

    private static final DoubleVector WIDE_ONE = wide(1);
    private static final DoubleVector HALF = wide(0.5);
    private static final DoubleVector HALF_PI = wide(Math.PI / 2);
    private static final DoubleVector PI = wide(Math.PI);
    /** {@code (asin(s) - s) / s³} in s², below a half. */
    private static final DoubleVector ASIN_0 = wide(0.03191222283783995);
    private static final DoubleVector ASIN_1 = wide(-0.01622419443359878);
    private static final DoubleVector ASIN_2 = wide(0.019528236013959477);
    private static final DoubleVector ASIN_3 = wide(0.006527982369511603);
    private static final DoubleVector ASIN_4 = wide(0.012169210980079477);
    private static final DoubleVector ASIN_5 = wide(0.013885235397838556);
    private static final DoubleVector ASIN_6 = wide(0.017359704788099554);
    private static final DoubleVector ASIN_7 = wide(0.022371758047664312);
    private static final DoubleVector ASIN_8 = wide(0.03038195913711949);
    private static final DoubleVector ASIN_9 = wide(0.04464285682832446);
    private static final DoubleVector ASIN_10 = wide(0.07500000000337016);
    private static final DoubleVector ASIN_11 = wide(0.16666666666665408);

    private VectorMath() {}

    private static FloatVector all(float value) {
        return Lanes.all(value);
    }

    private static DoubleVector wide(double value) {
        return Lanes.wide(value);
    }

    /** {@code e^x}: zero below -104, infinite above 88.8; NaN stays. */
    static FloatVector exp(FloatVector x) {
        // Beyond these there are only zero and infinity, and the exponent n must not wrap around.
        FloatVector inside = x.blend(LOWEST, x.lt(LOWEST)).blend(HIGHEST, HIGHEST.lt(x));
        FloatVector shifted = inside.fma(LOG2_E, ROUNDER);
        FloatVector y = fraction(inside, shifted.sub(ROUNDER));
        // In two steps: 2^n alone can be too small or too large where the result is not.
        IntVector n = Lanes.bits(shifted).sub(ROUNDER_BITS);
        IntVector half = n.lanewise(VectorOperators.ASHR, 1);
        return y.mul(power(half)).mul(power(n.sub(half)));
    }

    /** The same to 14 bits, for x from -87 to 0 and results that are rounded to 8; below that, {@code e^-87}. */
    static FloatVector shortExp(FloatVector x) {
        return shortExpInside(x.blend(SHORT_LOWEST, x.lt(SHORT_LOWEST)));
    }

    /** The same for x from -87 to 88. */
    static FloatVector shortExpInside(FloatVector x) {
        FloatVector shifted = x.fma(LOG2_E, POWER_ROUNDER);
        FloatVector r = shifted.sub(POWER_ROUNDER).fma(MINUS_LN_2, x);
        FloatVector p = r.fma(SHORT_EXP_0, SHORT_EXP_1);
        p = p.fma(r, SHORT_EXP_2);
        p = p.fma(r, SHORT_EXP_3);
        return p.mul(power(shifted));
    }

    /** {@code e^x} for x up to zero; below -87, {@code e^-87}. */
    static FloatVector expBelow(FloatVector x) {
        return expInside(x.blend(SHORT_LOWEST, x.lt(SHORT_LOWEST)));
    }

    /** {@code e^x} for x from -87 to 88. */
    static FloatVector expInside(FloatVector x) {
        FloatVector shifted = x.fma(LOG2_E, POWER_ROUNDER);
        return fraction(x, shifted.sub(POWER_ROUNDER)).mul(power(shifted));
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
        return Lanes.floats(n.add(EXPONENT_BIAS).lanewise(VectorOperators.LSHL, 23));
    }

    /** {@code 2^k} of what was rounded by {@link #POWER_ROUNDER}. */
    private static FloatVector power(FloatVector shifted) {
        return Lanes.floats(Lanes.bits(shifted).lanewise(VectorOperators.LSHL, 23));
    }

    /** {@code -|x|}, and not below {@code end}: where both signs are set, the larger number has the smaller bits. */
    private static FloatVector below(FloatVector x, IntVector end) {
        return Lanes.floats(Lanes.bits(x).lanewise(VectorOperators.OR, SIGN).lanewise(VectorOperators.MIN, end));
    }

    /** {@code max(x, 0)}; the Vector API's own takes five instructions, for zeros of both signs. */
    static FloatVector relu(FloatVector x) {
        return x.blend(ZERO, x.lt(ZERO));
    }

    /** {@code x Phi(x)}, which is {@code max(x, 0) - |x| Phi(-|x|)}: nothing cancels where x is negative. */
    static FloatVector gelu(FloatVector x) {
        FloatVector a = below(x, MINUS_TAIL_END);
        FloatVector t = ONE.div(a.fma(MINUS_TAIL_SCALE, ONE));
        return a.fma(bellInside(a).mul(tailPolynomial(t).mul(t)), relu(x));
    }

    /** {@link #gelu} to 13 bits, for results that are rounded to 8. */
    static FloatVector shortGelu(FloatVector x) {
        FloatVector a = below(x, MINUS_TAIL_END);
        FloatVector t = ONE.div(a.fma(MINUS_SHORT_SCALE, ONE));
        FloatVector bell = shortExpInside(a.mul(MINUS_HALF).mul(a));
        return a.fma(bell.mul(shortTailPolynomial(t).mul(t)), relu(x));
    }

    /** {@code x / (1 + e^-u)}, and zero for u below -87.7. */
    static FloatVector gated(FloatVector x, FloatVector u) {
        FloatVector e = expInside(below(u, MINUS_SIGMOID_END));
        return x.blend(x.mul(e), u.lt(ZERO)).div(e.add(ONE));
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

    /** {@code exp(-a² / 2)} for a of zero or more; beyond 13.1 what it is there. */
    static FloatVector bell(FloatVector a) {
        return bellInside(a.blend(TAIL_END, TAIL_END.lt(a)));
    }

    /** {@code exp(-a² / 2)} for a of either sign up to 13.1. */
    private static FloatVector bellInside(FloatVector a) {
        // The rounding of a² / 2 matters where it is large: exp(-(s + e)) = exp(-s)(1 - e).
        FloatVector half = a.mul(MINUS_HALF);
        FloatVector minus = half.mul(a);
        FloatVector density = expInside(minus);
        return density.fma(half.fma(a, minus.neg()), density);
    }

    /** {@code Phi(-a) / exp(-a² / 2)} for a of zero or more. */
    static FloatVector tailOfBell(FloatVector a) {
        FloatVector t = ONE.div(a.fma(TAIL_SCALE, ONE));
        return tailPolynomial(t).mul(t);
    }

    private static FloatVector tailPolynomial(FloatVector t) {
        FloatVector p = t.fma(TAIL_0, TAIL_1);
        p = p.fma(t, TAIL_2);
        p = p.fma(t, TAIL_3);
        p = p.fma(t, TAIL_4);
        p = p.fma(t, TAIL_5);
        p = p.fma(t, TAIL_6);
        p = p.fma(t, TAIL_7);
        return p.fma(t, TAIL_8);
    }

    /** {@link #bell} to 13 bits. */
    static FloatVector shortBell(FloatVector a) {
        return shortExp(a.mul(MINUS_HALF).mul(a));
    }

    /** {@link #tailOfBell} to 13 bits. */
    static FloatVector shortTailOfBell(FloatVector a) {
        FloatVector t = ONE.div(a.fma(SHORT_SCALE, ONE));
        return shortTailPolynomial(t).mul(t);
    }

    private static FloatVector shortTailPolynomial(FloatVector t) {
        FloatVector p = t.fma(SHORT_0, SHORT_1);
        p = p.fma(t, SHORT_2);
        p = p.fma(t, SHORT_3);
        return p.fma(t, SHORT_4);
    }

    /** The larger of the two; NaN in {@code candidate} does not count. */
    static FloatVector larger(FloatVector best, FloatVector candidate) {
        return Lanes.known(best).blend(candidate, candidate.compare(VectorOperators.GT, best));
    }

    /**
     * {@code arccos(x)} for x from -1 to 1; NaN stays. Above a half it is twice the arc sine of the root of {@code (1 - x) / 2}, which is
     * below a half.
     */
    static DoubleVector acos(DoubleVector x) {
        DoubleVector a = x.abs();
        VectorMask<Double> far = HALF.lt(a);
        DoubleVector square = a.mul(a).blend(WIDE_ONE.sub(a).mul(HALF), far);
        DoubleVector s = a.blend(square.sqrt(), far);
        DoubleVector p = square.fma(ASIN_0, ASIN_1);
        p = p.fma(square, ASIN_2);
        p = p.fma(square, ASIN_3);
        p = p.fma(square, ASIN_4);
        p = p.fma(square, ASIN_5);
        p = p.fma(square, ASIN_6);
        p = p.fma(square, ASIN_7);
        p = p.fma(square, ASIN_8);
        p = p.fma(square, ASIN_9);
        p = p.fma(square, ASIN_10);
        p = p.fma(square, ASIN_11);
        DoubleVector arc = p.mul(square).fma(s, s);
        DoubleVector angle = HALF_PI.sub(arc).blend(arc.add(arc), far);
        return angle.blend(PI.sub(angle), x.lt(0));
    }
}
