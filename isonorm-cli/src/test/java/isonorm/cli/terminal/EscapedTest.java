package isonorm.cli.terminal;

import static org.junit.jupiter.api.Assertions.assertEquals;

import isonorm.cli.Run;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

class EscapedTest {

    private static String written(String text) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        Console console = new Console(new PrintStream(bytes, true, StandardCharsets.UTF_8), System.err, false, true);
        console.out().print(text);
        console.out().flush();
        return bytes.toString(StandardCharsets.UTF_8);
    }

    @Test
    void controlCharactersAreWrittenOut() {
        assertEquals("a\\u001b[2Jb", written("a\033[2Jb"));
        assertEquals("\\u0000\\u0007\\u0008\\u007f", written("\0\007\b\177"));
        assertEquals("\\u009b2J", written("\u009b2J"), "an escape sequence in one character");
        assertEquals("over\\u000dwritten", written("over\rwritten"));
        assertEquals("\\u001b", written("\033"));
    }

    @Test
    void textPassesAsItIs() {
        String text = "a\tb\nc\r\n\u00e9\u00c2\u00a0\u65e5\ud83d\ude00";
        assertEquals(text, written(text));
        assertEquals("\033[1mx\033[0m\033[32my\033[0m", written("\033[1mx\033[0m\033[32my\033[0m"));
    }

    @Test
    void aNameThatColoursIsSaidInOneCleanLine() {
        assertEquals("isonorm: a\\u001b[31mb does not exist\n", Run.of("info", "a\033[31mb").ended(1).err().replaceAll("; .*", ""));
    }
}
