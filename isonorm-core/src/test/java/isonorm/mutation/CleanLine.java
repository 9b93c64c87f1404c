package isonorm.mutation;

import java.util.Optional;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.function.Executable;

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

    /**
     * JUnit's assertThrows for tests of the library, whose exceptions reach users: they say something, and nothing of Java. CleanLineTest sees to it that no
     * test uses JUnit's own.
     */
    public static <T extends Throwable> T assertThrows(Class<T> type, Executable code) {
        T thrown = Assertions.assertThrows(type, code);
        if (!(thrown instanceof UnsupportedOperationException)) { // which Java's unmodifiable collections say nothing with
            complaint(thrown.getMessage()).ifPresent(why -> {
                throw new AssertionError("a message to users, and " + why + ": " + thrown.getMessage(), thrown);
            });
        }
        return thrown;
    }

    /** The same, with what a failure says beside it. */
    public static <T extends Throwable> T assertThrows(Class<T> type, Executable code, String what) {
        return assertThrows(type, code, () -> what);
    }

    /** The same, said when it is needed. */
    public static <T extends Throwable> T assertThrows(Class<T> type, Executable code, Supplier<String> what) {
        T thrown = Assertions.assertThrows(type, code, what);
        return assertThrows(type, () -> {
            throw thrown;
        });
    }

    /** What of Java is in a text of any length. */
    public static Optional<String> java(String text) {
        Matcher found = JAVA.matcher(text);
        return found.find() ? Optional.of("it says " + found.group()) : Optional.empty();
    }
}
