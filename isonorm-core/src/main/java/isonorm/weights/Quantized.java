package isonorm.weights;

import java.io.IOException;
import java.util.List;

/** A matrix, (out, in), whose values are codes times scales of groups; read, it gives these products exactly. */
public sealed interface Quantized extends Matrix permits Quantized.Rounding, Quantized.Held, StoredCodes {

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
        Tile whole = groupsAround(tile);
        int first = whole.column();
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

    /** How many bits codes and scales take. */
    default long bits() {
        return (long) rows() * (Byte.SIZE * (long) quantization().codeBytes(columns()) + Short.SIZE * (long) quantization().groups(columns()));
    }

    /** The tile of whole groups that a tile lies in. */
    private Tile groupsAround(Tile tile) {
        int group = quantization().group();
        int first = tile.column() / group * group;
        return tile.withColumns(first, Math.min(columns(), Math.ceilDiv(tile.column() + tile.columns(), group) * group) - first);
    }

    /** The codes as files hold them: of 8 bits one a column, of 4 bits two, plus 8, the first of them in the lower half. */
    default Matrix storedCodes() {
        return new Codes(this);
    }

    /** The scales, (out, groups). */
    default Matrix storedScales() {
        return new Scales(this);
    }

    /** What {@link Quantized#storedCodes} gives. */
    record Codes(Quantized of) implements Matrix {

        @Override
        public int rows() {
            return of.rows();
        }

        @Override
        public int columns() {
            return of.quantization().codeBytes(of.columns());
        }

        @Override
        public Tile shape() {
            return of.shape().withColumns(0, of.quantization().codeBytes(of.shape().columns()));
        }

        @Override
        public void prepare() throws IOException {
            of.prepare();
        }

        @Override
        public void read(Tile tile, double[] into) throws IOException {
            int inByte = Byte.SIZE / of.quantization().bits();
            Tile inputs = of.groupsAround(tile.withColumns(inByte * tile.column(), Math.min(inByte * tile.columns(), of.columns() - inByte * tile.column())));
            byte[] codes = new byte[inputs.size()];
            of.readCodes(inputs, codes, new short[inputs.rows() * of.quantization().groups(inputs.columns())]);
            for (int r = 0, at = 0; r < tile.rows(); r++) {
                for (int c = 0; c < tile.columns(); c++, at++) {
                    int input = inByte * (tile.column() + c) - inputs.column();
                    int first = codes[r * inputs.columns() + input];
                    into[at] = inByte == 1 ? first : first + 8 + 16 * (input + 1 < inputs.columns() ? codes[r * inputs.columns() + input + 1] + 8 : 0);
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
        }
    }

    /** What {@link Quantized#storedScales} gives. */
    record Scales(Quantized of) implements Matrix {

        @Override
        public int rows() {
            return of.rows();
        }

        @Override
        public int columns() {
            return of.quantization().groups(of.columns());
        }

        @Override
        public Tile shape() {
            return of.shape().withColumns(0, of.quantization().groups(of.shape().columns()));
        }

        @Override
        public void prepare() throws IOException {
            of.prepare();
        }

        @Override
        public void read(Tile tile, double[] into) throws IOException {
            int group = of.quantization().group();
            Tile inputs = tile.withColumns(group * tile.column(), Math.min(group * tile.columns(), of.columns() - group * tile.column()));
            short[] scales = new short[tile.size()];
            of.readCodes(inputs, new byte[inputs.size()], scales);
            for (int i = 0; i < tile.size(); i++) {
                into[i] = Float.float16ToFloat(scales[i]);
            }
        }

        @Override
        public void release() {
            of.release();
        }

        @Override
        public void describe(List<String> steps) {
            of.describe(steps);
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

    /**
     * Codes and scales in memory, of a matrix that they were chosen for.
     *
     * @param codes (rows, columns)
     * @param scales (rows, groups), float16
     */
    @SuppressWarnings("ArrayRecordComponent") // as large as a model: nobody copies or compares them
    record Held(Matrix of, Quantization quantization, byte[] codes, short[] scales, String method) implements Quantized {

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
            return new Tile(0, 64, 0, Math.ceilDiv(columns(), quantization.group()) * quantization.group());
        }

        @Override
        public void prepare() {}

        @Override
        public void readCodes(Tile tile, byte[] into, short[] scalesInto) {
            int groups = quantization.groups(columns());
            int some = quantization.groups(tile.columns());
            for (int r = 0; r < tile.rows(); r++) {
                System.arraycopy(codes, (tile.row() + r) * columns() + tile.column(), into, r * tile.columns(), tile.columns());
                System.arraycopy(scales, (tile.row() + r) * groups + tile.column() / quantization.group(), scalesInto, r * some, some);
            }
        }

        @Override
        public void release() {}

        @Override
        public void describe(List<String> steps) {
            of.describe(steps);
            steps.add("in " + quantization.bits() + " bits in groups of " + quantization.group() + ", by " + method);
        }
    }
}
