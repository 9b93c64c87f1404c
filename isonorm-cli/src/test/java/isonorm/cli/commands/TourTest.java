package isonorm.cli.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import isonorm.cli.Run;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The tour on the real model, which it verifies on a part of the text here. */
class TourTest {

    @TempDir
    Path folder;

    @Test
    void convertsToBothFormsAndVerifies() throws IOException {
        Path out = folder.resolve("tour");
        Run run = Run.of("tour", "--output", out, "--tokens", 512).ended(0);
        for (String part : List.of("1. The checkpoint", "2. Convert it", "3. Verify both", "4. Next", "Equal at ")) {
            assertTrue(run.out().contains(part), run.out());
        }
        assertEquals(List.of("pre-crmsnorm", "pre-rmsnorm", "tour.json"), Run.names(out));

        JsonNode tour = Run.of("tour", "--output", out, "--tokens", 512, "--json").ended(0).json();
        for (JsonNode row : tour.path("conversions")) {
            assertEquals(row.path("perplexity_a").asDouble(), row.path("perplexity_b").asDouble(), 1e-5);
            assertTrue(row.path("equal").asBoolean());
        }
        assertEquals(2, tour.path("conversions").size());
    }

    @Test
    void whatIsNotATourIsLeftAlone() throws IOException {
        Files.writeString(folder.resolve("mine.txt"), "mine");
        Run run = Run.of("tour", "--output", folder).ended(1);
        assertTrue(run.err().contains("was not written by a tour"), run.err());
        assertEquals(List.of("mine.txt"), Run.names(folder));
    }
}
