package isonorm.chat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** How a checkpoint writes a conversation as one text: {@code chat_template} of tokenizer_config.json, or chat_template.jinja, rendered as transformers does. */
public final class ChatTemplate {

    private static final List<String> SPECIAL = List.of("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token");
    private static final int LONGEST_MESSAGE = 300; // characters

    private final String text;
    private final Map<String, String> special;
    private final Optional<Jinja> template;
    private final String problem;

    private ChatTemplate(String text, Map<String, String> special, Optional<Jinja> template, String problem) {
        this.text = text;
        this.special = special;
        this.template = template;
        this.problem = problem;
    }

    /** What a template says of a conversation that it is not for, or what is not known of a template. */
    public static final class Refused extends Exception {
        private static final long serialVersionUID = 1;

        private Refused(String message) {
            super(message, null, false, false);
        }
    }

    /** The template of a checkpoint's folder, if it has one. One that says what is not known here is refused when it is needed. */
    public static Optional<ChatTemplate> of(Path folder) throws IOException {
        JsonNode config = config(folder);
        Map<String, String> special = new HashMap<>();
        for (String name : SPECIAL) {
            token(config, name).ifPresent(token -> special.put(name, token));
        }
        return text(folder, config).map(text -> {
            try {
                return new ChatTemplate(text, special, Optional.of(Jinja.of(text)), "");
            } catch (Jinja.Wrong e) {
                return new ChatTemplate(text, special, Optional.empty(), said(e));
            }
        });
    }

    private static Optional<String> text(Path folder, JsonNode config) throws IOException {
        Path apart = folder.resolve("chat_template.jinja");
        if (Files.isRegularFile(apart)) {
            return Optional.of(Files.readString(apart));
        }
        JsonNode template = config.path("chat_template");
        if (template.isArray()) { // several by their names
            for (JsonNode each : template) {
                if (each.path("name").asText().equals("default")) {
                    template = each.path("template");
                }
            }
        }
        return template.isTextual() ? Optional.of(template.textValue()) : Optional.empty();
    }

    /** The text of a special token, which config says as that or as an object. */
    public static Optional<String> token(JsonNode config, String name) {
        JsonNode token = config.path(name);
        JsonNode text = token.isObject() ? token.path("content") : token;
        return text.isTextual() ? Optional.of(text.textValue()) : Optional.empty();
    }

    /** A folder's tokenizer_config.json; an empty object where it has none. */
    public static JsonNode config(Path folder) throws IOException {
        Path file = folder.resolve("tokenizer_config.json");
        return new ObjectMapper().readTree(Files.isRegularFile(file) ? Files.readString(file) : "{}");
    }

    /** As it stands in the checkpoint. */
    public String text() {
        return text;
    }

    /**
     * A conversation as text.
     *
     * @param messages each a role, a content, and what else the template asks of it
     * @param continues whether it is ready for the model's answer
     * @throws Refused if the template is not for such a conversation
     */
    public String render(List<Map<String, Object>> messages, boolean continues) throws Refused {
        Map<String, Object> given = new HashMap<>(special);
        given.put("messages", messages);
        given.put("add_generation_prompt", continues);
        try {
            return template.orElseThrow(() -> new Refused("the checkpoint's chat template cannot be read: " + problem)).render(given);
        } catch (Jinja.Wrong e) {
            throw new Refused("the checkpoint's chat template does not take these messages: " + said(e));
        }
    }

    private static String said(Jinja.Wrong e) {
        String plain = String.valueOf(e.getMessage()).replaceAll("\\p{Cntrl}", " ");
        return plain.length() <= LONGEST_MESSAGE ? plain : plain.substring(0, LONGEST_MESSAGE) + "...";
    }
}
