package isonorm.mutation;

import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What a message to users must be: with nothing of Java or of a library's settings in it; the command line makes one line of it, and cuts one that quotes too much. */
public final class CleanLine {

    private static final Pattern JAVA = Pattern.compile("\\b[A-Z]\\w+(?:Exception|Error)\\b|StackOverflow|\\b(?:java|javax|jdk|sun)\\.[a-z]|com\\.fasterxml|dev\\.hardwood"
            + "|org\\.snakeyaml|isonorm\\.[a-z]+\\.[A-Z]|\\b[A-Z][a-z]\\w*\\$[A-Z][a-z]|For input string|Malformed input|Input length = |Unrecognized (?:field|token)|[Dd]eserializ"
            + "|not a double|`?\\b(?:ENABLE|ALLOW|FAIL_ON|Json\\w+Feature|Stream\\w+(?:Feature|Constraints))|Index -?\\d+ out of bounds|out of bounds for length"
            + "|\\bNumberFormat|Cannot (?:cast|invoke|read (?:field|the array))|because \"|internal error|line: \\d+, column|\\[Source: |REDACTED|must be a valid .*Character"
            + "|begin -?\\d+, end -?\\d+, length");

    private CleanLine() {}

    /** What is wrong with a message; its own words of the input are not looked for. */
    public static Optional<String> complaint(String message) {
        if (message == null || message.isBlank()) {
            return Optional.of("it says nothing");
        }
        return java(message);
    }

    /** What of Java is in a text of any length. */
    public static Optional<String> java(String text) {
        Matcher found = JAVA.matcher(text);
        return found.find() ? Optional.of("it says " + found.group()) : Optional.empty();
    }
}
