package isonorm.train;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import isonorm.backpropagation.Examples;
import isonorm.data.ImageFolder;
import isonorm.model.Batch;
import isonorm.weights.Seed;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;

/** Images and their classes. */
record Pictures(ImageFolder images, int context, TrainingRun.Augmentation augmentation, long seed) implements TrainingData {

    /** What transformers calls the resizing of {@link ImageFolder}. */
    private static final int BILINEAR = 2;

    @Override
    public int vocabulary() {
        return images.classes().size();
    }

    @Override
    public Examples batch(long position, int count, int first, int stride) {
        try {
            int own = Math.ceilDiv(count - first, stride);
            boolean cropped = augmentation.crop() == TrainingRun.Crop.RANDOM;
            ImageFolder.Labelled rows = images.rows(position + first, own, stride, cropped);
            if (augmentation.mixup() == 0 && augmentation.smoothing() == 0) {
                return examples(rows);
            }
            int[] others = rows.labels();
            double share = 1;
            if (augmentation.mixup() > 0) { // the last of the whole batch with the first, and so on
                share = beta(augmentation.mixup(), Seed.of(seed).at("mixup").at(position).random());
                ImageFolder.Labelled second = images.rows(position + count - 1 - first, own, -stride, cropped);
                others = second.labels();
                for (int i = 0; i < rows.pixels().length; i++) {
                    rows.pixels()[i] = (float) (share * rows.pixels()[i] + (1 - share) * second.pixels()[i]);
                }
            }
            return new Examples.Images(pixels(rows), rows.labels(), Optional.of(new Examples.SoftLabels(others, share, augmentation.smoothing())));
        } catch (IOException e) {
            throw new UncheckedIOException(e.getMessage(), e);
        }
    }

    @Override
    public List<Examples> validation(int batches, int count) {
        List<Examples> all = new ArrayList<>();
        try {
            for (int first = 0; first < images.validation() && all.size() < batches; first += count) {
                all.add(examples(images.validation(first, Math.min(count, images.validation() - first))));
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e.getMessage(), e);
        }
        return all;
    }

    @Override
    public String heldOut() {
        int all = images.train() + images.validation();
        return all == images.classes().size() ? "each class has one image, which is learned from; add others"
                : "of " + all + " images none is held out; data.validation=" + TrainingData.share(images.classes().size(), all) + " holds out one or more";
    }

    private Examples examples(ImageFolder.Labelled rows) {
        return new Examples.Images(pixels(rows), rows.labels());
    }

    private Batch.Images pixels(ImageFolder.Labelled rows) {
        return new Batch.Images(rows.pixels(), rows.labels().length, 3, context, context);
    }

    /** A number of Beta(alpha, alpha), by Jöhnk's algorithm on logarithms. */
    static double beta(double alpha, SplittableRandom random) {
        while (true) {
            double x = Math.log(random.nextDouble()) / alpha;
            double y = Math.log(random.nextDouble()) / alpha;
            double larger = Math.max(x, y);
            if (larger + Math.log(Math.exp(x - larger) + Math.exp(y - larger)) <= 0) {
                return 1 / (1 + Math.exp(y - x));
            }
        }
    }

    @Override
    public Optional<byte[]> tokenizer() {
        return Optional.empty();
    }

    /** How an image becomes pixels, as transformers' image processors read it. */
    @Override
    public Map<String, byte[]> files() {
        ObjectNode json = JsonNodeFactory.instance.objectNode();
        json.put("image_processor_type", "BitImageProcessor"); // the one that crops what it has resized, as is done here
        json.put("do_convert_rgb", true);
        json.put("do_resize", true).putObject("size").put("shortest_edge", context);
        json.put("resample", BILINEAR);
        json.put("do_center_crop", true).putObject("crop_size").put("height", context).put("width", context);
        json.put("do_rescale", true).put("rescale_factor", 1 / 255.0);
        json.put("do_normalize", true);
        numbers(json.putArray("image_mean"), images.normalization().mean());
        numbers(json.putArray("image_std"), images.normalization().deviation());
        return Map.of("preprocessor_config.json", json.toPrettyString().getBytes(StandardCharsets.UTF_8));
    }

    @Override
    public List<String> notes() {
        return images.leftOut().stream().map(each -> "left out of the data, because they are not read: " + each.files() + " " + each.what()).toList();
    }

    private static void numbers(ArrayNode array, float[] values) {
        for (float value : values) {
            array.add(value);
        }
    }
}
