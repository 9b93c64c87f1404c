package isonorm.layer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.Alibi;
import isonorm.architecture.Attention;
import isonorm.architecture.Rotary;
import isonorm.kernel.Type;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.tensor.Team;
import java.lang.foreign.Arena;
import java.util.Arrays;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The projections are identities here, so that what is tested is attention itself: one value vector a token, and q = k = v = x. */
class AttentionLayerTest {

    private static final int HEADS = 2;
    private static final int WIDTH = 4;

    /** A query that sees no key weighs all keys alike, and nothing becomes NaN. */
    @Test
    void aQueryThatSeesNothingIsUniform() {
        int T = 5;
        double[] x = NormLayerTest.random(T * HEADS * WIDTH, 1);
        long[][] mask = {{0, 0, 1, 1, 1}};
        double[] y = run(Attention.of(HEADS, WIDTH), x, T, Optional.of(mask), Compute.F64);
        for (int i = 0; i < HEADS * WIDTH; i++) {
            double sum = 0;
            for (int t = 0; t < T; t++) {
                sum += x[t * HEADS * WIDTH + i];
            }
            assertEquals(sum / T, y[i], 1e-14);
        }
        assertTrue(Arrays.stream(y).allMatch(Double::isFinite));
    }

    /** What is padded must not reach a token that is not. */
    @Test
    void paddingIsNotSeen() {
        int T = 6;
        double[] x = NormLayerTest.random(T * HEADS * WIDTH, 1);
        double[] other = x.clone();
        Arrays.fill(other, 0, 2 * HEADS * WIDTH, 9);
        long[][] mask = {{0, 0, 1, 1, 1, 1}};
        double[] a = run(Attention.of(HEADS, WIDTH), x, T, Optional.of(mask), Compute.F64);
        double[] b = run(Attention.of(HEADS, WIDTH), other, T, Optional.of(mask), Compute.F64);
        int from = 2 * HEADS * WIDTH;
        assertArrayEquals(Arrays.copyOfRange(a, from, a.length), Arrays.copyOfRange(b, from, b.length));
    }

    /** A window of w positions sees the query itself and w - 1 before it. */
    @Test
    void aWindowCountsItself() {
        int T = 8;
        int window = 3;
        double[] x = NormLayerTest.random(T * HEADS * WIDTH, 1);
        double[] before = x.clone();
        double[] edge = x.clone();
        Arrays.fill(before, 0, (T - window) * HEADS * WIDTH, 5); // all that the last query does not see
        Arrays.fill(edge, (T - window) * HEADS * WIDTH, (T - window + 1) * HEADS * WIDTH, 5); // the first it does
        Attention attention = Attention.of(HEADS, WIDTH).withWindow(window);
        assertArrayEquals(last(run(attention, x, T, Optional.empty(), Compute.F64)),
                last(run(attention, before, T, Optional.empty(), Compute.F64)));
        assertNotEquals(last(run(attention, x, T, Optional.empty(), Compute.F64))[0],
                last(run(attention, edge, T, Optional.empty(), Compute.F64))[0]);
    }

    /** Many positions are computed in parts; causal attention must give the first ones what it gives them alone. */
    @ParameterizedTest
    @EnumSource(Alibi.class)
    void partsGiveWhatTheWholeGives(Alibi alibi) {
        int T = 1500; // a head's queries are looked at some at a time
        int few = 40;
        double[] x = NormLayerTest.random(T * HEADS * WIDTH, 1);
        Attention attention = Attention.of(HEADS, WIDTH).withAlibi(alibi)
                .withRotary(Rotary.of(WIDTH, 10_000, Rotary.Pairing.NEIGHBOURS));
        double[] all = run(attention, x, T, Optional.empty(), Compute.F64);
        double[] alone = run(attention, Arrays.copyOf(x, few * HEADS * WIDTH), few, Optional.empty(), Compute.F64);
        assertArrayEquals(alone, Arrays.copyOf(all, alone.length), 1e-12);
    }

    /** Scores with rotary positions depend on the distance of two tokens alone. */
    @ParameterizedTest
    @EnumSource(Rotary.Pairing.class)
    void rotaryIsRelative(Rotary.Pairing pairing) {
        int T = 6;
        double[] token = NormLayerTest.random(HEADS * WIDTH, 1);
        double[] x = new double[T * token.length];
        for (int t = 0; t < T; t++) {
            System.arraycopy(token, 0, x, t * token.length, token.length);
        }
        long[][] left = {{1, 1, 0, 0, 0, 0}};
        long[][] right = {{0, 0, 0, 0, 1, 1}};
        x[1 * token.length] += 1; // two different tokens, the same pair at both ends
        x[5 * token.length] += 1;
        Attention attention = Attention.of(HEADS, WIDTH).withRotary(Rotary.of(WIDTH, 100, pairing));
        double[] a = run(attention, x, T, Optional.of(left), Compute.F64);
        double[] b = run(attention, x, T, Optional.of(right), Compute.F64);
        assertArrayEquals(Arrays.copyOfRange(a, token.length, 2 * token.length), last(b), 1e-13);
    }

    private static double[] last(double[] y) {
        return Arrays.copyOfRange(y, y.length - HEADS * WIDTH, y.length);
    }

    private static double[] run(Attention attention, double[] x, int T, Optional<long[][]> mask, Compute compute) {
        Batch.Tokens batch = new Batch.Tokens(new long[1][T], mask);
        int d = HEADS * WIDTH;
        double[] projection = new double[3 * d * d];
        for (int row = 0; row < 3 * d; row++) {
            projection[row * d + row % d] = 1;
        }
        Sight sight = new Sight(batch, 0, 1, T);
        try (Arena arena = Arena.ofConfined(); Team team = Team.of(2); Space space = new Space(team)) {
            Tensor all = NormLayerTest.tensor(arena, space, Type.of(compute), 3 * d, projection);
            Tensor y = new AttentionLayer(
                            attention,
                            new Linear(all, Optional.empty())::forward,
                            Optional.empty(),
                            Optional.empty(),
                            Optional.empty(),
                            Optional.empty(),
                            Optional.empty(),
                            new double[0],
                            Optional.empty(),
                            new Linear(all.slice(0, d), Optional.empty())::forward,
                            compute)
                    .forward(NormLayerTest.tensor(arena, space, Type.of(compute), T, x), sight);
            return NormLayerTest.values(y);
        }
    }
}
