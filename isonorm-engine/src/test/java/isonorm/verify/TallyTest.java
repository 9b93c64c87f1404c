package isonorm.verify;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class TallyTest {

    /** Two rows whose numbers can be worked out by hand. */
    @Test
    void knownRows() throws IOException {
        double[] a = {0, Math.log(3), 1, 1};
        double[] b = {Math.log(3), 0, 1, 1.5};
        Tally tally = new Tally(true);
        tally.add(2, 2, reading(a), reading(b), _ -> true, row -> row == 0 ? 1 : Tally.NO_TARGET);
        double mean = (Math.log(3) + 2) / 4;
        double deviation = Math.sqrt(Arrays.stream(a).map(v -> (v - mean) * (v - mean)).sum() / 4);
        assertEquals(deviation, tally.deviation(), 1e-15);
        assertEquals(Math.log(3) / deviation, tally.largestError(), 1e-15);
        assertEquals((2 * Math.log(3) + .5) / 4 / deviation, tally.meanError(), 1e-15);
        double first = .5 * Math.log(3); // p = (1/4, 3/4), q = (3/4, 1/4)
        double second = .5 * (Math.log(.5 * (1 + Math.exp(.5)))) + .5 * (Math.log(.5 * (1 + Math.exp(-.5))));
        assertEquals((first + second) / 2, tally.kl(), 1e-15);
        assertEquals(0, tally.top1Agreement());
        assertEquals(4.0 / 3, tally.perplexityA(), 1e-15);
        assertEquals(4, tally.perplexityB(), 1e-15);
        assertEquals(2, tally.positions());
    }

    /** How rows are cut into parts changes nothing but the last digits. */
    @Test
    void manyRowsAreOneSum() throws IOException {
        int rows = 700;
        int width = 333;
        double[] a = new SplittableRandom(1).doubles((long) rows * width, 100, 101).toArray();
        double[] b = Arrays.stream(a).map(v -> v + 1e-3).toArray();
        Tally tally = new Tally(false);
        tally.add(300, width, reading(a), reading(b), _ -> true, _ -> Tally.NO_TARGET);
        tally.add(400, width, reading(Arrays.copyOfRange(a, 300 * width, a.length)), reading(Arrays.copyOfRange(b, 300 * width, b.length)),
                _ -> true, _ -> Tally.NO_TARGET);
        double mean = Arrays.stream(a).average().orElseThrow();
        double deviation = Math.sqrt(Arrays.stream(a).map(v -> (v - mean) * (v - mean)).average().orElseThrow());
        assertEquals(deviation, tally.deviation(), 1e-12);
        assertEquals(1e-3 / deviation, tally.meanError(), 1e-12);
        assertTrue(Double.isNaN(tally.kl()) && Double.isNaN(tally.top1Agreement()) && Double.isNaN(tally.perplexityA()));
    }

    @Test
    void rowsThatDoNotCountAreLeftOut() throws IOException {
        Tally tally = new Tally(true);
        tally.add(2, 2, reading(new double[] {1, 2, 3, 4}), reading(new double[] {1, 2, 99, 99}), row -> row == 0, _ -> Tally.NO_TARGET);
        assertEquals(0, tally.largestError());
        assertEquals(1, tally.positions());
    }

    /** A NaN must not hide behind a comparison that is false. */
    @Test
    void aNanIsSeen() throws IOException {
        Tally tally = new Tally(true);
        tally.add(1, 3, reading(new double[] {1, 2, 3}), reading(new double[] {1, Double.NaN, 3}), _ -> true, _ -> Tally.NO_TARGET);
        assertTrue(Double.isNaN(tally.largestError()));
    }

    private static Tally.Values reading(double[] values) {
        return (first, count, into) -> System.arraycopy(values, (int) first, into, 0, count);
    }
}
