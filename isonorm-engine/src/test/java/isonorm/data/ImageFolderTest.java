package isonorm.data;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.data.ImageFolder.Labelled;
import isonorm.data.ImageFolder.Normalization;
import isonorm.weights.Seed;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.function.IntBinaryOperator;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ImageFolderTest {

    /** Leaves values of 0 to 1 as they are. */
    private static final Normalization NONE = new Normalization(new float[3], new float[] {1, 1, 1});

    private static final float ROUNDING = 1e-6f;

    @TempDir
    Path folder;

    private Path image(String name, int width, int height, int type, IntBinaryOperator colour) throws IOException {
        Path file = folder.resolve(name);
        Files.createDirectories(file.getParent());
        BufferedImage image = new BufferedImage(width, height, type);
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width; x++) {
                if (type == BufferedImage.TYPE_BYTE_GRAY) {
                    image.getRaster().setSample(x, y, 0, colour.applyAsInt(x, y));
                } else {
                    image.setRGB(x, y, colour.applyAsInt(x, y));
                }
            }
        }
        ImageIO.write(image, name.substring(name.lastIndexOf('.') + 1), file.toFile());
        return file;
    }

    private float[] only(int size, Normalization normalization) throws IOException {
        ImageFolder images = ImageFolder.open(folder, size, normalization, 0, 0);
        for (long position = 0;; position++) {
            Labelled row = images.rows(position, 1);
            if ((Seed.of(0).at("mirrored").number(position) & 1) == 0) {
                return row.pixels();
            }
        }
    }

    @Test
    void coloursAreChannelsAndNormalized() throws IOException {
        image("a/x.png", 4, 4, BufferedImage.TYPE_INT_ARGB, (x, y) -> 0x80ff3300);
        float[] pixels = only(4, Normalization.VIT);
        assertEquals(48, pixels.length);
        assertEquals(1, pixels[0], ROUNDING);
        assertEquals(0.2f * 2 - 1, pixels[16], ROUNDING);
        assertEquals(-1, pixels[47], ROUNDING);
        pixels = only(4, Normalization.IMAGENET);
        assertEquals((1 - .485f) / .229f, pixels[0], ROUNDING);
    }

    @Test
    void greyIsWhatTheFileHolds() throws IOException {
        image("a/x.png", 4, 4, BufferedImage.TYPE_BYTE_GRAY, (x, y) -> 100);
        for (float pixel : only(4, NONE)) {
            assertEquals(100 / 255f, pixel, ROUNDING);
        }
    }

    private static float[] square(float[] channel, int width, int height, int size) {
        return Resizing.square((y, into) -> System.arraycopy(channel, y * width, into, 0, width), width, height, size);
    }

    @Test
    void theMiddleIsTakenAndSidesAreMeans() throws IOException {
        // columns 0 1 2 3 4 5 6 7, two rows: the middle square of 2 is columns 3 and 4
        image("a/x.png", 8, 2, BufferedImage.TYPE_INT_RGB, (x, y) -> 10 * x << 16);
        assertArrayEquals(new float[] {30 / 255f, 40 / 255f, 30 / 255f, 40 / 255f}, Arrays.copyOf(only(2, NONE), 4), ROUNDING);
        // of 5 columns those are columns 1 and 2
        assertArrayEquals(new float[] {1, 2, 1, 2}, square(new float[] {0, 1, 2, 3, 4, 0, 1, 2, 3, 4}, 5, 2, 2), 1e-5f);
        // 4 x 4 to 2 x 2: a triangle of width 4 around 1 and 3 has the weights 3 3 1 and 1 3 3, in sevenths
        float[] quarter = square(new float[] {7, 14, 21, 28, 7, 14, 21, 28, 7, 14, 21, 28, 7, 14, 21, 28}, 4, 4, 2);
        assertArrayEquals(new float[] {(3 * 7 + 3 * 14 + 21) / 7f, (14 + 3 * 21 + 3 * 28) / 7f, 12, 23}, quarter, 1e-5f);
        // twice as large: 1/4 and 3/4 of the neighbours
        assertArrayEquals(new float[] {0, 1, 3, 4, 0, 1, 3, 4, 0, 1, 3, 4, 0, 1, 3, 4}, square(new float[] {0, 4, 0, 4}, 2, 2, 4), 1e-5f);
    }

    @Test
    void classesAreSortedAndEachImageComesOnceAnEpochMirroredInSome() throws IOException {
        for (int i = 0; i < 10; i++) {
            int grey = 20 * i;
            image("dog/" + i + ".png", 3, 3, BufferedImage.TYPE_INT_RGB, (x, y) -> grey << 16 | x);
            image("cat/" + i + ".jpg", 3, 3, BufferedImage.TYPE_INT_RGB, (x, y) -> 0x808080);
        }
        ImageFolder images = ImageFolder.open(folder, 3, NONE, 0.2, 1);
        assertEquals(List.of("cat", "dog"), images.classes());
        assertEquals(16, images.train());
        assertEquals(4, images.validation());
        Set<Integer> seen = new HashSet<>();
        int mirrored = 0;
        for (int epoch = 0; epoch < 4; epoch++) {
            Labelled rows = images.rows(16L * epoch, 16);
            seen.clear();
            for (int i = 0; i < 16; i++) {
                if (rows.labels()[i] == 1) {
                    assertTrue(seen.add(Math.round(rows.pixels()[i * 27] * 255)));
                    mirrored += rows.pixels()[i * 27 + 18] > rows.pixels()[i * 27 + 20] ? 1 : 0;
                }
            }
            assertEquals(8, seen.size());
        }
        assertTrue(mirrored > 6 && mirrored < 26, mirrored + " of 32");
        Labelled kept = images.validation(0, 4);
        assertArrayEquals(new int[] {0, 0, 1, 1}, kept.labels());
        assertTrue(!seen.contains(Math.round(kept.pixels()[2 * 27] * 255)), "none is on both sides");
        assertArrayEquals(images.rows(5, 3).pixels(), ImageFolder.open(folder, 3, NONE, 0.2, 1).rows(5, 3).pixels());
    }

    @Test
    void whatIsNotReadIsCounted() throws IOException {
        for (String name : List.of("a/1.png", "a/2.bmp", "b/1.gif", "a/deep/er/1.png", "a/deep/2.png", "0.png")) {
            image(name, 3, 3, BufferedImage.TYPE_INT_RGB, (x, y) -> 0);
        }
        for (String name : List.of("a/3.webp", "b/4.WEBP", "b/notes", "a/.hidden", "notes.txt")) {
            Files.writeString(folder.resolve(name), "");
        }
        ImageFolder images = ImageFolder.open(folder, 2, NONE, 0, 0);
        assertEquals(3, images.train());
        assertEquals(List.of(new ImageFolder.LeftOut(1, "images beside the folders of classes"),
                new ImageFolder.LeftOut(2, "images in " + folder.resolve("a/deep") + ", a folder within that of a class"),
                new ImageFolder.LeftOut(1, "files without an ending"), new ImageFolder.LeftOut(2, "files ending in .webp")), images.leftOut());
    }

    @Test
    void aStripeIsReadInTheMemoryOfItsMiddle() throws IOException {
        image("a/x.png", 1, 100_000, BufferedImage.TYPE_INT_RGB, (x, y) -> 0x404040);
        for (float pixel : only(64, NONE)) {
            assertEquals(64 / 255f, pixel, ROUNDING);
        }
    }

    @Test
    void foldersThatHoldNoImagesAreRefused() throws IOException {
        assertEquals(folder + " has no folders; images lie in a folder for each class", refusal());
        Path none = Files.createDirectory(folder.resolve("a"));
        Files.writeString(none.resolve("a.txt"), "");
        assertEquals(none + " has no image; names must end in .png, .jpg, .jpeg, .gif, .bmp, .tif, .tiff, and images lie in the folder of "
                + "their class itself", refusal());
        Path broken = Files.writeString(none.resolve("a.png"), "no image");
        assertEquals(broken + " is no image of a kind that is read: PNG, JPEG, GIF, BMP or TIFF",
                assertThrows(IOException.class, () -> ImageFolder.open(folder, 2, NONE, 0, 0).rows(0, 1)).getMessage());
        byte[] whole = Files.readAllBytes(image("a/a.png", 9, 9, BufferedImage.TYPE_INT_RGB, (x, y) -> x * y));
        Files.write(broken, Arrays.copyOf(whole, whole.length / 2));
        assertTrue(assertThrows(IOException.class, () -> ImageFolder.open(folder, 2, NONE, 0, 0).rows(0, 1)).getMessage()
                .startsWith(broken + " is truncated or damaged"));
    }

    private String refusal() {
        return assertThrows(IOException.class, () -> ImageFolder.open(folder, 2, NONE, 0, 0)).getMessage();
    }

    /** As torchvision's: .08 to 1 of the area, 3/4 to 4/3 as wide as high, where that fits. */
    @Test
    void partsByChanceAreWithinTheirLimits() {
        SplittableRandom random = new SplittableRandom(5);
        double least = 1;
        double most = 0;
        for (int i = 0; i < 2000; i++) {
            ImageFolder.Crop crop = ImageFolder.Crop.drawn(300, 200, random);
            double area = crop.width() * crop.height() / 60_000.0;
            least = Math.min(least, area);
            most = Math.max(most, area);
            assertTrue(crop.left() >= 0 && crop.top() >= 0 && crop.left() + crop.width() <= 300 && crop.top() + crop.height() <= 200, crop.toString());
            assertTrue(area > 0.078 && area <= 1 && crop.width() > 0.73 * crop.height() && crop.width() < 1.36 * crop.height(), crop.toString());
        }
        assertTrue(least < 0.1 && most > 0.8, least + " to " + most);
        assertEquals(new ImageFolder.Crop(493, 0, 13, 10), ImageFolder.Crop.drawn(1000, 10, new SplittableRandom(5)), "no part of its area is so narrow");
    }

    /** A part is stretched to the square, and is another one the next time. */
    @Test
    void aPartByChanceIsWhatIsRead() throws IOException {
        image("a/ramp.png", 64, 64, BufferedImage.TYPE_INT_RGB, (x, y) -> 3 * x << 16 | 3 * y << 8);
        ImageFolder images = ImageFolder.open(folder, 4, NONE, 0, 0);
        Set<Float> seen = new HashSet<>();
        for (long position = 0; position < 8; position++) {
            float[] pixels = images.rows(position, 1, 1, true).pixels();
            boolean mirrored = (Seed.of(0).at("mirrored").number(position) & 1) == 1;
            ImageFolder.Crop crop = ImageFolder.Crop.drawn(64, 64, Seed.of(0).at("crops").at(position).random());
            double left = 3 * (crop.left() + crop.width() / 8.0 - 0.5) / 255;
            double top = 3 * (crop.top() + crop.height() / 8.0 - 0.5) / 255;
            assertEquals(left, pixels[mirrored ? 3 : 0], 0.02, crop.toString());
            assertEquals(top, pixels[16], 0.02, crop.toString());
            seen.add(pixels[0]);
        }
        assertEquals(8, seen.size());
        assertArrayEquals(images.rows(0, 1).pixels(), images.rows(0, 1, 1, false).pixels());
    }
}
