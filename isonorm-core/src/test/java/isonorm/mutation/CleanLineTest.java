package isonorm.mutation;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;

class CleanLineTest {

    @Test
    void aMessageWithWordsOfJavaFails() {
        for (String message : new String[] {null, " ", "x: java.nio.file.NoSuchFileException", "For input string: \"x\"", "Index 3 out of bounds for length 2"}) {
            Assertions.assertThrows(AssertionError.class, () -> CleanLine.assertThrows(IOException.class, () -> {
                throw new IOException(message);
            }), message);
        }
        assertEquals("model.bin is no file", CleanLine.assertThrows(IOException.class, () -> {
            throw new IOException("model.bin is no file");
        }).getMessage());
    }

    /** So that what every test of the core, the engine and the command line provokes is looked at; of the latter what is printed as well, see Run. */
    @Test
    void noTestUsesTheOneOfJUnit() throws IOException {
        List<String> others = new ArrayList<>();
        int seen = 0;
        for (String module : List.of("isonorm-core", "isonorm-engine", "isonorm-onnx", "isonorm-serve", "isonorm-hub", "isonorm-cli", "isonorm-cluster")) {
            try (Stream<Path> files = Files.walk(Path.of("..", module, "src", "test", "java"))) {
                for (Path file : files.filter(each -> each.toString().endsWith(".java") && !each.endsWith("CleanLine.java") && !each.endsWith("CleanLineTest.java")).toList()) {
                    String source = Files.readString(file);
                    seen += source.contains("CleanLine.assertThrows;") ? 1 : 0;
                    if (source.contains("Assertions.assertThrows") || source.contains("assertThrowsExactly")) {
                        others.add(file.toString());
                    }
                }
            }
        }
        assertEquals(List.of(), others);
        assertTrue(seen > 60, seen + " tests use ours");
    }
}
