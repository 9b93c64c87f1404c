package isonorm.kernel;

import static isonorm.kernel.Sample.assertClose;
import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.EveryProcessor;
import isonorm.weights.Seed;
import java.lang.foreign.Arena;
import org.junit.jupiter.api.Test;

/** Optimizers' steps of both twins against their definitions in float64, and what is done with single values, columns and rows. */
@EveryProcessor
class StepKernelsTest {

    private static final Gradients PLAIN = new PlainGradients();
    private static final Gradients VECTOR = new VectorGradients();
    private static final Type[] STORED = {Type.F32, Type.BF16};

    /** Several steps, each from what float64 had before: the moments' decay, the corrections, epsilon beside small gradients. */
    @Test
    void adamW() {
        try (Arena arena = Arena.ofConfined()) {
            for (Gradients gradients : Sample.gradientTwins()) {
                for (int columns : Sample.SIZES) {
                    for (int gap : new int[] {0, 3}) {
                        int stride = columns + gap;
                        Rows w = Sample.rows(arena, Type.F32, 3, columns, stride, 1);
                        Rows m = Sample.rows(arena, Type.F32, 3, columns, stride, 2, 0, 0);
                        Rows v = Sample.rows(arena, Type.F32, 3, columns, stride, 2, 0, 0);
                        double[] weights = all(w);
                        double[] first = new double[3 * columns];
                        double[] second = new double[3 * columns];
                        for (int t = 1; t <= 5; t++) {
                            Rows g = Sample.rows(arena, Type.F32, 3, columns, stride, 10 + t, 0, t == 3 ? 1e-7 : 2);
                            Gradients.AdamW step = new Gradients.AdamW(0.01 / t, 0.9, 0.95, 1e-6, 0.1, t, 0.5);
                            gradients.adamW(w, g, m, v, step);
                            double[] gradient = all(g);
                            for (int i = 0; i < weights.length; i++) {
                                double half = gradient[i] / 2;
                                first[i] = 0.9 * first[i] + 0.1 * half;
                                second[i] = 0.95 * second[i] + 0.05 * half * half;
                                double mean = first[i] / (1 - Math.pow(0.9, t));
                                double square = second[i] / (1 - Math.pow(0.95, t));
                                weights[i] -= 0.01 / t * (mean / (Math.sqrt(square) + 1e-6) + 0.1 * weights[i]);
                            }
                        }
                        // Every step rounds once, five times in all; a moment may cancel against its gradient of 2.
                        double[] actual = all(w);
                        double[] actualFirst = all(m);
                        double[] actualSecond = all(v);
                        for (int i = 0; i < weights.length; i++) {
                            assertClose(weights[i], actual[i], 6 * Sample.F32 * (Math.abs(weights[i]) + 0.1), "weight of " + columns);
                            assertClose(first[i], actualFirst[i], 8 * Sample.F32, "first moment");
                            assertClose(second[i], actualSecond[i], 8 * Sample.F32 * second[i], "second moment");
                        }
                        Sample.assertGapsKept(w, columns, "weights");
                        Sample.assertGapsKept(m, columns, "first");
                        Sample.assertGapsKept(v, columns, "second");
                    }
                }
            }
        }
    }

    private static double[] all(Rows rows) {
        double[] all = new double[rows.rows() * rows.columns()];
        for (int r = 0; r < rows.rows(); r++) {
            System.arraycopy(Sample.doubles(rows, r), 0, all, r * rows.columns(), rows.columns());
        }
        return all;
    }

    /** A decay that is nothing beside one still counts. */
    @Test
    void smallDecay() {
        try (Arena arena = Arena.ofConfined()) {
            for (Gradients gradients : Sample.gradientTwins()) {
                Rows w = Sample.rows(arena, Type.F32, 1, 40, 40, 1, 0, 1);
                Rows zero = Rows.allocate(arena, Type.F32, 1, 40, 40);
                Rows before = Sample.copy(arena, w);
                for (int t = 0; t < 40; t++) {
                    gradients.adamW(w, zero, zero, zero, new Gradients.AdamW(1e-6, 0.9, 0.95, 1e-8, 0.1, 1, 1));
                }
                double kept = 0;
                double sum = 0;
                for (int c = 0; c < 40; c++) {
                    kept += Math.abs(w.get(0, c));
                    sum += Math.abs(before.get(0, c));
                }
                assertEquals(4e-6, 1 - kept / sum, 1e-6);
            }
        }
    }

    @Test
    void twinsOfStepsAgreeInBfloat16() {
        try (Arena arena = Arena.ofConfined()) {
            for (int columns : Sample.SIZES) {
                for (Type gradientType : STORED) {
                    Rows g = Sample.rows(arena, gradientType, 3, columns, columns, 4);
                    Rows[] plain = new Rows[3];
                    Rows[] vector = new Rows[3];
                    for (int i = 0; i < 3; i++) {
                        plain[i] = Sample.rows(arena, Type.BF16, 3, columns, columns + 1, i, i == 2 ? 3 : 0, i == 2 ? 0.1 : 1);
                        vector[i] = Sample.copy(arena, plain[i]);
                    }
                    Gradients.AdamW step = new Gradients.AdamW(0.1, 0.9, 0.95, 1e-6, 0.1, 3, 1.5);
                    PLAIN.adamW(plain[0], g, plain[1], plain[2], step);
                    VECTOR.adamW(vector[0], g, vector[1], vector[2], step);
                    assertTwins(plain, vector, columns);
                    for (int i = 0; i < 3; i++) {
                        vector[i].data().copyFrom(plain[i].data());
                    }
                    PLAIN.sgd(plain[0], g, plain[1], 0.1, 0.9, 0.01, 1.5);
                    VECTOR.sgd(vector[0], g, vector[1], 0.1, 0.9, 0.01, 1.5);
                    assertTwins(plain, vector, columns);
                }
            }
        }
    }

    private static void assertTwins(Rows[] plain, Rows[] vector, int columns) {
        for (int i = 0; i < 3; i++) {
            for (int r = 0; r < 3; r++) {
                for (int c = 0; c < columns; c++) {
                    double value = plain[i].get(r, c);
                    assertClose(value, vector[i].get(r, c), 2 * Sample.rounding(Type.BF16, value) + 1e-6, "rows " + i);
                }
            }
            Sample.assertGapsKept(vector[i], columns, "step");
        }
    }

    @Test
    void sgd() {
        try (Arena arena = Arena.ofConfined()) {
            for (Gradients gradients : Sample.gradientTwins()) {
                for (int columns : Sample.SIZES) {
                    Rows w = Sample.rows(arena, Type.F32, 2, columns, columns + 1, 1);
                    Rows m = Sample.rows(arena, Type.F32, 2, columns, columns + 1, 2);
                    Rows g = Sample.rows(arena, Type.F32, 2, columns, columns + 1, 3);
                    double[] weights = all(w);
                    double[] mean = all(m);
                    double[] gradient = all(g);
                    for (int t = 0; t < 3; t++) {
                        gradients.sgd(w, g, m, 0.1, 0.9, 0.01, 0.5);
                        for (int i = 0; i < mean.length; i++) {
                            mean[i] = 0.9 * mean[i] + 0.5 * gradient[i] + 0.01 * weights[i];
                            weights[i] -= 0.1 * mean[i];
                        }
                    }
                    double[] actualMean = all(m);
                    double[] actual = all(w);
                    for (int i = 0; i < mean.length; i++) {
                        assertClose(mean[i], actualMean[i], 16 * Sample.F32, "moment");
                        assertClose(weights[i], actual[i], 16 * Sample.F32, "weight");
                    }
                    Sample.assertGapsKept(w, columns, "sgd");
                }
            }
        }
    }

    /** One id again and again: additions follow each other. */
    @Test
    void scatter() {
        try (Arena arena = Arena.ofConfined()) {
            int[] ids = {2, 0, 2, 2, 3};
            for (Gradients gradients : Sample.gradientTwins()) {
                for (int columns : Sample.SIZES) {
                    for (Type type : STORED) {
                        Rows dy = Sample.rows(arena, type, 5, columns, columns + 2, 1);
                        Rows table = Sample.rows(arena, Type.F32, 4, columns, columns + 3, 2);
                        double[] expected = all(table);
                        gradients.scatter(dy, ids, 0.5, table);
                        for (int i = 0; i < ids.length; i++) {
                            for (int c = 0; c < columns; c++) {
                                expected[ids[i] * columns + c] += 0.5 * dy.get(i, c);
                            }
                        }
                        double[] actual = all(table);
                        for (int i = 0; i < actual.length; i++) {
                            assertClose(expected[i], actual[i], 16 * Sample.F32, "scatter");
                        }
                        Sample.assertGapsKept(table, columns, "scatter");
                    }
                }
            }
        }
    }

    @Test
    void additionsAndFactors() {
        try (Arena arena = Arena.ofConfined()) {
            for (int columns : Sample.SIZES) {
                for (int gap : new int[] {0, 2}) {
                    for (Type type : STORED) {
                        for (Type to : STORED) {
                            Rows x = Sample.rows(arena, type, 3, columns, columns + gap, 1);
                            Rows plain = Sample.rows(arena, to, 3, columns, columns + gap, 2);
                            Rows vector = Sample.copy(arena, plain);
                            PLAIN.add(x, -0.75, plain);
                            VECTOR.add(x, -0.75, vector);
                            assertTwins(plain, vector, 4 * Sample.F32, "add");
                            PLAIN.scale(plain, 0.375);
                            VECTOR.scale(vector, 0.375);
                            assertTwins(plain, vector, 4 * Sample.F32, "scale");
                            Values factors = Sample.values(columns, 3);
                            PLAIN.multiplyColumns(x, factors, plain);
                            VECTOR.multiplyColumns(x, factors, vector);
                            assertTwins(plain, vector, Sample.F32, "multiply");
                            Rows expectedSums = Rows.allocate(arena, Type.F64, 1, columns, columns);
                            Rows actualSums = Rows.allocate(arena, Type.F32, 1, columns, columns);
                            for (int time = 0; time < 2; time++) { // the second adds to the first
                                vector.data().copyFrom(plain.data());
                                PLAIN.columnFactors(x, factors, plain, expectedSums);
                                VECTOR.columnFactors(x, factors, vector, actualSums);
                                assertTwins(plain, vector, 4 * Sample.F32, "factors");
                                assertTwins(expectedSums, actualSums, 64 * Sample.F32, "sums of products");
                            }
                        }
                    }
                }
            }
        }
    }

    /** Within a part of one and one or two roundings of the type. */
    private static void assertTwins(Rows plain, Rows vector, double part, String what) {
        for (int r = 0; r < plain.rows(); r++) {
            for (int c = 0; c < plain.columns(); c++) {
                double value = plain.get(r, c);
                assertClose(value, vector.get(r, c), part * (1 + Math.abs(value)) + 2 * Sample.rounding(vector.type(), value), what);
            }
        }
        Sample.assertGapsKept(vector, plain.columns(), what);
    }

    /** Of more rows than are summed up at a time, with a mean beside which values are small. */
    @Test
    void columnSums() {
        try (Arena arena = Arena.ofConfined()) {
            for (int columns : new int[] {1, 17, 192}) {
                for (Type type : STORED) {
                    Rows x = Sample.rows(arena, type, 1500, columns, columns + 1, 1, 10, 1);
                    for (Type to : new Type[] {Type.F32, Type.F64}) {
                        Rows expected = Rows.allocate(arena, Type.F64, 1, columns, columns);
                        Rows actual = Rows.allocate(arena, to, 1, columns, columns);
                        for (int time = 0; time < 2; time++) {
                            PLAIN.addColumnSums(x, expected);
                            VECTOR.addColumnSums(x, actual);
                        }
                        for (int c = 0; c < columns; c++) {
                            // Additions of up to 64 values and of 24 sums lose a part of a rounding each.
                            assertClose(expected.get(0, c), actual.get(0, c), 16 * Sample.F32 * expected.get(0, c), "sum");
                        }
                    }
                }
            }
        }
    }

    @Test
    void centring() {
        try (Arena arena = Arena.ofConfined()) {
            for (int columns : Sample.SIZES) {
                for (Type type : STORED) {
                    Rows x = Sample.rows(arena, type, 70, columns, columns + 1, 1, 1e3, 1);
                    Rows plain = Sample.rows(arena, Type.F32, 70, columns, columns + 2, 2);
                    Rows vector = Sample.copy(arena, plain);
                    PLAIN.centreColumns(x, plain);
                    VECTOR.centreColumns(x, vector);
                    assertTwins(plain, vector, 32 * Sample.F32, "columns of " + columns);
                    PLAIN.centreRows(x, plain);
                    VECTOR.centreRows(x, vector);
                    assertTwins(plain, vector, 32 * Sample.F32, "rows of " + columns);
                    Rows place = Sample.copy(arena, x);
                    VECTOR.centreRows(place, place);
                    for (int r = 0; r < 70; r++) {
                        double sum = 0;
                        for (double value : Sample.doubles(plain, r)) {
                            sum += value;
                        }
                        assertEquals(0, sum, 1e-5 * columns);
                        double expected = plain.get(r, columns - 1);
                        assertClose(expected, place.get(r, columns - 1), 32 * Sample.F32 + Sample.rounding(type, expected) * 2, "in place");
                    }
                }
            }
        }
    }

    @Test
    void sumOfSquares() {
        try (Arena arena = Arena.ofConfined()) {
            for (int columns : Sample.SIZES) {
                for (Type type : STORED) {
                    for (double spread : new double[] {1, 1e-25, 1e25, 0}) {
                        for (int gap : new int[] {0, 3}) {
                            Rows x = Sample.rows(arena, type, 3, columns, columns + gap, 1, 0, spread);
                            double expected = PLAIN.sumOfSquares(x);
                            assertClose(expected, VECTOR.sumOfSquares(x), 32 * Sample.F32 * expected, "squares of " + spread);
                        }
                    }
                }
            }
            Rows x = Rows.allocate(arena, Type.F32, 1, 40, 40);
            x.set(0, 33, Double.NaN);
            assertTrue(Double.isNaN(VECTOR.sumOfSquares(x)));
            x.set(0, 33, Double.POSITIVE_INFINITY);
            assertEquals(Double.POSITIVE_INFINITY, VECTOR.sumOfSquares(x));
        }
    }

    @Test
    void dropoutDrawsTheSame() {
        try (Arena arena = Arena.ofConfined()) {
            for (int columns : Sample.SIZES) {
                for (Type type : STORED) {
                    Rows x = Sample.rows(arena, type, 6, columns, columns + 2, 1, 3, 0.1); // no zeros of their own
                    Rows plain = Sample.copy(arena, x);
                    Rows vector = Sample.copy(arena, x);
                    Rows sliced = Sample.copy(arena, x);
                    Rows ones = Sample.rows(arena, Type.F32, 6, columns, columns, 1, 1, 0);
                    PLAIN.dropout(plain, 0.3, Seed.of(42), 10);
                    VECTOR.dropout(vector, 0.3, Seed.of(42), 10);
                    VECTOR.dropout(sliced.slice(0, 2), 0.3, Seed.of(42), 10);
                    PLAIN.dropout(sliced.slice(2, 4), 0.3, Seed.of(42), 12);
                    VECTOR.dropout(ones, 0.3, Seed.of(42), 10);
                    for (int r = 0; r < 6; r++) {
                        for (int c = 0; c < columns; c++) {
                            boolean dropped = plain.get(r, c) == 0;
                            assertEquals(dropped, vector.get(r, c) == 0, "twins");
                            assertEquals(dropped, sliced.get(r, c) == 0, "slices");
                            assertEquals(dropped, ones.get(r, c) == 0, "forward and backward");
                            assertClose(dropped ? 0 : x.get(r, c) / 0.7, vector.get(r, c), 8.1 * (type == Type.BF16 ? Sample.BF16 : Sample.F32), "kept");
                        }
                    }
                    Sample.assertGapsKept(vector, columns, "dropout");
                }
            }
        }
    }

    @Test
    void dropoutKeepsItsRate() {
        try (Arena arena = Arena.ofConfined()) {
            for (double probability : new double[] {0, 0.1, 0.5, 0.9}) {
                for (long seed : new long[] {1, 2}) {
                    Rows x = Sample.rows(arena, Type.F32, 200, 500, 500, 1, 1, 0);
                    VECTOR.dropout(x, probability, Seed.of(seed), 0);
                    int dropped = 0;
                    int together = 0; // with the one above, and with the one before
                    int beside = 0;
                    for (int r = 1; r < 200; r++) {
                        for (int c = 1; c < 500; c++) {
                            boolean zero = x.get(r, c) == 0;
                            dropped += zero ? 1 : 0;
                            together += zero && x.get(r - 1, c) == 0 ? 1 : 0;
                            beside += zero && x.get(r, c - 1) == 0 ? 1 : 0;
                        }
                    }
                    double n = 199 * 499;
                    double square = probability * probability;
                    // Five standard deviations.
                    assertEquals(probability, dropped / n, 5 * Math.sqrt(probability * (1 - probability) / n));
                    assertEquals(square, together / n, 5 * Math.sqrt(square / n) + 1e-12);
                    assertEquals(square, beside / n, 5 * Math.sqrt(square / n) + 1e-12);
                }
            }
            Rows a = Sample.rows(arena, Type.F32, 1, 500, 500, 1, 1, 0);
            Rows b = Sample.copy(arena, a);
            VECTOR.dropout(a, 0.5, Seed.of(1), 0);
            VECTOR.dropout(b, 0.5, Seed.of(2), 0);
            assertTrue(a.data().mismatch(b.data()) >= 0);
        }
    }

    @Test
    void refusesWhatDoesNotFit() {
        try (Arena arena = Arena.ofConfined()) {
            Rows x = Rows.allocate(arena, Type.F32, 2, 8, 8);
            Rows narrow = x.sliceColumns(0, 7);
            Rows wide = Rows.allocate(arena, Type.F64, 2, 8, 8);
            Gradients.AdamW step = new Gradients.AdamW(1, 0.9, 0.9, 0, 0, 1, 1);
            for (Gradients gradients : Sample.gradientTwins()) {
                assertThrows(IllegalArgumentException.class, () -> gradients.adamW(x, narrow, x, x, step));
                assertThrows(IllegalArgumentException.class, () -> gradients.adamW(x, x, x, narrow, step));
                assertThrows(IllegalArgumentException.class, () -> gradients.sgd(x, x, narrow, 1, 0, 0, 1));
                assertThrows(IllegalArgumentException.class, () -> gradients.scatter(x, new int[] {0, 2}, 1, x));
                assertThrows(IllegalArgumentException.class, () -> gradients.scatter(x, new int[] {0}, 1, x));
                assertThrows(IllegalArgumentException.class, () -> gradients.add(x, 1, narrow));
                assertThrows(IllegalArgumentException.class, () -> gradients.dropout(x, 1, Seed.of(0), 0));
                assertThrows(IllegalArgumentException.class, () -> gradients.multiplyColumns(x, Values.room(7), x));
                assertThrows(IllegalArgumentException.class, () -> gradients.centreColumns(x, narrow));
            }
            assertThrows(IllegalArgumentException.class, () -> VECTOR.add(wide, 1, wide));
        }
    }
}
