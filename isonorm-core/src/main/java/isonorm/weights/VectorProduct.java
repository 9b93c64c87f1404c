package isonorm.weights;

import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.VectorSpecies;

/** The vector twin of {@link Product}: four rows by two vectors of columns stay in registers. It leaves columns that do not fill two vectors. */
final class VectorProduct {

    private static final VectorSpecies<Double> DOUBLES = DoubleVector.SPECIES_PREFERRED;

    private static final int LANES = DOUBLES.length();

    /** Inputs whose rows of two vectors stay in the nearest cache while rows go by. */
    private static final int INPUTS = 256;

    private VectorProduct() {}

    /** Gives how many columns it has computed. */
    static int multiply(double[] a, int first, int rows, int inner, double[] b, int columns, double[] into) {
        int whole = columns / (2 * LANES) * 2 * LANES;
        for (int from = 0; from < inner; from += INPUTS) {
            int to = Math.min(inner, from + INPUTS);
            for (int c = 0; c < whole; c += 2 * LANES) {
                int r = 0;
                for (; r + 4 <= rows; r += 4) {
                    four(a, (first + r) * inner, inner, from, to, b, columns, c, into, r * columns + c);
                }
                for (; r < rows; r++) {
                    one(a, (first + r) * inner, from, to, b, columns, c, into, r * columns + c);
                }
            }
        }
        return whole;
    }

    private static void four(double[] a, int row, int inner, int from, int to, double[] b, int columns, int c, double[] into, int at) {
        boolean begun = from > 0;
        DoubleVector s00 = sum(begun, into, at);
        DoubleVector s01 = sum(begun, into, at + LANES);
        DoubleVector s10 = sum(begun, into, at + columns);
        DoubleVector s11 = sum(begun, into, at + columns + LANES);
        DoubleVector s20 = sum(begun, into, at + 2 * columns);
        DoubleVector s21 = sum(begun, into, at + 2 * columns + LANES);
        DoubleVector s30 = sum(begun, into, at + 3 * columns);
        DoubleVector s31 = sum(begun, into, at + 3 * columns + LANES);
        for (int i = from; i < to; i++) {
            DoubleVector b0 = DoubleVector.fromArray(DOUBLES, b, i * columns + c);
            DoubleVector b1 = DoubleVector.fromArray(DOUBLES, b, i * columns + c + LANES);
            DoubleVector a0 = DoubleVector.broadcast(DOUBLES, a[row + i]);
            DoubleVector a1 = DoubleVector.broadcast(DOUBLES, a[row + inner + i]);
            DoubleVector a2 = DoubleVector.broadcast(DOUBLES, a[row + 2 * inner + i]);
            DoubleVector a3 = DoubleVector.broadcast(DOUBLES, a[row + 3 * inner + i]);
            s00 = a0.fma(b0, s00);
            s01 = a0.fma(b1, s01);
            s10 = a1.fma(b0, s10);
            s11 = a1.fma(b1, s11);
            s20 = a2.fma(b0, s20);
            s21 = a2.fma(b1, s21);
            s30 = a3.fma(b0, s30);
            s31 = a3.fma(b1, s31);
        }
        s00.intoArray(into, at);
        s01.intoArray(into, at + LANES);
        s10.intoArray(into, at + columns);
        s11.intoArray(into, at + columns + LANES);
        s20.intoArray(into, at + 2 * columns);
        s21.intoArray(into, at + 2 * columns + LANES);
        s30.intoArray(into, at + 3 * columns);
        s31.intoArray(into, at + 3 * columns + LANES);
    }

    private static void one(double[] a, int row, int from, int to, double[] b, int columns, int c, double[] into, int at) {
        DoubleVector s0 = sum(from > 0, into, at);
        DoubleVector s1 = sum(from > 0, into, at + LANES);
        for (int i = from; i < to; i++) {
            DoubleVector factor = DoubleVector.broadcast(DOUBLES, a[row + i]);
            s0 = factor.fma(DoubleVector.fromArray(DOUBLES, b, i * columns + c), s0);
            s1 = factor.fma(DoubleVector.fromArray(DOUBLES, b, i * columns + c + LANES), s1);
        }
        s0.intoArray(into, at);
        s1.intoArray(into, at + LANES);
    }

    private static DoubleVector sum(boolean begun, double[] into, int at) {
        return begun ? DoubleVector.fromArray(DOUBLES, into, at) : DoubleVector.zero(DOUBLES);
    }
}
