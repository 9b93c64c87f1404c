package isonorm.score;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import isonorm.words.JsonFault;
import isonorm.words.TextFile;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Optional;

/**
 * A context and texts that may follow it, one of which is right.
 *
 * @param where the file and line it stands in, for messages
 * @param answer the index of the right choice
 */
public record Question(String where, String context, List<String> choices, int answer) {

    private static final ObjectMapper JSON = new ObjectMapper().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);
    private static final List<String> ANSWERS = List.of("answer", "gold", "label");
    private static final String BETWEEN_SHOTS = "\n\n";

    public Question {
        choices = List.copyOf(choices);
        if (choices.isEmpty() || choices.contains("")) {
            throw new IllegalArgumentException(where + ": a question needs choices, none of them empty, got " + choices);
        }
        if (answer < 0 || answer >= choices.size()) {
            throw new IllegalArgumentException(where + ": the answer must be 0 to " + (choices.size() - 1) + ", got " + answer);
        }
    }

    /**
     * Reads questions, one JSON object a line: {@code {"context": "...", "choices": ["...", ...], "answer": 0}}. The answer may
     * also be called {@code gold} or {@code label}. Empty lines are skipped.
     *
     * @param limit how many are read at most
     * @throws IOException if the file is missing, empty or not UTF-8, or if a line is not such an object; naming the line
     */
    public static List<Question> read(Path jsonLines, long limit) throws IOException {
        List<Question> questions = new ArrayList<>();
        int number = 0;
        for (Iterator<String> lines = TextFile.read(jsonLines).lines().iterator(); lines.hasNext() && questions.size() < limit; ) {
            String line = lines.next();
            number++;
            if (!line.isBlank()) {
                questions.add(parse(jsonLines + " line " + number, line));
            }
        }
        if (questions.isEmpty()) {
            throw new IOException(jsonLines + " has no question in it");
        }
        return questions;
    }

    /**
     * What stands in front of a question that is asked behind examples: each with its right choice behind it, as lm-evaluation-harness has them.
     *
     * @param delimiter what stands between context and choice
     */
    public static String shots(List<Question> examples, String delimiter) {
        StringBuilder shots = new StringBuilder();
        for (Question example : examples) {
            shots.append(example.context).append(delimiter).append(example.choices.get(example.answer)).append(BETWEEN_SHOTS);
        }
        return shots.toString();
    }

    /** The same question behind a text. */
    public Question behind(String text) {
        return new Question(where, text + context, choices, answer);
    }

    private static Question parse(String where, String line) throws IOException {
        JsonNode json;
        try {
            json = JSON.readTree(line);
        } catch (JsonProcessingException e) {
            throw new IOException(where + " is not JSON: " + JsonFault.of(e), e);
        }
        if (!json.isObject()) {
            throw new IOException(where + " must be an object with context, choices and answer, got " + json.getNodeType());
        }
        if (!json.path("context").isTextual()) {
            throw new IOException(where + " must have a context, a string; " + got(json.path("context")));
        }
        try {
            return new Question(where, json.path("context").asText(), choices(where, json.path("choices")), answer(where, json));
        } catch (IllegalArgumentException e) {
            throw new IOException(e.getMessage(), e);
        }
    }

    private static List<String> choices(String where, JsonNode json) throws IOException {
        List<String> choices = new ArrayList<>();
        for (JsonNode choice : json) {
            choices.add(choice.isTextual() ? choice.asText() : null);
        }
        if (!json.isArray() || choices.contains(null)) {
            throw new IOException(where + " must have choices, a list of strings; " + got(json));
        }
        return choices;
    }

    private static int answer(String where, JsonNode json) throws IOException {
        Optional<JsonNode> answer = ANSWERS.stream().map(json::path).filter(value -> !value.isMissingNode()).findFirst();
        if (answer.isEmpty() || !answer.get().canConvertToInt() || !answer.get().isIntegralNumber()) {
            throw new IOException(where + " must have an answer (or gold, or label), the index of the right choice; "
                    + answer.map(Question::got).orElse("it has none"));
        }
        return answer.get().intValue();
    }

    private static String got(JsonNode value) {
        return value.isMissingNode() ? "it has none" : "got " + value;
    }
}
