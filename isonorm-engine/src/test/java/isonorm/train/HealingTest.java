package isonorm.train;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.convert.LoadedModel;
import isonorm.convert.Pruning;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.verify.TokenizedText;
import isonorm.verify.Verification;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class HealingTest {

    private static final Path EXAMPLE = Path.of("..", "examples", "shakespeare-gpt2");

    private static final Path TEXT = Path.of("..", "examples", "tinyshakespeare-heldout.txt");

    @TempDir
    private Path folder;

    private TokenizedText words;

    @BeforeEach
    void words() throws IOException {
        words = TokenizedText.read(EXAMPLE.resolve("tokenizer.json"), TEXT, 128, 256);
    }

    private static Pruning pruning() throws IOException {
        return Pruning.of(LoadedModel.open(EXAMPLE), List.of(1)).verifiedBy(Verification.verifier());
    }

    @Test
    void aStepMakesUpForABlock() throws IOException {
        Pruning pruning = pruning();
        double before = Verification.likelihood(pruning.result(), words, Compute.F32, Progress.NONE).perplexity();
        Path healed = folder.resolve("healed");
        Healing.Report report = Healing.of(pruning, TEXT, 1).writeTo(healed, words, Progress.NONE);
        assertTrue(report.pruning().verification().isPresent());
        assertTrue(report.likelihood().perplexity() < before, report + " against " + before);
        assertEquals(report.likelihood(), Verification.likelihood(LoadedModel.open(healed).model(), words, Compute.F32, Progress.NONE));
        assertFalse(Files.exists(healed.resolve("heal")));
        assertTrue(Files.readString(healed.resolve("report.json")).contains("\"healed_steps\" : 1,"));
    }

    @Test
    void whatIsInterruptedIsWrittenAsFarAsItIsHealed() throws IOException {
        Path healed = folder.resolve("healed");
        Healing.Report report = Healing.of(pruning(), TEXT, 100).interruptedBy(() -> true).writeTo(healed, words, Progress.NONE);
        assertEquals(1, report.steps());
        assertEquals(report.likelihood(), Verification.likelihood(LoadedModel.open(healed).model(), words, Compute.F32, Progress.NONE));
        assertTrue(Files.readString(healed.resolve("report.json")).contains("\"healed_steps\" : 1,"));
        Healing.of(pruning(), TEXT, 1).writeTo(folder.resolve("whole"), words, Progress.NONE);
        try (var one = Files.list(healed); var other = Files.list(folder.resolve("whole"))) {
            assertEquals(other.map(Path::getFileName).sorted().toList(), one.map(Path::getFileName).sorted().toList());
        }
    }

    @Test
    void nothingIsLeftOfWhatFails() throws IOException {
        Path empty = Files.writeString(folder.resolve("empty.txt"), "");
        Healing healing = Healing.of(pruning(), empty, 1);
        assertThrows(IOException.class, () -> healing.writeTo(folder.resolve("healed"), words, Progress.NONE));
        try (var files = Files.list(folder)) {
            assertEquals(List.of(empty), files.toList());
        }
    }
}
