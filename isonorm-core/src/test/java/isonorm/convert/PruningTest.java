package isonorm.convert;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import isonorm.family.Fixtures;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PruningTest {

    @TempDir
    private Path folder;

    @Test
    void aResultThatIsNotEqualIsNotKept() throws IOException {
        Path out = folder.resolve("out");
        List<Path> seen = new ArrayList<>();
        Pruning pruning = Pruning.of(LoadedModel.open(Fixtures.folder("gpt2")), List.of(1));
        Verifier unequal = (_, original, rewritten, written, _) -> {
            seen.add(written.checkpoint().folder());
            assertEquals(pruning.result(), original);
            assertEquals(original, rewritten);
            assertEquals(2, Model.of(written.model()).architecture().blocks().size());
            throw new IOException("they differ");
        };
        assertEquals("they differ", assertThrows(IOException.class, () -> pruning.verifiedBy(unequal).writeTo(out)).getMessage());
        assertNotEquals(out, seen.getFirst(), "nobody can see it before it is verified");
        try (Stream<Path> left = Files.list(folder)) {
            assertEquals(List.of(), left.toList());
        }
    }

    @Test
    void whatWasDoneIsReported() throws IOException {
        Path out = folder.resolve("out");
        Comparison same = new Comparison(0, 0, 0, 0, 1, Double.NaN, Double.NaN, 12, 2.5, "logits");
        Evidence evidence = new Evidence(List.of(new Evidence.Measured(Evidence.Subject.WRITTEN, "f64", same)), Evidence.Limits.ofLargestError(1e-4), Optional.empty());
        Pruning.Report report = Pruning.of(LoadedModel.open(Fixtures.folder("gpt2")), List.of(2, 0)).verifiedBy((_, _, _, _, _) -> evidence).writeTo(out);
        assertEquals(List.of(0, 2), report.removed());
        assertEquals(3, report.blocksBefore());
        assertEquals(1, report.blocksAfter());
        assertTrue(report.parametersAfter() < report.parametersBefore());
        assertEquals(Optional.of(evidence), report.verification());
        ObjectMapper json = new ObjectMapper();
        assertEquals(json.readTree(out.resolve("report.json").toFile()), json.readTree(Reports.json(report).toString()));
    }
}
