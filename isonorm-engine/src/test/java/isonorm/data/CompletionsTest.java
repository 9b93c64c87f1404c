package isonorm.data;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.text.BeginningToken;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CompletionsTest {

    private static final int END = 256;

    @TempDir
    Path folder;

    private Completions read(String lines, int length, double share, long seed) throws IOException {
        return Completions.read(Files.writeString(folder.resolve("a.jsonl"), lines), Vocabulary.bytes(), BeginningToken.AUTO, length, share, seed);
    }

    private static String line(String prompt, String completion) {
        return "{\"prompt\": \"" + prompt + "\", \"completion\": \"" + completion + "\"}\n";
    }

    @Test
    void onlyTheCompletionAndTheEndAreAskedFor() throws IOException {
        Completions.Rows rows = read(line("ab", "cd"), 16, 0, 0).rows(0, 1);
        assertArrayEquals(new int[] {'a', 'b', 'c', 'd'}, rows.ids()[0]);
        assertArrayEquals(new int[] {-1, 'c', 'd', END}, rows.targets()[0]);
    }

    @Test
    void shorterRowsArePaddedAndNothingIsAskedThere() throws IOException {
        Completions completions = read(line("ab", "cd") + line("x", "y"), 16, 0, 0);
        Completions.Rows rows = completions.rows(0, 2);
        int shorter = rows.ids()[0][0] == 'x' ? 0 : 1;
        assertArrayEquals(new int[] {'x', 'y', END, END}, rows.ids()[shorter]);
        assertArrayEquals(new int[] {'y', END, -1, -1}, rows.targets()[shorter]);
    }

    @Test
    void aPromptLosesItsBeginningAndThenACompletionItsEnd() throws IOException {
        Completions.Rows rows = read(line("0123456789", "abc"), 6, 0, 0).rows(0, 1);
        assertArrayEquals(new int[] {'7', '8', '9', 'a', 'b', 'c'}, rows.ids()[0]);
        assertArrayEquals(new int[] {-1, -1, 'a', 'b', 'c', END}, rows.targets()[0]);
        rows = read(line("0123456789", "abcdefgh"), 6, 0, 0).rows(0, 1);
        assertArrayEquals(new int[] {'9', 'a', 'b', 'c', 'd', 'e'}, rows.ids()[0]);
        assertArrayEquals(new int[] {'a', 'b', 'c', 'd', 'e', 'f'}, rows.targets()[0]);
        rows = read(line("", "ab"), 6, 0, 0).rows(0, 1);
        assertArrayEquals(new int[] {END, 'a', 'b'}, rows.ids()[0]);
        assertArrayEquals(new int[] {'a', 'b', END}, rows.targets()[0]);
    }

    @Test
    void everyPairComesOnceAnEpochAndIsOnOneSide() throws IOException {
        StringBuilder lines = new StringBuilder();
        for (char c = 'a'; c <= 'z'; c++) {
            lines.append(line(String.valueOf(c), "?"));
        }
        Completions completions = read(lines.toString(), 8, 0.25, 3);
        assertEquals(19, completions.train());
        assertEquals(7, completions.validation());
        Set<Integer> all = new TreeSet<>();
        StringBuilder orders = new StringBuilder();
        for (int epoch = 0; epoch < 3; epoch++) {
            Set<Integer> seen = new TreeSet<>();
            for (int[] row : completions.rows(19L * epoch, 19).ids()) {
                seen.add(row[0]);
                orders.append((char) row[0]);
            }
            assertEquals(19, seen.size());
            all.addAll(seen);
        }
        for (int[] row : completions.validation(0, 7).ids()) {
            assertTrue(all.add(row[0]));
        }
        assertEquals(26, all.size());
        assertTrue(!orders.substring(0, 19).equals(orders.substring(19, 38)), orders.toString());
    }

    @Test
    void whatIsNoPairIsRefusedByItsLine() throws IOException {
        Path file = folder.resolve("a.jsonl");
        assertEquals(file + " line 2 has no key completion; its keys are prompt, answer",
                assertThrows(IOException.class, () -> read(line("a", "b") + "{\"prompt\": \"a\", \"answer\": \"b\"}", 8, 0, 0)).getMessage());
        assertEquals(file + " has no line", assertThrows(IOException.class, () -> read("\n", 8, 0, 0)).getMessage());
        Path text = Files.writeString(folder.resolve("a.txt"), "a");
        assertEquals(text + " must be lines of JSON with a prompt and a completion; its name must end in .jsonl, .ndjson or .json, "
                + "or in one of these and .gz or .zst",
                assertThrows(IOException.class, () -> Completions.read(text, Vocabulary.bytes(), BeginningToken.AUTO, 8, 0, 0)).getMessage());
    }
}
