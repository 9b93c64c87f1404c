package isonorm.data;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

class BlocksTest {

    private static final int SIZE = Blocks.SIZE;

    /** Where a text is cut that has this in front of its last allowed place, and letters everywhere else. */
    private static int cut(String before) {
        String text = "a".repeat(SIZE - 10 - before.length()) + before + "a".repeat(20);
        return Blocks.cut(text.getBytes(StandardCharsets.UTF_8), 0);
    }

    @Test
    void aLineBetweenLettersIsBetterThanAnEmptyOneThanASpaceThanNothing() {
        assertEquals(SIZE - 10 - 5, cut("\nb c\n\n"));
        assertEquals(SIZE - 10 - 2, cut("\n\nb "));
        assertEquals(SIZE - 10, cut("b c "));
        assertEquals(SIZE, cut("b"));
    }
}
