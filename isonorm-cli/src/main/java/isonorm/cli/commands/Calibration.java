package isonorm.cli.commands;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.architecture.Architecture;
import isonorm.architecture.Embedding;
import isonorm.cli.terminal.Json;
import isonorm.cli.terminal.ProgressBar;
import isonorm.cli.terminal.Table;
import isonorm.convert.Comparison;
import isonorm.convert.LoadedModel;
import isonorm.data.ImageFolder;
import isonorm.measure.StreamBasis;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.Transformer;
import isonorm.verify.TokenizedText;
import isonorm.verify.Verification;
import isonorm.weights.Model;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * Data that something about a model is found by, and what of it is left to measure on.
 *
 * @param found three quarters of it
 * @param held the last one
 * @param words that as a text, where it is one
 * @param told how much of what there is, for whoever asked
 */
record Calibration(LoadedModel model, StreamBasis.Inputs found, StreamBasis.Inputs held, Optional<TokenizedText> words, ObjectNode told) {

    private static final int TOGETHER = 8; // images that go through a model together

    /** Reads a text, a folder of tokens, or a folder of images in folders; at most so many tokens, or as many images as have so many patches. */
    static Calibration of(LoadedModel model, Path data, long tokens) throws IOException {
        Architecture architecture = Model.of(model.model()).architecture();
        return architecture.embedding() instanceof Embedding.Patches patches ? images(model, data, tokens, patches, architecture) : text(model, data, tokens, architecture);
    }

    private static Calibration text(LoadedModel model, Path data, long tokens, Architecture architecture) throws IOException {
        int window = Depths.length(Optional.empty(), tokens, architecture);
        TokenizedText text = SampleText.read(model.checkpoint().folder().resolve("tokenizer.json"), Optional.of(data), window, tokens);
        int first = text.windows() * 3 / 4;
        if (first == 0) {
            throw new IOException(data + " has " + Table.count(text.windows(), "window") + " of " + window + " tokens; two or more are needed, the last quarter to measure on");
        }
        ObjectNode told = Json.object().put("data", data.toString()).put("window", window).put("calibration_tokens", (long) first * window);
        TokenizedText held = TokenizedText.of(window, Arrays.copyOfRange(text.ids(), first * window, text.ids().length));
        return new Calibration(model, StreamBasis.Inputs.of(text, 0, first), StreamBasis.Inputs.of(held, 0, held.windows()), Optional.of(held), told);
    }

    /** Folders of images, a class each, whatever its name; as many images as have so many patches. */
    private static Calibration images(LoadedModel model, Path data, long tokens, Embedding.Patches patches, Architecture architecture) throws IOException {
        if (patches.channels() != 3 || patches.height() != patches.width()) {
            throw new IOException("the data of a model of images are squares of three colours, and this one reads " + patches.channels() + " x " + patches.height() + " x "
                    + patches.width());
        }
        ImageFolder folder = ImageFolder.open(data, patches.height(), normalization(model), .25, 0);
        if (folder.validation() == 0) {
            throw new IOException(data + " has too few images of each class, got " + folder.train() + "; a quarter is measured on");
        }
        int most = Math.toIntExact(Math.clamp(tokens / architecture.longestSequence(), 4, Integer.MAX_VALUE));
        int found = Math.min(folder.train(), most * 3 / 4);
        int held = Math.min(folder.validation(), most - found);
        ObjectNode told = Json.object().put("data", data.toString()).put("calibration_images", found).put("held_images", held);
        int side = patches.height();
        return new Calibration(model, batches(found, (at, count) -> folder.rows(at, count).pixels(), side), batches(held, (at, count) -> folder.validation(at, count).pixels(), side),
                Optional.empty(), told);
    }

    private interface Reader {
        float[] read(int first, int count) throws IOException;
    }

    private static StreamBasis.Inputs batches(int images, Reader reader, int side) {
        return new StreamBasis.Inputs() {
            @Override
            public int count() {
                return Math.ceilDiv(images, TOGETHER);
            }

            @Override
            public Batch batch(int number) throws IOException {
                int count = Math.min(TOGETHER, images - number * TOGETHER);
                return new Batch.Images(reader.read(number * TOGETHER, count), count, 3, side, side);
            }
        };
    }

    /** What the files beside a checkpoint say is done with colours. */
    private static ImageFolder.Normalization normalization(LoadedModel model) throws IOException {
        Path file = model.checkpoint().folder().resolve("preprocessor_config.json");
        if (!Files.isRegularFile(file)) {
            return ImageFolder.Normalization.VIT;
        }
        JsonNode said = new ObjectMapper().readTree(file.toFile());
        JsonNode mean = said.path("image_mean");
        JsonNode deviation = said.path("image_std");
        return mean.size() == 3 && deviation.size() == 3 ? new ImageFolder.Normalization(colours(mean), colours(deviation)) : ImageFolder.Normalization.VIT;
    }

    private static float[] colours(JsonNode list) {
        return new float[] {(float) list.path(0).asDouble(), (float) list.path(1).asDouble(), (float) list.path(2).asDouble()};
    }

    /** How near a result is to the model on what is held: perplexities where it predicts a text, else KL and top-1 agreement. */
    void measure(Transformer result, ObjectNode measured, ProgressBar progress) throws IOException {
        if (words.isPresent() && predicts(words.get().window())) {
            TokenizedText text = words.get();
            Json.put(measured, "perplexity_before", Verification.likelihood(model.model(), text, Compute.F32, progress).perplexity());
            Json.put(measured, "perplexity_after", Verification.likelihood(result, text, Compute.F32, progress).perplexity());
            measured.put("predicted_tokens", text.predicted());
            return;
        }
        List<Batch> inputs = new ArrayList<>();
        for (int number = 0; number < held.count(); number++) {
            inputs.add(held.batch(number));
        }
        Comparison comparison = Verification.of(model.model(), result).withInputs(inputs).run(progress);
        Json.put(measured, "kl", comparison.kl());
        Json.put(measured, "top1_agreement", comparison.top1Agreement());
        measured.put("compared", comparison.compared()).put("positions", comparison.positions());
    }

    private boolean predicts(int window) {
        try {
            Verification.requirePrediction(model.model(), window);
            return true;
        } catch (IllegalArgumentException e) {
            return false; // Logits are compared.
        }
    }
}
