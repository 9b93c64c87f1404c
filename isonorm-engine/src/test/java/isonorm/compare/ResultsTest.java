package isonorm.compare;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.train.Metrics;
import isonorm.train.MetricsTail;
import isonorm.train.Trainer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** What is said of losses that are given. */
class ResultsTest {

    private static final double FREQUENCIES = 3;
    private static final double NONE = Double.NaN;

    /** A run that ended with a loss, or diverged where there is none. */
    private static Outcome outcome(double loss) {
        boolean whole = !Double.isNaN(loss);
        Metrics.Line line = new Metrics.Line(10, whole ? loss : 9, 1, 1, loss, Double.NaN, 1, 1, 2, 0, 1, 0);
        Outcome.Stream stream = new Outcome.Stream(new double[] {1, 4}, new double[][] {{0.1, 0.2}, {0.3}});
        return new Outcome(whole ? Trainer.End.FINISHED : Trainer.End.DIVERGED, 7, FREQUENCIES, List.of(line), List.of(), Optional.of(stream), Optional.of(stream));
    }

    private static Results results(Map<String, List<String>> axes, double... losses) {
        Grid grid = new Grid(Map.of(), Map.of());
        for (String key : List.of("model.blocks", "strategy", "lr", "seed")) {
            if (axes.containsKey(key)) {
                grid = grid.with(key, axes.get(key));
            }
        }
        assertEquals(losses.length, grid.trials().size());
        return new Results(grid, Arrays.stream(losses).mapToObj(ResultsTest::outcome).toList());
    }

    /** A level noise of 100 lines, one of them far off; a first line that is far off is not judged. */
    @Test
    void spikesAreCounted() {
        List<Metrics.Line> lines = new ArrayList<>();
        for (int i = 0; i < 100; i++) {
            double loss = i == 0 ? 30 : i == 60 ? 9 : 3 + 0.1 * (i % 2);
            lines.add(new Metrics.Line(i + 1, loss, 1 + 0.1 * (i % 3), 1e-3, Double.NaN, Double.NaN, 1, 1, 1, Double.NaN, 1, 0));
        }
        assertEquals(new Spikes(0, 0), Spikes.of(lines), "the first line makes the noise wide");
        lines.removeFirst();
        assertEquals(100.0 / 99, Spikes.of(lines).loss(), 1e-12);
        assertEquals(0, Spikes.of(lines).gradient());
    }

    @Test
    void momentsAtWhichAGradientOverflowedAreLeftOutOfTheNormsOfBlocks() {
        Outcome outcome = new Outcome(Trainer.End.FINISHED, 7, FREQUENCIES, List.of(),
                List.of(moment(1, Double.NaN, 9), moment(2, 1, 4), moment(3, Double.POSITIVE_INFINITY, 9), moment(4, 3, 6)), Optional.empty(), Optional.empty());
        assertArrayEquals(new double[] {2, 5}, outcome.gradientNorms(), 1e-15);
        assertArrayEquals(new double[0], new Outcome(Trainer.End.FINISHED, 7, FREQUENCIES, List.of(), List.of(moment(1, 3, Double.NaN)), Optional.empty(), Optional.empty())
                .gradientNorms());
    }

    /** Two blocks, and what is behind them, which has no parameters. */
    private static MetricsTail.Blocks moment(long step, double first, double second) {
        return new MetricsTail.Blocks(step, List.of(new Metrics.BlockLine(0, 1, 1, 0, first), new Metrics.BlockLine(1, 1, 1, 0, second),
                new Metrics.BlockLine(2, 1, 1, 0, Double.NaN)));
    }

    @Test
    void eachContenderStandsWithItsBestRate() {
        Results results = results(Map.of("strategy", List.of("post-ln", "pre-ln", "lns"), "lr", List.of("1", "2"), "seed", List.of("1", "2")),
                2.99, 2.98, NONE, NONE, // post-ln
                1.5, 1.7, 1.2, NONE, // pre-ln, which is lower at the rate at which it may diverge
                1.4, 1.8, 1.3, 1.5); // lns
        List<String> findings = results.findings();
        assertEquals("No winner: the lowest is lns with a validation loss of 1.4000 ± 0.1414 at lr 2, a perplexity of 4.08; no difference can be told from"
                + " post-ln with 2.9850 ± 0.0071 at lr 1, 1.5850 more (-1.0874 to 4.2574, of 2 seeds), nor could a small one from so few seeds. It is lower than pre-ln with"
                + " 1.6000 ± 0.1414 at lr 1, 0.2000 more (0.2000 to 0.2000, of 2 seeds).", findings.getFirst());
        assertEquals("3 of 12 runs diverged: post-ln, lr 2 (2 of 2), pre-ln, lr 2 (1 of 2).", findings.get(1));
        assertEquals("Came to an end having learned next to nothing but how frequent tokens are (a loss of 3.00): post-ln, lr 1 (2 of 2).", findings.get(2));
        assertEquals("Between the learning rates (1, 2) the mean loss differs by: post-ln diverged at lr 2, pre-ln diverged at lr 2, lns 0.200.",
                findings.get(3));
        assertTrue(findings.get(4).contains("lns 4.00 (4.00), pre-ln 4.00"), findings.get(4));
        assertFalse(findings.get(4).contains("post-ln"), "its norms make its variance what it is");
        assertTrue(findings.get(5).contains("lns 0.300"), findings.get(5));
        assertEquals(1.2, results.best());
    }

    @Test
    void aWinnerIsNamedWhereSeedsTellItFromChance() {
        Map<String, List<String>> axes = Map.of("strategy", List.of("pre-ln", "lns", "peri-ln"), "seed", List.of("1", "2", "3"));
        assertEquals("The winner is pre-ln with a validation loss of 1.1000 ± 0.1000, a perplexity of 3.01; next is lns with 1.3000 ± 0.1114, 0.2000 more"
                + " (0.1283 to 0.2717, of 3 seeds); then peri-ln with 1.5000 ± 0.1000, 0.4000 more (0.4000 to 0.4000, of 3 seeds).",
                results(axes, 1, 1.1, 1.2, 1.18, 1.32, 1.4, 1.4, 1.5, 1.6).findings().getFirst());
        assertEquals("No winner: the lowest is pre-ln with a validation loss of 1.1000 ± 0.1000, a perplexity of 3.01; no difference can be told from lns with"
                + " 1.1333 ± 0.0577, 0.0333 more (-0.3804 to 0.4470, of 3 seeds), nor could a small one from so few seeds. It is lower than peri-ln with 1.5000 ± 0.1000, 0.4000 more (0.4000 to 0.4000, of 3"
                + " seeds).", results(axes, 1, 1.1, 1.2, 1.1, 1.2, 1.1, 1.4, 1.5, 1.6).findings().getFirst());
    }

    @Test
    void whatNothingTellsIsNoWinner() {
        Map<String, List<String>> axes = Map.of("strategy", List.of("pre-ln", "lns"), "seed", List.of("1", "2", "3"));
        assertEquals("No winner: the lowest is pre-ln with a validation loss of 1.0000, a perplexity of 2.72; nothing tells what is chance, of one seed, beside lns"
                + " with 1.5000, 0.5000 more.", results(Map.of("strategy", List.of("pre-ln", "lns")), 1.0, 1.5).findings().getFirst());
        assertEquals("Nothing wins: every run diverged.", results(axes, NONE, NONE, NONE, NONE, NONE, NONE).findings().getFirst());
        assertTrue(results(axes, 1, 1, 1, NONE, NONE, NONE).findings().getFirst().startsWith("The winner is pre-ln"));
        assertTrue(results(axes, 1, 1, 1, NONE, NONE, NONE).findings().getFirst().endsWith("; every run of the others diverged."));
        assertTrue(results(axes, 1, NONE, NONE, NONE, 2, NONE).findings().getFirst().endsWith("beside lns with 2.0000, of other seeds."));
    }

    /** The best of runs that have all learned nothing has won nothing. */
    @Test
    void whereNoneLearnedNothingWins() {
        Results stuck = results(Map.of("strategy", List.of("pre-ln", "lns"), "seed", List.of("1", "2")), 2.9911, 2.9918, 2.9915, 2.9922);
        assertEquals("Nothing wins: none learned more than how frequent tokens are (a loss of 3.00); the lowest validation loss is 2.9915 ± 0.0005, of pre-ln.",
                stuck.findings().getFirst());
        assertTrue(stuck.findings().get(2).endsWith("pre-ln (2 of 2), lns (2 of 2)."), stuck.findings().get(2));
    }

    /** From tables of Student's t at 95 % and 99 %. */
    @Test
    void quantilesAreStudents() {
        assertEquals(12.7062, Difference.quantile(0.95, 1), 1e-4);
        assertEquals(4.3027, Difference.quantile(0.95, 2), 1e-4);
        assertEquals(2.7764, Difference.quantile(0.95, 4), 1e-4);
        assertEquals(2.5706, Difference.quantile(0.95, 5), 1e-4);
        assertEquals(3.1693, Difference.quantile(0.99, 10), 1e-4);
        assertEquals(1.9840, Difference.quantile(0.95, 100), 1e-4);
    }

    /** Of two differences looked at together each is held to more: at 97.5 %, t(2) is 6.2053. */
    @Test
    void moreComparisonsTakeSurerOnes() {
        Difference alone = Difference.of(new double[] {1, 1, 1}, new double[] {1.1, 1.2, 1.3}, 1);
        Difference oneOfTwo = Difference.of(new double[] {1, 1, 1}, new double[] {1.1, 1.2, 1.3}, 2);
        assertEquals(0.2 - 4.3027 * 0.1 / Math.sqrt(3), alone.low(), 1e-5);
        assertEquals(0.2 - 6.2053 * 0.1 / Math.sqrt(3), oneOfTwo.low(), 1e-5);
        assertEquals(Difference.Verdict.NO_DIFFERENCE, alone.verdict());
    }

    @Test
    void everyDepthHasItsWinner() {
        List<String> findings = results(Map.of("model.blocks", List.of("4", "8"), "strategy", List.of("pre-ln", "lns")), 1.0, 1.5, 1.5, 1.0).findings();
        assertTrue(findings.get(0).startsWith("With 4 blocks: No winner: the lowest is pre-ln with") && findings.get(1).startsWith("With 8 blocks: No winner: the lowest is lns with"),
                findings.toString());
    }

    @Test
    void whereStrategiesDoNotVaryRatesOrDepthsAreCompared() {
        assertTrue(results(Map.of("lr", List.of("1", "2")), 1.0, 1.5).findings().getFirst().startsWith("No winner: the lowest is lr 1 with a validation loss of 1.0000, a"));
        assertTrue(results(Map.of("model.blocks", List.of("4", "8"), "lr", List.of("1", "2")), 1.0, 1.5, 0.9, 2.0).findings().getFirst()
                .startsWith("No winner: the lowest is 8 blocks with a validation loss of 0.9000 at lr 1"));
        assertEquals("pre-ln with a validation loss of 1.0000, a perplexity of 2.72.", results(Map.of(), 1.0).findings().getFirst());
    }
}
