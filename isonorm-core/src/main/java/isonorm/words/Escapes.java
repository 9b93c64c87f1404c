package isonorm.words;

import java.util.Locale;

/** Text of files and people in a line that is shown: what a terminal would act upon, or what would end the line, is written out as JSON does. */
public final class Escapes {

    private Escapes() {}

    /** A text without control and format characters and line breaks. */
    public static String line(String text) {
        StringBuilder line = new StringBuilder(text.length());
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            switch (Character.getType(c)) {
                case Character.CONTROL, Character.FORMAT, Character.LINE_SEPARATOR, Character.PARAGRAPH_SEPARATOR -> line.append(of(c));
                default -> line.append(c);
            }
        }
        return line.toString();
    }

    /** One character, written out. */
    public static String of(int character) {
        return String.format(Locale.ROOT, "\\u%04x", character);
    }
}
