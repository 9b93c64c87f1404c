package isonorm.words;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TextFileTest {

    @TempDir
    Path folder;

    @Test
    void textIsReadAsItIs() throws IOException {
        Path file = Files.writeString(folder.resolve("a.txt"), "naïve 𝄞\n");
        assertEquals("naïve 𝄞\n", TextFile.read(file));
    }

    @Test
    void aByteOrderMarkIsNoText() throws IOException {
        assertEquals("a\ufeff", TextFile.read(Files.writeString(folder.resolve("a.txt"), "\ufeffa\ufeff")));
        Path mark = Files.writeString(folder.resolve("mark"), "\ufeff");
        assertEquals(mark + " is empty", refusal(mark));
        Path broken = Files.write(folder.resolve("broken"), new byte[] {(byte) 0xef, (byte) 0xbb, (byte) 0xbf, '\n', (byte) 0xff});
        assertEquals(broken + " is not UTF-8: byte 4 starts no character (line 2)", refusal(broken));
    }

    @Test
    void whatIsNotAFileOfTextIsRefusedByWhatItIs() throws IOException {
        Path missing = folder.resolve("missing");
        assertEquals(missing + " does not exist", refusal(missing));
        assertEquals(folder + " is a folder, a file of text is needed", refusal(folder));
        Path empty = Files.createFile(folder.resolve("empty"));
        assertEquals(empty + " is empty", refusal(empty));
        Path broken = Files.write(folder.resolve("broken"), new byte[] {'a', '\n', (byte) 0xff});
        assertEquals(broken + " is not UTF-8: byte 2 starts no character (line 2)", refusal(broken));
    }

    private static String refusal(Path file) {
        return assertThrows(IOException.class, () -> TextFile.read(file)).getMessage();
    }
}
