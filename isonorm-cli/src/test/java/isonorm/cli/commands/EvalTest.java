package isonorm.cli.commands;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.cli.Run;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code isonorm eval} and {@code isonorm score} on the GPT-2 of the examples, and on what they refuse. */
class EvalTest {

    private static final Path EXAMPLE = Run.HOME.resolve("examples/shakespeare-gpt2");
    private static final Path TEXT = Run.HOME.resolve("examples/tinyshakespeare-heldout.txt");

    @TempDir
    Path folder;

    @Test
    void evalSaysWhatVerifySays() throws IOException {
        JsonNode eval = Run.of("eval", EXAMPLE, "--text", TEXT, "--tokens", 1025, "--window", 64, "--compute", "f64", "--json").ended(0).json();
        JsonNode verify = Run.of("verify", EXAMPLE, EXAMPLE, "--text", TEXT, "--tokens", 1025, "--window", 64, "--json").ended(0).json();
        double perplexity = eval.path("perplexity").asDouble();
        assertEquals(verify.path("perplexity_a").asDouble(), perplexity, 1e-9 * perplexity);
        assertEquals(1024, eval.path("predicted_tokens").asLong());
        assertEquals(Math.log(perplexity), eval.path("nats_per_token").asDouble(), 1e-12);
        double bits = eval.path("nats_per_token").asDouble() / Math.log(2) * 1024 / eval.path("predicted_bytes").asLong();
        assertEquals(bits, eval.path("bits_per_byte").asDouble(), 1e-12);
    }

    /** More context makes a text likelier; both ways to print say the same. */
    @Test
    void aStrideOverlapsWindows() throws IOException {
        Path text = Files.writeString(folder.resolve("text.txt"), Files.readString(TEXT).substring(0, 3000));
        Object[] apart = {"eval", EXAMPLE, "--text", text, "--window", 32, "--json"};
        Object[] overlapping = {"eval", EXAMPLE, "--text", text, "--window", 32, "--stride", 8, "--json"};
        JsonNode far = Run.of(apart).ended(0).json();
        JsonNode near = Run.of(overlapping).ended(0).json();
        assertTrue(near.path("perplexity").asDouble() < far.path("perplexity").asDouble(), near + " " + far);
        assertEquals(near.path("tokens").asLong() - 1, near.path("predicted_tokens").asLong());
        assertEquals(3000 - 1, near.path("predicted_bytes").asLong()); // the first token is one character
        overlapping[overlapping.length - 1] = "--quiet";
        Run run = Run.of(overlapping).ended(0);
        assertEquals("", run.err());
        assertTrue(run.out().contains("in windows of 32 tokens, a stride of 8, nothing in front, computed in f32"), run.out());
        assertTrue(run.out().contains(String.format(Locale.ROOT, "%.6f", near.path("perplexity").asDouble())), run.out());
        assertTrue(run.out().contains(String.format(Locale.ROOT, "%.6f", near.path("bits_per_byte").asDouble())), run.out());
    }

    @Test
    void evalSaysInOneLineWhatItCannotDo() throws IOException {
        Path text = Files.writeString(folder.resolve("text.txt"), "To be, or not to be");
        refused("tokenizer.json does not exist; a text needs", "eval", Run.fixture("gpt2"), "--text", text, "--window", 16);
        refused("this bert model sees the tokens it would predict: take isonorm forward", "eval", Run.fixture("bert"), "--text", text);
        refused("this gpt2 model gives hidden states", "eval", Run.fixture("gpt2-base"), "--text", text);
        refused("this vit model reads images and gives scores", "eval", Run.fixture("vit"), "--text", text);
        refused("this bart model is an encoder beside a decoder, which writes about an input: take isonorm generate", "eval", Run.fixture("bart"), "--text", text);
        refused("this siglip model is a tower of texts beside one of images", "eval", Run.fixture("siglip"), "--text", text);
        refused("this model has 256 positions, got a window of 257 tokens", "eval", EXAMPLE, "--text", text, "--window", 257);
        refused("a stride must be 1 to the window, 256,", "eval", EXAMPLE, "--text", text, "--stride", 257);
        refused("empty.txt is empty", "eval", EXAMPLE, "--text", Files.createFile(folder.resolve("empty.txt")));
        refused("one.txt has 1 token; a perplexity needs two or more", "eval", EXAMPLE, "--text", Files.writeString(folder.resolve("one.txt"), "a"));
        byte[] latin = "caf\u00e9".getBytes(StandardCharsets.ISO_8859_1);
        refused("latin.txt is not UTF-8: byte 3", "eval", EXAMPLE, "--text", Files.write(folder.resolve("latin.txt"), latin));
    }

    @Test
    void scoreCountsWhatIsAnsweredRight() throws IOException {
        Path data = Files.writeString(folder.resolve("questions.jsonl"), """
                {"context": "ROMEO:\\nI am", "choices": ["not", "zqxj"], "answer": 0}
                {"context": "ROMEO:\\nI am", "choices": ["zqxj", "not"], "gold": 1}
                {"context": "KING RICHARD", "choices": ["III:", "zqxj zqxj"], "label": 0}
                {"context": "ROMEO:\\nI am", "choices": ["not", "zqxj"], "answer": 1}
                """);
        Object[] arguments = {"score", EXAMPLE, "--data", data, "--delimiter", " ", "--json"};
        JsonNode json = Run.of(arguments).ended(0).json();
        assertEquals(4, json.path("questions").asLong());
        assertEquals(8, json.path("choices").asLong());
        assertEquals(.75, json.path("accuracy").asDouble());
        assertEquals(.25, json.path("accuracy_standard_error").asDouble(), 1e-15);
        assertTrue(json.has("normalized_accuracy") && json.has("normalized_accuracy_standard_error"), json.toString());
        arguments[arguments.length - 1] = "--quiet";
        Run run = Run.of(arguments).ended(0);
        assertEquals("", run.err());
        assertTrue(run.out().contains("0.7500 (standard error 0.2500)"), run.out());
        JsonNode first = Run.of("score", EXAMPLE, "--data", data, "--limit", 1, "--json").ended(0).json();
        assertEquals(1, first.path("questions").asLong());
        assertTrue(first.has("accuracy") && !first.has("accuracy_standard_error"), first.toString());
    }

    @Test
    void scoreTakesSeveralTasksTogether() throws IOException {
        Path one = Files.writeString(folder.resolve("one.jsonl"), """
                {"context": "ROMEO:\\nI am", "choices": ["not", "zqxj"], "answer": 0}
                {"context": "ROMEO:\\nI am", "choices": ["zqxj", "not"], "gold": 1}
                {"context": "ROMEO:\\nI am", "choices": ["not", "zqxj"], "answer": 1}
                """);
        Path two = Files.writeString(folder.resolve("two.jsonl"), """
                {"context": "KING RICHARD", "choices": ["III:", "zqxj zqxj"], "label": 0}
                {"context": "KING RICHARD", "choices": ["zqxj zqxj", "III:"], "label": 1}
                """);
        JsonNode both = Run.of("score", EXAMPLE, "--data", one, "--data", two, "--delimiter", " ", "--json").ended(0).json();
        JsonNode first = Run.of("score", EXAMPLE, "--data", one, "--delimiter", " ", "--json").ended(0).json();
        assertEquals(first.path("accuracy"), both.at("/tasks/0/accuracy"));
        assertEquals(first.path("normalized_accuracy_standard_error"), both.at("/tasks/0/normalized_accuracy_standard_error"));
        assertEquals(2, both.at("/tasks/1/questions").asInt());
        assertEquals((2. / 3 + 1) / 2, both.at("/mean/accuracy").asDouble(), 1e-15);
        assertEquals(first.path("accuracy_standard_error").asDouble() / 2, both.at("/mean/accuracy_standard_error").asDouble(), 1e-15);
        Run run = Run.of("score", EXAMPLE, "--data", one, "--data", two, "--delimiter", " ").ended(0);
        assertTrue(run.out().contains("mean") && run.out().contains("0.8333"), run.out());
    }

    @Test
    void scoreAsksBehindExamples() throws IOException {
        Path dev = Files.writeString(folder.resolve("dev.jsonl"), """
                {"context": "Q: a", "choices": ["x", "zqxj"], "answer": 1}
                {"context": "Q: b", "choices": ["zqxj", "y"], "answer": 0}
                """);
        StringBuilder plain = new StringBuilder();
        StringBuilder behind = new StringBuilder();
        for (String word : "thou I the my lord king what not love good death night day come speak hear".split(" ")) {
            String rest = word + "\", \"choices\": [\"zqxj is\", \"thy own life\", \"and so\"], \"answer\": " + word.length() % 3 + "}\n";
            plain.append("{\"context\": \"Q: ").append(rest);
            behind.append("{\"context\": \"Q: a zqxj\\n\\nQ: b zqxj\\n\\nQ: ").append(rest);
        }
        JsonNode none = answers(plain, "--limit", 100);
        JsonNode shots = answers(plain, "--shots", 2, "--examples", dev);
        assertEquals(answers(behind, "--limit", 100), shots);
        assertNotEquals(none, shots);
        Path data = folder.resolve("questions.jsonl");
        refused("dev.jsonl has 2 examples, and --shots asks for 3", "score", EXAMPLE, "--data", data, "--shots", 3, "--examples", dev);
    }

    /** How many are right by either count. */
    private JsonNode answers(CharSequence questions, Object... more) throws IOException {
        Path data = Files.writeString(folder.resolve("questions.jsonl"), questions);
        List<Object> arguments = new ArrayList<>(List.of("score", EXAMPLE, "--data", data, "--delimiter", " ", "--json"));
        arguments.addAll(List.of(more));
        ObjectNode json = (ObjectNode) Run.of(arguments.toArray()).ended(0).json();
        return json.without(List.of("seconds", "shots"));
    }

    @Test
    void scoreSaysInOneLineWhatItCannotDo() throws IOException {
        Path data = Files.writeString(folder.resolve("q.jsonl"), "{\"context\": \"a\", \"choices\": [\"b\"], \"answer\": 0}\n{\"context\": 1}\n");
        refused("q.jsonl line 2 must have a context, a string; got 1", "score", EXAMPLE, "--data", data);
        refused("q.jsonl does not exist", "score", EXAMPLE, "--data", folder.resolve("no-q.jsonl"));
        refused("tokenizer.json does not exist", "score", Run.fixture("gpt2"), "--data", data, "--limit", 1);
        refused("this t5 model is an encoder beside a decoder", "score", Run.fixture("t5"), "--data", data, "--limit", 1);
        refused("this bert model sees the tokens it would predict: take isonorm forward", "score", Run.fixture("bert"), "--data", data, "--limit", 1);
    }

    private static void refused(String message, Object... arguments) {
        Run run = Run.of(arguments).ended(1);
        assertEquals(1, run.errors().size(), run.err());
        assertEquals("", run.out());
        assertTrue(run.err().contains(message), run.err());
    }
}
