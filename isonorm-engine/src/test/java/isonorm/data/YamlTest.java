package isonorm.data;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.List;
import org.junit.jupiter.api.Test;

class YamlTest {

    @Test
    void nestedKeysAreDotted() throws IOException {
        Yaml yaml = Yaml.parse("a: {b: 1, c: [x, y]}\nd: &e 3\nf: *e\n", "x.yaml");
        assertEquals("{a.b=1, d=3, f=3}", yaml.values().toString());
        assertEquals(List.of("x", "y"), yaml.lists().get("a.c"));
    }

    /** Whatever a file says, it is read or refused in a moment. */
    @Test
    void whatWouldFillTheMemoryOrTheStackIsRefused() {
        StringBuilder doubling = new StringBuilder("k0: &k0 {x: 1}\n");
        for (int i = 1; i < 24; i++) {
            doubling.append("k%d: &k%d {x: *k%d, y: *k%d}\n".formatted(i, i, i - 1, i - 1));
        }
        for (String text : List.of("a: &a\n  b: *a\n", doubling.toString(), "a: " + "[".repeat(100_000) + "]".repeat(100_000),
                "a: " + "{a: ".repeat(40) + "1" + "}".repeat(40), "a: " + "x".repeat(2 << 20))) {
            String said = assertThrows(IOException.class, () -> Yaml.parse(text, "x.yaml")).getMessage();
            assertTrue(said.startsWith("x.yaml is ") && said.lines().count() == 1, said);
        }
    }
}
