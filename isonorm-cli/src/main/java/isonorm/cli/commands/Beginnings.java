package isonorm.cli.commands;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.text.BeginningToken;
import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;
import java.util.stream.StreamSupport;

/** What commands say of the tokens that begin a text. */
final class Beginnings {

    static final String HELP = "Whether the token that begins a text (BOS) stands in front: auto does as the tokenizer does, always, never. "
            + "Default: ${DEFAULT-VALUE}.";

    private Beginnings() {}

    static BeginningToken named(String choice) {
        return BeginningToken.valueOf(choice.toUpperCase(Locale.ROOT));
    }

    static void put(ObjectNode result, long[] beginning) {
        ArrayNode ids = result.putArray("beginning");
        Arrays.stream(beginning).forEach(ids::add);
    }

    /** Such as "token 2". */
    static String named(JsonNode result) {
        JsonNode ids = result.path("beginning");
        return ids.isEmpty() ? "nothing in front"
                : "token " + StreamSupport.stream(ids.spliterator(), false).map(JsonNode::asText).collect(Collectors.joining(" ")) + " (BOS) in front";
    }
}
