package isonorm.cli.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.architecture.Parameter;
import isonorm.checkpoint.Dtype;
import isonorm.cli.Run;
import isonorm.convert.Strategies;
import isonorm.family.Isonorm;
import isonorm.weights.Model;
import isonorm.weights.SampleCheckpoint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** A model that was trained in any strategy is an ordinary checkpoint. */
class TrainedStrategiesTest {

    private static final Path EXAMPLE = Run.HOME.resolve("examples/shakespeare-gpt2");
    private static final Path TEXT = Run.HOME.resolve("examples/tinyshakespeare-heldout.txt");
    private static final int VOCABULARY = 1024;

    @TempDir
    private Path folder;

    static Stream<String> names() {
        return Stream.of("ResiDual", "HybridNorm head", "GPAS", "DyT everywhere");
    }

    /** A strategy's model, with the words of the example. */
    private Path checkpoint(String name) throws IOException {
        Architecture architecture = Strategies.all().get(name);
        Model model = Strategies.random(architecture.withEmbedding(
                Embedding.Tokens.of(VOCABULARY, architecture.width()).withPositions(architecture.context(), 0, false)));
        SampleCheckpoint sample = new SampleCheckpoint(Isonorm.config(model.architecture(), "0"));
        for (Parameter parameter : model.architecture().parameters()) {
            double[] values = new double[Math.toIntExact(parameter.elements())];
            model.weight(parameter.role()).read(0, Math.max(1, parameter.rows()), values);
            sample.put(parameter.role().path(), Dtype.F32, parameter.shape(), values);
        }
        Path checkpoint = Files.createDirectories(folder.resolve(name));
        sample.save(checkpoint);
        for (String file : new String[] {"tokenizer.json", "tokenizer_config.json"}) {
            Files.copy(EXAMPLE.resolve(file), checkpoint.resolve(file));
        }
        return checkpoint;
    }

    @ParameterizedTest
    @MethodSource("names")
    void isShownRunAndMeasured(String name) throws IOException {
        Path checkpoint = checkpoint(name);
        assertFalse(Run.of("info", checkpoint).ended(0).out().contains("null"));
        assertTrue(Run.of("eval", checkpoint, "--text", TEXT, "--tokens", 129, "--window", 64, "--json").ended(0)
                .json().path("perplexity").asDouble() > 1);
        assertEquals(8, Run.of("generate", checkpoint, "--prompt", "ROMEO:", "--max-tokens", 8, "--json").ended(0)
                .json().path("generated_tokens").asInt());
        Run.of("verify", checkpoint, checkpoint).ended(0);
    }

    @Test
    void whatItIsIsShownInWords() throws IOException {
        assertShown("Keel", "before the sub-layers and behind the sum (both)", "the stream times 2.500 at each sum");
        assertShown("ResiDual", "behind the sum of one of two streams (dual)");
        assertShown("HybridNorm head", "post and none", "queries and keys through rmsnorm, values through layernorm");
        assertShown("GPAS", "gates on the stream");
        assertShown("Sub-LN", "layernorm before the last linear layer");
        assertShown("DyT everywhere", "dyt (gain and bias)");
    }

    private void assertShown(String name, String... words) throws IOException {
        String shown = Run.of("info", checkpoint(name)).ended(0).out().replaceAll("\\s+", " ");
        for (String word : words) {
            assertTrue(shown.contains(word), shown);
        }
    }

    @Test
    void isConvertedWhereThatIsExactAndComesBack() throws IOException {
        Path source = checkpoint("GPAS on Pre-LN with a skip and LayerScale");
        Path there = folder.resolve("there");
        Run.of("convert", source, there, "--to", "pre-crmsnorm").ended(0);
        Run.of("convert", there, folder.resolve("back"), "--to", "pre-ln").ended(0);
        Run.of("verify", source, folder.resolve("back")).ended(0);
        Run.of("convert", checkpoint("DeepNorm"), folder.resolve("rmsnorm"), "--to", "rmsnorm").ended(0);
        Run refused = Run.of("convert", checkpoint("ResiDual"), folder.resolve("none"), "--to", "pre-rmsnorm").ended(1);
        assertTrue(refused.err().contains("it has two streams"), refused.err());
    }
}
