package isonorm.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.compare.Grid;
import isonorm.compare.Results;
import isonorm.compare.Trials;
import isonorm.convert.Comparison;
import isonorm.convert.Conversion;
import isonorm.convert.Form;
import isonorm.convert.LoadedModel;
import isonorm.convert.Pruning;
import isonorm.data.TokenData;
import isonorm.data.TokenDataBuilder;
import isonorm.data.Vocabulary;
import isonorm.depth.Depth;
import isonorm.depth.DepthSurvey;
import isonorm.generate.Generated;
import isonorm.generate.Generator;
import isonorm.generate.Options;
import isonorm.inference.Inference;
import isonorm.inference.Sequence;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.text.Tokenizer;
import isonorm.verify.TokenizedText;
import isonorm.verify.Verification;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What the package pages and docs/library.md show, run. */
class EngineSnippetsTest {

    private static final Pattern SNIPPET = Pattern.compile("\\{@snippet class=\"(.*?)\" region=\"(.*?)\"}");

    private final Path folder = Path.of("..", "examples", "shakespeare-gpt2");

    private final Path textFile = Path.of("..", "examples", "tinyshakespeare-heldout.txt");

    private final Path tokenizerJson = folder.resolve("tokenizer.json");

    @TempDir
    private Path temporary;

    @Test
    void verify() throws IOException {
        Path target = temporary.resolve("small");
        // @start region="verify"
        LoadedModel original = LoadedModel.open(folder);
        Conversion.Report report = Conversion.of(original, Form.PRE_CRMSNORM).verifiedBy(Verification.verifier()).writeTo(target);
        double largest = report.verification().orElseThrow().decisive().largestError(); // a part of the logits' standard deviation
        // @end
        assertTrue(largest < 1e-5, "" + largest);
        LoadedModel converted = LoadedModel.open(target);
        // @start region="compared"
        Comparison comparison = Verification.of(original.model(), converted.model())
                .withText(TokenizedText.read(tokenizerJson, textFile, 128, 512))
                .compute(Compute.F64, Compute.F64)
                .run(Progress.NONE);
        // @end
        assertTrue(comparison.largestError() < 1e-5, comparison.toString());
    }

    @Test
    void inference() throws IOException {
        LoadedModel model = LoadedModel.open(folder);
        float[] logits;
        // @start region="inference"
        try (Inference inference = Inference.load(model.model(), Compute.F32);
                Sequence sequence = inference.start()) {
            inference.next(List.of(sequence), List.of(new int[] {46, 206, 758})); // a prompt
            logits = inference.next(List.of(sequence), List.of(new int[] {21})).getFirst(); // and the token behind it
        }
        // @end
        assertEquals(model.model().parameterCount(), 1_750_272);
        assertTrue(logits.length > 0);
    }

    @Test
    void generate() throws IOException {
        StringBuilder written = new StringBuilder();
        // @start region="generate"
        LoadedModel model = LoadedModel.open(folder);
        try (Tokenizer tokenizer = Tokenizer.open(folder.resolve("tokenizer.json"));
                Inference inference = Inference.load(model.model(), Compute.F32)) {
            Generator generator = Generator.of(inference, tokenizer, model);
            Generated generated = generator.generate(List.of("ROMEO:"), Options.tokens(20), (row, piece) -> written.append(piece));
        }
        // @end
        assertFalse(written.isEmpty());
    }

    @Test
    void text() throws IOException {
        // @start region="text"
        try (Tokenizer tokenizer = Tokenizer.open(tokenizerJson)) {
            long[] ids = tokenizer.ids("But, soft! what light");
            String text = tokenizer.decode(ids);
            // @end
            assertEquals("But, soft! what light", text);
        }
    }

    @Test
    void depth() throws IOException {
        LoadedModel model = LoadedModel.open(folder);
        // @start region="depth"
        TokenizedText text = TokenizedText.read(tokenizerJson, textFile, 128, 512);
        try (DepthSurvey survey = DepthSurvey.of(model.model(), Compute.F32)) {
            Depth depth = survey.measure(text, Progress.NONE);
            List<Integer> twoToLeaveOut = depth.closest(2);
            // @end
            assertEquals(2, twoToLeaveOut.size());
        }
    }

    @Test
    void prune() throws IOException {
        Path target = temporary.resolve("seven");
        // @start region="prune"
        TokenizedText text = TokenizedText.read(tokenizerJson, textFile, 128, 512);
        Pruning pruning = Pruning.of(LoadedModel.open(folder), List.of(6)).verifiedBy(Verification.verifier());
        Healing.Report report = Healing.of(pruning, textFile, 1).writeTo(target, text, Progress.NONE);
        double perplexity = report.likelihood().perplexity();
        // @end
        assertTrue(perplexity > 1);
    }

    @Test
    void train() throws IOException {
        Path target = temporary.resolve("run");
        // @start region="train"
        TrainingRun run = TrainingRun.in(target)
                .withSize(16, 2, 2)
                .withStrategy(Strategy.named("peri-ln"))
                .withBatch(2).withSequence(16).withSteps(2);
        try (Trainer trainer = Trainer.begin(run, new Trainer.Watcher() {})) {
            Trainer.End end = trainer.run();
        }
        LoadedModel trained = LoadedModel.open(target.resolve("model"));
        // @end
        assertEquals(2, trained.model().depth());
        // @start region="text-form"
        Configuration text = Configuration.of(run); // what config.yaml holds, key by key
        TrainingRun again = Configuration.of(text.values()).run();
        // @end
        assertEquals(run, again);
    }

    @Test
    void data() throws IOException {
        Path target = temporary.resolve("tokens");
        // @start region="data"
        try (Vocabulary vocabulary = Vocabulary.open(folder, Optional.empty())) {
            TokenDataBuilder.of(List.of(textFile), vocabulary).writeTo(target, Progress.NONE);
        }
        TokenData tokens = TokenData.open(target);
        // @end
        assertTrue(tokens.vocabulary() > 0);
    }

    @Test
    void compare() throws IOException {
        Path target = temporary.resolve("grid");
        // @start region="compare"
        Grid grid = new Grid(Map.of("model.width", "16", "model.blocks", "2", "model.heads", "2", "sequence", "16", "steps", "2"),
                Map.of("strategy", List.of("pre-ln", "post-ln")));
        Results results = Trials.of(grid, target).run(1, Trials.NOBODY);
        List<String> findings = results.findings();
        // @end
        assertFalse(findings.isEmpty());
        assertTrue(Files.isDirectory(target));
    }

    /** docs/library.md has no line of code that is not run here, and package pages name no region that is not there. */
    @Test
    void whatIsShownIsRun() throws IOException {
        Path here = Path.of("src", "test", "java", "isonorm", "train", "EngineSnippetsTest.java");
        String source = plain(Files.readString(here));
        List<String> blocks = blocks(Files.readString(Path.of("..", "docs", "library.md")));
        assertEquals(6, blocks.size());
        blocks.forEach(block -> assertTrue(source.contains(plain(block)), block));
        try (Stream<Path> files = Files.walk(Path.of("src", "main", "java"))) {
            for (Path file : files.filter(each -> each.endsWith("package-info.java")).toList()) {
                Matcher snippet = SNIPPET.matcher(Files.readString(file));
                while (snippet.find()) {
                    assertEquals(EngineSnippetsTest.class.getName(), snippet.group(1), file.toString());
                    assertTrue(source.contains("// @start region=\"" + snippet.group(2) + "\"\n"), file + " " + snippet.group(2));
                }
            }
        }
    }

    private static List<String> blocks(String markdown) {
        return Arrays.stream(markdown.split("```java\n")).skip(1).map(rest -> rest.split("```")[0]).toList();
    }

    /** Without indentation. */
    private static String plain(String code) {
        return code.replaceAll("(?m)^ +", "");
    }
}
