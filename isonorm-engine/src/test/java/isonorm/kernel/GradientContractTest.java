package isonorm.kernel;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import isonorm.EveryProcessor;
import isonorm.architecture.Activation;
import isonorm.architecture.NormKind;
import isonorm.kernel.Gradients.AdamW;
import isonorm.kernel.Gradients.NormSums;
import isonorm.weights.Seed;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** What holds of all backward kernels: types they refuse, rows that threads share out, and numbers that are none. */
@EveryProcessor
class GradientContractTest {

    private static final int C = 77;
    private static final AdamW STEP = new AdamW(1e-3, 0.9, 0.95, 1e-8, 0.1, 3, 0.5);
    private static final Normalization RMS = Normalization.of(NormKind.RMS, 1e-5);

    private final Arena arena = Arena.ofConfined();

    @AfterEach
    void close() {
        arena.close();
    }

    /** The vector twins read and write no float64, in any place. */
    @Test
    void vectorsRefuseFloat64() {
        Gradients vector = new VectorGradients();
        Rows x = Rows.allocate(arena, Type.F64, 2, 8, 8);
        Rows y = Rows.allocate(arena, Type.F32, 2, 8, 8);
        Rows one = Rows.allocate(arena, Type.F32, 1, 8, 8);
        Rows alpha = one.sliceColumns(0, 1);
        Values none = Values.NONE;
        Values factors = Values.room(8);
        Normalization tanh = Normalization.of(NormKind.DYNAMIC_TANH, 0);
        Scoring capped = Scoring.of(1).withSoftcap(1);
        List<Runnable> calls = List.of(
                () -> vector.norm(x, RMS, y, y, NormSums.NONE),
                () -> vector.norm(y, RMS, x, y, NormSums.NONE),
                () -> vector.norm(y, RMS, y, x, NormSums.NONE),
                () -> vector.addNorm(y, RMS, y, x, NormSums.NONE),
                () -> vector.addDynamicTanh(x, tanh, y, y, NormSums.NONE, alpha),
                () -> vector.addDynamicTanh(y, tanh, x, y, NormSums.NONE, alpha),
                () -> vector.addDynamicTanh(y, tanh, y, x, NormSums.NONE, alpha),
                () -> vector.addColumnSums(x, one),
                () -> vector.activation(x, none, Activation.RELU, y, y, null),
                () -> vector.activation(y, none, Activation.RELU, x, y, null),
                () -> vector.activation(y, none, Activation.RELU, y, x, null),
                () -> vector.activate(x, none, Activation.RELU, y),
                () -> vector.activate(y, none, Activation.RELU, x),
                () -> vector.gate(x, y, none, none, Activation.RELU, y, null, null),
                () -> vector.gate(y, x, none, none, Activation.RELU, y, null, null),
                () -> vector.gate(y, y, none, none, Activation.RELU, x, null, null),
                () -> vector.softmax(x, null, Scoring.of(1), Reach.all(), y),
                () -> vector.softmax(y, null, Scoring.of(1), Reach.all(), x),
                () -> vector.softmax(y, x, capped, Reach.all(), y),
                () -> vector.crossEntropy(x, new int[2], 1, new double[2]),
                () -> vector.scatter(x, new int[2], 1, y),
                () -> vector.scatter(y, new int[2], 1, x),
                () -> vector.add(x, 1, y),
                () -> vector.add(y, 1, x),
                () -> vector.scale(x, 1),
                () -> vector.multiplyColumns(x, factors, y),
                () -> vector.multiplyColumns(y, factors, x),
                () -> vector.columnFactors(x, factors, y, one),
                () -> vector.columnFactors(y, factors, x, one),
                () -> vector.dropout(x, 0.5, Seed.of(0), 0),
                () -> vector.sumOfSquares(x),
                () -> vector.adamW(x, y, y, y, STEP),
                () -> vector.adamW(y, x, y, y, STEP),
                () -> vector.adamW(y, y, x, y, STEP),
                () -> vector.adamW(y, y, y, x, STEP),
                () -> vector.sgd(x, y, y, 1, 0, 0, 1),
                () -> vector.sgd(y, x, y, 1, 0, 0, 1),
                () -> vector.sgd(y, y, x, 1, 0, 0, 1),
                () -> vector.centreColumns(x, y),
                () -> vector.centreColumns(y, x),
                () -> vector.centreRows(x, y),
                () -> vector.centreRows(y, x));
        for (Runnable call : calls) {
            assertThrows(IllegalArgumentException.class, call::run, "call " + calls.indexOf(call));
        }
    }

    /** A kernel on a slice of rows, given what cuts any rows into that slice, and the number of its first row. */
    private interface Sliced {
        void run(UnaryOperator<Rows> cut, int first);
    }

    /** Threads that take slices of rows leave the bits of one call. */
    @Test
    void slicesGiveTheSameBits() {
        for (Gradients gradients : Sample.gradientTwins()) {
            for (Type type : Sample.NARROW) {
                Rows x = Sample.rows(arena, type, 6, C, C + 3, 1);
                Rows dy = Sample.rows(arena, type, 6, C, C + 3, 2);
                Rows m = Sample.rows(arena, type, 6, C, C + 3, 3);
                Rows v = Sample.rows(arena, type, 6, C, C + 3, 4, 3, 0.1);
                Values factors = Sample.values(C, 5);
                Values none = Values.NONE;
                int[] targets = {0, C - 1, -1, 3, 40, 3};
                List<Sliced> calls = List.of(
                        (cut, first) -> gradients.addNorm(cut.apply(x), RMS, cut.apply(dy), cut.apply(m), NormSums.NONE),
                        (cut, first) -> gradients.activation(cut.apply(x), factors, Activation.GELU, cut.apply(dy), cut.apply(m), null),
                        (cut, first) -> gradients.gate(cut.apply(m), cut.apply(v), none, none, Activation.SILU, cut.apply(dy), null, null),
                        (cut, first) -> gradients.softmax(cut.apply(v), null, Scoring.of(1), Reach.causal(40 + first, 6), cut.apply(m)),
                        (cut, first) -> {
                            Rows logits = cut.apply(m);
                            int[] some = new int[logits.rows()];
                            System.arraycopy(targets, first, some, 0, some.length);
                            gradients.crossEntropy(logits, some, 0.5, new double[some.length]);
                        },
                        (cut, first) -> gradients.add(cut.apply(x), 0.3, cut.apply(m)),
                        (cut, first) -> gradients.scale(cut.apply(m), 0.3),
                        (cut, first) -> gradients.multiplyColumns(cut.apply(x), factors, cut.apply(m)),
                        (cut, first) -> gradients.dropout(cut.apply(m), 0.3, Seed.of(8), first),
                        (cut, first) -> gradients.adamW(cut.apply(x), cut.apply(dy), cut.apply(m), cut.apply(v), STEP),
                        (cut, first) -> gradients.sgd(cut.apply(x), cut.apply(dy), cut.apply(m), 0.1, 0.9, 0.1, 2),
                        (cut, first) -> gradients.centreRows(cut.apply(x), cut.apply(m)));
                List<Rows> all = List.of(x, dy, m, v);
                for (Sliced call : calls) {
                    List<Rows> before = all.stream().map(rows -> Sample.copy(arena, rows)).toList();
                    call.run(rows -> rows, 0);
                    List<Rows> whole = all.stream().map(rows -> Sample.copy(arena, rows)).toList();
                    for (int i = 0; i < all.size(); i++) {
                        all.get(i).data().copyFrom(before.get(i).data());
                    }
                    call.run(rows -> rows.slice(2, 4), 2);
                    call.run(rows -> rows.slice(0, 2), 0);
                    for (int i = 0; i < all.size(); i++) {
                        assertEquals(-1, whole.get(i).data().mismatch(all.get(i).data()),
                                gradients.getClass().getSimpleName() + " " + type + " call " + calls.indexOf(call) + " rows " + i);
                        all.get(i).data().copyFrom(before.get(i).data());
                    }
                }
            }
        }
    }

    /** A model that diverged shows it in its loss and in the size of its gradients. */
    @Test
    void noNumberStaysNone() {
        for (Gradients gradients : Sample.gradientTwins()) {
            for (Type type : Sample.NARROW) {
                for (double wrong : new double[] {Double.NaN, Double.POSITIVE_INFINITY}) {
                    for (int at : new int[] {0, 40, C - 1}) {
                        String what = gradients.getClass().getSimpleName() + " " + type + " " + wrong + " at " + at;
                        Rows x = Sample.rows(arena, type, 1, C, C, 1);
                        x.set(0, at, wrong);
                        double[] losses = new double[1];
                        assertFalse(Double.isFinite(gradients.sumOfSquares(x)), what);
                        Rows dx = Sample.rows(arena, type, 1, C, C, 2);
                        gradients.norm(x, RMS, Sample.rows(arena, type, 1, C, C, 3), dx, NormSums.NONE);
                        assertFalse(Double.isFinite(dx.get(0, at)), what + " norm");
                        gradients.activation(x, Values.NONE, Activation.GELU_TANH, x, dx, null);
                        assertFalse(Double.isFinite(dx.get(0, at)), what + " activation");
                        gradients.crossEntropy(x, new int[] {3}, 1, losses);
                        assertFalse(Double.isFinite(losses[0]), what + " loss");
                    }
                }
            }
        }
    }
}
