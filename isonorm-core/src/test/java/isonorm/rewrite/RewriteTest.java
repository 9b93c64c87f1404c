package isonorm.rewrite;

import static isonorm.architecture.Part.*;
import static isonorm.architecture.Role.Field.*;
import static isonorm.mutation.CleanLine.assertThrows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import isonorm.architecture.Activation;
import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
import isonorm.architecture.BranchScale;
import isonorm.architecture.Embedding;
import isonorm.architecture.Mlp;
import isonorm.architecture.Norm;
import isonorm.architecture.NormKind;
import isonorm.architecture.Output;
import isonorm.architecture.Parameter;
import isonorm.architecture.Part;
import isonorm.architecture.Placement;
import isonorm.architecture.Role;
import isonorm.architecture.Wiring;
import isonorm.convert.ConversionTolerance;
import isonorm.convert.Models;
import isonorm.convert.PlainForward;
import isonorm.weights.Basis;
import isonorm.weights.Dense;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import isonorm.weights.Rotation;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/**
 * The identities of the paper on one writer, one norm and one reader, with norms written out here: what the rewrites make of
 * the matrices keeps the reader's output, and leaving any one step out does not.
 */
class RewriteTest {

    private static final int D = 9; // the stream
    private static final int H = 5; // what the writer reads
    private static final int M = 7; // what the reader gives
    private static final double EPSILON = 1e-3; // large, so that its place matters

    private final SplittableRandom random = new SplittableRandom(21);

    // Definitions

    private static double[] layerNorm(double[] x) {
        double mean = 0;
        double variance = 0;
        for (double value : x) {
            mean += value / x.length;
        }
        for (double value : x) {
            variance += (value - mean) * (value - mean) / x.length;
        }
        double[] y = new double[x.length];
        for (int i = 0; i < x.length; i++) {
            y[i] = (x[i] - mean) / Math.sqrt(variance + EPSILON);
        }
        return y;
    }

    private static double[] rmsNorm(double[] x) {
        return rmsNorm(x, EPSILON);
    }

    private static double[] rmsNorm(double[] x, double epsilon) {
        double squares = 0;
        for (double value : x) {
            squares += value * value / x.length;
        }
        double[] y = new double[x.length];
        for (int i = 0; i < x.length; i++) {
            y[i] = x[i] / Math.sqrt(squares + epsilon);
        }
        return y;
    }

    private static double[] crmsNorm(double[] x) {
        double sum = 0;
        double squares = 0;
        for (double value : x) {
            sum += value;
            squares += value * value;
        }
        double[] y = new double[x.length];
        for (int i = 0; i < x.length; i++) {
            y[i] = x[i] / Math.sqrt((squares + sum * sum) / (x.length + 1) + EPSILON);
        }
        return y;
    }

    private static double[] affine(double[] n, double[] gain, double[] bias) {
        double[] y = new double[n.length];
        for (int i = 0; i < n.length; i++) {
            y[i] = n[i] * gain[i] + bias[i];
        }
        return y;
    }

    private static double[] plus(double[] a, double[] b) {
        double[] sum = new double[a.length];
        for (int i = 0; i < a.length; i++) {
            sum[i] = a[i] + b[i];
        }
        return sum;
    }

    private static double[] recentred(double[] x) {
        double mean = sum(x) / x.length;
        double[] y = new double[x.length];
        for (int i = 0; i < x.length; i++) {
            y[i] = x[i] - mean;
        }
        return y;
    }

    private static double sum(double[] x) {
        double sum = 0;
        for (double value : x) {
            sum += value;
        }
        return sum;
    }

    /** A x + b, of matrices as they are read. */
    private static double[] linear(Matrix a, Matrix b, double[] x) throws IOException {
        double[] weights = new double[a.rows() * a.columns()];
        a.prepare();
        a.read(0, a.rows(), weights);
        a.release();
        assertEquals(x.length, a.columns());
        double[] y = b.vector();
        assertEquals(y.length, a.rows());
        for (int r = 0; r < y.length; r++) {
            for (int c = 0; c < x.length; c++) {
                y[r] += weights[r * x.length + c] * x[c];
            }
        }
        return y;
    }

    private double[] values(int count) {
        return random.doubles(count, -1, 1).map(v -> v + 0.3).toArray(); // of a mean that matters
    }

    private Matrix matrix(int rows, int columns) {
        return Dense.of(rows, columns, values(rows * columns));
    }

    private static void assertSame(double[] wanted, double[] values) {
        assertEquals(0, apart(wanted, values), 1e-12);
    }

    private static void assertBroken(double[] wanted, double[] values) {
        assertTrue(apart(wanted, values) > ConversionTolerance.BROKEN, () -> "only " + apart(wanted, values) + " apart");
    }

    private static double apart(double[] a, double[] b) {
        assertEquals(a.length, b.length);
        double largest = 0;
        for (int i = 0; i < a.length; i++) {
            largest = Math.max(largest, Math.abs(a[i] - b[i]));
        }
        return largest;
    }

    // Identities

    private final Matrix w = matrix(D, H);
    private final Matrix b = matrix(1, D);
    private final Matrix a = matrix(M, D);
    private final Matrix c = matrix(1, M);
    private final double[] gain = values(D);
    private final double[] shift = values(D);
    private final Matrix g = Dense.of(1, D, gain);
    private final Matrix s = Dense.of(1, D, shift);
    private final double[] x = values(H);

    private final Matrix wCentred = Operation.centreColumns(w);
    private final Matrix bCentred = Operation.centreRows(b);

    @Test
    void aCentredWriterMakesLayerNormAnRmsNorm() throws IOException {
        double[] wanted = layerNorm(linear(w, b, x));
        assertSame(wanted, rmsNorm(linear(wCentred, bCentred, x)));
        assertSame(wanted, layerNorm(linear(wCentred, bCentred, x)));
        assertBroken(wanted, rmsNorm(linear(w, b, x)));
        assertBroken(wanted, rmsNorm(linear(wCentred, b, x)));
        assertBroken(wanted, rmsNorm(linear(w, bCentred, x)));
        assertBroken(wanted, rmsNorm(linear(Operation.centreRows(w), bCentred, x))); // the other way round
    }

    @Test
    void foldingLeavesTheReadersOutput() throws IOException {
        double[] n = rmsNorm(linear(wCentred, bCentred, x));
        double[] wanted = linear(a, c, affine(n, gain, shift));
        Matrix folded = Operation.scaleColumns(a, g);
        Matrix bias = Operation.biasPlus(a, c, s);
        assertSame(wanted, linear(folded, bias, n));
        assertSame(linear(a, Operation.zeros(M), affine(n, gain, shift)), linear(folded, Operation.biasPlus(a, Operation.zeros(M), s), n));
        assertBroken(wanted, linear(a, bias, n));
        assertBroken(wanted, linear(folded, c, n));
        assertBroken(wanted, linear(folded, Operation.biasPlus(folded, c, s), n)); // the bias passes the weight as it was
        // And back.
        Matrix unfolded = Operation.unscaleColumns(folded, g, s);
        assertSame(wanted, linear(unfolded, Operation.biasMinus(unfolded, bias, s), affine(n, gain, shift)));
    }

    @Test
    void compressingLeavesTheReadersOutput() throws IOException {
        double[] wanted = linear(a, c, rmsNorm(linear(wCentred, bCentred, x)));
        Matrix w1 = Operation.dropLastRow(wCentred);
        Matrix b1 = Operation.dropLastColumn(bCentred);
        double[] stream = linear(w1, b1, x);
        assertEquals(D - 1, stream.length);
        Matrix reader = Operation.subtractLastColumn(a);
        assertSame(wanted, linear(reader, c, crmsNorm(stream)));
        assertBroken(wanted, linear(reader, c, rmsNorm(stream)));
        assertBroken(wanted, linear(Operation.dropLastColumn(a), c, crmsNorm(stream)));
        assertBroken(wanted, linear(reader, c, crmsNorm(linear(Operation.dropLastRow(w), Operation.dropLastColumn(b), x))));
        assertBroken(wanted, linear(reader, c, crmsNorm(linear(w1, Operation.dropLastColumn(b), x))));
        // And back, with the column that was kept or with zeros.
        double[] again = rmsNorm(linear(Operation.appendNegativeSumRow(w1), Operation.appendNegativeSum(b1), x));
        assertSame(wanted, linear(Operation.restoreLastColumn(reader, Operation.lastColumn(a)), c, again));
        assertSame(wanted, linear(Operation.appendZeroColumn(reader), c, again));
    }

    /** Of d values in d, and of the d - 1 dimensions of a centred stream in d - 1, an ordinary RMSNorm with another epsilon. */
    @Test
    void rotatingLeavesTheReadersOutput() throws IOException {
        for (Rotation rotation : List.of(new Rotation(Rotation.Kind.RANDOM, 4, OptionalInt.empty()), new Rotation(Rotation.Kind.RANDOM, 4, OptionalInt.of(D - 1)),
                new Rotation(Rotation.Kind.HADAMARD, 4, OptionalInt.of(D - 1)))) {
            Basis basis = Basis.of(rotation, D, true);
            double[] wanted = linear(a, c, rmsNorm(linear(wCentred, bCentred, x)));
            Matrix writer = Rotated.writer(wCentred, basis);
            Matrix bias = Rotated.table(bCentred, basis);
            Matrix reader = Rotated.reader(a, basis);
            double[] stream = linear(writer, bias, x);
            assertEquals(rotation.width(D), stream.length);
            assertSame(wanted, linear(reader, c, rmsNorm(stream, EPSILON * D / stream.length)));
            if (stream.length == D) {
                assertBroken(wanted, linear(reader, c, rmsNorm(linear(writer, bCentred, x))));
                assertBroken(wanted, linear(reader, c, rmsNorm(linear(wCentred, bias, x))));
                assertBroken(wanted, linear(a, c, rmsNorm(stream)));
                assertBroken(wanted, linear(reader, c, affine(rmsNorm(stream), gain, new double[D]))); // a gain doesn't commute
            } else {
                assertTrue(apart(wanted, linear(reader, c, rmsNorm(stream))) > 1e-5); // the epsilon is another
                assertBroken(wanted, linear(Rotated.table(a, basis), c, rmsNorm(stream, EPSILON * D / stream.length)));
                // A LayerNorm that was not centred first has a mean, which has no place here.
                double[] uncentred = linear(Rotated.writer(w, basis), Rotated.table(b, basis), x);
                assertSame(layerNorm(linear(w, b, x)), linear(Rotated.reader(identity(), basis), Operation.zeros(D), rmsNorm(uncentred, EPSILON * D / (D - 1))));
            }
        }
    }

    private static Matrix identity() {
        return Operation.identity(D);
    }

    @Test
    void aTiedTableWithItsMeansGivesTheSameLogits() throws IOException {
        Matrix table = matrix(M, D);
        Matrix means = Operation.rowMeans(table);
        double[] z = linear(wCentred, bCentred, x);
        double[] y = affine(rmsNorm(z), gain, shift);
        double[] wanted = linear(table, Operation.zeros(M), y);
        double[] fromMeans = means.vector();
        for (int i = 0; i < M; i++) {
            fromMeans[i] *= sum(y);
        }
        Matrix centred = Operation.centreRows(table);
        assertSame(wanted, plus(linear(centred, Operation.zeros(M), y), fromMeans));
        assertBroken(wanted, linear(centred, Operation.zeros(M), y));
        // The compressed table takes y without its last value, which is taken off the others.
        double[] rest = new double[D - 1];
        for (int i = 0; i < rest.length; i++) {
            rest[i] = y[i] - y[D - 1];
        }
        assertSame(wanted, plus(linear(Operation.dropLastColumn(centred), Operation.zeros(M), rest), fromMeans));
        // Behind a norm that applies nothing no means are needed.
        assertSame(linear(table, Operation.zeros(M), rmsNorm(z)), linear(centred, Operation.zeros(M), rmsNorm(z)));
    }

    @Test
    void behindAnEmbeddingNormTheRecentringIsExplicit() throws IOException {
        // e = norm(Wx + b) with an affine part enters the stream, F writes to it, and a LayerNorm reads the sum.
        double[] e = affine(layerNorm(linear(w, b, x)), gain, shift);
        Matrix f = matrix(D, H);
        Matrix fBias = matrix(1, D);
        double[] wanted = layerNorm(plus(e, linear(f, fBias, x)));
        double[] e1 = affine(rmsNorm(linear(wCentred, bCentred, x)), gain, shift);
        double[] branch = linear(Operation.centreColumns(f), Operation.centreRows(fBias), x);
        assertSame(wanted, rmsNorm(plus(recentred(e1), branch)));
        assertBroken(wanted, rmsNorm(plus(e1, branch)));
        assertBroken(wanted, rmsNorm(plus(recentred(e1), linear(f, fBias, x))));
    }

    @Test
    void postLnIsRmsNormOfARecentredSkip() throws IOException {
        double[] skip = affine(layerNorm(values(D)), gain, shift);
        double[] wanted = layerNorm(plus(skip, linear(w, b, x)));
        assertSame(wanted, rmsNorm(plus(recentred(skip), linear(wCentred, bCentred, x))));
        assertBroken(wanted, rmsNorm(plus(skip, linear(wCentred, bCentred, x))));
        assertBroken(wanted, rmsNorm(plus(recentred(skip), linear(w, b, x))));
        double[] bare = layerNorm(values(D)); // needs no recentring where the norm applies nothing
        assertSame(layerNorm(plus(bare, linear(w, b, x))), rmsNorm(plus(bare, linear(wCentred, bCentred, x))));
    }

    @Test
    void layerScaleIsFoldedBeforeCentring() throws IOException {
        double[] scaled = linear(w, b, x);
        for (int i = 0; i < D; i++) {
            scaled[i] *= gain[i];
        }
        double[] wanted = layerNorm(scaled);
        assertSame(wanted, rmsNorm(linear(Operation.centreColumns(Operation.scaleRows(w, g)), Operation.centreRows(Operation.scaleValues(b, g)), x)));
        assertBroken(wanted, rmsNorm(linear(Operation.scaleRows(wCentred, g), Operation.scaleValues(bCentred, g), x)));
        assertBroken(wanted, rmsNorm(linear(Operation.centreColumns(Operation.scaleRows(w, g)), bCentred, x)));
    }

    // The rewrites apply them in this order

    private Model tiny(boolean layerScale, Affine affine, Affine embeddingNorm) {
        return tiny(layerScale, affine, embeddingNorm, Output.Words.of(true));
    }

    private Model tiny(boolean layerScale, Affine affine, Affine embeddingNorm, Output output) {
        Norm norm = Norm.of(NormKind.LAYER, EPSILON, affine);
        Embedding.Tokens tokens = Embedding.Tokens.of(11, 8);
        Block block = Block.of(Placement.PRE, Wiring.SEQUENTIAL, norm, Attention.of(2, 4).withBiases(false, true),
                Mlp.plain(6, Activation.GELU)).withScale(layerScale ? BranchScale.VECTOR : BranchScale.NONE);
        Architecture architecture = Architecture.of("tiny", 8, 16,
                embeddingNorm == null ? tokens : tokens.withNorm(Norm.of(NormKind.LAYER, EPSILON, embeddingNorm)),
                List.of(block, block), Optional.of(norm), output);
        Map<Role, Matrix> weights = new LinkedHashMap<>();
        for (Parameter parameter : architecture.parameters()) {
            weights.put(parameter.role(), matrix(Math.max(1, parameter.rows()), parameter.columns()));
        }
        return new Model(architecture, weights);
    }

    private static double[] all(Matrix matrix) throws IOException {
        double[] values = new double[matrix.rows() * matrix.columns()];
        matrix.prepare();
        matrix.read(0, matrix.rows(), values);
        matrix.release();
        return values;
    }

    @Test
    void centringFoldsLayerScaleFirst() throws IOException {
        Model model = tiny(true, Affine.GAIN_AND_BIAS, null);
        Model centred = new Rewrite.Centre(false).apply(model);
        for (Part[] pair : new Part[][] {{ATTENTION_OUTPUT, ATTENTION_SCALE}, {MLP_DOWN, MLP_SCALE}}) {
            Matrix before = model.weight(Role.of(pair[0], 1, WEIGHT));
            double[] scale = model.weight(Role.of(pair[1], 1, WEIGHT)).vector();
            double[] wanted = all(before);
            int columns = before.columns();
            for (int column = 0; column < columns; column++) {
                double mean = 0;
                for (int r = 0; r < 8; r++) {
                    wanted[r * columns + column] *= scale[r];
                    mean += wanted[r * columns + column] / 8;
                }
                for (int r = 0; r < 8; r++) {
                    wanted[r * columns + column] -= mean;
                }
            }
            assertSame(wanted, all(centred.weight(Role.of(pair[0], 1, WEIGHT))));
            double[] bias = affine(model.weight(Role.of(pair[0], 1, BIAS)).vector(), scale, new double[8]);
            assertSame(recentred(bias), all(centred.weight(Role.of(pair[0], 1, BIAS))));
            assertThrows(IllegalArgumentException.class, () -> centred.weight(Role.of(pair[1], 1, WEIGHT)));
        }
    }

    @Test
    void foldingGivesEveryReaderTheNormsBiasAndKeepsItForTheWayBack() throws IOException {
        Model model = tiny(false, Affine.GAIN_AND_BIAS, null);
        Model folded = new Rewrite.Fold().apply(model);
        double[] weight = all(model.weight(Role.of(QUERY_KEY_VALUE, 1, WEIGHT)));
        double[] normGain = model.weight(Role.of(ATTENTION_NORM, 1, GAIN)).vector();
        double[] normBias = model.weight(Role.of(ATTENTION_NORM, 1, BIAS)).vector();
        double[] bias = new double[24];
        double[] scaled = new double[24 * 8];
        for (int i = 0; i < weight.length; i++) {
            bias[i / 8] += weight[i] * normBias[i % 8];
            scaled[i] = weight[i] * normGain[i % 8];
        }
        assertSame(scaled, all(folded.weight(Role.of(QUERY_KEY_VALUE, 1, WEIGHT))));
        assertSame(bias, all(folded.weight(Role.of(QUERY_KEY_VALUE, 1, BIAS))));
        assertSame(normGain, all(folded.weight(Role.of(ATTENTION_NORM, 1, FOLDED_GAIN))));
        assertSame(normBias, all(folded.weight(Role.of(ATTENTION_NORM, 1, FOLDED_BIAS))));
        assertThrows(IllegalArgumentException.class, () -> folded.weight(Role.of(ATTENTION_NORM, 1, GAIN)));
        assertEquals(Affine.GAIN_AND_BIAS, folded.architecture().finalNorm().orElseThrow().affine(), "a tied head cannot hold it");
    }

    @Test
    void everyOrderOfRewritesIsEqualAndTheStreamIsWhatItSays() throws IOException {
        for (Affine affine : Affine.values()) {
            for (Affine embeddingNorm : new Affine[] {null, Affine.NONE, Affine.GAIN, Affine.GAIN_AND_BIAS}) {
                Model model = tiny(affine == Affine.GAIN, affine, embeddingNorm);
                PlainForward.Input input = PlainForward.Input.tokens(1, 5, 10, 2);
                PlainForward.Result wanted = new PlainForward(model).run(input);
                for (boolean untie : new boolean[] {false, true}) {
                    Rewrite centre = new Rewrite.Centre(untie);
                    Rewrite rms = new Rewrite.ToRmsNorm();
                    Rewrite fold = new Rewrite.Fold();
                    Rewrite compress = new Rewrite.Compress();
                    Rewrite expand = new Rewrite.Expand();
                    for (List<Rewrite> steps : List.of(List.of(centre), List.of(fold), List.of(centre, fold), List.of(fold, centre),
                            List.of(centre, rms, fold), List.of(fold, centre, rms), List.of(centre, rms, fold, compress),
                            List.of(fold, centre, rms, compress), List.of(centre, rms, fold, compress, expand),
                            List.of(centre, rms, fold, compress, expand, compress))) {
                        Model result = Rewrite.all(model, steps);
                        double apart = Models.difference(model, wanted, new PlainForward(result).run(input));
                        assertTrue(apart < ConversionTolerance.SAME, () -> affine + ", " + embeddingNorm + ", " + steps + ": " + apart);
                    }
                    Model broken = rms.apply(model);
                    assertTrue(Models.difference(model, wanted, new PlainForward(broken).run(input)) > ConversionTolerance.BROKEN);
                }
            }
        }
    }

    @Test
    void aTiedHeadBehindALayerOfItsOwnSeesTheMeansOfItsTable() {
        Output.Transform transform = Output.Transform.of(8, Activation.GELU, Norm.of(NormKind.LAYER, EPSILON, Affine.GAIN_AND_BIAS));
        for (Output.Words head : List.of(Output.Words.of(true), Output.Words.of(true).withTransform(transform), Output.Words.of(true).withProjection(8))) {
            Model model = tiny(false, Affine.NONE, null, head); // the final norm applies nothing
            PlainForward.Input input = PlainForward.Input.tokens(1, 5, 10, 2);
            PlainForward.Result wanted = new PlainForward(model).run(input);
            Model result = Rewrite.all(model, List.of(new Rewrite.Centre(false), new Rewrite.ToRmsNorm()));
            double apart = Models.difference(model, wanted, new PlainForward(result).run(input));
            assertTrue(apart < ConversionTolerance.SAME, () -> head + ": " + apart);
        }
    }
}
