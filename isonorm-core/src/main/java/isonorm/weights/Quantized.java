package isonorm.weights;

import java.io.IOException;
import java.util.List;

/** A matrix, (out, in), whose values are codes times scales of groups; read, it gives these products exactly. */
public sealed interface Quantized extends Matrix permits Quantized.Rounding, StoredCodes {

    Quantization quantization();

    /**
     * Reads the codes of a tile, row after row, and the scales of its groups in float16, row after row.
     *
     * @param tile from the beginning of a group on, and to the end of one or of the matrix
     */
    void readCodes(Tile tile, byte[] codes, short[] scales) throws IOException;

    @Override
    default void read(Tile tile, double[] into) throws IOException {
        int group = quantization().group();
        int first = tile.column() / group * group;
        int end = Math.min(columns(), Math.ceilDiv(tile.column() + tile.columns(), group) * group);
        Tile whole = tile.withColumns(first, end - first);
        byte[] codes = new byte[whole.size()];
        int groups = quantization().groups(whole.columns());
        short[] scales = new short[whole.rows() * groups];
        readCodes(whole, codes, scales);
        for (int r = 0, at = 0; r < tile.rows(); r++) {
            for (int c = tile.column() - first; c < tile.column() - first + tile.columns(); c++, at++) {
                into[at] = codes[r * whole.columns() + c] * (double) Float.float16ToFloat(scales[r * groups + c / group]);
            }
        }
    }

    /** {@code of}, rounded to the nearest when it is read. */
    static Quantized of(Matrix of, Quantization quantization) {
        return new Rounding(of, quantization);
    }

    /** What {@link Quantized#of} gives. */
    record Rounding(Matrix of, Quantization quantization) implements Quantized {

        @Override
        public int rows() {
            return of.rows();
        }

        @Override
        public int columns() {
            return of.columns();
        }

        @Override
        public Tile shape() {
            Tile shape = of.shape();
            int columns = Math.ceilDiv(shape.columns(), quantization.group()) * quantization.group();
            return shape.withColumns(0, columns);
        }

        @Override
        public void prepare() throws IOException {
            of.prepare();
        }

        @Override
        public void readCodes(Tile tile, byte[] codes, short[] scales) throws IOException {
            int groups = quantization.groups(tile.columns());
            try (Scratch scratch = Scratch.borrow(tile.size())) {
                double[] values = scratch.values();
                of.read(tile, values);
                for (int r = 0; r < tile.rows(); r++) {
                    quantization.round(values, r * tile.columns(), tile.columns(), codes, r * tile.columns(), scales, r * groups);
                }
            }
        }

        @Override
        public void release() {
            of.release();
        }

        @Override
        public void describe(List<String> steps) {
            of.describe(steps);
            steps.add("rounded to " + quantization.bits() + " bits in groups of " + quantization.group());
        }
    }
}
