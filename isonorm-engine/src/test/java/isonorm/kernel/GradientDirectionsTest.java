package isonorm.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.EveryProcessor;
import isonorm.architecture.Activation;
import isonorm.architecture.NormKind;
import isonorm.kernel.Gradients.NormSums;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.DoubleSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The plain backward passes in float64 against what the plain forward passes do along a random direction: for a loss {@code sum(dy * y)}, the
 * product of gradient and direction is its central difference.
 */
@EveryProcessor
class GradientDirectionsTest {

    /** Rounding makes 1e-16 of the loss by this, and curvature the square of this: both far below what is asked for. */
    private static final double STEP = 1e-5;

    /** A wrong formula shows as 1e-2 and more; the difference itself is right to some 1e-9. */
    private static final double RELATIVE = 1e-6;

    private static final int ROWS = 5;
    private static final int COLUMNS = 23;

    private final Arena arena = Arena.ofConfined();
    private final Kernels forth = new PlainKernels();
    private final Gradients back = new PlainGradients();

    @AfterEach
    void close() {
        arena.close();
    }

    private Rows random(int rows, int columns, long seed) {
        return Sample.rows(arena, Type.F64, rows, columns, columns + 2, seed);
    }

    private Rows zeros(int rows, int columns) {
        return Rows.allocate(arena, Type.F64, rows, columns, columns + 1);
    }

    private static Values values(int count, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        return Values.of(random.doubles(count, -1, 2).toArray());
    }

    private static double dot(Rows a, Rows b) {
        double sum = 0;
        for (int r = 0; r < a.rows(); r++) {
            for (int c = 0; c < a.columns(); c++) {
                sum += a.get(r, c) * b.get(r, c);
            }
        }
        return sum;
    }

    private static void move(Rows x, double step, Rows direction) {
        for (int r = 0; r < x.rows(); r++) {
            for (int c = 0; c < x.columns(); c++) {
                x.set(r, c, x.get(r, c) + step * direction.get(r, c));
            }
        }
    }

    private static double logOfSum(double[] x) {
        double largest = Arrays.stream(x).max().orElseThrow();
        return largest + Math.log(Arrays.stream(x).map(each -> Math.exp(each - largest)).sum());
    }

    /** That moving rows changes the loss as their gradient says. */
    private void assertGradient(Rows x, Rows gradient, DoubleSupplier loss, String what) {
        Rows direction = random(x.rows(), x.columns(), 99);
        move(x, STEP, direction);
        double above = loss.getAsDouble();
        move(x, -2 * STEP, direction);
        double below = loss.getAsDouble();
        move(x, STEP, direction);
        double expected = (above - below) / (2 * STEP);
        double size = Math.max(Math.abs(expected), Math.sqrt(dot(gradient, gradient)));
        assertTrue(size > 1e-9, what + ": nothing is shown by a gradient of zero");
        Sample.assertClose(expected, dot(gradient, direction), RELATIVE * size, what);
    }

    /** The same of values, whose gradient is a row of sums. */
    private void assertGradient(Values values, Rows gradient, DoubleSupplier loss, String what) {
        Rows direction = random(1, values.count(), 98);
        double[] losses = new double[2];
        for (int side = 0; side < 2; side++) {
            for (int i = 0; i < values.count(); i++) {
                values.set(i, values.get(i) + (side == 0 ? STEP : -2 * STEP) * direction.get(0, i));
            }
            losses[side] = loss.getAsDouble();
        }
        for (int i = 0; i < values.count(); i++) {
            values.set(i, values.get(i) + STEP * direction.get(0, i));
        }
        double expected = (losses[0] - losses[1]) / (2 * STEP);
        Sample.assertClose(expected, dot(gradient, direction), RELATIVE * Math.sqrt(dot(gradient, gradient)), what);
    }

    record Normed(NormKind kind, boolean gain, boolean bias, double mean) {}

    static List<Normed> norms() {
        List<Normed> norms = new ArrayList<>();
        for (NormKind kind : NormKind.values()) {
            for (int which = 0; which < (kind == NormKind.CRMS ? 1 : 4); which++) {
                for (double mean : new double[] {0, 3}) {
                    norms.add(new Normed(kind, which % 2 == 1, which / 2 == 1, mean));
                }
            }
        }
        return norms;
    }

    @ParameterizedTest
    @MethodSource("norms")
    void norms(Normed at) {
        Values gain = at.gain ? values(COLUMNS, 3) : Values.NONE;
        Values bias = at.bias ? values(COLUMNS, 4) : Values.NONE;
        double[] alpha = {0.7};
        Rows x = Sample.rows(arena, Type.F64, ROWS, COLUMNS, COLUMNS + 2, 1, at.mean, 1);
        Rows dy = random(ROWS, COLUMNS, 2);
        Rows y = zeros(ROWS, COLUMNS);
        Rows gradient = random(ROWS, COLUMNS, 5);
        Rows before = Sample.copy(arena, gradient);
        NormSums sums = new NormSums(at.gain ? zeros(1, COLUMNS) : null, at.bias ? zeros(1, COLUMNS) : null);
        DoubleSupplier loss = () -> {
            forth.norm(x, new Normalization(at.kind, 1e-2, gain, bias).withAlpha(alpha[0]), y);
            return dot(dy, y);
        };
        Normalization norm = new Normalization(at.kind, 1e-2, gain, bias).withAlpha(alpha[0]);
        if (at.kind == NormKind.DYNAMIC_TANH) {
            Rows alphaSum = zeros(1, 1);
            back.addDynamicTanh(x, norm, dy, gradient, sums, alphaSum);
            double[] losses = new double[2];
            for (int side = 0; side < 2; side++) {
                alpha[0] = 0.7 + (side == 0 ? STEP : -STEP);
                losses[side] = loss.getAsDouble();
            }
            alpha[0] = 0.7;
            double expected = (losses[0] - losses[1]) / (2 * STEP);
            Sample.assertClose(expected, alphaSum.get(0, 0), RELATIVE * Math.abs(expected), at + " alpha");
        } else {
            back.addNorm(x, norm, dy, gradient, sums);
            Rows alone = Sample.copy(arena, dy);
            back.norm(x, norm, alone, alone, NormSums.NONE);
            Rows more = Sample.copy(arena, before);
            back.add(alone, 1, more);
            for (int r = 0; r < ROWS; r++) {
                for (int c = 0; c < COLUMNS; c++) {
                    assertEquals(more.get(r, c), gradient.get(r, c), at.toString());
                }
            }
        }
        move(gradient, -1, before);
        assertGradient(x, gradient, loss, at.toString());
        if (at.gain) {
            assertGradient(gain, sums.gain(), loss, at + " gain");
        }
        if (at.bias) {
            assertGradient(bias, sums.bias(), loss, at + " bias");
        }
    }

    @ParameterizedTest
    @EnumSource(Activation.class)
    void activations(Activation activation) {
        for (Values bias : new Values[] {Values.NONE, values(COLUMNS, 3)}) {
            Rows x = Sample.rows(arena, Type.F64, ROWS, COLUMNS, COLUMNS, 1, 0, 2);
            Rows dy = random(ROWS, COLUMNS, 2);
            Rows y = zeros(ROWS, COLUMNS);
            Rows gradient = zeros(ROWS, COLUMNS);
            Rows sums = bias.present() ? zeros(1, COLUMNS) : null;
            back.activation(x, bias, activation, dy, gradient, sums);
            DoubleSupplier loss = () -> {
                back.activate(x, bias, activation, y);
                return dot(dy, y);
            };
            assertGradient(x, gradient, loss, activation.label());
            if (bias.present()) {
                assertGradient(bias, sums, loss, activation + " bias");
            }
        }
    }

    @ParameterizedTest
    @EnumSource(Activation.class)
    void gates(Activation activation) {
        for (boolean biased : new boolean[] {false, true}) {
            Values gateBias = biased ? values(COLUMNS, 3) : Values.NONE;
            Values upBias = biased ? values(COLUMNS, 4) : Values.NONE;
            Rows gate = random(ROWS, COLUMNS, 1);
            Rows up = random(ROWS, COLUMNS, 2);
            Rows dy = random(ROWS, COLUMNS, 5);
            Rows y = zeros(ROWS, COLUMNS);
            Rows gateGradient = Sample.copy(arena, gate);
            Rows upGradient = Sample.copy(arena, up);
            Rows gateSums = biased ? zeros(1, COLUMNS) : null;
            Rows upSums = biased ? zeros(1, COLUMNS) : null;
            back.gate(gateGradient, upGradient, gateBias, upBias, activation, dy, gateSums, upSums);
            DoubleSupplier loss = () -> {
                forth.gate(gate, up, Values.NONE, gateBias, upBias, activation, y);
                return dot(dy, y);
            };
            assertGradient(gate, gateGradient, loss, activation + " gate");
            assertGradient(up, upGradient, loss, activation + " up");
            if (biased) {
                assertGradient(gateBias, gateSums, loss, activation + " gate bias");
                assertGradient(upBias, upSums, loss, activation + " up bias");
            }
        }
    }

    @Test
    void softmax() {
        for (Scoring scoring : new Scoring[] {Scoring.of(0.4), Scoring.of(0.4).withSoftcap(0.9)}) {
            for (Reach reach : new Reach[] {Reach.all(), Reach.causal(3, ROWS), Reach.causal(COLUMNS - 2, 3).withWindow(4)}) {
                Rows products = Sample.rows(arena, Type.F64, ROWS, COLUMNS, COLUMNS, 1, 0, 2);
                Rows dy = random(ROWS, COLUMNS, 2);
                Rows p = zeros(ROWS, COLUMNS);
                DoubleSupplier loss = () -> {
                    forth.softmax(products, scoring, Values.NONE, reach, p);
                    return dot(dy, p);
                };
                loss.getAsDouble();
                Rows gradient = Sample.copy(arena, dy);
                back.softmax(p, scoring.softcap() > 0 ? products : null, scoring, reach, gradient);
                assertGradient(products, gradient, loss, scoring + " " + reach);
            }
        }
    }

    @Test
    void crossEntropy() {
        Rows logits = Sample.rows(arena, Type.F64, ROWS, COLUMNS, COLUMNS + 3, 1, 2, 3);
        int[] targets = {0, COLUMNS - 1, -1, 7, 7};
        double[] losses = new double[ROWS];
        DoubleSupplier loss = () -> {
            double sum = 0;
            for (int r = 0; r < ROWS; r++) {
                sum += targets[r] < 0 ? 0 : 0.3 * (logOfSum(Sample.doubles(logits, r)) - logits.get(r, targets[r]));
            }
            return sum;
        };
        Rows gradient = Sample.copy(arena, logits);
        back.crossEntropy(gradient, targets, 0.3, losses);
        double sum = 0;
        for (double each : losses) {
            sum += 0.3 * each;
        }
        assertEquals(loss.getAsDouble(), sum, 1e-12);
        assertEquals(0, losses[2]);
        assertGradient(logits, gradient, loss, "cross-entropy");
    }

    @Test
    void factorsOfColumns() {
        Rows x = random(ROWS, COLUMNS, 1);
        Rows dy = random(ROWS, COLUMNS, 2);
        Values factors = values(COLUMNS, 3);
        Rows y = zeros(ROWS, COLUMNS);
        DoubleSupplier loss = () -> {
            back.multiplyColumns(x, factors, y);
            return dot(dy, y);
        };
        Rows gradient = Sample.copy(arena, dy);
        Rows sums = zeros(1, COLUMNS);
        back.columnFactors(x, factors, gradient, sums);
        assertGradient(x, gradient, loss, "LayerScale");
        assertGradient(factors, sums, loss, "LayerScale's factors");
    }

    @Test
    void gather() {
        int[] ids = {3, 0, 3, 3, 1};
        Rows table = random(4, COLUMNS, 1);
        Rows dy = random(ROWS, COLUMNS, 2);
        Rows y = zeros(ROWS, COLUMNS);
        Rows gradient = zeros(4, COLUMNS);
        back.scatter(dy, ids, 1.5, gradient);
        assertGradient(table, gradient, () -> {
            forth.gather(table, ids, 1.5f, y);
            return dot(dy, y);
        }, "gather");
    }
}
