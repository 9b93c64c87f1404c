package isonorm.data;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import javax.imageio.ImageIO;

/**
 * A folder of images: a folder a class, whose name is the class's, with PNG and JPEG files.
 *
 * <p>An image is resized so that its shorter side is {@code size}, each pixel being a mean of those it covers with weights that fall
 * linearly to the side, then cut to the square in its middle; its values are (value / 255 - mean) / deviation. An image that is learned
 * from is mirrored in half of the epochs.
 */
public final class ImageFolder {

    private static final int CHANNELS = 3;

    /**
     * What colours become, by channel: red, green, blue.
     *
     * @param mean subtracted from values of 0 to 1
     * @param deviation that they are divided by
     */
    public record Normalization(float[] mean, float[] deviation) {

        /** To -1 to 1, as ViT's. */
        public static final Normalization VIT = new Normalization(new float[] {.5f, .5f, .5f}, new float[] {.5f, .5f, .5f});

        /** To the mean 0 and the deviation 1 of ImageNet. */
        public static final Normalization IMAGENET = new Normalization(new float[] {.485f, .456f, .406f}, new float[] {.229f, .224f, .225f});
    }

    /**
     * Images of one size, and the class of each.
     *
     * @param pixels (count, 3, size, size)
     */
    public record Labelled(float[] pixels, int[] labels) {}

    private record Image(Path file, int label) {}

    private final List<String> classes;
    private final List<Image> train;
    private final List<Image> validation;
    private final int size;
    private final Normalization normalization;
    private final long seed;

    private ImageFolder(List<String> classes, List<Image> train, List<Image> validation, int size, Normalization normalization, long seed) {
        this.classes = classes;
        this.train = train;
        this.validation = validation;
        this.size = size;
        this.normalization = normalization;
        this.seed = seed;
    }

    /** What is done to values. */
    public Normalization normalization() {
        return normalization;
    }

    /**
     * Looks for classes and images; reads none of them.
     *
     * @param size pixels of a side
     * @param share of each class's images, drawn by the seed and their names, that is not learned from
     * @throws IOException if there are no classes, or one has no image
     */
    public static ImageFolder open(Path folder, int size, Normalization normalization, double share, long seed) throws IOException {
        if (size < 1) {
            throw new IllegalArgumentException("an image must have a side of 1 pixel or more, got " + size);
        }
        if (!(share >= 0 && share < 1)) {
            throw new IllegalArgumentException("the share for validation must be 0 or more and below 1, got " + share);
        }
        if (!Files.isDirectory(folder)) {
            throw new IOException(folder + (Files.exists(folder) ? " is no folder" : " does not exist"));
        }
        List<Path> folders = list(folder).stream().filter(Files::isDirectory).toList();
        if (folders.isEmpty()) {
            throw new IOException(folder + " has no folders; images lie in a folder for each class");
        }
        List<Image> train = new ArrayList<>();
        List<Image> validation = new ArrayList<>();
        for (int label = 0; label < folders.size(); label++) {
            List<Path> files = new ArrayList<>(list(folders.get(label)).stream().filter(ImageFolder::isImage).toList());
            if (files.isEmpty()) {
                throw new IOException(folders.get(label) + " has no image; names must end in .png, .jpg or .jpeg");
            }
            files.sort(Comparator.comparingLong(file -> draw(file, seed)));
            long kept = Math.min(Math.round(files.size() * share), files.size() - 1);
            for (int i = 0; i < files.size(); i++) {
                (i < kept ? validation : train).add(new Image(files.get(i), label));
            }
        }
        return new ImageFolder(folders.stream().map(each -> each.getFileName().toString()).toList(), train, validation, size, normalization, seed);
    }

    private static List<Path> list(Path folder) throws IOException {
        try (Stream<Path> entries = Files.list(folder)) {
            return entries.filter(entry -> !entry.getFileName().toString().startsWith("."))
                    .sorted(Comparator.comparing(entry -> entry.getFileName().toString())).toList();
        } catch (UncheckedIOException e) {
            throw e.getCause();
        }
    }

    private static boolean isImage(Path file) {
        String name = file.getFileName().toString().toLowerCase(Locale.ROOT);
        return name.endsWith(".png") || name.endsWith(".jpg") || name.endsWith(".jpeg");
    }

    /** A number that depends on the seed and the names of the class and the image. */
    private static long draw(Path file, long seed) {
        MessageDigest digest = ShardWriter.sha256();
        digest.update(ByteBuffer.allocate(Long.BYTES).putLong(seed).flip());
        String name = file.getParent().getFileName() + "/" + file.getFileName();
        return ByteBuffer.wrap(digest.digest(name.getBytes(StandardCharsets.UTF_8))).getLong();
    }

    /** The names of the classes, sorted; a label is a place among them. */
    public List<String> classes() {
        return classes;
    }

    /** How many images are learned from. */
    public int train() {
        return train.size();
    }

    /** How many are not. */
    public int validation() {
        return validation.size();
    }

    /**
     * The images {@code position} to {@code position + count - 1} of an endless order.
     *
     * @throws IOException naming an image that cannot be read
     */
    public Labelled rows(long position, int count) throws IOException {
        Image[] images = new Image[count];
        boolean[] mirrored = new boolean[count];
        for (int i = 0; i < count; i++) {
            long at = position + i;
            images[i] = train.get((int) Permutation.endless(train.size(), seed, at));
            mirrored[i] = (Permutation.mixed(Permutation.mixed(seed) + at) & 1) == 1;
        }
        return read(images, mirrored);
    }

    /** The images {@code first} to {@code first + count - 1} of those that are not learned from, none of them mirrored. */
    public Labelled validation(int first, int count) throws IOException {
        return read(validation.subList(first, first + count).toArray(Image[]::new), new boolean[count]);
    }

    private Labelled read(Image[] images, boolean[] mirrored) throws IOException {
        int each = CHANNELS * size * size;
        float[] pixels = new float[Math.multiplyExact(images.length, each)];
        int[] labels = new int[images.length];
        try {
            IntStream.range(0, images.length).parallel().forEach(i -> {
                labels[i] = images[i].label;
                read(images[i].file, mirrored[i], pixels, i * each);
            });
        } catch (UncheckedIOException e) {
            throw new IOException(e.getCause().getMessage(), e.getCause());
        }
        return new Labelled(pixels, labels);
    }

    private void read(Path file, boolean mirrored, float[] into, int at) {
        BufferedImage image;
        try {
            image = ImageIO.read(file.toFile());
        } catch (IOException | RuntimeException e) { // Java's readers throw what they like at damaged files
            throw new UncheckedIOException(new IOException(file + " is no image that can be read: " + e.getMessage(), e));
        }
        if (image == null) {
            throw new UncheckedIOException(new IOException(file + " is neither PNG nor JPEG"));
        }
        float[][] channels = Resizing.channels(image);
        for (int c = 0; c < CHANNELS; c++) {
            float[] resized = Resizing.square(channels[c], image.getWidth(), image.getHeight(), size);
            for (int y = 0; y < size; y++) {
                for (int x = 0; x < size; x++) {
                    float value = resized[y * size + (mirrored ? size - 1 - x : x)];
                    into[at + (c * size + y) * size + x] = (value / 255 - normalization.mean[c]) / normalization.deviation[c];
                }
            }
        }
    }
}
