package isonorm.cli.terminal;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.PrintStream;

/**
 * Where a command writes.
 *
 * @param live whether stderr is a terminal, which can show a line that changes
 * @param colour whether stdout understands colours
 */
public record Console(PrintStream out, PrintStream err, boolean live, boolean colour) {

    /** The process's own streams; the launcher knows which of them are terminals. */
    public static Console system() {
        boolean colour = Boolean.getBoolean("isonorm.stdout.terminal") && System.getenv("NO_COLOR") == null;
        return new Console(System.out, System.err, Boolean.getBoolean("isonorm.stderr.terminal"), colour);
    }

    /** Prints a result for programs. */
    public void json(JsonNode node) {
        out.println(Json.text(node));
    }

    /** Prints one line that says what went wrong. */
    public void error(String message) {
        err.println("isonorm: " + message.strip().replaceAll("\\s*\\R\\s*", "; "));
    }

    public String bold(String text) {
        return colour ? "\033[1m" + text + "\033[0m" : text;
    }

    public String green(String text) {
        return colour ? "\033[32m" + text + "\033[0m" : text;
    }
}
