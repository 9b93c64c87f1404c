package isonorm.cli.terminal;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.util.Map;
import java.util.Optional;

/**
 * Where a command writes.
 *
 * @param live whether stderr is a terminal, which can show a line that changes
 * @param colour whether stdout understands colours
 */
public record Console(PrintStream out, PrintStream err, boolean live, boolean colour) {

    /** Of an error, which may quote what a file has: a key of a megabyte. */
    private static final int LONGEST = 4000;

    static final String BOLD = "\033[1m";
    static final String GREEN = "\033[32m";
    static final String PLAIN = "\033[0m";

    /** Whatever is written, no control character of a name or a file reaches a terminal. */
    public Console {
        out = Escaped.over(out);
        err = Escaped.over(err);
    }

    /** The process's own streams; the launcher knows which of them are terminals. */
    public static Console system() {
        Map<String, String> environment = System.getenv();
        return new Console(System.out, System.err, Boolean.getBoolean("isonorm.stderr.terminal") && moves(environment),
                Boolean.getBoolean("isonorm.stdout.terminal") && colours(environment));
    }

    /** Whether a terminal can show a line that changes: one that says it is dumb cannot. */
    static boolean moves(Map<String, String> environment) {
        return !"dumb".equals(environment.get("TERM"));
    }

    /** Whether a terminal is to be given colours: not where NO_COLOR is there and not empty (no-color.org). */
    static boolean colours(Map<String, String> environment) {
        return moves(environment) && environment.getOrDefault("NO_COLOR", "").isEmpty();
    }

    /** Prints a result for programs. */
    public void json(JsonNode node) {
        out.println(Json.text(node));
    }

    /** Prints what comes line by line, for programs that read along. */
    public void jsonLine(JsonNode node) {
        out.println(Json.line(node));
        out.flush();
    }

    /** Prints a sentence, on a terminal in lines that end between words. */
    public void say(String sentence) {
        Width.known().ifPresentOrElse(width -> out.println(Width.wrapped(sentence, 0, width)), () -> out.println(sentence));
    }

    /** Prints one line that says what went wrong. */
    public void error(String message) {
        String line = message.strip().replaceAll("\\s*\\R\\s*", "; ");
        err.println("isonorm: " + (line.length() <= LONGEST ? line : line.substring(0, LONGEST / 2) + " ... " + line.substring(line.length() - LONGEST / 2)));
    }

    /** Why what was printed has not arrived, on a full disk for instance; nothing where it has, or where nobody reads on, as behind {@code head}. */
    public Optional<String> unprinted() {
        if (!out.checkError()) {
            return Optional.empty();
        }
        if (rawOut() != System.out) {
            return Optional.of("the stream is broken");
        }
        try {
            new FileOutputStream(FileDescriptor.out).write('\n'); // a PrintStream keeps the reason to itself
            return Optional.of("parts of it are missing");
        } catch (IOException e) {
            return Optional.of(String.valueOf(e.getMessage())).filter(why -> !why.contains("Broken pipe"));
        }
    }

    /** Stdout for help, which has no text but its own, and may be coloured. */
    public PrintStream rawOut() {
        return ((Escaped) out).raw();
    }

    /** Moves about on the terminal; whoever draws cares for control characters of others. */
    void draw(CharSequence text) {
        PrintStream raw = ((Escaped) err).raw();
        err.flush();
        raw.print(text);
        raw.flush();
    }

    public String bold(String text) {
        return colour ? BOLD + text + PLAIN : text;
    }

    public String green(String text) {
        return colour ? GREEN + text + PLAIN : text;
    }
}
