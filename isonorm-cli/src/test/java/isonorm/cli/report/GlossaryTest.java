package isonorm.cli.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.cli.Run;
import java.io.IOException;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** The glossary of reports and that of the documentation say the same, and each says it once. */
class GlossaryTest {

    /** Terms of the documentation's tables with their last cells, which say what they are. */
    private static List<Map.Entry<String, String>> documented() throws IOException {
        List<Map.Entry<String, String>> all = new ArrayList<>();
        for (String line : Files.readAllLines(Run.HOME.resolve("docs/glossary.md"))) {
            String[] cells = line.split(" *\\| *", -1);
            if (line.startsWith("|") && !line.startsWith("|--") && !line.startsWith("| word ") && !line.startsWith("| in the code ")) {
                for (String term : cells[1].replaceAll("\\*\\*(.*)\\*\\*.*", "$1").split(", ")) {
                    all.add(Map.entry(term, cells[cells.length - 2]));
                }
            }
        }
        return all;
    }

    @Test
    void noTermIsDefinedTwice() throws IOException {
        Set<String> seen = new HashSet<>();
        List<String> twice = documented().stream().map(entry -> entry.getKey().toLowerCase(Locale.ROOT)).filter(term -> !seen.add(term)).toList();
        assertEquals(List.of(), twice);
        assertTrue(seen.size() > 60, seen.toString());
    }

    /** In a row there, a sentence has no capital and no full stop; links may follow. */
    @Test
    void reportsAndTheDocumentationSayTheSame() throws IOException {
        Map<String, String> documented = new LinkedHashMap<>();
        documented().forEach(entry -> documented.put(entry.getKey(), entry.getValue()));
        Glossary.all().forEach((term, meaning) -> {
            String words = meaning.substring(0, 1).toLowerCase(Locale.ROOT) + meaning.substring(1).replaceFirst("\\.$", "");
            String there = documented.getOrDefault(term, "");
            assertEquals(words, there.substring(0, Math.min(words.length(), there.length())), term);
            assertTrue(there.substring(words.length()).matches("( \\(\\[.*\\))?(;( \\[.*\\),?)+)?"), () -> term + ": " + there);
        });
    }
}
