package isonorm.data;

/** Images, smaller or larger. */
final class Resizing {

    private Resizing() {}

    /** A channel of an image. */
    @FunctionalInterface
    interface Channel {
        /** Puts a row into an array. */
        void row(int y, float[] into);
    }

    /**
     * The middle square, of {@code size} a side, of a channel whose shorter side is made as long. Where two are in the middle it is the first,
     * as transformers cuts.
     */
    static float[] square(Channel channel, int width, int height, int size) {
        int shorter = Math.min(width, height);
        long wide = (long) size * width / shorter;
        long high = (long) size * height / shorter;
        return made(channel, width, Weights.of(width, wide, (wide - size) / 2, size), Weights.of(height, high, (high - size) / 2, size), size);
    }

    /** A channel whose sides both become {@code size} long. */
    static float[] stretched(Channel channel, int width, int height, int size) {
        return made(channel, width, Weights.of(width, size, 0, size), Weights.of(height, size, 0, size), size);
    }

    private static float[] made(Channel channel, int width, Weights across, Weights down, int size) {
        int top = down.first[0];
        int bottom = down.first[size - 1] + down.weights[size - 1].length;
        float[] narrow = new float[(bottom - top) * size]; // of a high image only what its middle is made of
        float[] row = new float[width];
        for (int y = top; y < bottom; y++) {
            channel.row(y, row);
            for (int x = 0; x < size; x++) {
                narrow[(y - top) * size + x] = across.sum(row, across.first[x], 1, x);
            }
        }
        float[] square = new float[size * size];
        for (int y = 0; y < size; y++) {
            for (int x = 0; x < size; x++) {
                square[y * size + x] = down.sum(narrow, (down.first[y] - top) * size + x, size, y);
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
        static Weights of(int from, long to, long offset, int count) {
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

        /** Of a new pixel, whose first old one is at a place. */
        float sum(float[] values, int at, int stride, int pixel) {
            float sum = 0;
            for (int j = 0; j < weights[pixel].length; j++) {
                sum += weights[pixel][j] * values[at + j * stride];
            }
            return sum;
        }
    }
}
