package isonorm.score;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.checkpoint.Config;
import isonorm.convert.LoadedModel;
import isonorm.layer.Fixture;
import isonorm.layer.ForwardPass;
import isonorm.layer.Tolerance;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Result;
import isonorm.text.BeginningToken;
import isonorm.text.Tokenizer;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.LongStream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Questions to the GPT-2 of the examples, whose answers are computed here once more, token by token. */
class MultipleChoiceTest {

    /** What float64 rounds differently where rows run together, and a million times less than a wrong token. */
    private static final double SAME = 1e-9;

    private static final Path EXAMPLE = Path.of("..", "examples", "shakespeare-gpt2");
    private static final int CONTEXT = 256;

    private static LoadedModel model;

    @TempDir
    private Path folder;

    @BeforeAll
    static void open() throws IOException {
        model = LoadedModel.open(EXAMPLE);
    }

    /** More than run together, of different lengths, one with an answer that is not the likeliest. */
    @Test
    void choicesAreAsLikelyAsAPlainComputationSays() throws IOException {
        List<Question> questions = new ArrayList<>();
        List<List<Double>> expected = new ArrayList<>();
        long right = 0;
        for (int q = 0; q < 5; q++) {
            String context = "ROMEO:\n" + "What light through yonder window breaks? ".repeat(q).strip() + "\nJULIET:\nO";
            List<String> choices = List.of(" Romeo, Romeo!", " my lord", " \u00e9\ud83d\ude00", " the the the the");
            List<Double> sums = new ArrayList<>();
            for (String choice : choices) {
                sums.add(plain(ids(context), ids(choice)));
            }
            int likeliest = sums.indexOf(sums.stream().max(Double::compare).orElseThrow());
            questions.add(new Question("line " + q, context, choices, q == 3 ? (likeliest + 1) % 4 : likeliest));
            expected.add(sums);
            right += q == 3 ? 0 : 1;
        }
        List<Answered> answered = answer(questions);
        for (int q = 0; q < questions.size(); q++) {
            assertEquals(questions.get(q), answered.get(q).question());
            Answered alone = answer(List.of(questions.get(q))).getFirst();
            for (int c = 0; c < 4; c++) {
                assertEquals(expected.get(q).get(c), answered.get(q).logLikelihoods().get(c), SAME, "question " + q + ", choice " + c);
                assertEquals(alone.logLikelihoods().get(c), answered.get(q).logLikelihoods().get(c), SAME, "question " + q + ", choice " + c);
            }
        }
        List<Answered> fast = MultipleChoice.answer(model, questions, "", Compute.F32, Progress.NONE);
        for (int q = 0; q < questions.size(); q++) {
            for (int c = 0; c < 4; c++) {
                double exact = expected.get(q).get(c);
                assertEquals(exact, fast.get(q).logLikelihoods().get(c), Tolerance.ORIGINAL_F32 * Math.abs(exact));
            }
        }
        assertEquals(right / 5., Accuracy.of(answered, Answered::chosen).value());
    }

    /** The last spaces of a context are the choice's, and what follows it is cut where the context's own tokens end. */
    @Test
    void spacesMoveToTheChoice() throws IOException {
        double expected = plain(ids("O Romeo,"), ids(" Romeo"));
        assertEquals(expected, one("O Romeo, ", "Romeo", ""), SAME);
        assertEquals(expected, one("O Romeo,", " Romeo", ""), SAME);
        assertEquals(expected, one("O Romeo,", "Romeo", " "), SAME);
        assertEquals(plain(ids("O"), ids("\n\u3000 Romeo")), one("O\n\u3000 ", "Romeo", ""), SAME);
    }

    @Test
    void whatBeginsATextStandsInFrontOfTheContextOnce() throws IOException {
        String bos = "<|endoftext|>";
        long[] first = ids(bos);
        double expected = plain(LongStream.concat(Arrays.stream(first), Arrays.stream(ids("O Romeo,"))).toArray(), ids(" Romeo"));
        for (String context : List.of("O Romeo,", bos + "O Romeo,")) {
            List<Question> questions = List.of(new Question("line 1", context, List.of(" Romeo"), 0));
            List<Answered> answered = MultipleChoice.answer(model, questions, "", BeginningToken.ALWAYS, Compute.F64, Progress.NONE);
            assertEquals(expected, answered.getFirst().logLikelihoods().getFirst(), SAME);
        }
        assertEquals(plain(ids("O Romeo,"), ids(" Romeo")), one("O Romeo,", " Romeo", ""), SAME, "of itself this tokenizer puts nothing there");
    }

    @Test
    void anEmptyContextIsTheTokenThatBeginsAText() throws IOException {
        assertEquals(plain(new long[] {0}, ids("My lord")), one("", "My lord", ""), SAME);
        Config several = model.config().without("bos_token_id").with("eos_token_id", List.of(7, 8));
        assertEquals(plain(new long[] {7}, ids("My lord")), one(with(several), "", "My lord", ""), SAME);
        Config none = several.without("eos_token_id");
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> one(with(none), "", "My lord", ""));
        assertEquals("line 1: the context is empty, and config.json has no bos_token_id or eos_token_id to stand for it; give a context",
                e.getMessage());
    }

    private static LoadedModel with(Config config) {
        return new LoadedModel(model.checkpoint(), config, model.model(), model.unused());
    }

    /** The last token is only predicted, so one more than the context fits. */
    @ParameterizedTest
    @CsvSource({"256", "257", "258", "300"})
    void aLongContextLosesItsLeft(int tokens) throws IOException {
        String context = "king ".repeat(tokens).strip();
        long[] before = ids(context);
        long[] choice = ids(" Richard");
        long[] kept = Arrays.copyOfRange(before, Math.max(0, before.length + choice.length - 1 - CONTEXT), before.length);
        assertEquals(plain(kept, choice), one(context, " Richard", ""), SAME);
    }

    @Test
    void whatCannotBeAskedIsRefused() throws IOException {
        assertTrue(assertThrows(IllegalArgumentException.class, () -> one("O", " king".repeat(CONTEXT + 1), "")).getMessage()
                .startsWith("line 1: choice 0 has 257 tokens, more than the model's context of 256"));
        LoadedModel untold = LoadedModel.open(Fixture.named("gpt2").folder());
        assertTrue(assertThrows(IOException.class, () -> one(untold, "O", "x", "")).getMessage().contains("tokenizer.json does not exist"));
        LoadedModel masked = LoadedModel.open(Fixture.named("bert").folder());
        assertTrue(assertThrows(IllegalArgumentException.class, () -> one(masked, "O", "x", "")).getMessage().contains("sees the tokens it would predict"));
    }

    @Test
    void aCharacterIsACodePoint() {
        Question question = new Question("line 1", "", List.of("\ud83d\ude00\ud83d\ude00", "abc", "abcd"), 2);
        Answered answered = new Answered(question, List.of(-3., -3., -5.));
        assertEquals(0, answered.chosen()); // the first of two
        assertEquals(1, answered.chosenByLength()); // -1.5, -1 and -1.25; of UTF-16 it would be the first
        assertEquals(1, new Answered(question, List.of(-3., -2., -5.)).chosen());
        assertEquals(2, new Answered(question, List.of(-3., -4., -5.)).chosenByLength());
    }

    /** Three of four: the sample deviation is a half, and the root of four is two. */
    @Test
    void theStandardErrorIsTheSampleDeviationOverTheRoot() {
        List<Answered> answered = LongStream.range(0, 4)
                .mapToObj(i -> new Answered(new Question("line " + i, "", List.of("a", "b"), i == 0 ? 1 : 0), List.of(-1., -2.))).toList();
        assertEquals(new Accuracy(.75, .25), Accuracy.of(answered, Answered::chosen));
        assertTrue(Double.isNaN(Accuracy.of(answered.subList(0, 1), Answered::chosen).standardError()));
    }

    @Test
    void linesAreQuestions() throws IOException {
        Path file = Files.writeString(folder.resolve("q.jsonl"), """
                {"context": "c", "choices": ["a", "b"], "answer": 1}

                {"context": "", "choices": ["\u00e9"], "gold": 0, "more": {}}
                {"context": "d", "choices": ["a", "b"], "label": 0}
                """);
        List<Question> questions = Question.read(file, 100);
        assertEquals(List.of(1, 0, 0), questions.stream().map(Question::answer).toList());
        assertEquals(List.of("\u00e9"), questions.get(1).choices());
        assertEquals(file + " line 4", questions.getLast().where());
        assertEquals(questions.subList(0, 2), Question.read(file, 2));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', quoteCharacter = '~', textBlock = """
            {"context": "c"                                        | is not JSON
            {"context": "c", "choices": ["a"], "answer": 0} x      | is not JSON
            [1]                                                    | must be an object with context, choices and answer, got ARRAY
            {"choices": ["a"], "answer": 0}                        | must have a context, a string; it has none
            {"context": 3, "choices": ["a"], "answer": 0}          | must have a context, a string; got 3
            {"context": "c", "answer": 0}                          | must have choices, a list of strings; it has none
            {"context": "c", "choices": ["a", 1], "answer": 0}     | must have choices, a list of strings; got ["a",1]
            {"context": "c", "choices": [], "answer": 0}           | a question needs choices
            {"context": "c", "choices": ["a", ""], "answer": 0}    | a question needs choices, none of them empty
            {"context": "c", "choices": ["a"]}                     | must have an answer (or gold, or label), the index of the right choice; it has none
            {"context": "c", "choices": ["a"], "answer": "a"}      | the index of the right choice; got "a"
            {"context": "c", "choices": ["a"], "answer": 0.5}      | the index of the right choice; got 0.5
            {"context": "c", "choices": ["a", "b"], "answer": 2}   | the answer must be 0 to 1, got 2
            {"context": "c", "choices": ["a", "b"], "answer": -1}  | the answer must be 0 to 1, got -1
            """)
    void badLinesAreNamed(String line, String message) throws IOException {
        Path file = Files.writeString(folder.resolve("q.jsonl"), "{\"context\": \"c\", \"choices\": [\"a\"], \"answer\": 0}\n\n" + line + "\n");
        String said = assertThrows(IOException.class, () -> Question.read(file, 100)).getMessage();
        assertTrue(said.startsWith(file + " line 3") && said.contains(message), said);
    }

    @Test
    void badFilesAreNamed() throws IOException {
        refused(" is empty", new byte[0]);
        refused(" has no question in it", "\n \n".getBytes(StandardCharsets.UTF_8));
        refused(" is not UTF-8: byte 3 starts no character (line 2)", "{}\n\u00e9".getBytes(StandardCharsets.ISO_8859_1));
    }

    private void refused(String message, byte[] bytes) throws IOException {
        Path file = Files.write(folder.resolve("bad.jsonl"), bytes);
        assertEquals(file + message, assertThrows(IOException.class, () -> Question.read(file, 100)).getMessage());
    }

    private static List<Answered> answer(List<Question> questions) throws IOException {
        return MultipleChoice.answer(model, questions, "", Compute.F64, Progress.NONE);
    }

    private static double one(String context, String choice, String delimiter) throws IOException {
        return one(model, context, choice, delimiter);
    }

    private static double one(LoadedModel asked, String context, String choice, String delimiter) throws IOException {
        List<Question> questions = List.of(new Question("line 1", context, List.of(choice), 0));
        return MultipleChoice.answer(asked, questions, delimiter, Compute.F64, Progress.NONE).getFirst().logLikelihoods().getFirst();
    }

    private static long[] ids(String text) throws IOException {
        try (Tokenizer tokenizer = Tokenizer.open(EXAMPLE.resolve("tokenizer.json"))) {
            return tokenizer.ids(text);
        }
    }

    /** The sum of {@code log softmax} at each token of the choice, from one row without the last token. */
    private static double plain(long[] context, long[] choice) throws IOException {
        long[] row = LongStream.concat(Arrays.stream(context), Arrays.stream(choice)).limit(context.length + choice.length - 1L).toArray();
        double sum = 0;
        try (ForwardPass pass = ForwardPass.resident(Model.of(model.model()), Compute.F64); Result result = pass.run(Batch.Tokens.of(row))) {
            double[] logits = result.outputValues();
            int width = logits.length / row.length;
            for (int i = 0; i < choice.length; i++) {
                int at = (context.length - 1 + i) * width;
                double all = Arrays.stream(logits, at, at + width).map(Math::exp).sum();
                sum += logits[at + (int) choice[i]] - Math.log(all);
            }
        }
        return sum;
    }

    @Test
    void examplesStandInFrontWithTheirRightChoices() {
        Question first = new Question("x", "Q: a", List.of("b", "c"), 1);
        Question second = new Question("x", "Q: d", List.of("e"), 0);
        assertEquals("Q: a c\n\nQ: d e\n\n", Question.shots(List.of(first, second), " "));
        assertEquals("Q: a c\n\nQ: d", second.behind(Question.shots(List.of(first), " ")).context());
    }
}
