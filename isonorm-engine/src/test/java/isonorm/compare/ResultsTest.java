package isonorm.compare;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.train.Metrics;
import isonorm.train.Trainer;
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
        return new Outcome(whole ? Trainer.End.FINISHED : Trainer.End.DIVERGED, 7, FREQUENCIES, List.of(line), Optional.of(stream), Optional.of(stream));
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

    @Test
    void eachContenderStandsWithItsBestRate() {
        Results results = results(Map.of("strategy", List.of("post-ln", "pre-ln", "lns"), "lr", List.of("1", "2"), "seed", List.of("1", "2")),
                2.99, 2.98, NONE, NONE, // post-ln
                1.5, 1.7, 1.2, NONE, // pre-ln, which is lower at the rate at which it may diverge
                1.4, 1.8, 1.3, 1.5); // lns
        List<String> findings = results.findings();
        assertEquals("The winner is lns with a validation loss of 1.4000 ± 0.1414 at lr 2, a perplexity of 4.08; next is pre-ln with 1.6000 ± 0.1414 at lr 1, "
                + "0.2000 more, and more for each of 2 seeds. Then: post-ln 2.9850 ± 0.0071 at lr 1.", findings.getFirst());
        assertEquals("3 of 12 runs diverged: post-ln, lr 2 (2 of 2), pre-ln, lr 2 (1 of 2).", findings.get(1));
        assertEquals("Came to an end having learned next to nothing but how frequent tokens are (a loss of 3.00): post-ln, lr 1 (2 of 2).", findings.get(2));
        assertEquals("Between the learning rates (1, 2) the mean loss differs by: post-ln diverged at lr 2, pre-ln diverged at lr 2, lns 0.200.",
                findings.get(3));
        assertTrue(findings.get(4).contains("lns 4.00 (4.00), pre-ln 4.00"), findings.get(4));
        assertTrue(findings.get(5).contains("lns 0.300"), findings.get(5));
        assertEquals(1.2, results.best());
    }

    @Test
    void aWinOfSomeSeedsAloneIsNoClearOne() {
        Map<String, List<String>> axes = Map.of("strategy", List.of("pre-ln", "lns"), "seed", List.of("1", "2", "3"));
        assertTrue(results(axes, 1.0, 2.0, 1.0, 1.1, 1.9, 1.3).findings().getFirst().endsWith("but for 1 of 3 seeds less, so this is no clear win."));
        assertTrue(results(Map.of("strategy", List.of("pre-ln", "lns")), 1.0, 1.5).findings().getFirst()
                .endsWith("0.5000 more, from one seed, so another may turn it around."));
        assertEquals("Nothing wins: every run diverged.", results(axes, NONE, NONE, NONE, NONE, NONE, NONE).findings().getFirst());
        assertTrue(results(axes, 1, 1, 1, NONE, NONE, NONE).findings().getFirst().endsWith("; every run of the others diverged."));
    }

    @Test
    void everyDepthHasItsWinner() {
        List<String> findings = results(Map.of("model.blocks", List.of("4", "8"), "strategy", List.of("pre-ln", "lns")), 1.0, 1.5, 1.5, 1.0).findings();
        assertTrue(findings.get(0).startsWith("With 4 blocks: The winner is pre-ln with") && findings.get(1).startsWith("With 8 blocks: The winner is lns with"),
                findings.toString());
    }

    @Test
    void whereStrategiesDoNotVaryRatesOrDepthsAreCompared() {
        assertTrue(results(Map.of("lr", List.of("1", "2")), 1.0, 1.5).findings().getFirst().startsWith("The winner is lr 1 with a validation loss of 1.0000, a"));
        assertTrue(results(Map.of("model.blocks", List.of("4", "8"), "lr", List.of("1", "2")), 1.0, 1.5, 0.9, 2.0).findings().getFirst()
                .startsWith("The winner is 8 blocks with a validation loss of 0.9000 at lr 1"));
        assertEquals("The winner is pre-ln with a validation loss of 1.0000, a perplexity of 2.72.", results(Map.of(), 1.0).findings().getFirst());
    }
}
