package isonorm.measure;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.architecture.Output;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.weights.Model;
import isonorm.weights.Quantization;
import isonorm.weights.QuantizedParts;
import java.io.IOException;
import java.time.Duration;
import java.util.Optional;
import java.util.OptionalLong;
import org.junit.jupiter.api.Test;

class GenerationTest {

    private static final Generation GENERATION = new Generation(Plain::load, 1, 12, 3, Duration.ofMillis(1));

    @Test
    void measuresEverySpeed() throws IOException {
        Generation.Speed speed = GENERATION.of(RandomWeights.model(Tiny.words(), 1), Compute.F32, Progress.NONE);
        assertTrue(speed.first() > 0 && speed.prefill() > 0 && speed.prefillAllLogits() > 0 && speed.decode() > 0 && speed.bandwidth() > 0, speed.toString());
        assertTrue(speed.share() > 0 && speed.share() < 1, speed.toString());
        assertTrue(speed.peak().isEmpty() || speed.peak().getAsLong() > 1 << 20, speed.toString());
        assertEquals(0.5, new Generation.Speed(1, 1, 1, 10, 20, 1_000_000_000, OptionalLong.empty()).share(), 1e-12);
    }

    /** Query-key-value, output, up and down of two blocks, and the head, which is the table where that is tied. */
    @Test
    void aStepReadsEveryMatrixOnceAndNoTable() {
        long blocks = 2 * (36 * 12 + 12 * 12 + 2 * 32 * 12);
        Architecture tied = Tiny.words();
        assertEquals(4 * (blocks + 31 * 12), bytes(tied, Compute.F32));
        assertEquals(2 * (blocks + 31 * 12), bytes(tied.withOutput(Output.Words.of(false)), Compute.BF16));
        assertEquals(2 * blocks, bytes(tied.withOutput(new Output.Hidden(Output.Pooler.NONE)), Compute.BF16));
    }

    @Test
    void ofFewBitsAStepReadsCodesAndScales() {
        Model model = RandomWeights.model(Tiny.words(), 1);
        long eight = 31 * 12 * 17 / 16; // the tied table
        long four = 2 * (36 * 12 + 12 * 12 + 2 * 32 * 12) * 9 / 16;
        assertEquals(four + eight, Generation.bytesPerToken(QuantizedParts.of(Quantization.of(4)).applyTo(model), Compute.F32), 1);
    }

    private static long bytes(Architecture architecture, Compute compute) {
        return Generation.bytesPerToken(RandomWeights.model(architecture, 1), compute);
    }

    @Test
    void whatPredictsNothingIsRefused() {
        refused("generation needs a model with a head over tokens, this one gives scores", Tiny.vit());
        refused("generation needs a model with a head over tokens, this one gives hidden states",
                Tiny.words().withOutput(new Output.Hidden(Output.Pooler.NONE)));
        refused("this one sees the tokens it would predict", Tiny.words().withBlocks(Tiny.vit().blocks()));
        Architecture shorter = new Architecture("tiny", 12, 14, Embedding.Tokens.of(31, 12), Tiny.words().blocks(), Tiny.words().finalNorm(),
                Tiny.words().output(), Tiny.words().stream(), Tiny.words().bases(), Optional.empty());
        refused("this model has 14 positions, got a prompt of 12 tokens and 3 tokens behind 12", shorter);
        assertThrows(IllegalArgumentException.class, () -> new Generation(Plain::load, 1, 0, 1, Duration.ZERO));
    }

    private static void refused(String message, Architecture architecture) {
        String said = assertThrows(IllegalArgumentException.class, () -> GENERATION.require(architecture)).getMessage();
        assertTrue(said.contains(message), said);
    }
}
