package isonorm.cli.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import isonorm.cli.Run;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@code isonorm quantize}: what is written is near to the source, and says how near. */
class QuantizeTest {

    private static final Path EXAMPLE = Run.HOME.resolve("examples/shakespeare-gpt2");
    private static final Path TEXT = Run.HOME.resolve("examples/tinyshakespeare-heldout.txt");

    @TempDir
    Path folder;

    private String out() {
        return folder.resolve("out").toString();
    }

    @Test
    void eightBitsChangePerplexityByLessThanAThousandth() throws IOException {
        Run run = Run.of("quantize", EXAMPLE.toString(), out(), "--bits", "8", "--data", TEXT.toString(), "--tokens", "8192", "--json").ended(0);
        JsonNode measured = new ObjectMapper().readTree(run.out()).path("measured");
        double before = measured.path("perplexity_before").asDouble();
        assertEquals(before, measured.path("perplexity_after").asDouble(), 1e-3 * before);
        assertFalse(measured.path("perplexity_after").asDouble() == before, "it was rounded");
    }

    @Test
    void gptqIsNearerThanRoundingAndRunsVerifiesAndGoesNoFurther() throws IOException {
        Run run = Run.of("quantize", EXAMPLE.toString(), out(), "--bits", "4", "--method", "gptq", "--data", TEXT.toString(), "--tokens", "2048").ended(0);
        assertTrue(run.words().contains("bits per weight 32.00 before, 5.3"), run.out());
        assertTrue(run.words().contains("by rounding to the nearest"), run.out());
        assertTrue(Run.of("info", out()).ended(0).out().contains("bits per weight"));
        assertTrue(Run.of("verify", EXAMPLE.toString(), out(), "--text", TEXT.toString(), "--tokens", "512").ended(0).out()
                .startsWith("Another function, of weights in 4 bits: logits at "));
        assertEquals(1, Run.of("verify", EXAMPLE.toString(), out(), "--tolerance", "1e-4").code());
        assertFalse(Run.of("generate", out(), "--prompt", "First", "--max-tokens", "4").ended(0).out().isBlank());
        Run again = Run.of("convert", out(), folder.resolve("more").toString(), "--to", "pre-rmsnorm").ended(1);
        assertTrue(again.err().contains("its weights are in few bits"), again.err());
        again = Run.of("quantize", out(), folder.resolve("more").toString(), "--bits", "8").ended(1);
        assertTrue(again.err().contains("cannot quantize"), again.err());
        assertFalse(Files.exists(folder.resolve("more")));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            --bits 3                                | 2 | weights are quantized to 8 or 4 bits, got 3
            --bits 4 --group 48                     | 2 | a group is a multiple of 32 inputs, 1024 at the most, got 48
            --bits 4 --method gptq                  | 2 | gptq goes by data: say which, --data DATA
            --bits 4 --method gtpq                  | 2 | expected one of rtn, gptq, got 'gtpq'; did you mean gptq?
            --bits 4 --keep h.0.*                   | 1 | no matrix that would be quantized is called h.0.*
            --bits 4 --method gptq --data nowhere   | 1 | nowhere
            """)
    void whatCannotBeIsSaidInOneLine(String words, int code, String message) {
        Run run = Run.of((Object[]) ("quantize " + EXAMPLE + " " + out() + " " + words).split(" ")).ended(code);
        assertTrue(run.err().contains(message), run.err());
        assertFalse(Files.exists(folder.resolve("out")));
    }
}
