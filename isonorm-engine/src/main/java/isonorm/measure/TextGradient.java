package isonorm.measure;

import isonorm.architecture.Part;
import isonorm.backpropagation.Examples;
import isonorm.backpropagation.Network;
import isonorm.backpropagation.Parameters;
import isonorm.backpropagation.Scales;
import isonorm.depth.GradientNorms;
import isonorm.kernel.Gradients;
import isonorm.kernel.Type;
import isonorm.model.Progress;
import isonorm.model.Transformer;
import isonorm.tensor.Team;
import isonorm.verify.TokenizedText;
import isonorm.verify.Verification;
import isonorm.weights.Model;
import isonorm.weights.Seed;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The gradient of a text's mean loss, of a model as it is: one way there and back for every window, in float32, and no step. */
public final class TextGradient {

    private TextGradient() {}

    /**
     * Measures it.
     *
     * @throws IllegalArgumentException if the model cannot predict a text, or cannot be trained
     */
    public static GradientNorms of(Transformer transformer, TokenizedText text, Progress progress) throws IOException {
        Verification.requirePrediction(transformer, text.window());
        Model model = Model.of(transformer);
        try (Team team = Team.of(Runtime.getRuntime().availableProcessors());
                Parameters parameters = Parameters.of(model.architecture(), Type.F32, Type.F32);
                Network network = new Network(model.architecture(), parameters, Scales.NONE, team)) {
            for (Parameters.Entry entry : parameters.all()) {
                entry.take(model.weight(entry.role()));
            }
            parameters.refresh(team);
            parameters.forgetGradients();
            for (int w = 0; w < text.windows(); w++) {
                network.learn(window(text, w), 1.0 / text.predicted(), Seed.of(0));
                progress.step("going back", w + 1L, text.windows());
            }
            parameters.settleGradients();
            return new GradientNorms(text.predicted(), norms(parameters, model.architecture().blocks().size()));
        }
    }

    private static Examples window(TokenizedText text, int window) {
        int[] ids = Arrays.stream(text.window(window)).mapToInt(Math::toIntExact).toArray();
        int[] following = new int[ids.length];
        for (int i = 0; i < ids.length; i++) {
            following[i] = Math.toIntExact(text.target(window, i));
        }
        return new Examples.Tokens(new int[][] {ids}, new int[][] {following});
    }

    private static List<Map<String, Double>> norms(Parameters parameters, int blocks) {
        Gradients gradients = Gradients.of(parameters.type());
        List<Map<Part, Double>> squares = new ArrayList<>();
        for (int l = 0; l < blocks; l++) {
            squares.add(new EnumMap<>(Part.class));
        }
        for (Parameters.Entry entry : parameters.all()) {
            if (entry.role().block() >= 0) {
                squares.get(entry.role().block()).merge(entry.role().part(), gradients.sumOfSquares(entry.gradient()), Double::sum);
            }
        }
        return squares.stream().map(block -> {
            Map<String, Double> norms = new LinkedHashMap<>();
            block.forEach((part, sum) -> norms.put(part.path(), Math.sqrt(sum)));
            return norms;
        }).toList();
    }
}
