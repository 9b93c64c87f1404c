package isonorm.measure;

import static org.junit.jupiter.api.Assertions.assertEquals;

import isonorm.architecture.Activation;
import isonorm.architecture.Affine;
import isonorm.architecture.Architecture;
import isonorm.architecture.Attention;
import isonorm.architecture.Block;
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
import isonorm.convert.PlainForward;
import isonorm.convert.Strategies;
import isonorm.depth.GradientNorms;
import isonorm.model.Progress;
import isonorm.verify.TokenizedText;
import isonorm.weights.Dense;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import java.io.IOException;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The norms of a text's gradient are those of differences of its mean loss, every number of every part of every block moved by itself. */
class TextGradientTest {

    private static final int WINDOW = 6;
    private static final int VOCABULARY = 11;

    /** Central differences in float64 are off by the square of this, and by its share of 1e-16 of the loss. */
    private static final double STEP = 1e-4;

    /** The gradient is in float32, 6e-8 a rounding, behind two blocks there and back. */
    private static final double RELATIVE = 1e-5;

    private static Model model(Placement placement, Norm norm) {
        Block block = Block.of(placement, Wiring.SEQUENTIAL, norm, Attention.of(2, 3), Mlp.plain(9, Activation.GELU));
        return Strategies.random(Architecture.of("tiny", 6, 16, Embedding.Tokens.of(VOCABULARY, 6).withPositions(16, 0, false), List.of(block, block),
                Optional.of(norm), Output.Words.of(false)));
    }

    /** In windows of which the last is not whole, and so is left out. */
    private static TokenizedText text() {
        return TokenizedText.of(WINDOW, new SplittableRandom(3).longs(3 * WINDOW + 2, 0, VOCABULARY).toArray());
    }

    private static double loss(Model model, TokenizedText text) {
        PlainForward forward = new PlainForward(model);
        double sum = 0;
        for (int window = 0; window < text.windows(); window++) {
            int[] ids = Arrays.stream(text.window(window)).mapToInt(Math::toIntExact).toArray();
            double[][] logits = forward.run(PlainForward.Input.tokens(ids)).output();
            for (int t = 0; t < ids.length; t++) {
                int target = Math.toIntExact(text.target(window, t));
                if (target >= 0) {
                    sum += Math.log(Arrays.stream(logits[t]).map(Math::exp).sum()) - logits[t][target];
                }
            }
        }
        return sum / text.predicted();
    }

    private static Model moved(Model model, Role role, int at, double by) {
        Dense matrix = (Dense) model.weight(role);
        double[] values = matrix.values().clone();
        values[at] += by;
        Map<Role, Matrix> weights = new HashMap<>(model.weights());
        weights.put(role, Dense.of(matrix.rows(), matrix.columns(), values));
        return new Model(model.architecture(), weights);
    }

    @ParameterizedTest
    @EnumSource(names = {"PRE", "POST", "PERI"})
    void everyNormIsThatOfTheLossesDifferences(Placement placement) throws IOException {
        Model model = model(placement, Norm.of(placement == Placement.PERI ? NormKind.RMS : NormKind.LAYER, 1e-3,
                placement == Placement.PERI ? Affine.GAIN : Affine.GAIN_AND_BIAS));
        TokenizedText text = text();
        GradientNorms given = TextGradient.of(model, text, Progress.NONE);
        assertEquals(text.predicted(), given.tokens());
        assertEquals(2, given.blocks().size());
        List<Map<Part, Double>> squares = List.of(new EnumMap<>(Part.class), new EnumMap<>(Part.class));
        for (Parameter parameter : model.architecture().parameters()) {
            Role role = parameter.role();
            if (role.block() >= 0) {
                for (int at = 0; at < Math.max(1, parameter.rows()) * parameter.columns(); at++) {
                    double slope = (loss(moved(model, role, at, STEP), text) - loss(moved(model, role, at, -STEP), text)) / (2 * STEP);
                    squares.get(role.block()).merge(role.part(), slope * slope, Double::sum);
                }
            }
        }
        for (int l = 0; l < 2; l++) {
            assertEquals(squares.get(l).keySet().stream().map(Part::path).toList(), List.copyOf(given.blocks().get(l).keySet()));
            double all = 0;
            for (Map.Entry<Part, Double> part : squares.get(l).entrySet()) {
                double norm = Math.sqrt(part.getValue());
                assertEquals(norm, given.blocks().get(l).get(part.getKey().path()), RELATIVE * norm, part.getKey() + " of block " + l);
                all += part.getValue();
            }
            assertEquals(Math.sqrt(all), given.block(l), RELATIVE * Math.sqrt(all));
        }
    }
}
