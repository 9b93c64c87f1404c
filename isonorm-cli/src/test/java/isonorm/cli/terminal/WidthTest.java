package isonorm.cli.terminal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;

/** Texts and tables in as many columns as there are, on terminals of any kind. */
class WidthTest {

    private static String printed(Table table, OptionalInt width) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        table.print(new PrintStream(out, true, StandardCharsets.UTF_8), width);
        return out.toString(StandardCharsets.UTF_8).replace("\r", "");
    }

    @Test
    void terminalsAreGivenWhatTheyAreFor() {
        assertTrue(Console.colours(Map.of("TERM", "xterm", "NO_COLOR", "")) && Console.moves(Map.of()));
        assertFalse(Console.colours(Map.of("TERM", "xterm", "NO_COLOR", "1")));
        assertFalse(Console.colours(Map.of("TERM", "dumb")) || Console.moves(Map.of("TERM", "dumb")));
    }

    @Test
    void linesEndBetweenWords() {
        assertEquals("one two\n  three\n  averylongword\n  four", Width.wrapped("one two three averylongword four", 2, 9));
        assertEquals("\033[1mbold words\033[0m\nhere", Width.wrapped("\033[1mbold words\033[0m here", 0, 12));
        assertEquals("a   b c", Width.wrapped("a   b c", 0, 80));
    }

    @Test
    void factsGoOnBelowThemselves() {
        assertEquals("  name   some words\n         that go on\n  other  b\n", printed(Table.ofFacts().row("name", "some words that go on").row("other", "b"), OptionalInt.of(20)));
    }

    @Test
    void headsOfATableThatIsTooWideGoOnBelowThemselves() {
        Table table = Table.ofNumbers("block", "attention writes", "MLP writes").row("0", "0.3061", "16.7").row("11", "0.2", "3");
        assertEquals("  block  attention writes  MLP writes\n  0                0.3061        16.7\n  11                  0.2           3\n", printed(table, OptionalInt.empty()));
        assertEquals("  block  attention     MLP\n            writes  writes\n  0         0.3061    16.7\n  11           0.2       3\n", printed(table, OptionalInt.of(30)));
    }

    @Test
    void columnsThatFindNoPlaceComeBelowBesideTheSameNames() {
        Table table = Table.ofNumbers("run", "first", "second", "third").row("a", "1", "2", "3");
        assertEquals("  run  first  second\n  a        1       2\n\n  run  third\n  a        3\n", printed(table, OptionalInt.of(22)));
    }
}
