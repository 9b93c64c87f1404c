package isonorm.bench;

import isonorm.architecture.Role;
import isonorm.convert.LoadedModel;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.text.BeginningToken;
import isonorm.verify.Likelihood;
import isonorm.verify.TokenizedText;
import isonorm.verify.Verification;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import isonorm.weights.QuantizedParts;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * The perplexity of a model whose blocks' linear layers are rounded to few bits, of numbers that no file has too: {@code CHECKPOINT TEXT BITS...}, 2 to 8.
 *
 * <p>Groups of 32 inputs share a scale in float16, and the value of the largest size in a group has the code of the largest size, as in
 * {@link isonorm.weights.Quantization}; head and table stay. Products are of float32.
 */
public final class FewBits {

    private static final int GROUP = 32;

    private FewBits() {}

    public static void main(String[] arguments) throws IOException {
        if (arguments.length < 3) {
            System.err.println("usage: FewBits CHECKPOINT TEXT BITS...");
            System.exit(2);
        }
        LoadedModel source = LoadedModel.open(Path.of(arguments[0]));
        Model model = Model.of(source.model());
        int window = Math.min(1024, source.model().context());
        TokenizedText text = TokenizedText.read(source.checkpoint().folder().resolve("tokenizer.json"), Path.of(arguments[1]), BeginningToken.NEVER, window, window, Long.MAX_VALUE);
        System.out.printf(Locale.ROOT, "float32  %.3f%n", perplexity(model, text));
        for (String bits : List.of(arguments).subList(2, arguments.length)) {
            System.out.printf(Locale.ROOT, "%s bits   %.3f%n", bits, perplexity(rounded(model, Integer.parseInt(bits)), text));
        }
    }

    private static double perplexity(Model model, TokenizedText text) throws IOException {
        Likelihood likelihood = Verification.likelihood(model, text, Compute.F32, Progress.NONE);
        return likelihood.perplexity();
    }

    private static Model rounded(Model model, int bits) {
        if (bits < 2 || bits > Byte.SIZE) {
            throw new IllegalArgumentException("weights are rounded to 2 to 8 bits, got " + bits);
        }
        Map<Role, Matrix> weights = new LinkedHashMap<>(model.weights());
        weights.replaceAll((role, matrix) -> QuantizedParts.isLayer(role) ? new Rounded(matrix, 1 << (bits - 1)) : matrix);
        return new Model(model.architecture(), weights);
    }

    /**
     * {@code of}, (out, in), rounded to the nearest when it is read.
     *
     * @param largest the size of the largest code, a negative one
     */
    private record Rounded(Matrix of, int largest) implements Matrix {

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
            return shape.withColumns(0, Math.ceilDiv(shape.columns(), GROUP) * GROUP);
        }

        @Override
        public void prepare() throws IOException {
            of.prepare();
        }

        @Override
        public void read(Tile tile, double[] into) throws IOException {
            int first = tile.column() / GROUP * GROUP;
            int end = Math.min(columns(), Math.ceilDiv(tile.column() + tile.columns(), GROUP) * GROUP);
            Tile groups = tile.withColumns(first, end - first);
            double[] values = new double[groups.size()];
            of.read(groups, values);
            for (int r = 0; r < tile.rows(); r++) {
                for (int at = r * groups.columns(); at < (r + 1) * groups.columns(); at += GROUP) {
                    round(values, at, Math.min(at + GROUP, (r + 1) * groups.columns()));
                }
                System.arraycopy(values, r * groups.columns() + tile.column() - first, into, r * tile.columns(), tile.columns());
            }
        }

        private void round(double[] values, int from, int to) {
            double extreme = 0;
            for (int i = from; i < to; i++) {
                extreme = Math.abs(values[i]) > Math.abs(extreme) ? values[i] : extreme;
            }
            double scale = Float.float16ToFloat(Float.floatToFloat16((float) (-extreme / largest)));
            for (int i = from; i < to; i++) {
                values[i] = scale == 0 ? 0 : scale * Math.clamp(Math.rint(values[i] / scale), -largest, largest - 1);
            }
        }

        @Override
        public void release() {
            of.release();
        }

        @Override
        public void describe(List<String> steps) {
            of.describe(steps);
            steps.add("rounded to " + 2 * largest + " levels in groups of " + GROUP);
        }
    }
}
