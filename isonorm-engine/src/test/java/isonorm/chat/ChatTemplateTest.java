package isonorm.chat;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Chat templates give what transformers renders, which make_chat_templates.py wrote down. */
class ChatTemplateTest {

    private static final ObjectMapper JSON = new ObjectMapper();

    @TempDir
    Path folder;

    record Case(String name, JsonNode json) {
        @Override
        public String toString() {
            return name;
        }
    }

    static List<Case> cases() throws IOException {
        List<Case> cases = new ArrayList<>();
        try (InputStream in = ChatTemplateTest.class.getResourceAsStream("chat_templates.json")) {
            for (JsonNode each : JSON.readTree(in)) {
                cases.add(new Case(each.path("name").asText(), each));
            }
        }
        assertTrue(cases.size() > 80, "there are " + cases.size());
        return cases;
    }

    private ChatTemplate template(String template) throws IOException {
        Files.writeString(folder.resolve("tokenizer_config.json"), JSON.writeValueAsString(Map.of("chat_template", template, "bos_token", "<s>", "eos_token", Map.of("content", "</s>"))));
        return ChatTemplate.of(folder).orElseThrow();
    }

    @ParameterizedTest
    @MethodSource("cases")
    void aConversationIsWrittenAsTransformersWritesIt(Case one) throws IOException, ChatTemplate.Refused {
        ChatTemplate template = template(one.json.path("template").asText());
        List<Map<String, Object>> messages = JSON.convertValue(one.json.path("messages"), new TypeReference<List<Map<String, Object>>>() {});
        boolean prompt = one.json.path("add_generation_prompt").asBoolean();
        if (one.json.has("refused")) {
            String said = assertThrows(ChatTemplate.Refused.class, () -> template.render(messages, prompt)).getMessage();
            assertTrue(said.contains(one.json.path("refused").asText()), said);
        } else {
            assertEquals(one.json.path("expected").asText(), template.render(messages, prompt));
        }
    }

    @Test
    void aTemplateMayStandInAFileOfItsOwnOrAmongOthers() throws IOException, ChatTemplate.Refused {
        Files.writeString(folder.resolve("tokenizer_config.json"), "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"no\"}, {\"name\": \"default\", \"template\": \"yes\"}]}");
        assertEquals("yes", ChatTemplate.of(folder).orElseThrow().render(List.of(), true));
        Files.writeString(folder.resolve("chat_template.jinja"), "apart");
        assertEquals("apart", ChatTemplate.of(folder).orElseThrow().render(List.of(), true));
        Files.delete(folder.resolve("chat_template.jinja"));
        Files.delete(folder.resolve("tokenizer_config.json"));
        assertTrue(ChatTemplate.of(folder).isEmpty());
    }

    @Test
    @Timeout(120)
    void whatNeverEndsIsNotKnownOrReachesForOtherThingsIsRefused() throws IOException {
        for (String hostile : List.of("{% for a in range(100000) %}{% for b in range(100000) %}xxxxxxxxxxxxxxxx{% endfor %}{% endfor %}",
                "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{% for m in messages", "{{ 1 / 0 }}", "{{ raise_exception('no') }}", "{{ range(10000000) }}",
                "{{ 'x' * 1000000000 }}", "{{ '('.join('".repeat(50), "{{ " + "(".repeat(500) + "1" + ")".repeat(500) + " }}", "{% include 'other' %}", "{{ 'a' | wordwrap }}",
                "{{ nobody.name }}", "{{ messages.getClass().forName('java.lang.Runtime') }}", "{{ ''.__class__() }}", "{% set messages.role = 1 %}",
                "{% if messages %}", "{{ 1 if }}", "{% endfor %}", "{{ 9 ** 99 }}")) {
            ChatTemplate template = template(hostile);
            assertThrows(ChatTemplate.Refused.class, () -> template.render(List.of(), true), hostile);
        }
    }
}
