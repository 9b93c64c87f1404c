package isonorm.bench;

import isonorm.architecture.Role;
import isonorm.convert.LoadedModel;
import isonorm.model.Compute;
import isonorm.model.Progress;
import isonorm.text.BeginningToken;
import isonorm.verify.Likelihood;
import isonorm.verify.TokenizedText;
import isonorm.verify.Verification;
import isonorm.weights.Dense;
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
        List<String> bits = List.of(arguments).subList(Math.min(2, arguments.length), arguments.length);
        if (bits.isEmpty() || !bits.stream().allMatch(each -> each.matches("[2-8]"))) {
            System.err.println("usage: FewBits CHECKPOINT TEXT BITS..., of 2 to 8 bits");
            System.exit(2);
        }
        LoadedModel source = LoadedModel.open(Path.of(arguments[0]));
        Model model = Model.of(source.model());
        int window = Math.min(1024, source.model().context());
        TokenizedText text = TokenizedText.read(source.checkpoint().folder().resolve("tokenizer.json"), Path.of(arguments[1]), BeginningToken.NEVER, window, window, Long.MAX_VALUE);
        System.out.printf(Locale.ROOT, "float32  %.3f%n", perplexity(model, text));
        for (String each : bits) {
            System.out.printf(Locale.ROOT, "%s bits   %.3f%n", each, perplexity(rounded(model, Integer.parseInt(each)), text));
        }
    }

    private static double perplexity(Model model, TokenizedText text) throws IOException {
        Likelihood likelihood = Verification.likelihood(model, text, Compute.F32, Progress.NONE);
        return likelihood.perplexity();
    }

    private static Model rounded(Model model, int bits) throws IOException {
        Map<Role, Matrix> weights = new LinkedHashMap<>(model.weights());
        for (Map.Entry<Role, Matrix> each : weights.entrySet()) {
            if (QuantizedParts.isLayer(each.getKey())) {
                each.setValue(rounded(each.getValue(), bits));
            }
        }
        return new Model(model.architecture(), weights);
    }

    private static Matrix rounded(Matrix matrix, int bits) throws IOException {
        matrix.prepare();
        double[] values = matrix.all();
        matrix.release();
        int columns = matrix.columns();
        for (int row = 0; row < values.length; row += columns) {
            for (int column = 0; column < columns; column += GROUP) {
                round(values, row + column, row + Math.min(column + GROUP, columns), 1 << (bits - 1));
            }
        }
        return new Dense(matrix.rows(), columns, values, "rounded to " + bits + " bits in groups of " + GROUP);
    }

    /** Rounds values that share a scale to the nearest of its multiples, from {@code -largest} to {@code largest - 1}. */
    private static void round(double[] values, int from, int to, int largest) {
        double extreme = 0;
        for (int i = from; i < to; i++) {
            extreme = Math.abs(values[i]) > Math.abs(extreme) ? values[i] : extreme;
        }
        double scale = Float.float16ToFloat(Float.floatToFloat16((float) (-extreme / largest)));
        for (int i = from; i < to; i++) {
            values[i] = scale == 0 ? 0 : scale * Math.clamp(Math.rint(values[i] / scale), -largest, largest - 1);
        }
    }
}
