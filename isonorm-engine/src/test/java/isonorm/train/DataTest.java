package isonorm.train;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import isonorm.backpropagation.Examples;
import isonorm.convert.LoadedModel;
import isonorm.data.ImageFolder;
import isonorm.data.TokenDataBuilder;
import isonorm.data.Vocabulary;
import isonorm.layer.ForwardPass;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.model.Result;
import isonorm.weights.Model;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Runs on each kind of data. */
class DataTest {

    @TempDir
    Path folder;

    /** Remembers the last loss, and kills the run behind a step. */
    private static final class Memory implements Trainer.Watcher {

        private final long last;
        private Metrics.Line line;

        private Memory(long last) {
            this.last = last;
        }

        @Override
        public void metrics(Metrics.Line seen) {
            line = seen;
        }

        @Override
        public void step(long done, long total) {
            if (done == last) {
                throw new IllegalStateException("killed");
            }
        }
    }

    private Map<String, String> small(Object data, Object... more) {
        Map<String, String> values = new LinkedHashMap<>();
        values.put("data", data.toString());
        for (String word : List.of("threads=1", "steps=30", "lr=0.01", "warmup=2", "model.width=16", "model.blocks=1", "model.heads=2", "batch=4",
                "sequence=12", "eval.every=30", "depth.every=0", "checkpoint.every=5")) {
            values.put(word.split("=")[0], word.split("=")[1]);
        }
        for (int i = 0; i < more.length; i += 2) {
            values.put(more[i].toString(), more[i + 1].toString());
        }
        return values;
    }

    private Metrics.Line run(String out, Map<String, String> values) throws IOException {
        values.put("out", folder.resolve(out).toString());
        Memory memory = new Memory(-1);
        try (Trainer trainer = Trainer.begin(Configuration.of(values).run(), memory)) {
            assertEquals(Trainer.End.FINISHED, trainer.run());
        }
        return memory.line;
    }

    private void killedRunsGoOn(Map<String, String> values, Metrics.Line alone) throws IOException {
        values.put("out", folder.resolve("killed").toString());
        try (Trainer trainer = Trainer.begin(Configuration.of(values).run(), new Memory(13))) {
            assertThrows(IllegalStateException.class, trainer::run);
        }
        Memory memory = new Memory(-1);
        try (Trainer trainer = Trainer.resume(folder.resolve("killed"), memory)) {
            trainer.run();
        }
        assertEquals(alone.loss(), memory.line.loss());
        assertArrayEquals(Files.readAllBytes(folder.resolve("alone/model/model.safetensors")),
                Files.readAllBytes(folder.resolve("killed/model/model.safetensors")));
    }

    @Test
    void aFolderOfTokensIsTrainedOn() throws IOException {
        Path text = Files.writeString(folder.resolve("a.txt"), "abcdefgh".repeat(100));
        Path tokens = folder.resolve("tokens");
        TokenDataBuilder.of(List.of(text), Vocabulary.bytes()).validation(0.1, 0).threads(1).shardTokens(100).writeTo(tokens, Progress.NONE);
        Map<String, String> values = small(tokens);
        Metrics.Line alone = run("alone", values);
        assertTrue(alone.validation() < 5, "log 257 is 5.5; got " + alone.validation());
        assertArrayEquals(Vocabulary.bytes().tokenizerJson(), Files.readAllBytes(folder.resolve("alone/model/tokenizer.json")));
        killedRunsGoOn(values, alone);
    }

    private String unevaluated(Map<String, String> values) {
        values.put("out", folder.resolve("refused").toString());
        String message = assertThrows(IllegalArgumentException.class, () -> Trainer.begin(Configuration.of(values).run(), Trainer.NOBODY)).getMessage();
        assertFalse(Files.exists(folder.resolve("refused")));
        return message;
    }

    @Test
    void whatCouldNotBeEvaluatedIsRefusedBeforeItIsTrainedWithTheShareThatWould() throws IOException {
        Path text = Files.writeString(folder.resolve("a.txt"), "abcdefgh".repeat(100));
        Path tokens = folder.resolve("tokens");
        TokenDataBuilder builder = TokenDataBuilder.of(List.of(text), Vocabulary.bytes()).threads(1);
        builder.validation(0.01, 0).writeTo(tokens, Progress.NONE);
        String few = "nothing could be evaluated: validation has 8 tokens, and a sequence of 12 needs one more than it has; build the data with --validation "
                + "0.0163 or more, or take a sequence of at most 7";
        assertEquals(few + ", or evaluate nothing with eval.every=0", unevaluated(small(tokens)));
        assertEquals(few, assertThrows(IllegalArgumentException.class, () -> Trainer.check(Configuration.of(small(tokens, "eval.every", 0)).run())).getMessage());
        assertTrue(Double.isNaN(run("alone", small(tokens, "eval.every", 0, "steps", 2)).validation()));
        run("shorter", small(tokens, "sequence", 7, "steps", 2));
        builder.validation(0.0163, 0).overwriting().writeTo(tokens, Progress.NONE);
        assertFalse(Double.isNaN(run("enough", small(tokens, "steps", 2, "eval.every", 2)).validation()));
        builder.validation(0, 0).overwriting().writeTo(tokens, Progress.NONE);
        assertEquals("nothing could be evaluated: validation has 0 tokens, and a sequence of 12 needs one more than it has; build the data with --validation "
                + "0.0163 or more, or evaluate nothing with eval.every=0", unevaluated(small(tokens)));
    }

    @Test
    void aModelGoesOnWithCompletions() throws IOException {
        run("first", small("shakespeare", "steps", 2));
        StringBuilder lines = new StringBuilder();
        for (int i = 0; i < 40; i++) {
            lines.append("{\"prompt\": \"").append(Integer.toString(i * 7919, 36)).append("?\", \"completion\": \"yes\"}\n");
        }
        Path pairs = Files.writeString(folder.resolve("pairs.jsonl"), lines);
        Map<String, String> values = small(pairs, "from", folder.resolve("first/model"), "data.validation", 0.1, "lr", 0.03);
        values.keySet().removeIf(key -> key.startsWith("model."));
        Metrics.Line alone = run("alone", values);
        assertTrue(alone.validation() < 2, "the answer is always the same; got " + alone.validation());
        killedRunsGoOn(values, alone);
        values.remove("from");
        assertEquals("completions are for a model that has learned its language; name it with from, or --from", refusal(values));
    }

    @Test
    void aFolderOfImagesIsTrainedOn() throws IOException {
        for (int i = 0; i < 12; i++) {
            for (String colour : List.of("blue", "red")) {
                BufferedImage image = new BufferedImage(20 + i, 18, BufferedImage.TYPE_INT_RGB);
                for (int x = 0; x < 20 + i; x++) {
                    for (int y = 0; y < 18; y++) {
                        image.setRGB(x, y, (colour.equals("red") ? 0xc00000 : 0x0000c0) | 10 * i << 8);
                    }
                }
                Path file = folder.resolve("images").resolve(colour).resolve(i + ".png");
                Files.createDirectories(file.getParent());
                ImageIO.write(image, "png", file.toFile());
            }
        }
        Map<String, String> values = small(folder.resolve("images"), "model.preset", "vit-ti", "image", 32, "data.validation", 0.2,
                "model.blocks", 2, "strategy", "lns");
        values.put("steps", "1");
        values.put("lr", "1e-9");
        values.put("init.deviation", "0.3"); // so that every factor counts
        Metrics.Line untrained = run("begun", values);
        values.put("steps", "30");
        values.put("lr", "0.01");
        values.put("init.deviation", "0.02");
        Metrics.Line alone = run("alone", values);
        double[] expected = validation(folder.resolve("images"), folder.resolve("alone/model"));
        assertEquals(expected[0], alone.validation(), 1e-4);
        assertEquals(expected[1], alone.accuracy());
        assertEquals("{\"shortest_edge\":32}",
                new ObjectMapper().readTree(folder.resolve("alone/model/preprocessor_config.json").toFile()).path("size").toString());
        double[] begun = validation(folder.resolve("images"), folder.resolve("begun/model"));
        assertEquals(begun[0], untrained.validation(), 1e-5 * begun[0]);
        assertEquals(begun[1], untrained.accuracy());
        assertTrue(begun[1] < 1, "some were wrong at first, all of " + begun[1] + " were right");
        assertTrue(alone.validation() < 0.3, "log 2 is 0.69; got " + alone.validation());
        assertEquals("{\"0\":\"blue\",\"1\":\"red\"}",
                new ObjectMapper().readTree(folder.resolve("alone/model/config.json").toFile()).path("id2label").toString());
        killedRunsGoOn(values, alone);
        values.put("model.preset", "shakespeare");
        assertEquals("the model reads tokens, and the data has images; take another model.preset or other data", refusal(values));
        values.put("data", "shakespeare");
        values.put("model.preset", "vit-ti");
        assertEquals("the model reads images, and the data has tokens; take another model.preset or other data", refusal(values));
    }

    /** Whatever ranks there are, an image of a batch is mixed with the same other, in the same shares. */
    @Test
    void imagesAreMixedAndTheirLabelsSmoothed() throws IOException {
        Path images = folder.resolve("shades");
        for (int i = 0; i < 6; i++) {
            image(images.resolve((i % 2 == 0 ? "even" : "odd") + "/" + i + ".png"), 40 * i);
        }
        ImageFolder plain = ImageFolder.open(images, 8, ImageFolder.Normalization.VIT, 0, 1);
        Pictures mixed = new Pictures(plain, 8, new TrainingRun.Augmentation(TrainingRun.Crop.MIDDLE, 0.4, 0.1), 1);
        Examples.Images whole = (Examples.Images) mixed.batch(12, 6);
        ImageFolder.Labelled apart = plain.rows(12, 6);
        double share = whole.soft().orElseThrow().share();
        assertTrue(share > 0 && share < 1, "got " + share);
        for (int i = 0; i < 6; i++) {
            double expected = share * apart.pixels()[i * 192] + (1 - share) * apart.pixels()[(5 - i) * 192];
            assertEquals(expected, whole.pixels().pixels()[i * 192], 1e-6);
            assertEquals(apart.labels()[i], whole.labels()[i]);
            assertEquals(apart.labels()[5 - i], whole.soft().get().others()[i]);
        }
        for (int rank = 0; rank < 2; rank++) {
            Examples.Images own = (Examples.Images) mixed.batch(12, 6, rank, 2);
            assertEquals(share, own.soft().orElseThrow().share());
            for (int i = 0; i < 3; i++) {
                assertEquals(whole.pixels().pixels()[(2 * i + rank) * 192], own.pixels().pixels()[i * 192]);
                assertEquals(whole.soft().get().others()[2 * i + rank], own.soft().get().others()[i]);
            }
        }
        assertTrue(share != ((Examples.Images) mixed.batch(18, 6)).soft().orElseThrow().share(), "each batch has its own share");
        Map<String, String> values = small(folder.resolve("words"));
        values.put("data", "shakespeare");
        values.put("mixup", "0.2");
        assertEquals("crop, mixup and label-smoothing are for images, and the data has tokens; leave them out", refusal(values));
    }

    /** Of Beta(a, a) the mean is a half and the variance 1 / (4 (2 a + 1)). */
    @ParameterizedTest
    @ValueSource(doubles = {0.01, 0.2, 1, 3})
    void sharesAreOfTheBetaDistribution(double alpha) {
        SplittableRandom random = new SplittableRandom(3);
        double[] drawn = IntStream.range(0, 20_000).mapToDouble(_ -> Pictures.beta(alpha, random)).toArray();
        double variance = 1 / (4 * (2 * alpha + 1));
        assertEquals(0.5, Arrays.stream(drawn).average().orElseThrow(), 5 * Math.sqrt(variance / drawn.length));
        assertEquals(variance, Arrays.stream(drawn).map(x -> (x - 0.5) * (x - 0.5)).average().orElseThrow(), 0.05 * variance);
    }

    private static void image(Path file, int grey) throws IOException {
        Files.createDirectories(file.getParent());
        BufferedImage image = new BufferedImage(8, 8, BufferedImage.TYPE_INT_RGB);
        for (int i = 0; i < 64; i++) {
            image.setRGB(i % 8, i / 8, grey << 16 | grey << 8 | grey);
        }
        ImageIO.write(image, "png", file.toFile());
    }

    /** The loss on the images kept for validation, and the share of right ones, of a model that was written. */
    private static double[] validation(Path images, Path model) throws IOException {
        Pictures data = new Pictures(ImageFolder.open(images, 32, ImageFolder.Normalization.VIT, 0.2, 1), 32, TrainingRun.Augmentation.NONE, 1);
        double loss = 0;
        int count = 0;
        int right = 0;
        try (ForwardPass pass = ForwardPass.streaming(Model.of(LoadedModel.open(model).model()), Compute.F64)) {
            for (Examples examples : data.validation(8, 4)) {
                Examples.Images batch = (Examples.Images) examples;
                try (Result result = pass.run(batch.pixels())) {
                    double[] logits = result.outputValues();
                    for (int i = 0; i < batch.count(); i++) {
                        loss += Math.log(Math.exp(logits[2 * i]) + Math.exp(logits[2 * i + 1])) - logits[2 * i + batch.labels()[i]];
                        right += logits[2 * i + batch.labels()[i]] > logits[2 * i + 1 - batch.labels()[i]] ? 1 : 0;
                        count++;
                    }
                }
            }
        }
        return new double[] {loss / count, (double) right / count};
    }

    @Test
    void whatIsNoDataIsRefused() {
        assertTrue(refusal(small(folder.resolve("none"))).endsWith("none, which does not exist"));
        assertTrue(refusal(small(folder)).startsWith("data must be shakespeare, a folder that isonorm data build made, a .jsonl file"));
    }

    private String refusal(Map<String, String> values) {
        values.put("out", folder.resolve("refused").toString());
        String message = assertThrows(IllegalArgumentException.class, () -> Trainer.begin(Configuration.of(values).run(), new Memory(1)).close()).getMessage();
        assertFalse(Files.exists(folder.resolve("refused")));
        return message;
    }
}
