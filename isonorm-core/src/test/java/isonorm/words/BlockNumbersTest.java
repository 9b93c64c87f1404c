package isonorm.words;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.junit.jupiter.api.Test;

class BlockNumbersTest {

    @Test
    void numbersAndRangesNameBlocks() {
        assertEquals(List.of(3, 5, 9, 10, 11), List.copyOf(BlockNumbers.parse("blocks", "9-11, 3,5,10")));
        assertEquals("0,2-3,5-7", BlockNumbers.text(List.of(7, 6, 5, 0, 2, 3, 2)));
        assertEquals("", BlockNumbers.text(List.of()));
    }

    @Test
    void whatNamesNoBlocksIsRefused() {
        for (String text : List.of("", "1,,2", "a", "-1", "1-", "1-2-3", "1.5", "12345678")) {
            assertEquals("blocks must be numbers and ranges such as 3,5,9-11, got '" + text + "'", refusal(text));
        }
        assertEquals("blocks must be numbers and ranges such as 3,5,9-11, got '1,5-3'; a range begins with its lower number", refusal("1,5-3"));
    }

    private static String refusal(String text) {
        return assertThrows(IllegalArgumentException.class, () -> BlockNumbers.parse("blocks", text)).getMessage();
    }
}
