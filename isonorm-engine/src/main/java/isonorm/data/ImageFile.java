package isonorm.data;

import isonorm.words.LibraryFault;
import java.awt.color.ColorSpace;
import java.awt.image.BufferedImage;
import java.awt.image.ColorModel;
import java.awt.image.DataBuffer;
import java.awt.image.IndexColorModel;
import java.awt.image.Raster;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.Semaphore;
import java.util.zip.CRC32;
import javax.imageio.ImageReadParam;
import javax.imageio.ImageReader;
import javax.imageio.spi.IIORegistry;
import javax.imageio.spi.ImageReaderSpi;
import javax.imageio.stream.ImageInputStream;
import javax.imageio.stream.MemoryCacheImageInputStream;

/**
 * An image as its file's numbers say, which is what Pillow's {@code convert("RGB")} makes of it: no colour profile, no gamma, no turn that
 * EXIF asks for, nothing that shines through, the first image of several.
 *
 * @param rgb red, green and blue of each pixel, row by row
 */
record ImageFile(int width, int height, byte[] rgb) {

    /** How names of files end that are read. */
    static final List<String> ENDINGS = List.of(".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff");

    /** What Pillow takes for a trap, whatever the memory. */
    private static final long MOST_PIXELS = 178_956_970;

    /** A pixel while it is read: four channels of 16 bits at most, and red, green and blue. */
    private static final int BYTES_A_PIXEL = 12;

    /** Images that are read at once take half the memory, whatever they are. */
    private static final long PIXELS = Math.min(MOST_PIXELS, Runtime.getRuntime().maxMemory() / 2 / BYTES_A_PIXEL);

    private static final int TIFF_PHOTOMETRIC = 262;
    private static final Set<Integer> TIFF_READ = Set.of(0, 1, 2, 3, 5, 6); // grey both ways, RGB, palettes, inks, luminance and colour

    private static final long LEAST = 1 << 16; // bytes of a file that is read in any memory
    private static final int PIECE = 1 << 12; // pixels of a permit
    private static final Semaphore PIECES = new Semaphore((int) (PIXELS / PIECE) + 1);

    /**
     * Reads a file, whatever its name ends in.
     *
     * @throws IOException naming it, if it is damaged, larger than memory allows, or no image
     */
    static ImageFile read(Path file) throws IOException {
        return read(file, PIXELS);
    }

    /** With another number of pixels as the most. */
    static ImageFile read(Path file, long most) throws IOException {
        long bytesMost = Math.max(LEAST, most * BYTES_A_PIXEL / 4);
        if (Files.size(file) > bytesMost) {
            throw new IOException(file + " has " + Files.size(file) + " bytes, and an image of " + bytesMost + " is read in this memory; make it smaller");
        }
        byte[] bytes = Files.readAllBytes(file);
        try (ImageInputStream in = new MemoryCacheImageInputStream(new ByteArrayInputStream(bytes))) {
            ImageReader reader = reader(file, bytes);
            try {
                reader.setInput(in, true, true);
                return read(file, bytes, reader, most);
            } finally {
                reader.dispose();
            }
        } catch (Unreadable e) {
            throw e;
        } catch (IOException | RuntimeException e) { // Java's readers throw what they like at damaged files
            throw new Unreadable(file + " is damaged or of a kind that is not read: "
                    + LibraryFault.of(e, "it ends or breaks off where more must follow"), e);
        }
    }

    /** Something that names its file. */
    private static final class Unreadable extends IOException {
        private static final long serialVersionUID = 1L;

        private Unreadable(String message) {
            super(message);
        }

        private Unreadable(String message, Throwable cause) {
            super(message, cause);
        }
    }

    private static Unreadable truncated(Path file, String how) {
        return new Unreadable(file + " is truncated or damaged (" + how + "), so a part of it would be made up; get it again or take it out");
    }

    /** Java's own readers, so that what else an application has registered changes no pixel. */
    private static ImageReader reader(Path file, byte[] bytes) throws IOException {
        Iterator<ImageReaderSpi> all = IIORegistry.getDefaultInstance().getServiceProviders(ImageReaderSpi.class, true);
        while (all.hasNext()) {
            ImageReaderSpi each = all.next();
            boolean ours = each.getClass().getName().startsWith("com.sun.imageio.plugins.") && !each.getFormatNames()[0].equalsIgnoreCase("wbmp");
            if (ours && each.canDecodeInput(new MemoryCacheImageInputStream(new ByteArrayInputStream(bytes)))) {
                return each.createReaderInstance();
            }
        }
        throw new Unreadable(file + " is no image of a kind that is read: PNG, JPEG, GIF, BMP or TIFF");
    }

    private static ImageFile read(Path file, byte[] bytes, ImageReader reader, long most) throws IOException {
        int width = reader.getWidth(0);
        int height = reader.getHeight(0);
        long pixels = Math.max((long) width * height, (long) reader.getTileWidth(0) * reader.getTileHeight(0));
        if (width < 1 || height < 1 || pixels > most) {
            throw new Unreadable(file + " says that it has " + width + " x " + height + " pixels, and 1 to " + most
                    + " are read in this memory; make it smaller");
        }
        int pieces = (int) (pixels / PIECE) + 1;
        PIECES.acquireUninterruptibly(pieces);
        try {
            return switch (reader.getFormatName().toLowerCase(Locale.ROOT)) {
                case "jpeg", "jpg" -> jpeg(file, bytes, reader);
                case "png" -> {
                    requireWholePng(file, bytes);
                    yield of(file, reader.read(0, new ImageReadParam()));
                }
                case "gif" -> gif(file, bytes, reader.read(0));
                default -> of(file, tiff(file, bytes, reader).read(0));
            };
        } finally {
            PIECES.release(pieces);
        }
    }

    /** The first image of a GIF file, which must be all of it: what one that moves shows is put together of several. */
    private static ImageFile gif(Path file, byte[] bytes, BufferedImage image) throws IOException {
        int width = (bytes[6] & 0xff) | (bytes[7] & 0xff) << 8;
        int height = (bytes[8] & 0xff) | (bytes[9] & 0xff) << 8;
        if (image.getWidth() != width || image.getHeight() != height) {
            throw new Unreadable(file + " has " + width + " x " + height + " pixels, of which its first image has " + image.getWidth() + " x "
                    + image.getHeight() + "; make it one whole image");
        }
        return of(file, image);
    }

    /** Refuses colours that Java's reader would bring into others in its own way, such as CIELAB. */
    private static ImageReader tiff(Path file, byte[] bytes, ImageReader reader) throws IOException {
        if (bytes.length > 8 && (bytes[0] == 'I' || bytes[0] == 'M') && bytes[0] == bytes[1]) {
            ByteBuffer in = ByteBuffer.wrap(bytes).order(bytes[0] == 'I' ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN);
            long directory = Integer.toUnsignedLong(in.getInt(4));
            int entries = directory + 2 > bytes.length ? 0 : in.getShort((int) directory) & 0xffff;
            for (long at = directory + 2; entries > 0 && at + 12 <= bytes.length; at += 12, entries--) {
                int colours = in.getShort((int) at + 8) & 0xffff;
                if ((in.getShort((int) at) & 0xffff) == TIFF_PHOTOMETRIC && !TIFF_READ.contains(colours)) {
                    throw new Unreadable(file + " holds colours of a kind that is not read (photometric interpretation " + colours
                            + "); make it RGB of 8 bits");
                }
            }
        }
        return reader;
    }

    /** Numbers of 8 bits, whatever colours they would be with a profile. */
    private static ImageFile of(Path file, BufferedImage image) throws IOException {
        ColorModel colours = image.getColorModel();
        Raster raster = image.getRaster();
        int width = image.getWidth();
        int height = image.getHeight();
        int bands = raster.getNumBands();
        int kind = colours.getColorSpace().getType();
        boolean palette = colours instanceof IndexColorModel;
        boolean whole = raster.getTransferType() == DataBuffer.TYPE_BYTE || raster.getTransferType() == DataBuffer.TYPE_USHORT
                || raster.getTransferType() == DataBuffer.TYPE_INT && bands > 1; // packed
        boolean known = kind == ColorSpace.TYPE_GRAY && bands <= 2 || kind == ColorSpace.TYPE_RGB && bands >= 3 || kind == ColorSpace.TYPE_CMYK && bands >= 4;
        if (!palette && !(whole && known)) {
            throw new Unreadable(file + " holds " + bands + " channels of a kind that is not read; make it RGB of 8 bits");
        }
        byte[] rgb = new byte[3 * width * height];
        int[] row = new int[bands * width];
        for (int y = 0; y < height; y++) {
            raster.getPixels(raster.getMinX(), raster.getMinY() + y, width, 1, row);
            for (int x = 0; x < width; x++) {
                int at = 3 * (y * width + x);
                if (palette) {
                    int colour = colours.getRGB(row[x]);
                    set(rgb, at, colour >> 16 & 0xff, colour >> 8 & 0xff, colour & 0xff);
                } else if (kind == ColorSpace.TYPE_GRAY) {
                    int grey = byteOf(row[bands * x], raster, 0);
                    set(rgb, at, grey, grey, grey);
                } else {
                    int first = byteOf(row[bands * x], raster, 0);
                    int second = byteOf(row[bands * x + 1], raster, 1);
                    int third = byteOf(row[bands * x + 2], raster, 2);
                    if (kind == ColorSpace.TYPE_CMYK) {
                        ink(rgb, at, 255 - first, 255 - second, 255 - third, 255 - byteOf(row[bands * x + 3], raster, 3));
                    } else {
                        set(rgb, at, first, second, third);
                    }
                }
            }
        }
        return new ImageFile(width, height, rgb);
    }

    private static int byteOf(int sample, Raster raster, int band) {
        int bits = raster.getSampleModel().getSampleSize(band);
        return bits == 8 ? sample : (int) ((510L * sample / ((1L << bits) - 1) + 1) / 2);
    }

    private static void set(byte[] rgb, int at, int red, int green, int blue) {
        rgb[at] = (byte) red;
        rgb[at + 1] = (byte) green;
        rgb[at + 2] = (byte) blue;
    }

    /** What is left of white under four inks, 255 being none. */
    private static void ink(byte[] rgb, int at, int cyan, int magenta, int yellow, int black) {
        set(rgb, at, (cyan * black + 127) / 255, (magenta * black + 127) / 255, (yellow * black + 127) / 255);
    }

    /**
     * JPEG's own channels, and the colours that its markers say they are. Java's reader would bring them into other colours where a profile
     * says so, and refuses four channels.
     */
    private static ImageFile jpeg(Path file, byte[] bytes, ImageReader reader) throws IOException {
        String[] wrong = new String[1];
        reader.addIIOReadWarningListener((_, warning) -> {
            String said = warning.toLowerCase(Locale.ROOT);
            if (said.contains("premature end") || said.contains("bad huffman")) {
                wrong[0] = warning;
            }
        });
        Raster raster = reader.readRaster(0, null);
        if (wrong[0] != null) {
            throw truncated(file, wrong[0]);
        }
        JpegColours colours = JpegColours.of(bytes);
        if (!colours.ended) {
            throw truncated(file, "its end is missing");
        }
        int width = raster.getWidth();
        int height = raster.getHeight();
        int bands = raster.getNumBands();
        if (bands != 1 && bands != 3 && bands != 4) {
            throw new Unreadable(file + " is a JPEG of " + bands + " channels, and 1, 3 or 4 are read; make it RGB");
        }
        boolean luminance = colours.luminance(bands);
        byte[] rgb = new byte[3 * width * height];
        int[] row = new int[bands * width];
        for (int y = 0; y < height; y++) {
            raster.getPixels(0, y, width, 1, row);
            for (int x = 0; x < width; x++) {
                int from = bands * x;
                int at = 3 * (y * width + x);
                if (bands == 1) {
                    set(rgb, at, row[from], row[from], row[from]);
                    continue;
                }
                int first = row[from];
                int second = row[from + 1];
                int third = row[from + 2];
                if (luminance) { // ITU-R BT.601, as JFIF has it
                    float blue = second - 128;
                    float red = third - 128;
                    second = clamped(first - 0.344136f * blue - 0.714136f * red);
                    third = clamped(first + 1.772f * blue);
                    first = clamped(first + 1.402f * red);
                }
                if (bands == 3) {
                    set(rgb, at, first, second, third);
                } else if (luminance) { // what stands for colours are inks' complements, and inks are stored as what they leave
                    ink(rgb, at, 255 - first, 255 - second, 255 - third, row[from + 3]);
                } else {
                    ink(rgb, at, first, second, third, row[from + 3]);
                }
            }
        }
        return new ImageFile(width, height, rgb);
    }

    private static int clamped(float value) {
        return Math.clamp(Math.round(value), 0, 255);
    }

    /**
     * What a JPEG file says of its channels.
     *
     * @param jfif whether it is JFIF, whose three channels are luminance and two of colour
     * @param adobe what Adobe's marker says, -1 where there is none
     * @param names of the channels
     * @param ended whether its end is marked behind the pixels
     */
    private record JpegColours(boolean jfif, int adobe, int[] names, boolean ended) {

        private static final int ADOBE_NONE = 0;
        private static final int ADOBE_FOUR = 2;

        /** As libjpeg decides. */
        boolean luminance(int bands) {
            if (bands == 4) {
                return adobe == ADOBE_FOUR;
            }
            if (bands != 3) {
                return false;
            }
            boolean named = names.length == 3 && names[0] == 'R' && names[1] == 'G' && names[2] == 'B';
            return jfif || (adobe >= 0 ? adobe != ADOBE_NONE : !named);
        }

        static JpegColours of(byte[] bytes) {
            boolean jfif = false;
            int adobe = -1;
            int[] names = {};
            int at = 2;
            while (at + 4 <= bytes.length) {
                if (bytes[at] != (byte) 0xff) {
                    at++;
                    continue;
                }
                int marker = bytes[at + 1] & 0xff;
                if (marker == 0xff || marker == 0 || marker == 1 || marker >= 0xd0 && marker <= 0xd8) {
                    at += marker == 0xff ? 1 : 2;
                    continue;
                }
                if (marker == 0xda || marker == 0xd9) {
                    break;
                }
                int length = (bytes[at + 2] & 0xff) << 8 | bytes[at + 3] & 0xff;
                int from = at + 4;
                int end = Math.min(bytes.length, at + 2 + length);
                if (marker == 0xe0 && begins(bytes, from, end, "JFIF\0")) {
                    jfif = true;
                } else if (marker == 0xee && begins(bytes, from, end, "Adobe") && from + 11 < end) {
                    adobe = bytes[from + 11] & 0xff;
                } else if (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc && from + 6 <= end) {
                    names = new int[Math.min(bytes[from + 5] & 0xff, (end - from - 6) / 3)];
                    for (int i = 0; i < names.length; i++) {
                        names[i] = bytes[from + 6 + 3 * i] & 0xff;
                    }
                }
                at += 2 + Math.max(2, length);
            }
            boolean ended = false;
            for (; !ended && at + 2 <= bytes.length; at++) { // among pixels a zero stands behind this byte
                ended = bytes[at] == (byte) 0xff && bytes[at + 1] == (byte) 0xd9;
            }
            return new JpegColours(jfif, adobe, names, ended);
        }

        private static boolean begins(byte[] bytes, int from, int end, String with) {
            if (end - from < with.length()) {
                return false;
            }
            for (int i = 0; i < with.length(); i++) {
                if (bytes[from + i] != with.charAt(i)) {
                    return false;
                }
            }
            return true;
        }
    }

    /** The sums that stand behind a PNG file's chunks, which Java's reader passes over. */
    private static void requireWholePng(Path file, byte[] bytes) throws IOException {
        ByteBuffer in = ByteBuffer.wrap(bytes);
        boolean data = false;
        for (int at = 8; at + 8 <= bytes.length;) {
            int length = in.getInt(at);
            int type = in.getInt(at + 4);
            boolean pixels = type == 0x49444154; // IDAT
            if (data && !pixels) {
                return;
            }
            data |= pixels;
            if (length < 0 || length > bytes.length - at - 12) {
                throw truncated(file, "it ends within a chunk");
            }
            CRC32 sum = new CRC32();
            sum.update(bytes, at + 4, length + 4);
            if ((bytes[at + 4] & 0x20) == 0 && (int) sum.getValue() != in.getInt(at + 8 + length)) {
                throw truncated(file, "a chunk is not what its sum says");
            }
            at += 12 + length;
        }
        if (!data) {
            throw truncated(file, "there are no pixels");
        }
    }
}
