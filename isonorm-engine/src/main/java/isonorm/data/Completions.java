package isonorm.data;

import com.fasterxml.jackson.databind.JsonNode;
import isonorm.chat.ChatTemplate;
import isonorm.text.BeginningToken;
import isonorm.weights.Seed;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.IntStream;

/**
 * Texts of which some tokens are to be learned: prompts with completions, conversations, or instructions.
 *
 * <ul>
 * <li>Lines of JSON with the keys {@code prompt} and {@code completion}: the tokens of the prompt, as they are when a model is asked to continue it, those of
 *     its completion, and the end of text, of which the completion and the end are learned. Of one that is longer than a sequence, the prompt loses its
 *     beginning, down to one token; what is still too long loses the end of the completion.
 * <li>{@code instruction}, {@code output} and perhaps {@code input}, as Alpaca and Commonsense170K have them: the same, with Alpaca's prompt.
 * <li>{@code messages}, each with a {@code role} and a {@code content}: what the model's chat template makes of them, of which is learned what it writes for the
 *     assistant's. One that is longer than a sequence loses its end.
 * </ul>
 *
 * <p>All are held in memory as tokens.
 */
public final class Completions {

    private static final int NAMED = 20; // keys in an error
    private static final String ASSISTANT = "assistant";

    /**
     * Rows of one length.
     *
     * @param ids (count, length): what is read, and the end of text where a row is shorter
     * @param targets (count, length): the token behind each, or -1 where nothing is asked: within what is given, and behind the end
     */
    public record Rows(int[][] ids, int[][] targets) {}

    /** Tokens, and which of them are targets. */
    private record Pair(int[] ids, BitSet asked) {}

    private final List<Pair> train;
    private final List<Pair> validation;
    private final int endOfText;
    private final long seed;
    private final int leftOut;

    private Completions(List<Pair> train, List<Pair> validation, int endOfText, long seed, int leftOut) {
        this.train = train;
        this.validation = validation;
        this.endOfText = endOfText;
        this.seed = seed;
        this.leftOut = leftOut;
    }

    /**
     * Reads a file of pairs.
     *
     * @param vocabulary of the model that is trained
     * @param chat how the model writes a conversation
     * @param beginning what stands in front of a prompt
     * @param length the most tokens a row has
     * @param share of the pairs, drawn by the seed, that is not learned from
     * @throws IOException naming the line that is no such pair
     */
    public static Completions read(Path file, Vocabulary vocabulary, Optional<ChatTemplate> chat, BeginningToken beginning, int length, double share, long seed)
            throws IOException {
        if (length < 1) {
            throw new IllegalArgumentException("a sequence must have 1 token or more, got " + length);
        }
        if (!(share >= 0 && share < 1)) {
            throw new IllegalArgumentException("the share for validation must be 0 or more and below 1, got " + share);
        }
        if (DocumentFile.kind(file) != DocumentFile.Kind.LINES) {
            throw new IOException(file + " must be lines of JSON with a prompt and a completion, or with messages, or with an instruction and an output; its name must end in .jsonl, .ndjson or .json, or "
                    + "in one of these and .gz or .zst");
        }
        List<Pair> pairs = new ArrayList<>();
        int[] leftOut = {0};
        switch (layout(file)) {
            case PAIRS -> DocumentFile.Lines.visit(file, List.of("prompt", "completion"), (_, texts) -> pairs.add(pair(texts.getFirst(), texts.getLast(), vocabulary,
                    beginning, length)));
            case INSTRUCTIONS -> DocumentFile.Lines.visit(file, (where, object) -> {
                String instruction = text(where, object, "instruction");
                String input = object.has("input") ? text(where, object, "input") : "";
                pairs.add(pair(prompt(instruction, input), text(where, object, "output"), vocabulary, beginning, length));
            });
            case CONVERSATIONS -> {
                ChatTemplate template = chat.orElseThrow(() -> new IOException(file + " has conversations, and the model has no chat template that says how it"
                        + " writes them; give it a chat_template.jinja, or take prompts and completions"));
                DocumentFile.Lines.visit(file, (where, object) -> {
                    Pair pair = conversation(where, messages(where, object), template, vocabulary, length);
                    if (pair.asked.isEmpty()) {
                        leftOut[0]++;
                    } else {
                        pairs.add(pair);
                    }
                });
            }
        }
        if (leftOut[0] > 0 && pairs.isEmpty()) {
            throw new IOException(file + " has no conversation with an answer within " + length + " tokens; make sequence longer");
        }
        if (pairs.isEmpty()) {
            throw new IOException(file + " has no line");
        }
        List<Pair> train = new ArrayList<>();
        List<Pair> validation = new ArrayList<>();
        long kept = Math.min(Math.round(pairs.size() * share), pairs.size() - 1);
        Permutation order = new Permutation(pairs.size(), Seed.of(seed).at("validation"));
        for (int i = 0; i < pairs.size(); i++) {
            (i < kept ? validation : train).add(pairs.get((int) order.at(i)));
        }
        return new Completions(train, validation, vocabulary.endOfText(), seed, leftOut[0]);
    }

    /** Alpaca's prompt, which a response follows. */
    private static String prompt(String instruction, String input) {
        return input.isEmpty() ? """
                Below is an instruction that describes a task. Write a response that appropriately completes the request.

                ### Instruction:
                %s

                ### Response:
                """.formatted(instruction) : """
                Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.

                ### Instruction:
                %s

                ### Input:
                %s

                ### Response:
                """.formatted(instruction, input);
    }

    private enum Layout {
        PAIRS, INSTRUCTIONS, CONVERSATIONS
    }

    /** What the first object has keys for. */
    private static Layout layout(Path file) throws IOException {
        Set<String> keys = DocumentFile.Lines.firstKeys(file);
        return keys.contains("messages") ? Layout.CONVERSATIONS : keys.contains("instruction") && !keys.contains("prompt") ? Layout.INSTRUCTIONS : Layout.PAIRS;
    }

    private static String text(String where, JsonNode object, String key) throws IOException {
        JsonNode text = object.path(key);
        if (!text.isTextual()) {
            throw new IOException(where + (text.isMissingNode() ? " has no key " + key + "; its keys are " + String.join(", ", keys(object))
                    : ": " + key + " must be a text, got " + text.getNodeType().name().toLowerCase(Locale.ROOT)));
        }
        if (!StandardCharsets.UTF_8.newEncoder().canEncode(text.textValue())) {
            throw new IOException(where + ": " + key + " has half a surrogate pair, which is no character");
        }
        return text.textValue();
    }

    private static List<String> keys(JsonNode object) {
        return object.properties().stream().map(Map.Entry::getKey).limit(NAMED).toList();
    }

    private static List<Map<String, Object>> messages(String where, JsonNode object) throws IOException {
        if (!object.path("messages").isArray()) {
            throw new IOException(where + " must have messages, a list, each with a role and a content; its keys are " + String.join(", ", keys(object)));
        }
        List<Map<String, Object>> messages = new ArrayList<>();
        for (JsonNode each : object.path("messages")) {
            Map<String, Object> message = new LinkedHashMap<>();
            message.put("role", text(where, each, "role"));
            message.put("content", text(where, each, "content"));
            messages.add(message);
        }
        return messages;
    }

    /** The tokens of a conversation up to the last that is learned, which are those that the template writes for answers. */
    private static Pair conversation(String where, List<Map<String, Object>> messages, ChatTemplate template, Vocabulary vocabulary, int length) throws IOException {
        BitSet asked = new BitSet();
        String whole = rendered(where, messages, false, template);
        int[] ids = ids(whole, vocabulary);
        for (int i = 0; i < messages.size(); i++) {
            if (!ASSISTANT.equals(messages.get(i).get("role"))) {
                continue;
            }
            if (i == 0) {
                throw new IOException(where + ": the first message is the assistant's, who has nothing to answer; put a message before it");
            }
            String before = rendered(where, messages.subList(0, i), true, template);
            String behind = i == messages.size() - 1 ? whole : rendered(where, messages.subList(0, i + 1), false, template);
            if (!whole.startsWith(behind) || !behind.startsWith(before)) {
                throw new IOException(where + ": the model's chat template writes message " + (i + 1) + " otherwise when others follow or when it is asked for it, so it"
                        + " is not known which tokens are the assistant's; take prompts and completions");
            }
            asked.set(common(ids, ids(before, vocabulary)), common(ids, ids(behind, vocabulary)));
        }
        asked.clear(0); // nothing stands before it
        asked.clear(Math.min(length + 1, ids.length), ids.length);
        return new Pair(Arrays.copyOf(ids, asked.length()), asked);
    }

    private static String rendered(String where, List<Map<String, Object>> messages, boolean continues, ChatTemplate template) throws IOException {
        try {
            return template.render(messages, continues);
        } catch (ChatTemplate.Refused e) {
            throw new IOException(where + ": " + e.getMessage(), e);
        }
    }

    private static int[] ids(String text, Vocabulary vocabulary) throws IOException {
        return vocabulary.ids(text.getBytes(StandardCharsets.UTF_8));
    }

    /** How many tokens two texts begin with alike; one in which an answer begins is a part of the answer. */
    private static int common(int[] ids, int[] others) {
        int difference = Arrays.mismatch(ids, others);
        return difference < 0 ? ids.length : difference;
    }

    private static Pair pair(String prompt, String completion, Vocabulary vocabulary, BeginningToken beginning, int length) throws IOException {
        int[] given = vocabulary.prompt(prompt.getBytes(StandardCharsets.UTF_8), beginning);
        int[] answer = ids(completion, vocabulary);
        int[] before = given.length == 0 ? new int[] {vocabulary.endOfText()} : given; // something must stand before the first target
        int targets = Math.min(answer.length + 1, length);
        int kept = Math.min(before.length, length + 1 - targets);
        int[] ids = new int[kept + targets];
        System.arraycopy(before, before.length - kept, ids, 0, kept);
        System.arraycopy(answer, 0, ids, kept, Math.min(answer.length, targets));
        if (targets > answer.length) {
            ids[kept + answer.length] = vocabulary.endOfText();
        }
        BitSet asked = new BitSet();
        asked.set(kept, ids.length);
        return new Pair(ids, asked);
    }

    /** How many conversations have no answer within a sequence, and are not learned from. */
    public int leftOut() {
        return leftOut;
    }

    /** Whether a file's name is that of lines of JSON. */
    public static boolean isNamed(Path file) {
        return file.getFileName() != null && DocumentFile.kind(file.getFileName().toString()).equals(Optional.of(DocumentFile.Kind.LINES));
    }

    /** How many pairs are learned from. */
    public int train() {
        return train.size();
    }

    /** How many are not. */
    public int validation() {
        return validation.size();
    }

    /** The pairs {@code position} to {@code position + count - 1} of an endless order, as long as the longest of them. */
    public Rows rows(long position, int count) {
        return rows(position, count, 0, 1);
    }

    /** Of these the one with number {@code first} and every {@code stride}th behind it, as long as the longest of all. */
    public Rows rows(long position, int count, int first, int stride) {
        Pair[] pairs = new Pair[count];
        for (int i = 0; i < count; i++) {
            pairs[i] = train.get((int) Permutation.endless(train.size(), Seed.of(seed).at("order"), position + i));
        }
        return rows(IntStream.iterate(first, i -> i < count, i -> i + stride).mapToObj(i -> pairs[i]).toArray(Pair[]::new), longest(pairs));
    }

    /** The pairs {@code first} to {@code first + count - 1} of those that are not learned from. */
    public Rows validation(int first, int count) {
        Pair[] pairs = validation.subList(first, first + count).toArray(Pair[]::new);
        return rows(pairs, longest(pairs));
    }

    private static int longest(Pair[] pairs) {
        return Arrays.stream(pairs).mapToInt(pair -> pair.ids.length - 1).max().orElseThrow();
    }

    private Rows rows(Pair[] pairs, int length) {
        int[][] ids = new int[pairs.length][length];
        int[][] targets = new int[pairs.length][length];
        for (int row = 0; row < pairs.length; row++) {
            int[] all = pairs[row].ids;
            Arrays.fill(ids[row], endOfText);
            Arrays.fill(targets[row], -1);
            System.arraycopy(all, 0, ids[row], 0, all.length - 1);
            for (int at : pairs[row].asked.stream().toArray()) {
                targets[row][at - 1] = all[at];
            }
        }
        return new Rows(ids, targets);
    }
}
