package isonorm.data;

import static java.util.Objects.requireNonNull;

import isonorm.weights.Fingerprint;
import isonorm.weights.Seed;
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
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.function.IntFunction;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * A folder of images: a folder a class, whose name is the class's, with PNG, JPEG, GIF, BMP and TIFF files. Their pixels are the file's
 * numbers, as Pillow's {@code convert("RGB")} gives them: no colour profile is applied, and no turn that EXIF asks for.
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

    /**
     * Files in the folder that are not read.
     *
     * @param what they are, as in "files ending in .svg"
     */
    public record LeftOut(long files, String what) {}

    private record Image(Path file, int label) {}

    private final List<String> classes;
    private final List<Image> train;
    private final List<Image> validation;
    private final List<LeftOut> leftOut;
    private final int size;
    private final Normalization normalization;
    private final long seed;

    private ImageFolder(List<String> classes, List<Image> train, List<Image> validation, List<LeftOut> leftOut, int size, Normalization normalization,
            long seed) {
        this.classes = classes;
        this.train = train;
        this.validation = validation;
        this.leftOut = leftOut;
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
        List<LeftOut> leftOut = new ArrayList<>();
        long beside = list(folder).stream().filter(ImageFolder::isImage).count();
        if (beside > 0) {
            leftOut.add(new LeftOut(beside, "images beside the folders of classes"));
        }
        Map<String, Long> otherwise = new TreeMap<>();
        for (int label = 0; label < folders.size(); label++) {
            List<Path> entries = list(folders.get(label));
            List<Path> files = new ArrayList<>(entries.stream().filter(ImageFolder::isImage).toList());
            if (files.isEmpty()) {
                throw new IOException(folders.get(label) + " has no image; names must end in " + String.join(", ", ImageFile.ENDINGS)
                        + ", and images lie in the folder of their class itself");
            }
            files.sort(Comparator.comparingLong(file -> draw(file, seed)));
            long kept = Math.min(Math.round(files.size() * share), files.size() - 1);
            for (int i = 0; i < files.size(); i++) {
                (i < kept ? validation : train).add(new Image(files.get(i), label));
            }
            for (Path entry : entries) {
                if (Files.isDirectory(entry)) {
                    long within = within(entry);
                    if (within > 0) {
                        leftOut.add(new LeftOut(within, "images in " + entry + ", a folder within that of a class"));
                    }
                } else if (!isImage(entry)) {
                    otherwise.merge(ending(entry), 1L, Long::sum);
                }
            }
        }
        otherwise.forEach((ending, count) -> leftOut.add(new LeftOut(count, "files " + (ending.isEmpty() ? "without an ending" : "ending in " + ending))));
        return new ImageFolder(folders.stream().map(each -> each.getFileName().toString()).toList(), train, validation, List.copyOf(leftOut), size,
                normalization, seed);
    }

    private static long within(Path folder) throws IOException {
        try (Stream<Path> all = Files.walk(folder)) { // follows no link
            return all.filter(ImageFolder::isImage).count();
        } catch (UncheckedIOException e) {
            throw e.getCause();
        }
    }

    private static String ending(Path file) {
        String name = file.getFileName().toString().toLowerCase(Locale.ROOT);
        return name.lastIndexOf('.') < 0 ? "" : name.substring(name.lastIndexOf('.'));
    }

    private static List<Path> list(Path folder) throws IOException {
        try (Stream<Path> entries = Files.list(folder)) {
            return entries.filter(entry -> !entry.getFileName().toString().startsWith("."))
                    .sorted(Comparator.comparing(entry -> entry.getFileName().toString())).toList();
        } catch (UncheckedIOException e) {
            throw e.getCause();
        }
    }

    /** A pipe or a device is none, whatever its name is. */
    private static boolean isImage(Path file) {
        return ImageFile.ENDINGS.contains(ending(file)) && Files.isRegularFile(file);
    }

    /** A number that depends on the seed and the names of the class and the image. */
    private static long draw(Path file, long seed) {
        MessageDigest digest = Fingerprint.sha256();
        digest.update(ByteBuffer.allocate(Long.BYTES).putLong(seed).flip());
        String name = requireNonNull(file.getParent()).getFileName() + "/" + file.getFileName();
        return ByteBuffer.wrap(digest.digest(name.getBytes(StandardCharsets.UTF_8))).getLong();
    }

    /** The names of the classes, sorted; a label is a place among them. */
    public List<String> classes() {
        return classes;
    }

    /** What lies in the folder and is not read, hidden files aside. */
    public List<LeftOut> leftOut() {
        return leftOut;
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
        return rows(position, count, 1);
    }

    /** Every {@code stride}th image from {@code position} on, so many of them. */
    public Labelled rows(long position, int count, int stride) throws IOException {
        return rows(position, count, stride, false);
    }

    /**
     * The same.
     *
     * @param cropped whether a random part of each image is taken in place of its middle: of .08 to 1 of its area, its width 3/4 to 4/3 of its height, made
     *     square (as torchvision's RandomResizedCrop). An image has another part in each epoch
     */
    public Labelled rows(long position, int count, int stride, boolean cropped) throws IOException {
        Image[] images = new Image[count];
        boolean[] mirrored = new boolean[count];
        for (int i = 0; i < count; i++) {
            long at = position + (long) i * stride;
            images[i] = train.get((int) Permutation.endless(train.size(), Seed.of(seed).at("order"), at));
            mirrored[i] = (Seed.of(seed).at("mirrored").number(at) & 1) == 1;
        }
        return read(images, mirrored, i -> cropped ? Optional.of(Seed.of(seed).at("crops").at(position + (long) i * stride)) : Optional.empty());
    }

    /** The images {@code first} to {@code first + count - 1} of those that are not learned from, none of them mirrored. */
    public Labelled validation(int first, int count) throws IOException {
        return read(validation.subList(first, first + count).toArray(Image[]::new), new boolean[count], _ -> Optional.empty());
    }

    private Labelled read(Image[] images, boolean[] mirrored, IntFunction<Optional<Seed>> crops) throws IOException {
        int each = CHANNELS * size * size;
        float[] pixels = new float[Math.multiplyExact(images.length, each)];
        int[] labels = new int[images.length];
        try {
            IntStream.range(0, images.length).parallel().forEach(i -> {
                labels[i] = images[i].label;
                read(images[i].file, mirrored[i], crops.apply(i), pixels, i * each);
            });
        } catch (UncheckedIOException e) {
            IOException cause = requireNonNull(e.getCause());
            throw new IOException(cause.getMessage(), cause);
        }
        return new Labelled(pixels, labels);
    }

    /** A part of an image. */
    record Crop(int left, int top, int width, int height) {

        private static final double LEAST = 0.08;
        private static final double NARROWEST = 3.0 / 4;
        private static final int TRIES = 10;

        /** One by chance; the largest in the middle whose sides are right where no try fits. */
        static Crop drawn(int width, int height, SplittableRandom random) {
            for (int i = 0; i < TRIES; i++) {
                double area = random.nextDouble(LEAST, 1) * width * height;
                double ratio = Math.exp(random.nextDouble(Math.log(NARROWEST), -Math.log(NARROWEST)));
                int wide = (int) Math.round(Math.sqrt(area * ratio));
                int high = (int) Math.round(Math.sqrt(area / ratio));
                if (wide >= 1 && high >= 1 && wide <= width && high <= height) {
                    return new Crop(random.nextInt(width - wide + 1), random.nextInt(height - high + 1), wide, high);
                }
            }
            int wide = Math.clamp(Math.round(height / NARROWEST), 1, width);
            int high = Math.clamp(Math.round(width / NARROWEST), 1, height);
            return new Crop((width - wide) / 2, (height - high) / 2, wide, high);
        }
    }

    private void read(Path file, boolean mirrored, Optional<Seed> crop, float[] into, int at) {
        ImageFile image;
        try {
            image = ImageFile.read(file);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        Crop part = crop.map(seed -> Crop.drawn(image.width(), image.height(), seed.random())).orElse(new Crop(0, 0, image.width(), image.height()));
        for (int c = 0; c < CHANNELS; c++) {
            int channel = c;
            Resizing.Channel values = (y, row) -> {
                for (int x = 0; x < row.length; x++) {
                    row[x] = image.rgb()[CHANNELS * ((part.top + y) * image.width() + part.left + x) + channel] & 0xff;
                }
            };
            float[] resized = crop.isPresent() ? Resizing.stretched(values, part.width, part.height, size)
                    : Resizing.square(values, part.width, part.height, size);
            for (int y = 0; y < size; y++) {
                for (int x = 0; x < size; x++) {
                    float value = resized[y * size + (mirrored ? size - 1 - x : x)];
                    into[at + (c * size + y) * size + x] = (value / 255 - normalization.mean[c]) / normalization.deviation[c];
                }
            }
        }
    }
}
