package isonorm.data;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Holds what is read to what Pillow reads; see the README of the resources. */
class ImageFileTest {

    private static final Path IMAGES = Path.of("src/test/resources/isonorm/data/images");

    /** Decoders of JPEG differ by 1, and a palette of 16 bits is rounded in one and cut in the other. */
    private static final int ROUNDING = 1;

    @TempDir
    Path folder;

    static Stream<String> files() throws IOException {
        try (Stream<Path> all = Files.list(IMAGES)) {
            List<String> names = all.map(each -> each.getFileName().toString()).filter(name -> ImageFile.ENDINGS.stream().anyMatch(name::endsWith)).toList();
            assertEquals(19, names.size());
            return names.stream();
        }
    }

    @ParameterizedTest
    @MethodSource("files")
    void pixelsAreThoseOfPillow(String name) throws IOException {
        ImageFile image = ImageFile.read(IMAGES.resolve(name));
        byte[] pillows = Files.readAllBytes(IMAGES.resolve(name + ".rgb"));
        assertEquals(16, image.width());
        assertEquals(12, image.height());
        assertEquals(pillows.length, image.rgb().length);
        for (int i = 0; i < pillows.length; i++) {
            int difference = (image.rgb()[i] & 0xff) - (pillows[i] & 0xff);
            assertTrue(Math.abs(difference) <= ROUNDING, name + " value " + i + " is off by " + difference);
        }
    }

    @Test
    void greyInInksIsThatGrey() throws IOException {
        for (String name : List.of("cmyk.jpg", "cmyk.tif")) {
            for (byte value : Arrays.copyOf(ImageFile.read(IMAGES.resolve(name)).rgb(), 6)) {
                assertEquals(128, value & 0xff, 3, name); // with a profile it would be 188
            }
        }
    }

    @Test
    void sixteenBitsBecomeTheirUpperEight() throws IOException {
        BufferedImage image = new BufferedImage(2, 1, BufferedImage.TYPE_USHORT_GRAY);
        image.getRaster().setSample(0, 0, 0, 100 * 257);
        image.getRaster().setSample(1, 0, 0, 65535);
        Path file = folder.resolve("a.png");
        ImageIO.write(image, "png", file.toFile());
        assertArrayEquals(new byte[] {100, 100, 100, -1, -1, -1}, ImageFile.read(file).rgb());
    }

    @ParameterizedTest
    @ValueSource(strings = {"rgb.jpg", "progressive.jpg", "cmyk.jpg", "grey.jpg", "palette.png", "palette.gif", "rgb.bmp", "lzw.tif", "cmyk.tif"})
    void whatIsCutIsRefusedByName(String name) throws IOException {
        byte[] whole = Files.readAllBytes(IMAGES.resolve(name));
        Path file = folder.resolve(name);
        for (int percent = 5; percent < 95; percent += 9) {
            Files.write(file, Arrays.copyOf(whole, whole.length * percent / 100));
            String message = assertThrows(IOException.class, () -> ImageFile.read(file), name + " of " + percent + " %").getMessage();
            assertTrue(message.startsWith(file + " ") && message.lines().count() == 1, message);
        }
    }

    @Test
    void aJpegThatEndsEarlyIsCalledTruncatedAlsoWhenItsEndMarkerIsThere() throws IOException {
        byte[] whole = Files.readAllBytes(IMAGES.resolve("rgb.jpg"));
        Path file = Files.write(folder.resolve("a.jpg"), Arrays.copyOf(whole, whole.length - 60));
        assertTrue(assertThrows(IOException.class, () -> ImageFile.read(file)).getMessage().startsWith(file + " is truncated or damaged"));
        byte[] ended = Arrays.copyOf(whole, whole.length - 58);
        ended[ended.length - 2] = (byte) 0xff;
        ended[ended.length - 1] = (byte) 0xd9;
        Files.write(file, ended);
        assertTrue(assertThrows(IOException.class, () -> ImageFile.read(file)).getMessage().startsWith(file + " is truncated or damaged"));
    }

    @Test
    void aChangedByteOfAPngIsFound() throws IOException {
        byte[] bytes = Files.readAllBytes(IMAGES.resolve("palette.png"));
        bytes[50] ^= 1; // of the palette
        Path file = Files.write(folder.resolve("a.png"), bytes);
        assertEquals(file + " is truncated or damaged (a chunk is not what its sum says), so a part of it would be made up; get it again or take it out",
                assertThrows(IOException.class, () -> ImageFile.read(file)).getMessage());
    }

    @Test
    void aHeaderOfTooManyPixelsIsRefusedBeforeAnythingIsUnpacked() throws IOException {
        byte[] bytes = Files.readAllBytes(IMAGES.resolve("alpha.png"));
        ByteBuffer png = ByteBuffer.wrap(bytes).putInt(16, 50_000).putInt(20, 40_000);
        CRC32 sum = new CRC32();
        sum.update(bytes, 12, 17);
        png.putInt(29, (int) sum.getValue());
        Path file = Files.write(folder.resolve("a.png"), bytes);
        String message = assertThrows(IOException.class, () -> ImageFile.read(file)).getMessage();
        assertTrue(message.startsWith(file + " says that it has 50000 x 40000 pixels, and 1 to "), message);
        Path small = IMAGES.resolve("rgb.bmp");
        assertEquals(16, ImageFile.read(small, 192).width());
        assertTrue(assertThrows(IOException.class, () -> ImageFile.read(small, 191)).getMessage().contains("16 x 12 pixels, and 1 to 191"));
    }

    @Test
    void coloursThatWouldBeOthersAreRefused() throws IOException {
        byte[] bytes = Files.readAllBytes(IMAGES.resolve("lzw.tif"));
        ByteBuffer tiff = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        int directory = tiff.getInt(4);
        for (int at = directory + 2;; at += 12) {
            if (tiff.getShort(at) == 262) {
                tiff.putShort(at + 8, (short) 8); // CIELAB
                break;
            }
        }
        Path file = Files.write(folder.resolve("a.tif"), bytes);
        assertTrue(assertThrows(IOException.class, () -> ImageFile.read(file)).getMessage().contains("photometric interpretation 8"));
    }
}
