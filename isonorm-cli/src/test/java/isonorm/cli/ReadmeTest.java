package isonorm.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.convert.Comparison;
import isonorm.convert.Conversion;
import isonorm.convert.Form;
import isonorm.convert.LoadedModel;
import isonorm.layer.Tolerance;
import isonorm.verify.Verification;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The library example of the README: it compiles, it is word for word what stands there, and it holds. */
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

    /** The lines above, but for how the test names its folder and what it does with the result. */
    @Test
    void theyAreTheReadmesLines() throws IOException {
        List<String> test = Files.readAllLines(ROOT.resolve("isonorm-cli/src/test/java/isonorm/cli/ReadmeTest.java"));
        String readme = Files.readString(ROOT.resolve("README.md"));
        String[] block = readme.substring(readme.indexOf("```java") + 8).split("```")[0].strip().split("\n");
        assertTrue(block.length == 5, "the example has " + block.length + " lines");
        for (String line : Arrays.copyOf(block, 4)) {
            String here = line.replace("Path.of(\"examples/shakespeare-gpt2\")", "ROOT.resolve(\"examples/shakespeare-gpt2\")");
            assertTrue(test.stream().anyMatch(each -> each.strip().equals(here)), "not in the test: " + line);
        }
    }
}
