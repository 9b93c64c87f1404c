package isonorm.train;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.NormKind;
import isonorm.architecture.Placement;
import isonorm.train.BlockStrategy.Inner;
import isonorm.train.BlockStrategy.Scaling;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Configurations of strategies, as YAML says them and as words do. */
class RunFilesTest {

    @TempDir
    Path folder;

    private Map<String, String> read(String yaml) throws IOException {
        return Configuration.read(Files.writeString(folder.resolve("run.yaml"), yaml));
    }

    private Strategy strategy(String yaml) throws IOException {
        return StrategyText.read(Configuration.of(read(yaml)));
    }

    @Test
    void aListIsSeveralWordsOfAKeyThatTakesThem() throws IOException {
        Map<String, String> values = read("""
                strategy: {name: pre-ln, scaling: [lns, layerscale], inner: []}
                strategy.blocks: {3: {inner: [qk, sub]}}
                """);
        assertEquals(Map.of("strategy", "pre-ln", "strategy.scaling", "lns+layerscale", "strategy.inner", "none", "strategy.blocks.3.inner", "qk+sub"), values);
        assertTrue(assertThrows(IOException.class, () -> read("strategy.kind: [rmsnorm]")).getMessage().endsWith("strategy.kind is a list, a value is needed"));
        assertTrue(assertThrows(IOException.class, () -> read("strategy: {blocks: [pre-ln, lns]}")).getMessage().endsWith("a value is needed"));
    }

    @Test
    void blocksHaveStrategiesAndPartsOfTheirOwn() throws IOException {
        List<BlockStrategy> blocks = strategy("""
                strategy:
                  name: lns
                  placement: peri/post
                  inner: qk
                  blocks:
                    0-1: post-ln
                    3: {kind: rmsnorm, scaling: [deepnorm, heads]}
                    2,5: {inner: none, name: keel, placement: pre}
                """).blocks(6);
        BlockStrategy post = Strategy.named("post-ln").block();
        assertEquals(List.of(post, post), blocks.subList(0, 2));
        BlockStrategy rest = Strategy.named("lns").block().withPlacements(Placement.PERI, Placement.POST).withInner(Set.of(Inner.QUERY_KEY));
        assertEquals(rest, blocks.get(4));
        assertEquals(rest.withKind(NormKind.RMS).withScalings(Set.of(Scaling.DEEPNORM, Scaling.HEADS)), blocks.get(3));
        BlockStrategy keel = Strategy.named("keel").block().withPlacement(Placement.PRE);
        assertEquals(List.of(keel, keel), List.of(blocks.get(2), blocks.get(5)));
    }

    @Test
    void anEmptyValueOfBlocksSaysNothing() throws IOException {
        assertEquals(Strategy.named("pre-ln").blocks(3), strategy("strategy.blocks: {0-1: '', 1: {kind: }}").blocks(3));
    }

    @Test
    void wrongStrategiesAreRefusedInOneLine() {
        refused("there is no key strategy.blocks.0-3.knd; did you mean strategy.blocks.0-3.kind?", "strategy.blocks: {0-3: {knd: rmsnorm}}");
        refused("there is no key strategy.blocks.0.running; blocks have kind, placement, scaling, inner, initialization",
                "strategy.blocks: {0: {running: plain}}");
        refused("there is no key strategy.blocks; it goes on with the blocks that it is for, as strategy.blocks.0-3", "strategy.blocks: post-ln");
        refused("there is no strategy post-l; did you mean post-ln?", "strategy.blocks: {0: post-l}");
        refused("the blocks of strategy.blocks.kind must be numbers and ranges such as 3,5,9-11, got 'kind'", "strategy.blocks: {kind: rmsnorm}");
        refused("the blocks of strategy.blocks.3-0.kind must be numbers and ranges such as 3,5,9-11, got '3-0'; a range begins with its lower number",
                "strategy.blocks: {3-0: {kind: rmsnorm}}");
        refused("block 2 is named by strategy.blocks.0-3 and by strategy.blocks.2; leave it out of one of them",
                "strategy.blocks: {0-3: post-ln, 2: {kind: rmsnorm}}");
        refused("strategy.blocks.1.kind must be one of layernorm, rmsnorm, crmsnorm, dyt, got rms", "strategy.blocks: {1: {kind: rms}}");
        refused("strategy.placement must be one of pre, post, peri, output, both, dual, none, or two for attention and MLP as pre/post, got pre/psot",
                "strategy.placement: pre/psot");
        refused("strategy.scaling must be one of lns, lns-norms, lns-attention, lns-mlp, lns-before-norm, lns-branches, lns-residual, deepnorm, keel, layerscale, skipinit, heads, gpas, several as lns+gpas, or none alone, got none+lns",
                "strategy.scaling: [none, lns]");
        refused("strategy.inner has qk twice, got qk+sub+qk", "strategy.inner: qk+sub+qk");
        refused("scaling deepnorm and keel both say the factor of the skip; take one of them", "strategy.blocks: {1: {scaling: [keel, deepnorm]}}");
    }

    private void refused(String message, String yaml) {
        String found = assertThrows(IllegalArgumentException.class, () -> strategy(yaml).blocks(6)).getMessage();
        assertTrue(found.startsWith(message), found);
    }
}
