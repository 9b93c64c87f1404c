package isonorm.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.io.PrintStream;

/**
 * Where a command writes.
 *
 * @param live whether stderr is a terminal, which can show a line that changes
 * @param colour whether stdout understands colours
 */
record Console(PrintStream out, PrintStream err, boolean live, boolean colour) {

    private static final ObjectMapper JSON = new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);

    /** The process's own streams; the launcher knows which of them are terminals. */
    static Console system() {
        boolean colour = Boolean.getBoolean("isonorm.stdout.terminal") && System.getenv("NO_COLOR") == null;
        return new Console(System.out, System.err, Boolean.getBoolean("isonorm.stderr.terminal"), colour);
    }

    /** Prints a result for programs. */
    void json(JsonNode node) {
        try {
            out.println(JSON.writeValueAsString(node));
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(e); // a tree in memory can always be written
        }
    }

    /** Prints one line that says what went wrong. */
    void error(String message) {
        err.println("isonorm: " + message.strip().replaceAll("\\s*\\R\\s*", "; "));
    }

    String bold(String text) {
        return colour ? "\033[1m" + text + "\033[0m" : text;
    }

    String green(String text) {
        return colour ? "\033[32m" + text + "\033[0m" : text;
    }
}
