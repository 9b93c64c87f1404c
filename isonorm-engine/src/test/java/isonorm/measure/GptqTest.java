package isonorm.measure;

import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.Embedding;
import isonorm.architecture.Role;
import isonorm.convert.Conversion;
import isonorm.convert.LoadedModel;
import isonorm.inference.Inference;
import isonorm.layer.Fixture;
import isonorm.model.Batch;
import isonorm.model.Compute;
import isonorm.model.ConversionRefused;
import isonorm.model.Progress;
import isonorm.model.Result;
import isonorm.verify.TokenizedText;
import isonorm.verify.Verification;
import isonorm.weights.Dense;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import isonorm.weights.Quantization;
import isonorm.weights.Quantized;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Errors of rounding are put right on inputs that move with those that were rounded. */
class GptqTest {

    @TempDir
    Path folder;

    /**
     * Three outputs of four inputs, of which the second and the third are always equal. All scales are 1, for -8 is the largest of each row. The mean of the
     * moments is 25/16, so 1/64 is added to each. Input 0 goes first, since its moment is the largest, and is exact. Of the first row .5 is rounded to 0, ties
     * to even; the error of .5 goes to its equal, {@code .5 * 1 / (1 + 1/64) = 32/65}, which becomes .5 + 32/65 and so 1. By itself it would be 0, and the
     * sum of both, which is all that the output sees, 0 for 1. The second row is the same with other signs. The third is exact.
     */
    @Test
    void aLayerOfThreeByFourIsWhatItIsOnPaper() throws IOException {
        double[] w = {-8, .5, .5, 0, -8, -.5, -.5, 0, -8, 1, 2, 3};
        double[] h = {4, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, .25};
        Gptq.Layer layer = Gptq.layer(Dense.of(3, 4, w), h, Quantization.of(4));
        short one = Float.floatToFloat16(1);
        assertArrayEquals(new short[] {one, one, one}, layer.scales());
        assertArrayEquals(new byte[] {-8, 0, 1, 0, -8, 0, -1, 0, -8, 1, 2, 3}, layer.codes());
        assertEquals(2 * (.5 * 65 / 64 + .5), layer.rounded(), 1e-12, "both are off by .5 to one side, in two rows");
        assertEquals(2 * (.5 * 65 / 64 - .5), layer.chosen(), 1e-12, "one to each side");
    }

    /** The same by the inverse of H itself, of which one input after the other is taken out: Optimal Brain Quantization in a fixed order. */
    private static byte[] byElimination(double[] w, double[] h, int d, Quantization quantization, short[] scales, Integer[] order) {
        double mean = 0;
        for (int i = 0; i < d; i++) {
            mean += h[i * d + i] / d;
        }
        double[][] inverse = inverse(h, d, .01 * mean);
        byte[] codes = new byte[w.length];
        double[] left = w.clone();
        for (int i : order) {
            double scale = Float.float16ToFloat(scales[i / quantization.group()]);
            codes[i] = quantization.code(left[i], scale);
            double error = (left[i] - codes[i] * scale) / inverse[i][i];
            for (int j = 0; j < d; j++) {
                left[j] -= error * inverse[i][j];
            }
            double[] row = inverse[i].clone();
            for (int j = 0; j < d; j++) {
                double by = row[j] / row[i];
                for (int k = 0; k < d; k++) {
                    inverse[j][k] -= by * row[k];
                }
            }
        }
        return codes;
    }

    private static double[][] inverse(double[] h, int d, double damping) {
        double[][] both = new double[d][2 * d];
        for (int i = 0; i < d; i++) {
            System.arraycopy(h, i * d, both[i], 0, d);
            both[i][i] += damping;
            both[i][d + i] = 1;
        }
        for (int i = 0; i < d; i++) {
            double pivot = both[i][i];
            for (int k = 0; k < 2 * d; k++) {
                both[i][k] /= pivot;
            }
            for (int r = 0; r < d; r++) {
                double by = both[r][i];
                for (int k = 0; r != i && k < 2 * d; k++) {
                    both[r][k] -= by * both[i][k];
                }
            }
        }
        double[][] inverse = new double[d][];
        for (int i = 0; i < d; i++) {
            inverse[i] = Arrays.copyOfRange(both[i], d, 2 * d);
        }
        return inverse;
    }

    @ParameterizedTest
    @ValueSource(ints = {4, 8})
    void factorsGiveWhatEliminationGives(int bits) throws IOException {
        int d = 70;
        int rows = 37;
        SplittableRandom random = new SplittableRandom(3);
        double[] h = new double[d * d];
        for (int t = 0; t < 200; t++) {
            double common = random.nextGaussian();
            double[] x = random.doubles(d).map(value -> value - .5 + .4 * common).toArray();
            for (int i = 0; i < d; i++) {
                for (int j = 0; j < d; j++) {
                    h[i * d + j] += x[i] * x[j];
                }
            }
        }
        double[] w = LongStream.range(0, (long) rows * d).mapToDouble(_ -> random.nextGaussian()).toArray();
        Quantization quantization = new Quantization(bits, 32);
        Gptq.Layer layer = Gptq.layer(Dense.of(rows, d, w), h, quantization);
        Integer[] order = new Integer[d];
        Arrays.setAll(order, i -> i);
        Arrays.sort(order, Comparator.comparingDouble(i -> -h[i * d + i]));
        for (int r = 0; r < rows; r++) {
            short[] scales = Arrays.copyOfRange(layer.scales(), r * 3, r * 3 + 3);
            byte[] expected = byElimination(Arrays.copyOfRange(w, r * d, r * d + d), h, d, quantization, scales, order);
            assertArrayEquals(expected, Arrays.copyOfRange(layer.codes(), r * d, r * d + d), "row " + r);
        }
        assertTrue(layer.chosen() < layer.rounded(), layer.chosen() + " of " + layer.rounded());
    }

    private static StreamBasis.Inputs inputs(LoadedModel model) {
        SplittableRandom random = new SplittableRandom(1);
        int window = Math.min(16, model.model().context());
        int vocabulary = ((Embedding.Tokens) Model.of(model.model()).architecture().embedding()).vocabulary();
        TokenizedText text = TokenizedText.of(window, random.longs(8L * window, 0, vocabulary).toArray());
        return StreamBasis.Inputs.of(text, 0, text.windows());
    }

    @ParameterizedTest
    @CsvSource({"gpt2, 4, 32", "gpt2, 8, 32", "llama, 4, 64", "mixtral, 4, 32", "bloom, 8, 64"})
    void everyLayerIsNearerThanByRoundingToTheNearest(String name, int bits, int group) throws IOException {
        LoadedModel model = LoadedModel.open(Fixture.named(name).folder());
        Conversion.Bits wanted = new Conversion.Bits(bits, 8, group, List.of());
        Gptq.Chosen chosen = Gptq.of(model, wanted, inputs(model), Progress.NONE);
        assertEquals(wanted.layersOf(model), chosen.codes().keySet(), "every layer reads something");
        double most = bits == 4 ? 1 : 1.01;
        for (Gptq.Errors errors : chosen.errors()) {
            assertTrue(errors.chosen() < most * errors.rounded(), errors.toString());
            assertTrue(errors.rounded() < .1 * errors.outputs(), errors.toString());
        }
        assertTrue(chosen.error() < chosen.errorOfRounding());
        Path out = folder.resolve("out");
        Conversion.quantized(model, wanted, chosen.codes(), "gptq").verifiedBy(Verification.verifier()).writeTo(out);
        LoadedModel written = LoadedModel.open(out);
        assertEquals(bits, written.bits().orElseThrow());
        for (Map.Entry<Role, Matrix> weight : Model.of(written.model()).weights().entrySet()) {
            Conversion.Codes codes = chosen.codes().get(weight.getKey().path());
            if (codes != null) {
                byte[] held = new byte[codes.codes().length];
                short[] scales = new short[codes.scales().length];
                Quantized matrix = (Quantized) weight.getValue();
                matrix.prepare();
                matrix.readCodes(new Matrix.Tile(0, matrix.rows(), 0, matrix.columns()), held, scales);
                matrix.release();
                assertArrayEquals(codes.codes(), held, weight.getKey().path());
                assertArrayEquals(codes.scales(), scales, weight.getKey().path());
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"gpt2, 4", "llama, 8", "gpt2-untied, 8", "mixtral, 4"})
    void aFileGivesTheBitsThatRoundingOnOpeningGives(String name, int bits) throws IOException {
        LoadedModel model = LoadedModel.open(Fixture.named(name).folder());
        Path out = folder.resolve("out");
        Conversion.quantized(model, new Conversion.Bits(bits, 8, 32, List.of()), Map.of(), "rtn").verifiedBy(Verification.verifier()).writeTo(out);
        long[] prompt = LongStream.range(1, 12).toArray();
        assertArrayEquals(logits(model.quantized(bits), prompt), logits(LoadedModel.open(out), prompt));
    }

    private static double[] logits(LoadedModel model, long[] prompt) throws IOException {
        try (Inference inference = Inference.load(model.model(), Compute.F32, 1); Result result = inference.run(Batch.Tokens.of(prompt))) {
            return result.outputValues();
        }
    }

    @Test
    void whatIsQuantizedIsNotQuantizedAgain() throws IOException {
        Path out = folder.resolve("out");
        Conversion.Bits bits = new Conversion.Bits(8, 8, 32, List.of());
        Conversion.quantized(LoadedModel.open(Fixture.named("gpt2").folder()), bits, Map.of(), "rtn").writeTo(out);
        LoadedModel few = LoadedModel.open(out);
        assertTrue(assertThrows(ConversionRefused.class, () -> Conversion.quantized(few, bits, Map.of(), "rtn").writeTo(folder.resolve("again")))
                .getMessage().contains("in few bits"));
    }
}
