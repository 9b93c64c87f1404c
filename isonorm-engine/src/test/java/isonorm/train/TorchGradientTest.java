package isonorm.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import isonorm.architecture.Architecture;
import isonorm.backpropagation.Examples;
import isonorm.backpropagation.Network;
import isonorm.backpropagation.Parameters;
import isonorm.backpropagation.Scales;
import isonorm.convert.LoadedModel;
import isonorm.kernel.Rows;
import isonorm.kernel.Type;
import isonorm.layer.Tolerance;
import isonorm.tensor.Team;
import isonorm.weights.Matrix;
import isonorm.weights.Model;
import isonorm.weights.Seed;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Losses, and the gradient of every parameter, beside those that PyTorch computed; make_gradients.py says how. */
class TorchGradientTest {

    private static final Path FOLDER = Path.of("src", "test", "resources", "isonorm", "train");
    private static final ObjectMapper JSON = new ObjectMapper();

    /** A parameter's gradient that is zero but for rounding, as that of queries where there is one token, is compared with this share of the largest. */
    private static final double SMALL = 1e-3;

    @TempDir
    private Path temporary;

    private record Learned(Map<String, Double> errors, int losses) {}

    @ParameterizedTest
    @CsvSource({
        "pre-ln,,10", "pre-rmsnorm,,10", // a GPT-2 and a Llama
        "lns,lns,3", "peri-ln,,3", // a Llama and a Gemma 2
        "mix-ln,mix-ln,3" // a GPT-2
    })
    void theGradientOfEveryParameterIsPyTorchs(String folder, String strategy, int losses) throws IOException {
        for (Type type : new Type[] {Type.F64, Type.F32}) {
            double tolerance = type == Type.F64 ? Tolerance.GRADIENT_F64 : Tolerance.GRADIENT_F32;
            Learned learned = learned(FOLDER.resolve(folder), strategy, type);
            assertEquals(losses, learned.losses);
            learned.errors.forEach((what, error) -> assertTrue(error <= tolerance, type + ": " + what + " is off by " + error));
        }
    }

    /** The largest errors, as shares of the largest number beside them, of the loss and of each parameter of all losses. */
    private Learned learned(Path folder, String strategy, Type type) throws IOException {
        Model model = Model.of(LoadedModel.open(folder).model());
        Architecture architecture = model.architecture();
        Scales scales = Scales.NONE;
        if (strategy != null) {
            architecture = Strategy.named(strategy).applied(architecture);
            scales = Strategy.named(strategy).scales(architecture);
        }
        Map<String, Double> errors = new TreeMap<>();
        JsonNode losses = JSON.readTree(folder.resolve("losses.json").toFile());
        try (Team team = Team.of(1);
                Parameters parameters = Parameters.of(architecture, type, type);
                Network network = new Network(architecture, parameters, scales, team)) {
            TreeSet<String> roles = new TreeSet<>();
            for (Parameters.Entry entry : parameters.all()) {
                entry.take(model.weight(entry.role()));
                roles.add(entry.role().toString());
            }
            assertEquals(new TreeSet<>(model.weights().keySet().stream().map(Object::toString).toList()), roles);
            parameters.refresh(team);
            for (int number = 0; number < losses.size(); number++) {
                JsonNode given = losses.get(number);
                Examples.Tokens examples = new Examples.Tokens(rows(given.path("ids")), rows(given.path("labels")));
                parameters.forgetGradients();
                double loss = network.learn(examples, 1.0 / examples.targets(), Seed.of(0)) / examples.targets();
                parameters.settleGradients();
                double expected = given.path("loss").asDouble();
                errors.merge("the loss", Math.abs(loss - expected) / expected, Math::max);
                compare(gradient(folder, number), parameters, errors);
            }
        }
        return new Learned(errors, losses.size());
    }

    private static int[][] rows(JsonNode node) {
        return JSON.convertValue(node, int[][].class);
    }

    /** The file of a gradient is a checkpoint's, its weights being the gradient. */
    private Model gradient(Path folder, int number) throws IOException {
        Path copy = Files.createDirectories(temporary.resolve(folder.getFileName() + "-" + number));
        Files.write(copy.resolve("config.json"), Files.readAllBytes(folder.resolve("config.json")));
        Files.write(copy.resolve("model.safetensors"), Files.readAllBytes(folder.resolve("gradient-" + number + ".safetensors")));
        return Model.of(LoadedModel.open(copy).model());
    }

    private static void compare(Model expected, Parameters parameters, Map<String, Double> errors) throws IOException {
        Map<Parameters.Entry, double[]> values = new LinkedHashMap<>();
        double largest = 0;
        for (Parameters.Entry entry : parameters.all()) {
            values.put(entry, read(expected.weight(entry.role())));
            largest = Math.max(largest, largest(values.get(entry)));
        }
        for (Map.Entry<Parameters.Entry, double[]> each : values.entrySet()) {
            Rows found = each.getKey().stored(each.getKey().gradient());
            double[] right = each.getValue();
            double worst = 0;
            for (int i = 0; i < right.length; i++) {
                double error = Math.abs(found.get(i / found.columns(), i % found.columns()) - right[i]);
                worst = Math.max(worst, Double.isNaN(error) ? Double.POSITIVE_INFINITY : error);
            }
            errors.merge(each.getKey().role().toString(), worst / Math.max(largest(right), SMALL * largest), Math::max);
        }
    }

    private static double[] read(Matrix matrix) throws IOException {
        double[] values = new double[matrix.rows() * matrix.columns()];
        matrix.prepare();
        try {
            matrix.read(0, matrix.rows(), values);
        } finally {
            matrix.release();
        }
        return values;
    }

    private static double largest(double[] values) {
        double largest = 0;
        for (double value : values) {
            largest = Math.max(largest, Math.abs(value));
        }
        return largest;
    }
}
