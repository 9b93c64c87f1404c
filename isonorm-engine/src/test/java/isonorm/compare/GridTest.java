package isonorm.compare;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class GridTest {

    @TempDir
    Path folder;

    private Grid grid(String yaml) throws IOException {
        return Grid.read(Files.writeString(folder.resolve("grid.yaml"), yaml));
    }

    @Test
    void aGridIsEveryCombinationTheLastKeyChangingFirst() throws IOException {
        Grid grid = grid("""
                base:
                  steps: 20
                  model: {width: 32, heads: [2]}
                strategy: [pre-ln, lns]
                lr: [1e-4, 0.020]
                model:
                  blocks: [1, 12]
                """);
        List<Trial> trials = grid.trials();
        assertEquals(List.of("pre-ln, lr 0.0001, 1 block", "pre-ln, lr 0.0001, 12 blocks", "pre-ln, lr 0.02, 1 block", "pre-ln, lr 0.02, 12 blocks",
                "lns, lr 0.0001, 1 block", "lns, lr 0.0001, 12 blocks", "lns, lr 0.02, 1 block", "lns, lr 0.02, 12 blocks"),
                trials.stream().map(Trial::name).toList());
        assertEquals("pre-ln-lr-0.0001-12-blocks", trials.get(1).folder());
        for (Trial trial : trials) {
            assertEquals("20", trial.configuration().values().get("steps"));
            assertEquals("2", trial.configuration().values().get("model.heads"));
        }
        assertEquals("12", trials.get(1).configuration().values().get("model.blocks"));
        assertEquals(List.of("strategy"), grid.contenders());
        assertEquals(List.of("model.blocks"), grid.settings());
    }

    @Test
    void aValueInPlaceOfAListMakesTheGridSmaller() throws IOException {
        Grid grid = grid("strategy: [pre-ln, lns]\nlr: [1, 2]\nseed: [1, 2]").with("strategy", List.of("lns"));
        assertEquals(List.of("lr 1, seed 1", "lr 1, seed 2", "lr 2, seed 1", "lr 2, seed 2"), grid.trials().stream().map(Trial::name).toList());
        assertEquals(List.of("lr"), grid.contenders());
        assertEquals(List.of("lns"), grid.with("lr", List.of("1")).with("seed", List.of("1")).trials().stream().map(Trial::name).toList());
    }

    @Test
    void strategiesOfBlocksAndSeveralScalingsVaryAsAnyValue() throws IOException {
        Grid grid = grid("""
                base:
                  strategy: {name: pre-ln, blocks: {0: {inner: qk}}}
                strategy.scaling: [none, lns+heads]
                strategy.blocks.2,4-5: [post-ln, '']
                """);
        grid.check();
        assertEquals(List.of("scaling none, blocks 2,4-5 post-ln", "scaling none, blocks 2,4-5 as it is", "scaling lns+heads, blocks 2,4-5 post-ln",
                "scaling lns+heads, blocks 2,4-5 as it is"), grid.trials().stream().map(Trial::name).toList());
        assertEquals("scaling-none-blocks-2-4-5-post-ln", grid.trials().getFirst().folder());
        assertEquals("qk", grid.trials().getFirst().configuration().values().get("strategy.blocks.0.inner"));
        assertEquals(List.of("strategy.scaling", "strategy.blocks.2,4-5"), grid.contenders());
    }

    @Test
    void theEmbeddedGridIsOne() throws IOException {
        Grid.embedded().check();
        assertEquals(List.of("post-ln", "pre-ln", "peri-ln", "lns"), Grid.embedded().axes().get("strategy"));
    }

    @Test
    void whatIsNoGridIsRefusedInOneLine() {
        refused("there is no key strategi; did you mean strategy?", "strategi: [pre-ln, lns]");
        refused("there is no key model.blok; did you mean model.blocks?", "base: {model: {blok: 3}}");
        refused("there is no strategy peri-n; did you mean peri-ln?", "strategy: [pre-ln, peri-n]");
        refused("there is no block 9 that could have another strategy; the model has blocks 0 to 5", "strategy.blocks.3,9: [pre-ln, lns]");
        refused("block 3 is named by strategy.blocks.0-3 and by strategy.blocks.3", "strategy.blocks: {0-3: lns, 3: post-ln}");
        refused("equivalent training is for a Pre-LN model", "strategy: [pre-rmsnorm-equivalent]\nstrategy.placement: [pre, peri]");
        refused("lr has 0.001 twice", "lr: [1e-3, 0.0010]");
        refused("lr has no value", "lr: []");
        refused("lr must be a number from 0.0 on, got high", "lr: [0.1, high]");
        refused("steps must have one value in a grid, got 2: all runs read the same", "steps: [1, 2]");
        refused("log.every must be a whole number of 1 or more, got often", "log.every: often");
        refused("lr stands in the grid twice", "base: {lr: 3}\nlr: [1, 2]");
        refused("out is no key of a grid", "out: here");
        refused("eval.every must be a whole number of 1 or more, got 0", "eval.every: 0");
        refused("is a list of more than values", "lr: [[1]]");
        refused("is no YAML", "lr: [1");
    }

    private void refused(String message, String yaml) {
        Exception e = assertThrows(Exception.class, () -> grid(yaml).check());
        assertTrue((e instanceof IOException || e instanceof IllegalArgumentException) && e.getMessage().contains(message), e.toString());
    }
}
