package isonorm.cli.terminal;

import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;

/** How many columns there are to write in, and texts in lines that are no longer. */
public final class Width {

    /** Where nobody says how many there are. */
    static final int USUAL = 80;

    /** Fewer hold no table, and longer lines are hard to read. */
    private static final int LEAST = 60;
    private static final int MOST = 120;

    private Width() {}

    /** What COLUMNS says, or the launcher, which asks the terminal; nothing where output goes to a file or a program and nobody says it. */
    static OptionalInt known() {
        return of(System.getenv("COLUMNS")).isPresent() ? of(System.getenv("COLUMNS")) : of(System.getProperty("isonorm.columns"));
    }

    private static OptionalInt of(@Nullable String number) {
        return number != null && number.matches("[1-9][0-9]{0,4}") ? OptionalInt.of(Math.clamp(Integer.parseInt(number), LEAST, MOST)) : OptionalInt.empty();
    }

    /** For help, which is in lines for whoever reads it. */
    public static int ofHelp() {
        return known().orElse(USUAL);
    }

    /**
     * A text in lines that end between words, all but the first of them indented; a longer word has a line of its own. Words between which there is
     * more than one space stay together.
     *
     * @param indent also how far the first line has begun
     */
    public static String wrapped(String text, int indent, int width) {
        StringBuilder lines = new StringBuilder();
        int column = indent;
        for (String word : text.split("(?<! ) (?! )")) {
            int length = word.replaceAll("\033\\[[0-9;]*m", "").length();
            if (column > indent && column + 1 + length > width) {
                lines.append('\n').append(" ".repeat(indent));
                column = indent;
            } else if (column > indent) {
                lines.append(' ');
                column++;
            }
            lines.append(word);
            column += length;
        }
        return lines.toString();
    }
}
