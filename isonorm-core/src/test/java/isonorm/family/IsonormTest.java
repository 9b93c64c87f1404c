package isonorm.family;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.LayerNormScaling;
import isonorm.checkpoint.CheckpointException;
import isonorm.checkpoint.Config;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

class IsonormTest {

    @Test
    void theVersionIsThePoms() throws IOException {
        Matcher version = Pattern.compile("<parent>.*?<version>([^<]+)</version>.*?</parent>", Pattern.DOTALL).matcher(Files.readString(Path.of("pom.xml")));
        assertTrue(version.find(), "the pom has a parent with a version");
        assertEquals(version.group(1), Isonorm.VERSION);
    }

    /** Of a model of whose blocks some are taken out, wherever LayerNorm Scaling stands. */
    @Test
    void constantsOfLayerNormScalingStayWithTheirBlocks() throws CheckpointException {
        double[] ones = {};
        double[] factors = {1, 0.7, 0.5};
        double[] fewer = {1, 0.5};
        for (boolean images : new boolean[] {false, true}) {
            for (LayerNormScaling constants : List.of(LayerNormScaling.ofNorms(factors), LayerNormScaling.ofBranches(factors), LayerNormScaling.NONE,
                    new LayerNormScaling(factors, ones, ones), new LayerNormScaling(ones, factors, ones), new LayerNormScaling(ones, factors, factors))) {
                Config config = Isonorm.withConstants(Config.of(Map.of("num_hidden_layers", 3)), constants, images);
                requireConstants(constants, factors, Isonorm.constants(config, 3, images));
                Config kept = Reading.keeping(config, List.of(0, 2), "num_hidden_layers");
                requireConstants(constants, fewer, Isonorm.constants(kept, 2, images));
            }
        }
    }

    private static void requireConstants(LayerNormScaling where, double[] factors, LayerNormScaling found) {
        double[] ones = {};
        assertArrayEquals(where.attention().length > 0 ? factors : ones, found.attention());
        assertArrayEquals(where.mlp().length > 0 ? factors : ones, found.mlp());
        assertArrayEquals(where.branches().length > 0 ? factors : ones, found.branches());
    }
}
