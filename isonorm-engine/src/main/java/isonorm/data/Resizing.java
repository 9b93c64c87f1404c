package isonorm.data;

import java.awt.color.ColorSpace;
import java.awt.image.BufferedImage;
import java.awt.image.Raster;

/** Images as rows of numbers, and smaller or larger. */
final class Resizing {

    private Resizing() {}

    /** The red, green and blue of an image, (3, height, width), 0 to 255; what would shine through is left out. */
    static float[][] channels(BufferedImage image) {
        int width = image.getWidth();
        int height = image.getHeight();
        float[][] channels = new float[3][width * height];
        if (image.getColorModel().getColorSpace().getType() == ColorSpace.TYPE_GRAY) {
            // Java takes grey for linear light and would brighten it, where everybody else takes it for what a file holds.
            Raster raster = image.getRaster();
            float largest = (1 << image.getSampleModel().getSampleSize(0)) - 1;
            raster.getSamples(0, 0, width, height, 0, channels[0]);
            for (int i = 0; i < channels[0].length; i++) {
                channels[0][i] *= 255 / largest;
                channels[1][i] = channels[0][i];
                channels[2][i] = channels[0][i];
            }
            return channels;
        }
        int[] row = new int[width];
        for (int y = 0; y < height; y++) {
            image.getRGB(0, y, width, 1, row, 0, width);
            for (int x = 0; x < width; x++) {
                channels[0][y * width + x] = row[x] >> 16 & 0xff;
                channels[1][y * width + x] = row[x] >> 8 & 0xff;
                channels[2][y * width + x] = row[x] & 0xff;
            }
        }
        return channels;
    }

    /**
     * The middle square, of {@code size} a side, of a channel whose shorter side is made as long. Where two are in the middle it is the first,
     * as transformers cuts.
     */
    static float[] square(float[] channel, int width, int height, int size) {
        int shorter = Math.min(width, height);
        int wide = (int) ((long) size * width / shorter);
        int high = (int) ((long) size * height / shorter);
        Weights across = Weights.of(width, wide, (wide - size) / 2, size);
        Weights down = Weights.of(height, high, (high - size) / 2, size);
        float[] narrow = new float[height * size];
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < size; x++) {
                narrow[y * size + x] = across.sum(channel, y * width, 1, x);
            }
        }
        float[] square = new float[size * size];
        for (int y = 0; y < size; y++) {
            for (int x = 0; x < size; x++) {
                square[y * size + x] = down.sum(narrow, x, size, y);
            }
        }
        return square;
    }

    /**
     * What each of some new pixels is made of: a triangle over the old ones, as wide as two old pixels, or two new ones where those are
     * larger.
     */
    private record Weights(int[] first, float[][] weights) {

        /** Of the new pixels {@code offset} to {@code offset + count - 1} of {@code to} that {@code from} old ones become. */
        static Weights of(int from, int to, int offset, int count) {
            double scale = (double) from / to;
            double reach = Math.max(1, scale);
            int[] first = new int[count];
            float[][] weights = new float[count][];
            for (int i = 0; i < count; i++) {
                double centre = (offset + i + 0.5) * scale;
                int begin = Math.max(0, (int) Math.floor(centre - reach + 0.5));
                int end = Math.min(from, (int) Math.floor(centre + reach + 0.5));
                double[] exact = new double[end - begin];
                double sum = 0;
                for (int j = 0; j < exact.length; j++) {
                    exact[j] = Math.max(0, 1 - Math.abs(begin + j + 0.5 - centre) / reach);
                    sum += exact[j];
                }
                first[i] = begin;
                weights[i] = new float[exact.length];
                for (int j = 0; j < exact.length; j++) {
                    weights[i][j] = (float) (exact[j] / sum);
                }
            }
            return new Weights(first, weights);
        }

        float sum(float[] values, int at, int stride, int pixel) {
            float sum = 0;
            for (int j = 0; j < weights[pixel].length; j++) {
                sum += weights[pixel][j] * values[at + (first[pixel] + j) * stride];
            }
            return sum;
        }
    }
}
