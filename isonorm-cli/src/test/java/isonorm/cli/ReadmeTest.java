package isonorm.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.convert.Comparison;
import isonorm.convert.Conversion;
import isonorm.convert.Form;
import isonorm.convert.LoadedModel;
import isonorm.generate.Generator;
import isonorm.generate.Options;
import isonorm.inference.Inference;
import isonorm.layer.Tolerance;
import isonorm.model.Compute;
import isonorm.text.Tokenizer;
import isonorm.verify.Verification;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The library examples of the README: they compile, are word for word what stands there, and hold. */
class ReadmeTest {

    private static final Path ROOT = Path.of(System.getProperty("isonorm.home"));

    @TempDir
    private Path temporary;

    @Test
    void theFiveLinesOfTheReadmeConvertAndVerify() throws IOException {
        Path folder = temporary.resolve("converted");
        LoadedModel original = LoadedModel.open(ROOT.resolve("examples/shakespeare-gpt2"));
        Conversion.Report report = Conversion.of(original, Form.PRE_CRMSNORM).verifiedBy(Verification.verifier()).writeTo(folder);
        LoadedModel converted = LoadedModel.open(folder);
        Comparison comparison = report.verification().orElseThrow().decisive();
        assertTrue(comparison.within(Tolerance.CONVERTED_F64), comparison.toString());
        assertEquals(report.parametersAfter(), Model.of(converted.model()).architecture().parameterCount());
    }

    @Test
    void theOtherLinesGenerate() throws IOException {
        StringBuilder written = new StringBuilder();
        Path folder = ROOT.resolve("examples/shakespeare-gpt2");
        LoadedModel converted = LoadedModel.open(folder);
        try (Inference inference = Inference.load(converted.model(), Compute.BF16);
                Tokenizer tokenizer = Tokenizer.open(folder.resolve("tokenizer.json"))) {
            Generator generator = Generator.of(inference, tokenizer, converted);
            generator.generate(List.of("ROMEO:"), Options.tokens(100), (row, text) -> written.append(text));
        }
        assertTrue(written.length() > 100, written.toString());
    }

    /** The lines above and their imports, but for how the test names its folder and what it does with the result. */
    @Test
    void theyAreTheReadmesLines() throws IOException {
        List<String> test = Files.readAllLines(ROOT.resolve("isonorm-cli/src/test/java/isonorm/cli/ReadmeTest.java"));
        String[] blocks = Files.readString(ROOT.resolve("README.md")).split("```java\n");
        assertEquals(3, blocks.length, "the README has two examples");
        int lines = 0;
        for (String block : List.of(blocks[1], blocks[2])) {
            for (String line : block.split("```")[0].strip().split("\n")) {
                if (line.isBlank() || line.startsWith("System.out.println")) {
                    continue;
                }
                String here = line.replace("Path.of(\"examples/shakespeare-gpt2\")", "ROOT.resolve(\"examples/shakespeare-gpt2\")")
                        .replace("System.out.print(text)", "written.append(text)").strip();
                assertTrue(test.stream().anyMatch(each -> each.strip().equals(here)), "not in the test: " + line);
                lines++;
            }
        }
        assertTrue(lines >= 20, "the examples have " + lines + " lines");
    }
}
