package isonorm.data;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.chat.ChatTemplate;
import isonorm.text.BeginningToken;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CompletionsTest {

    private static final int END = 256;

    @TempDir
    Path folder;

    private Completions read(String lines, int length, double share, long seed) throws IOException {
        return Completions.read(Files.writeString(folder.resolve("a.jsonl"), lines), Vocabulary.bytes(), Optional.empty(), BeginningToken.AUTO, length, share, seed);
    }

    private static String line(String prompt, String completion) {
        return "{\"prompt\": \"" + prompt + "\", \"completion\": \"" + completion + "\"}\n";
    }

    @Test
    void onlyTheCompletionAndTheEndAreAskedFor() throws IOException {
        Completions.Rows rows = read(line("ab", "cd"), 16, 0, 0).rows(0, 1);
        assertArrayEquals(new int[] {'a', 'b', 'c', 'd'}, rows.ids()[0]);
        assertArrayEquals(new int[] {-1, 'c', 'd', END}, rows.targets()[0]);
    }

    @Test
    void shorterRowsArePaddedAndNothingIsAskedThere() throws IOException {
        Completions completions = read(line("ab", "cd") + line("x", "y"), 16, 0, 0);
        Completions.Rows rows = completions.rows(0, 2);
        int shorter = rows.ids()[0][0] == 'x' ? 0 : 1;
        assertArrayEquals(new int[] {'x', 'y', END, END}, rows.ids()[shorter]);
        assertArrayEquals(new int[] {'y', END, -1, -1}, rows.targets()[shorter]);
    }

    @Test
    void aPromptLosesItsBeginningAndThenACompletionItsEnd() throws IOException {
        Completions.Rows rows = read(line("0123456789", "abc"), 6, 0, 0).rows(0, 1);
        assertArrayEquals(new int[] {'7', '8', '9', 'a', 'b', 'c'}, rows.ids()[0]);
        assertArrayEquals(new int[] {-1, -1, 'a', 'b', 'c', END}, rows.targets()[0]);
        rows = read(line("0123456789", "abcdefgh"), 6, 0, 0).rows(0, 1);
        assertArrayEquals(new int[] {'9', 'a', 'b', 'c', 'd', 'e'}, rows.ids()[0]);
        assertArrayEquals(new int[] {'a', 'b', 'c', 'd', 'e', 'f'}, rows.targets()[0]);
        rows = read(line("", "ab"), 6, 0, 0).rows(0, 1);
        assertArrayEquals(new int[] {END, 'a', 'b'}, rows.ids()[0]);
        assertArrayEquals(new int[] {'a', 'b', END}, rows.targets()[0]);
    }

    @Test
    void everyPairComesOnceAnEpochAndIsOnOneSide() throws IOException {
        StringBuilder lines = new StringBuilder();
        for (char c = 'a'; c <= 'z'; c++) {
            lines.append(line(String.valueOf(c), "?"));
        }
        Completions completions = read(lines.toString(), 8, 0.25, 3);
        assertEquals(19, completions.train());
        assertEquals(7, completions.validation());
        Set<Integer> all = new TreeSet<>();
        StringBuilder orders = new StringBuilder();
        for (int epoch = 0; epoch < 3; epoch++) {
            Set<Integer> seen = new TreeSet<>();
            for (int[] row : completions.rows(19L * epoch, 19).ids()) {
                seen.add(row[0]);
                orders.append((char) row[0]);
            }
            assertEquals(19, seen.size());
            all.addAll(seen);
        }
        for (int[] row : completions.validation(0, 7).ids()) {
            assertTrue(all.add(row[0]));
        }
        assertEquals(26, all.size());
        assertTrue(!orders.substring(0, 19).equals(orders.substring(19, 38)), orders.toString());
    }

    @Test
    void whatIsNoPairIsRefusedByItsLine() throws IOException {
        Path file = folder.resolve("a.jsonl");
        assertEquals(file + " line 2 has no key completion; its keys are prompt, answer",
                assertThrows(IOException.class, () -> read(line("a", "b") + "{\"prompt\": \"a\", \"answer\": \"b\"}", 8, 0, 0)).getMessage());
        assertEquals(file + " has no line", assertThrows(IOException.class, () -> read("\n", 8, 0, 0)).getMessage());
        Path text = Files.writeString(folder.resolve("a.txt"), "a");
        assertEquals(text + " must be lines of JSON with a prompt and a completion, or with messages, or with an instruction and an output; its name must end in .jsonl, .ndjson or .json, "
                + "or in one of these and .gz or .zst",
                assertThrows(IOException.class, () -> Completions.read(text, Vocabulary.bytes(), Optional.empty(), BeginningToken.AUTO, 8, 0, 0)).getMessage());
    }

    private static final String CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";

    private Completions talk(String template, String lines, int length) throws IOException {
        Files.writeString(folder.resolve("chat_template.jinja"), template);
        return Completions.read(Files.writeString(folder.resolve("a.json"), lines), Vocabulary.bytes(), ChatTemplate.of(folder), BeginningToken.AUTO, length, 0, 0);
    }

    /** What is read, and below it what is asked for, a dot where nothing is. */
    private static List<String> seen(Completions.Rows rows, int row) {
        StringBuilder targets = new StringBuilder();
        for (int target : rows.targets()[row]) {
            targets.append(target < 0 ? '.' : target == END ? '#' : (char) target);
        }
        byte[] ids = new byte[rows.ids()[row].length];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = (byte) rows.ids()[row][i];
        }
        return List.of(new String(ids, StandardCharsets.UTF_8), targets.toString());
    }

    @Test
    void ofAConversationTheAnswersAreAskedFor() throws IOException {
        String line = """
                {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}, {"role": "assistant", "content": "one"},
                {"role": "user", "content": "v"}, {"role": "assistant", "content": "two"}, {"role": "user", "content": "w"}], "id": 7}
                """.replace("\n", "") + "\n";
        Completions.Rows rows = talk(CHAT, line, 100).rows(0, 1);
        String given = ".".repeat("<system>s</><user>u</><assistant>".length() - 1);
        assertEquals(List.of("<system>s</><user>u</><assistant>one</><user>v</><assistant>two</",
                given + "one</>" + ".".repeat("<user>v</><assistant>".length()) + "two</>"), seen(rows, 0));
        rows = talk(CHAT, line, "<system>s</><user>u</><assistant>on".length() - 1).rows(0, 1);
        assertEquals(List.of("<system>s</><user>u</><assistant>o", given + "on"), seen(rows, 0));
        Completions two = talk(CHAT, "[" + line + ", " + line.replace("\"u\"", "\"" + "u".repeat(200) + "\"") + "]", 100);
        assertEquals(1, two.train());
        assertEquals(1, two.leftOut());
    }

    @Test
    void anInstructionHasAlpacasPrompt() throws IOException {
        String list = """
                [{"instruction": "Is it so?", "input": "", "output": "yes", "answer": "true"},
                 {"instruction": "Add", "input": "1 2", "output": "3"}]
                """;
        Completions.Rows rows = talk(CHAT, list, 400).rows(0, 2);
        int first = seen(rows, 0).getFirst().contains("Is it so?") ? 0 : 1;
        String plain = "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### Instruction:\nIs it so?\n\n"
                + "### Response:\n";
        String paired = "Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately"
                + " completes the request.\n\n### Instruction:\nAdd\n\n### Input:\n1 2\n\n### Response:\n";
        assertTrue(seen(rows, first).getFirst().startsWith(plain + "yes"), seen(rows, first).getFirst());
        assertTrue(seen(rows, first).getLast().startsWith(".".repeat(plain.length() - 1) + "yes#."), seen(rows, first).getLast());
        assertTrue(seen(rows, 1 - first).getFirst().startsWith(paired + "3"), seen(rows, 1 - first).getFirst());
        assertTrue(seen(rows, 1 - first).getLast().startsWith(".".repeat(paired.length() - 1) + "3#"), seen(rows, 1 - first).getLast());
    }

    @Test
    void whatIsNoConversationIsRefused() throws IOException {
        Path file = folder.resolve("a.json");
        String answer = "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}\n";
        refused(file + " line 1: the first message is the assistant's, who has nothing to answer; put a message before it", CHAT,
                answer.replace("user", "assistant"));
        refused(file + " line 2 has no key content; its keys are role", CHAT, answer + answer.replace(", \"content\": \"b\"", ""));
        refused(file + " line 2 must have messages, a list, each with a role and a content; its keys are text", CHAT, answer + "{\"text\": \"a\"}");
        refused(file + " line 1: the model's chat template writes message 2 otherwise when others follow or when it is asked for it, so it is not known which tokens"
                + " are the assistant's; take prompts and completions", CHAT.replace("<assistant>", "<think>"), answer);
        refused(file + " line 1: the checkpoint's chat template does not take these messages: no", "{{ raise_exception('no') }}", answer);
        refused(file + " line 2 is not JSON: it ends too soon", CHAT, answer + "{");
        assertEquals(file + " has conversations, and the model has no chat template that says how it writes them; give it a chat_template.jinja, or take prompts and"
                + " completions", assertThrows(IOException.class, () -> Completions.read(Files.writeString(file, answer), Vocabulary.bytes(), Optional.empty(),
                        BeginningToken.AUTO, 8, 0, 0)).getMessage());
        assertEquals(file + " has no conversation with an answer within 8 tokens; make sequence longer",
                assertThrows(IOException.class, () -> talk(CHAT, answer, 8)).getMessage());
    }

    private void refused(String message, String template, String lines) {
        assertEquals(message, assertThrows(IOException.class, () -> talk(template, lines, 100)).getMessage());
    }
}
